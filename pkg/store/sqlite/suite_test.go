package sqlite_test

import (
	"path/filepath"
	"testing"

	"chefsync/pkg/store"
	"chefsync/pkg/store/kvtest"
	"chefsync/pkg/store/sqlite"
)

func newDB(t *testing.T) func() *sqlite.DB {
	path := filepath.Join(t.TempDir(), "state.db")
	return func() *sqlite.DB { return open(t, path) }
}

func open(t testing.TB, path string) *sqlite.DB {
	t.Helper()
	db, err := sqlite.Open(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	})
	return db
}

func TestKV(t *testing.T) {
	kvtest.Run(t, func(t *testing.T) func() store.KV {
		open := newDB(t)
		return func() store.KV { return open() }
	})
}

package sqlite

import (
	"fmt"
	"testing"
)

// LimitPages makes the file as full as a disk may be.
func (db *DB) LimitPages(t testing.TB, n int) {
	t.Helper()
	if _, err := db.write.Exec(fmt.Sprintf("PRAGMA max_page_count=%d", n)); err != nil {
		t.Fatal(err)
	}
}

package state_test

import (
	"path/filepath"
	"testing"

	"chefsync/pkg/health"
	"chefsync/pkg/health/healthtest"
)

func TestSQLiteKeepsHealth(t *testing.T) {
	healthtest.Run(t, func(t *testing.T) func() health.Store {
		path := filepath.Join(t.TempDir(), "state.db")
		return func() health.Store { return open(t, path).Health() }
	})
}

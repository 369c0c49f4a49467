package storetest

import (
	"testing"

	"chefsync/pkg/feed/changelog"
	"chefsync/pkg/feed/changelog/changelogtest"
	"chefsync/pkg/health"
	"chefsync/pkg/health/healthtest"
	"chefsync/pkg/notify"
	"chefsync/pkg/notify/notifytest"
	"chefsync/pkg/replication"
	"chefsync/pkg/store"
	"chefsync/pkg/store/kvtest"
)

// RunSuites runs the suites of a KV and of all records in it. A call of newKV makes an
// empty KV; each call of the function that it returns opens it once more, as another
// process would. The factory closes what it opened with t.Cleanup.
func RunSuites(t *testing.T, newKV func(t *testing.T) (open func() store.KV)) {
	t.Run("items", func(t *testing.T) { kvtest.Run(t, newKV) })
	t.Run("pairs", func(t *testing.T) {
		Run(t, func(t *testing.T) func() replication.State {
			open := newKV(t)
			return func() replication.State { return store.New(open()) }
		})
	})
	t.Run("change logs", func(t *testing.T) {
		changelogtest.Run(t, func(t *testing.T) func() changelog.ScanStore {
			open := newKV(t)
			return func() changelog.ScanStore { return store.New(open()).ChangeLogs() }
		})
	})
	t.Run("health", func(t *testing.T) {
		healthtest.Run(t, func(t *testing.T) func() health.Store {
			open := newKV(t)
			return func() health.Store { return store.New(open()).Health() }
		})
	})
	t.Run("notified", func(t *testing.T) {
		notifytest.Run(t, func(t *testing.T) func() notify.Store {
			open := newKV(t)
			return func() notify.Store { return store.New(open()).Notified() }
		})
	})
}

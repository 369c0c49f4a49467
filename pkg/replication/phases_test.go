package replication_test

import (
	"testing"
	"testing/synctest"
	"time"
)

// Kinds that don't depend on each other are written at the same time: a bag, then an
// item, a role and a cookbook version, then an environment.
func TestIndependentKindsAreWrittenTogether(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.pair.Concurrency = 4
		w.primary.Set("/data/users/alice", "alice")
		w.primary.Set("/roles/web", "web")
		w.primary.Set("/cookbooks/apt/1.0.0", "apt", "recipe")
		w.primary.Set("/environments/prod", "prod")
		w.replica.Delay = time.Second
		began := time.Now()
		w.pass()
		w.wantEqual()
		if took := time.Since(began); took != 3*time.Second {
			t.Errorf("the pass took %v, want three times the time of a write", took)
		}
	})
}

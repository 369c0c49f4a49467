package e2e

import (
	"context"
	"path/filepath"
	"testing"
	"time"

	"chefsync/pkg/assembly"
	"chefsync/pkg/chef/cheftest"
	"chefsync/pkg/config"
	"chefsync/pkg/feed/changelog"
	"chefsync/pkg/health"
	"chefsync/pkg/replication"
	"chefsync/pkg/stage"
	"chefsync/pkg/store/sqlite"
	"chefsync/pkg/store/transfer"
)

// daemonBackend is a backend of files, as the daemon has it, with the secrets of the test stack.
type daemonBackend struct {
	state *sqlite.State
	stage *stage.Dir
	r     *testStack
}

func (m daemonBackend) State(context.Context) (replication.State, error) { return m.state, nil }
func (m daemonBackend) Stage(context.Context) (replication.Stage, error) { return m.stage, nil }
func (m daemonBackend) ChangeLogs(context.Context) (changelog.ScanStore, error) {
	return m.state.ChangeLogs(), nil
}

func (m daemonBackend) Health(context.Context) (health.Store, error) { return m.state.Health(), nil }
func (m daemonBackend) Secrets() map[string]config.Resolver          { return m.r.backend.Secrets() }

// TestAPairMovesFromTheDaemonToTheFunctions: nothing is lost on the way, and
// nothing is written again, deletions that fall in between included.
func TestAPairMovesFromTheDaemonToTheFunctions(t *testing.T) {
	t.Parallel()
	r := newDeployedStack(t)
	m := daemonBackend{r: r}
	var err error
	if m.state, err = sqlite.OpenState(t.Context(), filepath.Join(t.TempDir(), "state.db")); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = m.state.Close() })
	if m.stage, err = stage.OpenDir(t.TempDir(), stage.Options{}); err != nil {
		t.Fatal(err)
	}
	c, err := config.Loader{}.Parse("chef-sync.toml", []byte(r.configText()))
	if err != nil {
		t.Fatal(err)
	}
	fleet := assembly.New(assembly.Options{Config: c, Backend: m})
	engine, err := fleet.Engine(t.Context(), c.Pairs()[0])
	if err != nil {
		t.Fatal(err)
	}
	if run, err := engine.Pass(t.Context(), replication.PassOptions{Trigger: "test"}); err != nil || run.Counts.Created != cheftest.Filled {
		t.Fatalf("the daemon's pass: %+v, %v", run, err)
	}
	cheftest.Edit(r.primary.org)
	writes := len(r.replica.mem.Requests().Writes())

	stop, start := true, false
	if err := m.state.ChangeDesired(t.Context(), r.pairID(), replication.DesiredChange{Stop: &stop, At: time.Now()}); err != nil {
		t.Fatal(err)
	}
	doc, err := transfer.Export(t.Context(), m.state, []replication.PairID{r.pairID()}, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	table, err := r.backend.State(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := transfer.Import(t.Context(), table, doc.Pairs[0], transfer.Options{Owner: "test"}); err != nil {
		t.Fatal(err)
	}
	r.changeDesired(replication.DesiredChange{Stop: &start})

	run := r.runPass()
	if run.Mode != "changes" || run.Counts.Deleted == 0 || run.Counts.Equal > run.Counts.Changes {
		t.Errorf("the function's first pass: %+v", run)
	}
	r.wantEqual()
	moved := len(r.replica.mem.Requests().Writes()) - writes
	if most := 3 * (run.Counts.Created + run.Counts.Updated + run.Counts.Deleted); moved > most {
		t.Errorf("%d writes to the replica for %+v", moved, run.Counts)
	}
}

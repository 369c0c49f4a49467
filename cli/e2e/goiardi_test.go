package e2e

import (
	"context"
	"net/http"
	"sync/atomic"
	"testing"

	"chefsync/pkg/chef/cheftest"
	"chefsync/pkg/replication"
)

// gate counts what reaches a real server, by a proxy in front of it.
type gate struct{ reads, writes atomic.Int64 }

// watch puts a counting proxy into the process, for servers that keep no count
// of their own.
func watch(t *testing.T, s *server) *gate {
	t.Helper()
	g := &gate{}
	s.url = proxy(t, s.url, func(r *http.Request) {
		if r.Method == http.MethodGet {
			g.reads.Add(1)
			return
		}
		g.writes.Add(1)
	})
	return g
}

// Real server: a feed, a compare in each direction, and between two real ones.
func TestGoiardi(t *testing.T) {
	first := goiardi(t, "goiardi-1")
	seed := newRig(t, inMemory(t, "primary", cheftest.Options{UpdatedSince: true}), first)
	cheftest.Fill(seed.primary.org)
	run := seed.mustPass()
	if run.Counts.Created != cheftest.Filled {
		t.Errorf("created %d objects, want %d", run.Counts.Created, cheftest.Filled)
	}
	seed.wantInSync()

	t.Run("changes by the feed", func(t *testing.T) {
		seed.t = t
		cheftest.Edit(seed.primary.org)
		seed.mustPass()
		seed.wantInSync()
	})
	t.Run("goiardi to an in-memory server by compare", func(t *testing.T) {
		r := newRig(t, first, inMemory(t, "replica", cheftest.Options{}))
		r.mustPass()
		r.wantInSync()
		wantSame(t, seed.primary.org, r.replica.org)
	})
	t.Run("goiardi to goiardi by compare, and nothing to write the second time", func(t *testing.T) {
		second := goiardi(t, "goiardi-2")
		r := newRig(t, first, second)
		r.mustPass()
		r.wantInSync()
		g := watch(t, r.replica)
		r.later()
		run := r.mustPass()
		if run.Mode != "compare" || run.Counts.Observed == 0 || g.writes.Load() != 0 {
			t.Errorf("second pass: %+v, %d writing requests; want a compare that writes nothing", run.Counts, g.writes.Load())
		}
		if g.reads.Load() == 0 {
			t.Error("nothing passed the counter")
		}
	})
}

// A real server that answers unknown paths with 200 and nothing: taken for a
// server with organizations, it seems to hold nothing at all.
func TestAGoiardiPrimaryAskedTheWrongWayEmptiesNothing(t *testing.T) {
	first := goiardi(t, "goiardi-1")
	replica := inMemory(t, "replica", cheftest.Options{})
	seed := newRig(t, inMemory(t, "seed", cheftest.Options{UpdatedSince: true}), first)
	cheftest.Fill(seed.primary.org)
	seed.mustPass()
	r := newRig(t, first, replica)
	r.mustPass()
	before := len(replica.org.Snapshot())
	first.orgless = false // the configuration forgets organizations = false
	r.extra += "\n" + `prune = "all"`
	for range 2 {
		if run, err := r.full(); err == nil || run.Outcome != replication.OutcomeFailed {
			t.Fatalf("outcome %s, %v; want a failure", run.Outcome, err)
		}
	}
	if st, _ := r.record(); st.Status() != replication.Blocked {
		t.Errorf("status %s, want blocked", st.Status())
	}
	if n := len(replica.org.Snapshot()); n != before || n == 0 {
		t.Errorf("%d objects on the replica, want all %d", n, before)
	}
}

// A primary that is killed loses its last seconds and comes back in the past:
// the replica ends as the primary then is, under the brake.
func TestAGoiardiPrimaryThatGoesBackInTime(t *testing.T) {
	g := startGoiardi(t)
	first := &server{name: "goiardi-1", url: g.URL, user: "admin", key: g.AdminKey, orgless: true}
	org := first.client(t)
	put := func(name string) {
		if _, err := org.Do(context.Background(), http.MethodPost, "/roles", []byte(`{"name":"`+name+`"}`)); err != nil {
			t.Fatal(err)
		}
	}
	put("kept")
	g.Restart() // writes what it has
	r := newRig(t, first, inMemory(t, "replica", cheftest.Options{}))
	put("lost")
	r.mustPass()
	g.Kill()
	g.Restart()
	r.later()
	r.mustPass()
	r.wantInSync()
	there := r.replica.org.Snapshot()
	if there["/roles/kept"] == "" {
		t.Errorf("the replica lost what the primary has: %v", there)
	}
}

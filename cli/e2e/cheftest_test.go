package e2e

import (
	"context"
	"fmt"
	"net/http"
	"testing"
	"time"

	"chefsync/pkg/chef/cheftest"
	"chefsync/pkg/fault"
	"chefsync/pkg/replication"
	"chefsync/pkg/replication/replicationtest"
)

func pairOfServers(t testing.TB) *rig {
	r := newRig(t, inMemory(t, "primary", cheftest.Options{UpdatedSince: true}), inMemory(t, "replica", cheftest.Options{}))
	cheftest.Fill(r.primary.org)
	return r
}

func TestAnOrganizationIsReplicatedByItsFeed(t *testing.T) {
	r := pairOfServers(t)
	run := r.mustPass()
	if run.Counts.Created != cheftest.Filled {
		t.Errorf("created %d objects, want %d", run.Counts.Created, cheftest.Filled)
	}
	r.wantInSync()
	cheftest.Edit(r.primary.org)
	r.mustPass()
	r.wantInSync()
	r.primary.mem.ResetRequests()
	r.replica.mem.ResetRequests()
	r.mustPass()
	if n := len(r.replica.mem.Requests()); n != 0 {
		t.Errorf("%d requests to the replica in an empty poll", n)
	}
	if w := r.primary.writes(); len(w) != 0 {
		t.Errorf("the primary was written: %v", w)
	}
}

func TestAPrimaryWithoutAFeedIsComparedWhole(t *testing.T) {
	r := pairOfServers(t)
	r.primary.mem.SetUpdatedSince(false)
	r.mustPass()
	r.wantInSync()
	cheftest.Edit(r.primary.org)
	r.later()
	r.mustPass()
	r.wantInSync()
	r.later()
	r.replica.mem.ResetRequests()
	run := r.mustPass()
	if w := r.replica.writes(); run.Mode != "compare" || len(w) != 0 {
		t.Errorf("a %s of equal sides wrote %v", run.Mode, w)
	}
}

// Replicas that support only older API versions, or have no organizations.
func TestReplicasOfEveryKind(t *testing.T) {
	for name, o := range map[string]cheftest.Options{
		"API version 1":         {MaxAPIVersion: 1},
		"API version 0":         {MaxAPIVersion: cheftest.OnlyVersion0},
		"without organizations": {Orgless: true, MaxAPIVersion: 1, EmptyUnknown: true, LenientVersion: true, NoFrontEnd: true},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, inMemory(t, "primary", cheftest.Options{UpdatedSince: true}), inMemory(t, "replica", o))
			cheftest.Fill(r.primary.org)
			r.mustPass()
			r.wantInSync()
			cheftest.Edit(r.primary.org)
			r.mustPass()
			r.wantInSync()
			// And back, from it as the primary.
			back := newRig(t, r.replica, inMemory(t, "third", cheftest.Options{}))
			back.mustPass()
			back.wantInSync()
			wantSame(t, r.primary.org, back.replica.org)
		})
	}
}

// An older replica loses files outside the nine segments: that is said, and the
// rest is there (docs/chef-server-api.md §3.2).
func TestFilesThatAnOldReplicaCannotHoldAreNamed(t *testing.T) {
	r := newRig(t, inMemory(t, "primary", cheftest.Options{UpdatedSince: true}), inMemory(t, "replica", cheftest.Options{MaxAPIVersion: 1}))
	r.primary.org.PutCookbook("modern", "1.0.0", map[string][]byte{"recipes/default.rb": []byte("x"), "compliance/profiles/a.rb": []byte("y")}, false)
	mustLeaveIt := func() {
		t.Helper()
		if run, err := r.pass(); err != nil || run.Outcome != replication.OutcomePartial || run.Left != 1 {
			t.Fatalf("pass: %s, %d left, %v; want it partial", run.Outcome, run.Left, err)
		}
	}
	mustLeaveIt()
	st, u := r.record()
	if len(u) != 1 || u[0].Class != fault.Degraded || st.Status() != replication.Retrying {
		t.Fatalf("status %s, unsynced %+v; want the cookbook named as degraded", st.Status(), u)
	}
	if r.replica.org.Snapshot()["/cookbooks/modern/1.0.0"] == "" {
		t.Error("the part that the replica can hold isn't there")
	}
	e := r.engine()
	now := time.Now()
	if err := e.State.ChangeDesired(context.Background(), e.Pair.ID, replication.DesiredChange{Retry: &now, At: now}); err != nil {
		t.Fatal(err)
	}
	r.replica.mem.ResetRequests()
	mustLeaveIt()
	if _, u := r.record(); len(u) != 1 || len(r.replica.writes()) != 0 {
		t.Errorf("after a retry: unsynced %+v, writes %v; want it still named and not written again", u, r.replica.writes())
	}
}

// The process dies at every external call of a first pass and of a pass with
// changes, over real clients, SQLite and a folder.
func TestACrashAtEveryCallConverges(t *testing.T) {
	small := func(o *cheftest.Org) {
		o.PutCookbook("apt", "1.0.0", map[string][]byte{"recipes/default.rb": []byte("a"), "files/x": []byte("b")}, true)
		o.PutCookbook("apt", "1.1.0", map[string][]byte{"recipes/default.rb": []byte("c"), "files/x": []byte("b")}, false)
		o.PutRole("web", `{}`)
		o.PutDataBagItem("users", "alice", `{"uid":1}`)
		o.PutEnvironment("prod", `{}`)
	}
	change := func(o *cheftest.Org) {
		o.PutCookbook("apt", "1.1.0", map[string][]byte{"recipes/default.rb": []byte("d")}, true)
		o.DeleteCookbook("apt", "1.0.0")
		o.PutRole("web", `{"description":"changed"}`)
		o.DeleteDataBag("users")
		o.PutDataBagItem("groups", "ops", `{}`)
	}
	for _, c := range []struct {
		name           string
		before, during func(*cheftest.Org)
		after          bool
	}{
		{"first pass, before the effect", nil, small, false}, {"first pass, after the effect", nil, small, true},
		{"changes, before the effect", small, change, false}, {"changes, after the effect", small, change, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			points := 0
			for n := 1; ; n++ {
				r := newRig(t, inMemory(t, "primary", cheftest.Options{UpdatedSince: true}), inMemory(t, "replica", cheftest.Options{}))
				if c.before != nil {
					c.before(r.primary.org)
					r.mustPass()
				}
				c.during(r.primary.org)
				crash := &replicationtest.Crasher{At: n, After: c.after}
				e := r.engine()
				_, _ = e.Pass(crash.Wrap(context.Background(), e), replication.PassOptions{})
				if crash.Calls() < n {
					break
				}
				points++
				r.skew = 2 * time.Minute // the lease of the dead process ends
				if run, err := r.pass(); err != nil || run.Outcome != replication.OutcomeDone {
					t.Fatalf("died at call %d, %s; next pass: %s, %v", n, crash.Where, run.Outcome, err)
				}
				wantSame(t, r.primary.org, r.replica.org)
			}
			if points < 20 {
				t.Errorf("only %d points were tried", points)
			}
			t.Logf("%d points", points)
		})
	}
}

// The answer of every request of a pass is lost once, after it took effect.
func TestALostAnswerIsNoLostObject(t *testing.T) {
	for _, side := range []string{"primary", "replica"} {
		t.Run(side, func(t *testing.T) {
			t.Parallel()
			n := 1
			for loseAnswer(t, side, n) {
				n++
			}
			if n < 8 {
				t.Errorf("only %d requests were tried", n-1)
			}
		})
	}
}

// loseAnswer runs a first pass in which the n-th answer of a server is lost. It
// returns false if there were fewer.
func loseAnswer(t *testing.T, side string, n int) bool {
	r := newRig(t, inMemory(t, "primary", cheftest.Options{UpdatedSince: true}), inMemory(t, "replica", cheftest.Options{}))
	r.primary.org.PutCookbook("apt", "1.0.0", map[string][]byte{"recipes/default.rb": []byte("a"), "files/x": []byte("b")}, true)
	r.primary.org.PutRole("web", `{}`)
	r.primary.org.PutDataBagItem("users", "alice", `{"uid":1}`)
	srv := r.primary.mem
	if side == "replica" {
		srv = r.replica.mem
	}
	fault := srv.Fault(cheftest.Fault{Nth: n, Times: 1, DropAnswer: true})
	run, err := r.pass()
	if fault.Hits() == 0 {
		return false
	}
	if err != nil || run.Outcome != replication.OutcomeDone {
		t.Fatalf("request %d: %s, %v", n, run.Outcome, err)
	}
	wantSame(t, r.primary.org, r.replica.org)
	return true
}

// Every request of a pass meets a proxy's page once.
func TestAPageOfAProxyIsNeverTakenForAnAnswer(t *testing.T) {
	for _, status := range []int{http.StatusOK, http.StatusNotFound, http.StatusForbidden, http.StatusBadGateway} {
		for _, side := range []string{"primary", "replica"} {
			t.Run(fmt.Sprintf("%d/%s", status, side), func(t *testing.T) {
				t.Parallel()
				r := pairOfServers(t)
				r.mustPass()
				before := r.replica.org.Snapshot()
				srv := r.primary.mem
				if side == "replica" {
					srv = r.replica.mem
				}
				srv.Fault(cheftest.Fault{Status: status, HTML: true})
				for range 2 {
					run, err := r.full()
					if err == nil {
						t.Fatalf("a pass through a proxy's pages: %s", run.Outcome)
					}
				}
				if len(r.replica.org.Snapshot()) != len(before) {
					t.Fatal("objects of the replica were deleted")
				}
				srv.ClearFaults()
				r.full()
				r.wantInSync()
			})
		}
	}
}

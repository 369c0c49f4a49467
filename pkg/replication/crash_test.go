package replication_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"chefsync/pkg/fault"
	"chefsync/pkg/object"
	"chefsync/pkg/replication"
	"chefsync/pkg/replication/replicationtest"
)

// die runs a pass that dies at the n-th external call. It returns false when the
// pass makes fewer calls.
func (w *world) die(n int, after bool, o replication.PassOptions) (died bool, where string) {
	e := w.engine()
	c := &replicationtest.Crasher{At: n, After: after}
	ctx := c.Wrap(context.Background(), e)
	_, _ = e.Pass(ctx, o)
	w.advance(2 * time.Minute) // the lease of the dead process ends
	return c.Calls() >= n, c.Where
}

// dieAt runs an engine in a process that dies at a call to the replica: op of an object
// whose path begins with a prefix.
func (w *world) dieAt(op, prefix string, run func(context.Context, *replication.Engine)) {
	e := w.engine()
	c := &replicationtest.Crasher{}
	ctx := c.Wrap(context.Background(), e)
	w.replica.Refuse = func(got string, ref object.Ref) error {
		if got != op || !strings.HasPrefix(ref.Path(), prefix) {
			return nil
		}
		c.Die()
		return replicationtest.ErrCrashed
	}
	run(ctx, e)
	w.replica.Refuse = nil
	w.advance(2 * time.Minute)
}

func passOnce(ctx context.Context, e *replication.Engine) {
	_, _ = e.Pass(ctx, replication.PassOptions{})
}

func compareOnce(ctx context.Context, e *replication.Engine) {
	_, _ = e.Pass(ctx, replication.PassOptions{Full: true})
}

func repairOnce(ctx context.Context, e *replication.Engine) { _, _ = e.Verify(ctx, repairing()) }

// Whatever the process was doing when it died, the next passes bring the replica to
// what the primary holds by then, with the primary changing meanwhile in the ways
// that could deceive the ledger.
func TestACrashAtAnyCallLosesNothing(t *testing.T) {
	scenarios := []struct {
		name       string
		prepare    func(*world)
		meanwhile  func(*world) // between the crash and the next pass
		wantPasses int
	}{
		{"first compare", (*world).fill, func(*world) {}, 2},
		{"first compare, primary changes back", (*world).fill, func(w *world) {
			w.primary.Unset("/roles/web")
			w.primary.Set("/cookbooks/apt/1.0.0", "apt1 changed", "r")
			w.primary.Unset("/data/users")
		}, 3},
		{"changes", changeThings, func(*world) {}, 2},
		{"changes, undone on the primary", changeThings, undoThings, 2},
		{"changes that a scan saw", changeScannedThings, func(*world) {}, 2},
		{"changes that a scan saw, undone on the primary", changeScannedThings, func(w *world) {
			undoThings(w)
			w.scanner.Scan()
		}, 2},
	}
	for _, s := range scenarios {
		for _, after := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s/after=%v", s.name, after), func(t *testing.T) {
				points := 0
				for n := 1; ; n++ {
					w := newWorld(t)
					w.tuning.Window = 3
					s.prepare(w)
					died, where := w.die(n, after, replication.PassOptions{})
					if !died {
						break
					}
					points++
					s.meanwhile(w)
					w.settle(s.wantPasses, fmt.Sprintf("died at call %d, %s", n, where))
				}
				if points < 15 {
					t.Errorf("only %d points were tried", points)
				}
				t.Logf("%d points", points)
			})
		}
	}
}

func changeThings(w *world) {
	w.fill()
	w.pass()
	w.primary.Set("/roles/web", "web, changed")
	w.primary.Set("/roles/db", "db")
	w.primary.Set("/cookbooks/apt/1.1.0", "apt2 again", "recipe3")
	w.primary.Set("/cookbooks/new/0.1.0", "new", "recipe4")
	w.primary.Unset("/cookbooks/apt/1.0.0")
	w.primary.Unset("/roles/base")
	w.primary.Unset("/data/users/bob")
}

// undoThings takes most of that back.
func undoThings(w *world) {
	w.primary.Set("/roles/web", "web") // as the ledger has it
	w.primary.Unset("/roles/db")       // never recorded, perhaps written
	w.primary.Set("/roles/base", "base")
	w.primary.Set("/cookbooks/apt/1.0.0", "apt1", "recipe", "shared")
	w.primary.Set("/data/users/bob", "bob")
}

func changeScannedThings(w *world) {
	w.scannedBy()
	changeThings(w)
	w.scanner.Scan()
}

// settle runs passes until the replica is equal, at most n.
func (w *world) settle(n int, context_ string) {
	w.t.Helper()
	for range n {
		if _, err := w.engine().Pass(context.Background(), replication.PassOptions{}); err != nil {
			w.t.Fatalf("%s: next pass: %v", context_, err)
		}
		w.advance(time.Hour)
	}
	if d := w.difference(); d != "" {
		w.t.Fatalf("%s: %s", context_, d)
	}
}

func (w *world) difference() string {
	want, got := w.primary.Snapshot(), w.replica.Snapshot()
	for p, f := range want {
		if got[p] != f {
			return fmt.Sprintf("%s is not as on the primary", p)
		}
	}
	for p := range got {
		if want[p] == "" {
			return fmt.Sprintf("%s is only on the replica", p)
		}
	}
	if torn := w.replica.Broken(); len(torn) > 0 {
		return fmt.Sprintf("torn: %v", torn)
	}
	return ""
}

// Every second process dies too while it repairs.
func TestCrashAfterCrashConverges(t *testing.T) {
	w := newWorld(t)
	w.tuning.Window = 2
	changeThings(w)
	for n := 1; n < 60; n += 3 {
		w.die(n, n%2 == 0, replication.PassOptions{})
		if n%5 == 0 {
			w.primary.Set("/roles/web", fmt.Sprint("web ", n))
		}
	}
	w.settle(3, "after twenty crashes")
	w.wantStatus(replication.Synced)
}

// An object that kills the process is found and becomes unsynced.
func TestAnObjectThatKillsTheProcessIsUnsynced(t *testing.T) {
	w := newWorld(t)
	w.fill()
	for range 12 {
		w.dieAt("put", "/roles/web", passOnce)
	}
	if u := w.unsynced(); len(u) != 1 || u[0].Ref.Path() != "/roles/web" {
		t.Fatalf("unsynced %+v, want the role that kills", u)
	}
	if n := len(w.replica.Snapshot()); n != 8 {
		t.Errorf("%d objects on the replica, want all others", n)
	}
	w.advance(time.Hour)
	w.pass()
	w.wantEqual()
}

// The same for an object whose deletion kills, found by a compare.
func TestADeletionThatKillsTheProcessIsUnsynced(t *testing.T) {
	w := newWorld(t)
	w.fill()
	w.pass()
	w.primary.Unset("/roles/web")
	w.direct(replication.DesiredChange{Resync: new(w.now())})
	for range 6 {
		w.dieAt("delete", "/roles/web", passOnce)
	}
	if u := w.unsynced(); len(u) != 1 || u[0].Ref.Path() != "/roles/web" || w.record().Progress.Work != nil {
		t.Fatalf("unsynced %+v, work %+v; want the role that kills", u, w.record().Progress.Work)
	}
	w.advance(time.Hour)
	w.pass()
	w.wantEqual()
}

// Random edits, passes, crashes, refusals and requests; then all faults heal and
// the replica must become equal, with nothing left unsynced. The position never goes
// back within one feed.
func TestAnyHistoryConverges(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		w := newWorld(t)
		w.drawFeed(rt)
		w.tuning = replication.Tuning{Window: rapid.IntRange(1, 4).Draw(rt, "window"), Backlog: rapid.IntRange(2, 30).Draw(rt, "backlog")}
		w.pair.MaxDelete = replication.Limit{Percent: 100}
		w.pair.Concurrency = 3
		w.pair.Kinds = append(object.DefaultKinds(), object.Policy, object.PolicyGroup, object.CookbookArtifact)
		paths := []string{"/roles/a", "/roles/b", "/data/x/1", "/data/x/2", "/data/y/1", "/cookbooks/c/1.0.0", "/cookbooks/c/2.0.0", "/cookbooks/d/1.0.0", "/environments/e",
			"/cookbook_artifacts/c/1", "/policies/p/revisions/1", "/policies/p/revisions/2", "/policy_groups/g/policies/p", "/policy_groups/h/policies/p"}
		bodies := []string{"1", "2", "3"}
		path, body := rapid.SampledFrom(paths), rapid.SampledFrom(bodies)
		var shows []func()
		resets := 0
		rt.Repeat(w.withScans(map[string]func(*rapid.T){
			"set": func(t *rapid.T) {
				p, b := path.Draw(t, "path"), body.Draw(t, "body")
				if mustRef(p).Kind.IsImmutable() {
					b = p[len(p)-1:] // no server changes what is immutable
				}
				if g := mustRef(p); g.Kind == object.PolicyGroup && w.primary.Snapshot()["/policies/"+g.Sub+"/revisions/"+b] == "" {
					t.Skip("no server lets a group name a revision that it lacks")
				}
				defer w.drawPush(t, p)
				if p[1] == 'c' {
					w.primary.Set(p, b, "file "+b, "shared")
					return
				}
				w.primary.Set(p, b)
			},
			"set, visible late": func(t *rapid.T) {
				w.primary.Set(rapid.SampledFrom(paths[:2]).Draw(t, "path"), body.Draw(t, "body"))
				shows = append(shows, w.primary.Hide())
			},
			"show": func(*rapid.T) { showAll(&shows) },
			"unset": func(t *rapid.T) {
				p := path.Draw(t, "path")
				w.primary.Unset(p)
				w.drawPush(t, p)
			},
			"unset bag": func(t *rapid.T) { w.primary.Unset(rapid.SampledFrom([]string{"/data/x", "/data/y"}).Draw(t, "bag")) },
			"feed reset": func(t *rapid.T) {
				// A reset before the first row was ever read can't be told from a
				// quiet feed.
				if pos := w.record().Progress.Position; pos == nil || pos.Seq == 0 {
					t.Skip("no row was read yet")
				}
				showAll(&shows)
				w.primary.Restart()
				// Nor can one that begins with the very rows that it had.
				resets++
				w.primary.Set(fmt.Sprintf("/roles/after-reset-%d", resets), "x")
			},
			"pass": func(t *rapid.T) {
				w.drawScan(t)
				_, _ = w.engine().Pass(context.Background(), replication.PassOptions{Full: rapid.IntRange(0, 9).Draw(t, "full") == 0})
				w.advance(time.Minute)
			},
			"crash": func(t *rapid.T) {
				w.die(rapid.IntRange(1, 40).Draw(t, "call"), rapid.Bool().Draw(t, "after"), replication.PassOptions{})
			},
			"refuse": func(t *rapid.T) {
				p, op := path.Draw(t, "path"), rapid.SampledFrom([]string{"put", "delete", "get", "open"}).Draw(t, "op")
				class := rapid.SampledFrom([]fault.Class{fault.Rejected, fault.Transient, fault.Denied, fault.Foreign, fault.Unreachable}).Draw(t, "class")
				refuse := func(got string, ref object.Ref) error {
					if got == op && ref.Path() == p {
						return refused(class)
					}
					return nil
				}
				w.primary.Refuse, w.replica.Refuse = refuse, refuse
			},
			"heal": func(*rapid.T) { w.primary.Refuse, w.replica.Refuse = nil, nil },
			"drift": func(t *rapid.T) {
				// Only a resync looks at the replica, so one is asked for.
				w.replica.Set(rapid.SampledFrom(paths[:2]).Draw(t, "path"), "drifted")
				at := w.now().Add(time.Millisecond)
				w.direct(replication.DesiredChange{Resync: &at})
				w.advance(time.Second)
			},
			"": func(t *rapid.T) {
				if torn := w.replica.Broken(); len(torn) > 0 {
					t.Fatalf("torn on the replica: %v", torn)
				}
			},
		}))
		showAll(&shows)
		if w.scanned != nil && rapid.Bool().Draw(rt, "take back") {
			w.scanned()
		}
		w.primary.Refuse, w.replica.Refuse = nil, nil
		for range 4 {
			w.scanAll()
			many := 1000
			w.direct(replication.DesiredChange{AllowDeletes: &many})
			w.advance(time.Second)
			if _, err := w.engine().Pass(context.Background(), replication.PassOptions{}); err != nil {
				rt.Fatalf("pass without faults: %v", err)
			}
			w.advance(24 * time.Hour)
		}
		want, got := w.primary.Snapshot(), w.replica.Snapshot()
		for p := range got {
			// What replication never put there isn't its to delete.
			if want[p] == "" && replicated(w.t, w.state)[mustRef(p)] == "" && (p == "/roles/a" || p == "/roles/b") {
				want[p] = got[p]
			}
		}
		if len(want) != len(got) {
			rt.Fatalf("primary %v\nreplica %v", want, got)
		}
		for p, f := range want {
			if got[p] != f {
				rt.Fatalf("%s differs: primary %v\nreplica %v", p, want, got)
			}
		}
		if st := w.record(); st.Status() != replication.Synced || st.Progress.Work != nil {
			rt.Fatalf("status %s, progress %+v", st.Status(), st.Progress)
		}
	})
}

func showAll(shows *[]func()) {
	for _, show := range *shows {
		show()
	}
	*shows = nil
}

func mustRef(path string) object.Ref {
	ref, err := object.ParseRef(path)
	if err != nil {
		panic(err)
	}
	return ref
}

// A compare that dies goes on behind the last window, also where all was equal.
func TestACompareThatDiesLosesAtMostOneWindow(t *testing.T) {
	w := newWorld(t)
	w.tuning.Window = 5
	for i := range 40 {
		w.primary.Set(fmt.Sprintf("/roles/r%02d", i), "x")
	}
	w.pass()
	w.direct(replication.DesiredChange{Resync: new(w.now())})
	e := w.engine()
	c := &replicationtest.Crasher{}
	ctx := c.Wrap(context.Background(), e)
	reads := 0
	w.replica.Refuse = func(op string, _ object.Ref) error {
		if reads++; op == "get" && reads > 25 {
			c.Die()
			return replicationtest.ErrCrashed
		}
		return nil
	}
	_, _ = e.Pass(ctx, replication.PassOptions{})
	w.replica.Refuse = nil
	w.advance(2 * time.Minute)
	run := w.pass()
	if run.Outcome != replication.OutcomeDone || run.Counts.Observed == 0 || run.Counts.Observed > 25 {
		t.Errorf("the next pass read %d of 40 objects, want it to go on behind what was done", run.Counts.Observed)
	}
}

// interloper lets another process work just before a lease is taken.
type interloper struct {
	replication.State
	work func()
}

func (i *interloper) Acquire(ctx context.Context, id replication.PairID, owner string, now time.Time, ttl time.Duration) (replication.PairState, error) {
	if work := i.work; work != nil {
		i.work = nil
		work()
	}
	return i.State.Acquire(ctx, id, owner, now, ttl)
}

// What was found to do is out of date once somebody else has worked.
func TestAPassStandsBackWhenAnotherWorkedMeanwhile(t *testing.T) {
	w := newWorld(t)
	w.fill()
	w.pass()
	w.primary.Set("/roles/web", "changed")
	e := w.engine()
	e.State = &interloper{State: w.state, work: func() {
		w.pass()
		w.primary.Set("/roles/base", "changed later")
		w.pass()
	}}
	run, err := e.Pass(context.Background(), replication.PassOptions{})
	if err != nil || run.Outcome != replication.OutcomeBusy {
		t.Fatalf("outcome %s, %v; want it to stand back", run.Outcome, err)
	}
	if seq := w.record().Progress.Position.Seq; seq != 11 {
		t.Errorf("position %d, want the other's 11 kept", seq)
	}
	if st := w.record(); st.Lease.Owner != "" {
		t.Errorf("lease %+v was kept", st.Lease)
	}
}

// A poll under somebody's lease could write an old record over the holder's.
func TestAPairIsNotPolledUnderALease(t *testing.T) {
	w := newWorld(t)
	w.fill()
	w.pass()
	if _, err := w.state.Acquire(context.Background(), pairID, "another", w.now(), time.Minute); err != nil {
		t.Fatal(err)
	}
	w.primary.Calls = 0
	run, err := w.engine().Pass(context.Background(), replication.PassOptions{})
	var leased *replication.LeasedError
	if !errors.As(err, &leased) || run.Outcome != replication.OutcomeBusy || w.primary.Calls != 0 {
		t.Errorf("outcome %s, %v, %d calls; want it to stand back at once", run.Outcome, err, w.primary.Calls)
	}
}

// Two processes at once.
func TestTwoProcessesAtOnceDoNotBothWork(t *testing.T) {
	w := newWorld(t)
	w.fill()
	inside, leave := make(chan struct{}), make(chan struct{})
	first := true
	w.replica.Refuse = func(op string, _ object.Ref) error {
		if op == "list" && first {
			first = false
			close(inside)
			<-leave
		}
		return nil
	}
	// The first process hangs inside a call that holds no lock of the state.
	a := w.engine()
	done := make(chan error)
	go func() {
		_, err := a.Pass(context.Background(), replication.PassOptions{})
		done <- err
	}()
	<-inside
	st, err := w.state.Acquire(context.Background(), pairID, "another", w.now(), time.Minute)
	var leased *replication.LeasedError
	if !errors.As(err, &leased) || leased.Lease.Owner != "process-1" {
		t.Errorf("acquired %+v, %v; want it refused with the holder's name", st.Lease, err)
	}
	close(leave)
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	w.wantEqual()
}

// A deletion comes behind the cursor of its compare. Where no feed tells that the
// object is back, the compare itself looks at it again when it goes on.
func TestACompareThatDiesWhileItDeletesLooksAgain(t *testing.T) {
	w := newWorld(t)
	w.primary.NoFeed = true
	w.fill()
	w.pass()
	w.primary.Unset("/roles/web")
	w.advance(time.Hour)
	w.dieAt("delete", "", passOnce)
	w.primary.Set("/roles/web", "back, and changed")
	w.pass()
	w.wantEqual()
}

package replication_test

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"chefsync/pkg/fault"
	"chefsync/pkg/object"
	"chefsync/pkg/replication"
)

// verify runs a verification and wants it to end.
func (w *world) verify(o replication.VerifyOptions) replication.Report {
	w.t.Helper()
	o.Trigger = "test"
	r, err := w.engine().Verify(context.Background(), o)
	if err != nil {
		w.t.Fatalf("verify: %v", err)
	}
	w.advance(time.Minute)
	return r
}

// wantDifferences wants exactly these, as path → letter and cause.
func (w *world) wantDifferences(got []replication.Difference, want map[string]string) {
	w.t.Helper()
	have := map[string]string{}
	for _, d := range got {
		have[d.Ref.Path()] = d.Letter + " " + string(d.Cause)
		if d.Note == "" {
			w.t.Errorf("%s: nothing is said about it", d.Ref)
		}
	}
	if d := cmp.Diff(want, have); d != "" {
		w.t.Fatalf("differences (-want +got):\n%s", d)
	}
}

// lastRun is the newest run record.
func (w *world) lastRun() replication.Run {
	w.t.Helper()
	runs, err := w.state.Runs(context.Background(), pairID, 1)
	if err != nil || len(runs) == 0 {
		w.t.Fatalf("runs: %v, %v", runs, err)
	}
	return runs[0]
}

// The record of what replication put on the replica tells who made a difference.
func TestVerifyTellsWhoMadeEachDifference(t *testing.T) {
	w := newWorld(t)
	w.fill()
	w.pass()
	w.replica.Set("/roles/web", "edited")
	w.replica.Unset("/environments/prod")
	w.replica.Set("/cookbooks/apt/1.0.0", "edited", "recipe of theirs")
	w.primary.Set("/cookbooks/apt/1.0.0", "apt1, changed on the primary too", "recipe")
	w.replica.Set("/roles/own", "own")
	w.primary.Unset("/roles/base")
	w.primary.Set("/data/users/bob", "bob, not applied yet")
	w.primary.Set("/roles/new", "not applied yet")
	w.replica.Writes = 0
	r := w.verify(replication.VerifyOptions{})
	w.wantDifferences(r.Differences, map[string]string{
		"/roles/web": "M changed", "/environments/prod": "A missing", "/cookbooks/apt/1.0.0": "M changed",
		"/roles/base": "D pending", "/data/users/bob": "M pending", "/roles/new": "A pending",
	})
	if len(r.Drift()) != 3 || r.Outcome != replication.OutcomeDiffers {
		t.Errorf("drift %v, outcome %s", r.Drift(), r.Outcome)
	}
	if len(r.Extras) != 1 || r.Extras[0].Path() != "/roles/own" {
		t.Errorf("extras %v, want the replica's own role", r.Extras)
	}
	if w.replica.Writes != 0 {
		t.Error("verify wrote to the replica")
	}
}

// A pass reads the feed of the primary, where an edit of the replica leaves no
// trace.
func TestAnEditOnTheReplicaIsFoundThoughThePrimaryIsQuiet(t *testing.T) {
	w := newWorld(t)
	w.fill()
	w.pass()
	w.replica.Set("/roles/web", "edited")
	w.wantOutcome(w.pass(), replication.OutcomeDone)
	if r := w.verify(replication.VerifyOptions{}); len(r.Drift()) != 1 {
		t.Fatalf("differences %v, want the role", r.Differences)
	}
	st := w.record()
	if d := st.Progress.Drift; d == nil || d.Changed != 1 || d.Left() != 1 || d.Run != w.lastRun().ID {
		t.Errorf("recorded drift %+v, want one changed object", d)
	}
	if run := w.lastRun(); run.Mode != "verify" || run.Trigger != "test" || run.Counts.Drift != 1 || run.Outcome != replication.OutcomeDiffers {
		t.Errorf("run %+v", run)
	}
	w.wantStatus(replication.Synced) // it says what passes know; the drift stands beside it
}

func TestLastVerifiedMovesOnlyWhenBothSidesWereReadAndEqual(t *testing.T) {
	w := newWorld(t)
	w.fill()
	w.pass()
	began := w.now()
	if r := w.verify(replication.VerifyOptions{}); !r.Equal() || r.Outcome != replication.OutcomeDone {
		t.Fatalf("report %+v, want equal", r)
	}
	// The time at which the reading began: an edit from before it can't be missed.
	if p := w.record().Progress; !p.LastVerified.Equal(began) || !p.LastCheck.Equal(began) || p.Drift != nil {
		t.Fatalf("verified %s, checked %s, drift %+v", p.LastVerified, p.LastCheck, p.Drift)
	}
	for name, differ := range map[string]func(){
		"drift":   func() { w.replica.Set("/roles/web", "edited") },
		"pending": func() { w.primary.Set("/roles/web", "changed") },
		"unreadable on the primary": func() {
			w.primary.Refuse = refuseOne("get", "/roles/base", fault.Rejected)
		},
		"a kind that can't be listed on the replica": func() {
			w.replica.Refuse = refuseOne("list", "/roles", fault.Rejected)
		},
		"unreadable on the replica": func() {
			w.replica.Refuse = refuseOne("get", "/roles/base", fault.Rejected)
		},
	} {
		differ()
		at := w.now()
		r := w.verify(replication.VerifyOptions{})
		p := w.record().Progress
		if r.Equal() || !p.LastVerified.Equal(began) || !p.LastCheck.Equal(at) {
			t.Errorf("%s: equal %v, verified %s, checked %s", name, r.Equal(), p.LastVerified, p.LastCheck)
		}
		w.primary.Refuse, w.replica.Refuse = nil, nil
		w.replica.Set("/roles/web", "web")
		w.primary.Set("/roles/web", "web")
	}
	w.primary.Refuse = func(string, object.Ref) error { return refused(fault.Unreachable) }
	if r, err := w.engine().Verify(context.Background(), replication.VerifyOptions{}); err == nil || r.Outcome != replication.OutcomeFailed {
		t.Errorf("a verification without the primary ended: %s, %v", r.Outcome, err)
	}
	if p := w.record().Progress; !p.LastVerified.Equal(began) {
		t.Errorf("verified %s", p.LastVerified)
	}
}

func refuseOne(op, path string, class fault.Class) func(string, object.Ref) error {
	return func(got string, ref object.Ref) error {
		if got == op && ref.Path() == path {
			return refused(class)
		}
		return nil
	}
}

func TestDriftThatIsGoneIsForgotten(t *testing.T) {
	for name, repair := range map[string]func(*world){
		"the next verification finds none": func(w *world) { w.replica.Set("/roles/web", "web"); w.verify(replication.VerifyOptions{}) },
		"a resync repairs it":              func(w *world) { w.direct(replication.DesiredChange{Resync: new(w.now())}); w.pass() },
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.fill()
			w.pass()
			w.replica.Set("/roles/web", "edited")
			w.verify(replication.VerifyOptions{})
			if w.record().Progress.Drift == nil {
				t.Fatal("no drift was recorded")
			}
			repair(w)
			if d := w.record().Progress.Drift; d != nil {
				t.Errorf("drift %+v is still recorded", d)
			}
		})
	}
}

// A pass came between, and the primary failed when the verification looked again:
// it knows nothing, and what an earlier one found stands.
func TestAVerificationThatFailsKeepsTheDriftThatIsRecorded(t *testing.T) {
	w := newWorld(t)
	w.fill()
	w.pass()
	w.replica.Set("/roles/web", "edited")
	w.verify(replication.VerifyOptions{})
	found := w.record().Progress.Drift
	e := w.engine()
	e.State = &interloper{State: w.state, work: func() {
		w.primary.Set("/roles/base", "changed")
		w.pass()
		w.advance(-time.Minute) // it took no time: the lease that is taken now holds
		w.primary.Refuse = func(string, object.Ref) error { return refused(fault.Unreachable) }
	}}
	r, err := e.Verify(context.Background(), replication.VerifyOptions{})
	if err == nil || r.Outcome != replication.OutcomeFailed || len(r.Drift()) != 0 {
		t.Fatalf("outcome %s, %v, drift %v; want the second look to fail", r.Outcome, err, r.Drift())
	}
	if d := cmp.Diff(found, w.record().Progress.Drift); found == nil || d != "" {
		t.Errorf("the drift that was recorded is another one (-before +now):\n%s", d)
	}
}

func TestWhatCouldNotBeAppliedIsNoDrift(t *testing.T) {
	w := newWorld(t)
	w.fill()
	w.pass()
	w.primary.Set("/roles/web", "changed")
	w.replica.Refuse = refuseOne("put", "/roles/web", fault.Rejected)
	w.pass()
	w.replica.Refuse = nil
	r := w.verify(replication.VerifyOptions{Repair: true})
	w.wantDifferences(r.Differences, map[string]string{"/roles/web": "M pending"})
	if len(r.Repaired) != 0 {
		t.Errorf("repaired %v", r.Repaired)
	}
	w.wantStatus(replication.Retrying)
}

// Objects that the replica has and refuses to show may be equal or not.
func TestWhatTheReplicaHidesIsUnreadableAndNotRepaired(t *testing.T) {
	w := newWorld(t)
	w.fill()
	w.pass()
	w.replica.Writes = 0
	w.replica.Refuse = refuseOne("get", "/roles/web", fault.Rejected)
	r := w.verify(replication.VerifyOptions{Repair: true})
	if len(r.Differences) != 0 || len(r.Unreadable) != 1 || r.Unreadable[0].Ref.Path() != "/roles/web" || w.replica.Writes != 0 {
		t.Errorf("report %+v after %d writes; want the role named as unreadable", r, w.replica.Writes)
	}
	if len(w.unsynced()) != 0 {
		t.Errorf("unsynced %v: nothing was to be applied", w.unsynced())
	}
}

// A pass of another process while both sides are read looks like drift at first.
func TestTheWorkOfAPassIsNoDrift(t *testing.T) {
	w := newWorld(t)
	w.fill()
	w.pass()
	w.replica.Set("/environments/prod", "edited")
	w.pair.Concurrency = 1
	e := w.engine()
	e.Source = &late{Source: w.primary, then: func() {
		w.primary.Set("/roles/web", "changed")
		w.primary.Unset("/roles/base")
		w.primary.Set("/roles/new", "new")
		w.primary.Set("/data/users/bob", "changed")
		w.pass()
	}}
	r, err := e.Verify(context.Background(), replication.VerifyOptions{})
	if err != nil {
		t.Fatal(err)
	}
	w.wantDifferences(r.Differences, map[string]string{"/environments/prod": "M changed"})
	if len(r.Extras) != 0 {
		t.Errorf("extras %v", r.Extras)
	}
}

// The token of the lease doesn't tell of a pass that had begun before.
func TestTheEndOfAPassIsNoDrift(t *testing.T) {
	w := newWorld(t)
	w.primary.Set("/roles/web", "web")
	w.pass()
	ctx := context.Background()
	other, err := w.state.Acquire(ctx, pairID, "another", w.now(), time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	e := w.engine()
	e.Source = &late{Source: w.primary, then: func() {
		w.primary.Set("/roles/web", "changed")
		w.replica.Set("/roles/web", "changed")
		applied := replication.Entries{mustRef("/roles/web"): {Fingerprint: w.primary.Snapshot()["/roles/web"]}}
		if err := w.state.Commit(ctx, pairID, other.Lease.Fence, w.now(), replication.Update{Progress: other.Progress, Entries: applied}); err != nil {
			t.Fatal(err)
		}
		if err := w.state.Release(ctx, pairID, other.Lease.Fence); err != nil {
			t.Fatal(err)
		}
	}}
	if r, err := e.Verify(ctx, replication.VerifyOptions{}); err != nil || !r.Equal() {
		t.Errorf("differences %v, %v; want none", r.Differences, err)
	}
}

func TestASecondLookNamesWhatThePruneRuleKeeps(t *testing.T) {
	w := newWorld(t)
	w.pair.Prune = replication.PruneNone
	w.fill()
	w.pass()
	w.primary.Unset("/roles/base")
	e := w.engine()
	e.Source = &late{Source: w.primary, then: func() { w.pass() }}
	r, err := e.Verify(context.Background(), replication.VerifyOptions{})
	if err != nil || !r.Equal() {
		t.Fatalf("differences %v, %v", r.Differences, err)
	}
	if len(r.Extras) != 1 || r.Extras[0].Path() != "/roles/base" {
		t.Errorf("extras %v, want the role that is gone from the primary", r.Extras)
	}
}

func TestWhatGoesFromThePrimaryWhileItIsReadIsNotCounted(t *testing.T) {
	w := newWorld(t)
	w.pair.Concurrency = 1
	w.fill()
	w.pass()
	w.tuning.Window = 1
	e := w.engine()
	e.Source = &late{Source: w.primary, then: func() { w.primary.Unset("/roles/web") }}
	r, err := e.Verify(context.Background(), replication.VerifyOptions{})
	if err != nil {
		t.Fatal(err)
	}
	w.wantDifferences(r.Differences, map[string]string{"/roles/web": "D pending"})
	for _, k := range r.Kinds {
		if want := (replication.KindReport{Kind: object.Role, Primary: 1, Replica: 2, Equal: 1}); k.Kind == object.Role && k != want {
			t.Errorf("roles %+v, want %+v", k, want)
		}
	}
}

// late lets something happen once, after the first object was read.
type late struct {
	replication.Source
	then func()
	once sync.Once
}

func (l *late) Get(ctx context.Context, ref object.Ref) (object.Object, error) {
	obj, err := l.Source.Get(ctx, ref)
	l.once.Do(l.then)
	return obj, err
}

func TestUnderTheLeaseOfAnotherNothingIsCalledDrift(t *testing.T) {
	w := newWorld(t)
	w.fill()
	w.pass()
	w.replica.Set("/roles/web", "perhaps just written by the other")
	if _, err := w.state.Acquire(context.Background(), pairID, "another", w.now(), time.Minute); err != nil {
		t.Fatal(err)
	}
	before := w.record()
	r, err := w.engine().Verify(context.Background(), replication.VerifyOptions{})
	if err != nil || r.Outcome != replication.OutcomeBusy {
		t.Fatalf("outcome %s, %v", r.Outcome, err)
	}
	w.wantDifferences(r.Differences, map[string]string{"/roles/web": "M pending"})
	var leased *replication.LeasedError
	if _, err := w.engine().Verify(context.Background(), replication.VerifyOptions{Repair: true}); !errors.As(err, &leased) || leased.Lease.Owner != "another" {
		t.Errorf("a repair under another's lease: %v", err)
	}
	if d := cmp.Diff(before, w.record()); d != "" || w.replica.Snapshot()["/roles/web"] == w.primary.Snapshot()["/roles/web"] {
		t.Errorf("the record or the replica was written:\n%s", d)
	}
}

// Due at once after the first compare, then at its interval, by what is recorded:
// a restart of the process changes nothing.
func TestWhenAVerificationIsDue(t *testing.T) {
	at := time.Date(2026, 1, 2, 3, 0, 0, 0, time.UTC)
	for name, c := range map[string]struct {
		compared, checked time.Time
		every             time.Duration
		due               bool
	}{
		"never": {at.Add(-time.Hour), time.Time{}, 0, false}, "before the first compare": {time.Time{}, time.Time{}, time.Hour, false},
		"first": {at.Add(-time.Second), time.Time{}, time.Hour, true}, "too early": {at.Add(-time.Second), at.Add(-59 * time.Minute), time.Hour, false},
		"due": {at.Add(-time.Second), at.Add(-time.Hour), time.Hour, true},
	} {
		if got := (replication.Progress{LastCompare: c.compared, LastCheck: c.checked}).VerifyDue(c.every, at); got != c.due {
			t.Errorf("%s: due %v", name, got)
		}
	}
}

// Whatever was edited on both sides, drift is exactly what no longer is as
// replication put it and isn't as the primary has it either; a repair fixes
// exactly that, and passes do the rest.
func TestVerifyAgreesWithAModelOfWhoChangedWhat(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		w := newWorld(t)
		w.drawFeed(rt)
		w.tuning.Window = rapid.IntRange(1, 4).Draw(rt, "window")
		paths := []string{"/roles/a", "/roles/b", "/data/x/1", "/environments/e", "/cookbooks/c/1.0.0"}
		path, body := rapid.SampledFrom(paths), rapid.SampledFrom([]string{"1", "2", "3"})
		w.primary.Set("/roles/kept", "1") // an organization that becomes empty is held
		put := map[string]string{}        // what replication put on the replica, by the model
		rt.Repeat(w.withScans(map[string]func(*rapid.T){
			"edit primary": func(t *rapid.T) { w.primary.Set(path.Draw(t, "path"), body.Draw(t, "body")) },
			"edit replica": func(t *rapid.T) { w.replica.Set(path.Draw(t, "path"), body.Draw(t, "body")) },
			"drop primary": func(t *rapid.T) { w.primary.Unset(path.Draw(t, "path")) },
			"drop replica": func(t *rapid.T) { w.replica.Unset(path.Draw(t, "path")) },
			"pass": func(*rapid.T) {
				w.scanAll()
				w.pass()
				put = w.primary.Snapshot()
			},
			"verify": func(t *rapid.T) {
				repair := rapid.Bool().Draw(t, "repair")
				want := map[string]string{}
				primary, replica := w.primary.Snapshot(), w.replica.Snapshot()
				for p, last := range put {
					switch {
					case primary[p] == "" || replica[p] == primary[p] || replica[p] == last:
					case replica[p] == "":
						want[p] = "A missing"
					default:
						want[p] = "M changed"
					}
				}
				r := w.verify(replication.VerifyOptions{Repair: repair})
				w.wantDifferences(append(r.Drift(), r.Repaired...), want)
				if repair && len(r.Drift()) > 0 {
					t.Fatalf("left after a repair: %v", r.Drift())
				}
				if repair {
					for _, d := range r.Repaired {
						put[d.Ref.Path()] = primary[d.Ref.Path()]
						if w.replica.Snapshot()[d.Ref.Path()] != primary[d.Ref.Path()] {
							t.Fatalf("%s is not as on the primary", d.Ref)
						}
					}
				}
			},
		}))
		for range 2 {
			w.verify(replication.VerifyOptions{Repair: true})
			w.scanAll()
			w.pass()
		}
		have := w.replica.Snapshot()
		for p, want := range w.primary.Snapshot() {
			if have[p] != want {
				rt.Fatalf("%s: %q on the replica, %q on the primary", p, have[p], want)
			}
		}
	})
}

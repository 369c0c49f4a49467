package replication_test

import (
	"context"
	"errors"
	"maps"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"chefsync/pkg/object"
	"chefsync/pkg/replication"
)

// scannedFeed is a feed of a scanner that knows some objects, and keeps what it
// is told of them and others.
type scannedFeed struct {
	*lateFeed
	knows []object.Ref
	told  map[string]string
	asked int
	fail  error
}

func (f *scannedFeed) Scan(context.Context, string) (replication.Scan, error) {
	f.asked++
	return f, nil
}

func (f *scannedFeed) Doubt(_ context.Context, s replication.Sightings) error {
	if f.fail != nil {
		return f.fail
	}
	for ref, sight := range s.Sights {
		f.told[ref.Path()] = sight
	}
	for _, ref := range f.knows {
		if _, read := s.Sights[ref]; !read && s.Absent != nil && s.Absent(ref) {
			f.told[ref.Path()] = ""
		}
	}
	return nil
}

func newScannedFeed(w *world, knows ...object.Ref) *scannedFeed {
	return &scannedFeed{lateFeed: &lateFeed{Org: w.primary, epoch: "e"}, knows: knows, told: map[string]string{}}
}

// wantTold wants the scanner to have been told this since the last time.
func (w *world) wantTold(f *scannedFeed, want map[string]string) {
	w.t.Helper()
	if d := cmp.Diff(want, f.told); d != "" {
		w.t.Errorf("told to the scanner (-want +got):\n%s", d)
	}
	clear(f.told)
}

func TestAScannerIsToldWhatAPassSaw(t *testing.T) {
	w := newWorld(t)
	w.fill()
	gone, other := object.Ref{Kind: object.Role, Name: "gone"}, object.Ref{Kind: object.Policy, Name: "app", Sub: "1"}
	f := newScannedFeed(w, gone, other) // the pair has no policies
	w.passBy(f)
	all := w.primary.Snapshot()
	all["/roles/gone"] = ""
	w.wantTold(f, all)
	w.passBy(f)
	w.wantTold(f, map[string]string{})
	w.primary.Set("/roles/web", "other")
	w.primary.Unset("/roles/base")
	asked := f.asked
	w.passBy(f)
	w.wantTold(f, map[string]string{"/roles/web": w.primary.Snapshot()["/roles/web"], "/roles/base": ""})
	if f.asked != asked+1 {
		t.Errorf("asked %d times what the scanner knows", f.asked-asked)
	}
}

// listingFeed has one more row: of a list.
type listingFeed struct {
	*scannedFeed
	row replication.Change
}

func (f *listingFeed) Read(ctx context.Context, after int64) (replication.Rows, error) {
	rows, err := f.scannedFeed.Read(ctx, after)
	if after >= 0 && f.row.ID > after {
		rows.Changes = append(rows.Changes, f.row)
	}
	return rows, err
}

// The row of a list says of what the list lacks that it isn't there, unless the list
// can't be read.
func TestAScannerIsToldWhatAListLacks(t *testing.T) {
	item := func(bag string) object.Ref {
		return object.Ref{Kind: object.DataBagItem, Name: bag, Sub: "gone"}
	}
	for name, c := range map[string]struct {
		scope object.Scope
		want  map[string]string
	}{
		"all bags":                          {object.Scope{Kind: object.DataBag}, map[string]string{"/data/users/gone": "", "/data/gone/gone": ""}},
		"one bag":                           {object.Scope{Kind: object.DataBag, Name: "users"}, map[string]string{"/data/users/gone": ""}},
		"a bag whose items can't be listed": {object.Scope{Kind: object.DataBag, Name: "hidden"}, map[string]string{}},
		"a list of another kind":            {object.Scope{Kind: object.Environment}, map[string]string{}},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.fill()
			w.primary.Set("/data/hidden/x", "x")
			f := newScannedFeed(w, item("users"), item("hidden"), item("gone"), object.Ref{Kind: object.Role, Name: "gone"})
			w.passBy(f)
			clear(f.told)
			w.primary.Refuse = refuseOne("list", "/data/hidden", replication.Rejected)
			w.passBy(&listingFeed{f, replication.Change{ID: 1000, Action: "update", Path: "/", Scope: c.scope}})
			maps.DeleteFunc(f.told, func(_, sight string) bool { return sight != "" })
			w.wantTold(f, c.want)
		})
	}
}

// What could not be told isn't done: the pass tries again.
func TestAPassThatCanNotTellIsNotDone(t *testing.T) {
	w := newWorld(t)
	w.fill()
	f := newScannedFeed(w)
	w.passBy(f)
	clear(f.told)
	before := w.record().Progress.Position
	w.primary.Set("/roles/web", "other")
	f.fail = errors.New("the journal is away")
	e := w.engine()
	e.Feed = f
	run, err := e.Pass(t.Context(), replication.PassOptions{})
	if !errors.Is(err, f.fail) || run.Outcome != replication.OutcomeFailed || !cmp.Equal(w.record().Progress.Position, before) {
		t.Fatalf("%+v, %v, position %+v", run, err, w.record().Progress.Position)
	}
	f.fail = nil
	w.now = w.now.Add(time.Hour)
	w.passBy(f)
	w.wantTold(f, map[string]string{"/roles/web": w.primary.Snapshot()["/roles/web"]})
}

// A compare that is broken off anywhere has told what is behind its cursor.
func TestABrokenCompareHasToldWhatItSaw(t *testing.T) {
	for stop := 1; stop < 9; stop++ {
		w := newWorld(t)
		w.fill()
		w.tuning.Window = 1
		f := newScannedFeed(w)
		reads := 0
		w.primary.Refuse = func(op string, _ object.Ref) error {
			if op == "get" {
				reads++
			}
			if reads >= stop {
				return &replication.Error{Op: op, Class: replication.Unreachable, Err: errors.New("away")}
			}
			return nil
		}
		e := w.engine()
		e.Feed = f
		if run, err := e.Pass(t.Context(), replication.PassOptions{}); err == nil {
			t.Fatalf("it was not broken off at read %d: %+v", stop, run)
		}
		w.primary.Refuse = nil
		w.now = w.now.Add(time.Hour)
		told := maps.Clone(f.told)
		w.passBy(f)
		maps.Copy(told, f.told)
		if d := cmp.Diff(w.primary.Snapshot(), told); d != "" {
			t.Errorf("broken off at read %d, told in all (-want +got):\n%s", stop, d)
		}
	}
}

// A repair writes what it read to the replica, like a pass.
func TestARepairTellsWhatItSaw(t *testing.T) {
	w := newWorld(t)
	w.fill()
	f := newScannedFeed(w)
	w.passBy(f)
	clear(f.told)
	w.replica.Set("/roles/web", "drifted")
	e := w.engine()
	e.Feed = f
	if report, err := e.Verify(t.Context(), replication.VerifyOptions{Repair: true}); err != nil || len(report.Repaired) != 1 {
		t.Fatalf("%+v, %v", report, err)
	}
	w.wantTold(f, map[string]string{"/roles/web": w.primary.Snapshot()["/roles/web"]})
}

// Without a position there is nothing that a row could be missed in.
func TestAScannerIsNotToldByAPairWithoutAPosition(t *testing.T) {
	w := newWorld(t)
	w.fill()
	f := newScannedFeed(w)
	f.epoch = ""
	w.passBy(f)
	w.wantTold(f, map[string]string{})
	if f.asked != 0 {
		t.Errorf("asked %d times what the scanner knows", f.asked)
	}
}

// tellFirst is a state that checks of each commit that what it records of objects
// was told to the scanner before: whoever dies behind it doesn't read them again.
type tellFirst struct {
	replication.State
	t       *testing.T
	feed    *scannedFeed
	checked int
}

func (s *tellFirst) Commit(ctx context.Context, id replication.PairID, fence int64, now time.Time, u replication.Update) error {
	for ref, print := range u.Applied {
		if sight, told := s.feed.told[ref.Path()]; (!told || sight != print) && print != "?" {
			s.t.Errorf("%s is recorded as applied, and not told", ref)
		}
		s.checked++
	}
	for _, ref := range u.Removed {
		if sight, told := s.feed.told[ref.Path()]; !told || sight != "" {
			s.t.Errorf("%s is recorded as gone, and not told", ref)
		}
		s.checked++
	}
	return s.State.Commit(ctx, id, fence, now, u)
}

// TestWhatIsRecordedWasTold, window for window: an object that was due for another
// try, or that a compare deletes, isn't looked at again by the pass that goes on.
func TestWhatIsRecordedWasTold(t *testing.T) {
	w := newWorld(t)
	w.fill()
	w.tuning.Window = 1
	f := newScannedFeed(w)
	s := &tellFirst{State: w.state, t: t, feed: f}
	pass := func(full bool) {
		t.Helper()
		e := w.engine()
		e.Feed, e.State = f, s
		if run, err := e.Pass(t.Context(), replication.PassOptions{Full: full}); err != nil || run.Outcome != replication.OutcomeDone && run.Left == 0 {
			t.Fatalf("%+v, %v", run, err)
		}
		w.now = w.now.Add(24 * time.Hour)
	}
	pass(false)
	w.replica.Refuse = func(op string, _ object.Ref) error {
		if op == "put" {
			return refused(replication.Rejected)
		}
		return nil
	}
	w.primary.Set("/roles/web", "other")
	w.primary.Set("/roles/base", "other")
	pass(false)
	w.replica.Refuse = nil
	clear(f.told)
	pass(false) // both are due for another try
	clear(f.told)
	w.primary.Unset("/roles/web")
	w.primary.Unset("/roles/base")
	pass(true)
	w.wantEqual()
	if s.checked < 12 {
		t.Errorf("only %d records were checked", s.checked)
	}
}

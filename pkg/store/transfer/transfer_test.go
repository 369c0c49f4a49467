package transfer_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"chefsync/pkg/fault"
	"chefsync/pkg/object"
	"chefsync/pkg/replication"
	"chefsync/pkg/replication/replicationtest"
	"chefsync/pkg/store"
	"chefsync/pkg/store/kvtest"
	"chefsync/pkg/store/transfer"
)

var pairID = replication.PairID{Replica: "eu", Org: "engineering"}

func noon() time.Time { return time.Date(2026, 1, 2, 12, 0, 0, 0, time.UTC) }

func importOptions() transfer.Options {
	return transfer.Options{Owner: "importer", Now: noon}
}

func roleRef(n int) object.Ref {
	return object.Ref{Kind: object.Role, Name: fmt.Sprintf("r%d", n)}
}

// knownPair returns a pair as a pass leaves it, with every kind of record.
func knownPair(objects int) transfer.Pair {
	p := transfer.Pair{
		ID: pairID,
		Desired: replication.Desired{
			Stopped: true, Reason: "moved", Since: noon(), AllowDeletes: 7, AllowedAt: noon().Add(-time.Minute),
			ResyncAt: noon().Add(-time.Hour), ResyncObjectsAt: noon().Add(-3 * time.Hour), ResyncObjects: []object.Ref{roleRef(2)},
			RetryAt: noon().Add(-2 * time.Hour), RetryOnly: []object.Ref{roleRef(1)},
		},
		Progress: replication.Progress{
			Status: replication.Retrying, Since: noon().Add(-time.Hour), LastAttempt: noon().Add(-time.Minute),
			LastSuccess: noon().Add(-time.Minute), LastCompare: noon().Add(-time.Hour),
			Position: &replication.Position{Identity: "https://chef.example.com/organizations/engineering", Epoch: "e", Seq: 41,
				Marks: map[int64]string{41: "ab"}, Seen: []int64{40, 41}},
			Work:  &replication.Work{Started: noon(), Intent: []object.Ref{roleRef(2)}, Crashes: 1},
			Drift: &replication.Drift{At: noon(), Run: "r", Changed: 1}, Objects: objects, Unsynced: 2,
		},
		Inventory: map[object.Ref]string{},
		Unsynced: []replication.Unsynced{
			{Ref: roleRef(1), Class: fault.Rejected, Reason: "too <large> & more", Attempts: 3, FirstSeen: noon(), NextTry: noon().Add(time.Hour)},
			{Ref: object.Ref{Kind: object.Cookbook}, Class: fault.Transient, Reason: "the listing failed"},
		},
	}
	for i := range objects {
		p.Inventory[roleRef(i)] = fmt.Sprint("fingerprint ", i)
	}
	return p
}

// stateWith returns a state with the records of pairs.
func stateWith(t testing.TB, pairs ...transfer.Pair) *store.Store {
	t.Helper()
	s := store.New(&kvtest.Memory{})
	for _, p := range pairs {
		if _, err := transfer.Import(context.Background(), s, p, importOptions()); err != nil {
			t.Fatal(err)
		}
	}
	return s
}

func exportPair(t testing.TB, s replication.State) transfer.Document {
	t.Helper()
	d, err := transfer.Export(context.Background(), s, []replication.PairID{pairID}, noon())
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func encodeDocument(t testing.TB, d transfer.Document) string {
	t.Helper()
	var b bytes.Buffer
	if err := transfer.Encode(&b, d); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func TestWhatIsExportedAndImportedIsAllThere(t *testing.T) {
	want := knownPair(2500)
	source := stateWith(t, want)
	d, err := transfer.Decode(strings.NewReader(encodeDocument(t, exportPair(t, source))))
	if err != nil {
		t.Fatal(err)
	}
	// The target knew something else before, which is older.
	old := knownPair(3000)
	old.Progress.LastAttempt, old.Progress.LastSuccess, old.Progress.Position.Seq = noon().Add(-time.Hour), noon().Add(-time.Hour), 12
	old.Inventory[object.Ref{Kind: object.Role, Name: "stale"}] = "x"
	old.Unsynced = append(old.Unsynced, replication.Unsynced{Ref: roleRef(99), Reason: "stale"})
	target := stateWith(t, old)
	r, err := transfer.Import(context.Background(), target, d.Pairs[0], importOptions())
	if err != nil || r.Outcome != transfer.Imported || r.Objects != 2500 || r.Unsynced != 2 {
		t.Fatalf("result %+v, %v", r, err)
	}
	if diff := cmp.Diff(exportPair(t, source), exportPair(t, target)); diff != "" {
		t.Errorf("the states differ (-source +target):\n%s", diff)
	}
	st, _ := target.Pair(context.Background(), pairID)
	if st.Lease.Owner != "" || !st.Desired.Stopped {
		t.Errorf("lease %+v, desired %+v; want it free and stopped", st.Lease, st.Desired)
	}
	r, err = transfer.Import(context.Background(), target, d.Pairs[0], importOptions())
	if again, _ := target.Pair(context.Background(), pairID); err != nil || r.Outcome != transfer.Unchanged ||
		again.Lease.Fence != st.Lease.Fence {
		t.Errorf("the second time: %+v, %v, fence %d", r, err, again.Lease.Fence)
	}
}

// Whoever reads a document reads no lease, and knows its version.
func TestTheDocumentIsReadableJSON(t *testing.T) {
	p := knownPair(1)
	p.Desired.AllowDeletes, p.Desired.RetryOnly, p.Progress.Work, p.Progress.Drift, p.Unsynced = 0, nil, nil, nil, nil
	text := encodeDocument(t, exportPair(t, stateWith(t, p)))
	for _, want := range []string{`"format": "chef-sync-state",`, `"version": 1,`, `"pair": "eu/engineering",`,
		`"/roles/r0": "fingerprint 0"`, `"seq": 41,`} {
		if !strings.Contains(text, want) {
			t.Errorf("no %s in\n%s", want, text)
		}
	}
	if strings.Contains(text, "lease") || strings.Contains(text, "importer") {
		t.Errorf("the document tells of a lease:\n%s", text)
	}
}

// Two writers never run: the one is stopped and at rest before it is read.
func TestAPairThatMayStillChangeIsNotExported(t *testing.T) {
	ctx := context.Background()
	ids := []replication.PairID{pairID}
	no, yes := false, true
	s := stateWith(t, knownPair(1))
	if err := s.ChangeDesired(ctx, pairID, replication.DesiredChange{Stop: &no, At: noon()}); err != nil {
		t.Fatal(err)
	}
	if _, err := transfer.Export(ctx, s, ids, noon()); err == nil || !strings.Contains(fault.HintOf(err), "sync-stop eu/engineering") {
		t.Errorf("a pair that runs: %v", err)
	}
	if err := s.ChangeDesired(ctx, pairID, replication.DesiredChange{Stop: &yes, At: noon()}); err != nil {
		t.Fatal(err)
	}
	st, err := s.Acquire(ctx, pairID, "a pass", noon(), time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	var leased *replication.LeasedError
	if _, err := transfer.Export(ctx, s, ids, noon()); !errors.As(err, &leased) || leased.Lease.Owner != "a pass" {
		t.Errorf("a pair with a running pass: %v", err)
	}
	if err := s.Release(ctx, pairID, st.Lease.Fence); err != nil {
		t.Fatal(err)
	}
	for name, interfere := range map[string]func(){
		"started meanwhile": func() { _ = s.ChangeDesired(ctx, pairID, replication.DesiredChange{Stop: &no, At: noon()}) },
		"taken meanwhile":   func() { _, _ = s.Acquire(ctx, pairID, "a pass", noon(), time.Minute) },
	} {
		_ = s.ChangeDesired(ctx, pairID, replication.DesiredChange{Stop: &yes, At: noon()})
		if _, err := transfer.Export(ctx, &interferingState{s, interfere}, ids, noon()); fault.ClassOf(err) != fault.Transient || err == nil {
			t.Errorf("%s: %v", name, err)
		}
		now, _ := s.Pair(ctx, pairID)
		_ = s.Release(ctx, pairID, now.Lease.Fence)
	}
}

// interferingState lets something happen while the entries are read.
type interferingState struct {
	*store.Store
	interfere func()
}

func (m *interferingState) Entries(ctx context.Context, id replication.PairID) (replication.Entries, error) {
	entries, err := m.Store.Entries(ctx, id)
	m.interfere()
	return entries, err
}

func TestWhatIsNewerHereIsNotReplacedUnlessForced(t *testing.T) {
	for name, later := range map[string]func(*replication.Progress){
		"a pass":              func(p *replication.Progress) { p.LastAttempt = p.LastAttempt.Add(time.Second) },
		"a verification":      func(p *replication.Progress) { p.LastCheck = noon() },
		"further in the feed": func(p *replication.Progress) { p.Position.Seq++ },
	} {
		here := knownPair(3)
		later(&here.Progress)
		s := stateWith(t, here)
		before := exportPair(t, s)
		_, err := transfer.Import(context.Background(), s, knownPair(1), importOptions())
		var newer *transfer.NewerError
		if !errors.As(err, &newer) || newer.Pair != pairID {
			t.Errorf("%s: %v", name, err)
		}
		if diff := cmp.Diff(before, exportPair(t, s)); diff != "" {
			t.Errorf("%s: a refused import wrote:\n%s", name, diff)
		}
		o := importOptions()
		o.Force = true
		if r, err := transfer.Import(context.Background(), s, knownPair(1), o); err != nil || r.Outcome != transfer.Imported {
			t.Errorf("%s, forced: %+v, %v", name, r, err)
		}
		if n := len(exportPair(t, s).Pairs[0].Inventory); n != 1 {
			t.Errorf("%s: %d objects, want 1", name, n)
		}
	}
}

func TestAPairInProgressIsNotImportedOver(t *testing.T) {
	s := store.New(&kvtest.Memory{})
	if _, err := s.Acquire(context.Background(), pairID, "a pass", noon(), time.Minute); err != nil {
		t.Fatal(err)
	}
	o := importOptions()
	o.Force = true
	var leased *replication.LeasedError
	if _, err := transfer.Import(context.Background(), s, knownPair(1), o); !errors.As(err, &leased) || leased.Lease.Owner != "a pass" {
		t.Errorf("imported under the lease of a pass: %v", err)
	}
	if entries, _ := s.Entries(context.Background(), pairID); len(entries) != 0 {
		t.Errorf("entries %v", entries)
	}
}

// An import that dies at any call is done by the next one, and until then the
// pair claims no progress that it doesn't have.
func TestAnImportThatDiesIsDoneByTheNext(t *testing.T) {
	want := knownPair(10) // and a failed listing
	wanted := exportPair(t, stateWith(t, want))
	o := importOptions()
	points := 0
	for n := 1; ; n++ {
		s := store.New(&kvtest.Memory{})
		engine := &replication.Engine{State: s}
		c := &replicationtest.Crasher{At: n, After: n%2 == 0}
		_, err := transfer.Import(c.Wrap(context.Background(), engine), engine.State, want, o)
		if c.Calls() < n {
			break
		}
		points++
		entries, _ := s.Entries(context.Background(), pairID)
		if st, _ := s.Pair(context.Background(), pairID); err == nil && c.Where != "state.Release" ||
			st.Progress.Position != nil && len(entries) != 11 {
			t.Fatalf("died at call %d, %s: %v, progress %+v over %d objects", n, c.Where, err, st.Progress, len(entries))
		}
		later := o
		later.Now = func() time.Time { return noon().Add(10 * time.Minute) } // the lease of the dead process has ended
		if _, err := transfer.Import(context.Background(), s, want, later); err != nil {
			t.Fatalf("died at call %d, %s; the next: %v", n, c.Where, err)
		}
		got, err := transfer.Export(context.Background(), s, []replication.PairID{pairID}, noon().Add(10*time.Minute))
		if err != nil {
			t.Fatal(err)
		}
		got.Exported, got.Pairs[0].Desired.Since = wanted.Exported, wanted.Pairs[0].Desired.Since
		if diff := cmp.Diff(wanted, got); diff != "" {
			t.Fatalf("died at call %d, %s:\n%s", n, c.Where, diff)
		}
	}
	if points < 9 {
		t.Errorf("only %d points were tried", points)
	}
}

// TestAnImportThatDiesBetweenTransactions is done by the next one too.
func TestAnImportThatDiesBetweenTransactions(t *testing.T) {
	want := knownPair(250) // and a failed listing
	for n, done := 1, false; !done; n++ {
		kv, calls := &kvtest.Memory{}, 0
		kv.Before = func(string, int) error {
			if calls++; calls >= n {
				return errDied
			}
			return nil
		}
		_, err := transfer.Import(context.Background(), store.New(kv), want, importOptions())
		kv.Before = nil
		done = err == nil && calls < n
		s := store.New(kv)
		entries, _ := s.Entries(context.Background(), pairID)
		if st, _ := s.Pair(context.Background(), pairID); st.Progress.Position != nil && len(entries) != 251 {
			t.Fatalf("died at call %d: a position over %d objects", n, len(entries))
		}
		later := importOptions()
		later.Now = func() time.Time { return noon().Add(10 * time.Minute) }
		if _, err := transfer.Import(context.Background(), s, want, later); err != nil {
			t.Fatalf("died at call %d; the next: %v", n, err)
		}
		if entries, err := s.Entries(context.Background(), pairID); err != nil || len(entries) != 251 {
			t.Fatalf("died at call %d; the next left %d objects, %v", n, len(entries), err)
		}
		if n > 100 {
			t.Fatal("the import doesn't end")
		}
	}
}

var errDied = errors.New("died")

// A state that keeps something else than it was told is found out.
func TestWhatIsWrittenIsReadBack(t *testing.T) {
	s := &forgetfulState{store.New(&kvtest.Memory{})}
	_, err := transfer.Import(context.Background(), s, knownPair(3), importOptions())
	if err == nil || fault.HintOf(err) == "" {
		t.Errorf("a state that forgets an object: %v", err)
	}
}

type forgetfulState struct{ *store.Store }

func (f *forgetfulState) Commit(ctx context.Context, id replication.PairID, fence int64, now time.Time, u replication.Update) error {
	delete(u.Entries, roleRef(1))
	return f.Store.Commit(ctx, id, fence, now, u)
}

// A lease that ended before the commit is lost.
func TestNothingIsWrittenAfterTheLease(t *testing.T) {
	now := noon()
	o := importOptions()
	o.Now = func() time.Time { now = now.Add(3 * time.Minute); return now }
	s := store.New(&kvtest.Memory{})
	if _, err := transfer.Import(context.Background(), s, knownPair(20), o); !errors.Is(err, replication.ErrFenced) {
		t.Errorf("with a lease that ended: %v", err)
	}
	if entries, err := s.Entries(context.Background(), pairID); err != nil || len(entries) > 0 {
		t.Errorf("%d objects, %v; want none", len(entries), err)
	}
}

// A pair that was moved away is marked in its state alone, and an import takes that
// back, whether it has anything to write or not.
func TestAnImportTakesBackThatAPairWasMoved(t *testing.T) {
	ctx := context.Background()
	for name, change := range map[string]func(*transfer.Pair){
		"unchanged": func(*transfer.Pair) {},
		"changed":   func(p *transfer.Pair) { p.Progress.LastAttempt = noon().Add(time.Minute) },
	} {
		t.Run(name, func(t *testing.T) {
			s, place := stateWith(t, knownPair(3)), "elsewhere"
			if err := s.ChangeDesired(ctx, pairID, replication.DesiredChange{Moved: &place, At: noon()}); err != nil {
				t.Fatal(err)
			}
			d := exportPair(t, s)
			if d.Pairs[0].Desired.Moved != "" {
				t.Error("the document says that the pair was moved")
			}
			change(&d.Pairs[0])
			if _, err := transfer.Import(ctx, s, d.Pairs[0], importOptions()); err != nil {
				t.Fatal(err)
			}
			if st, err := s.Pair(ctx, pairID); err != nil || st.Desired.Moved != "" || !st.Desired.Stopped {
				t.Errorf("desired %+v, %v; want it stopped and not moved", st.Desired, err)
			}
		})
	}
}

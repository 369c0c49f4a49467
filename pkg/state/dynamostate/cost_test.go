package dynamostate_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"chefsync/pkg/object"
	"chefsync/pkg/replication"
	"chefsync/pkg/state/dynamostate"
)

// normal is the progress of a pair that follows a busy feed, with everything in
// it that a healthy pair has.
func normal() replication.Progress {
	at := func(d time.Duration) time.Time { return noon().Add(d + 123456789*time.Nanosecond) }
	p := replication.Progress{
		Status: replication.Synced, Since: at(-90 * time.Hour), Feed: "updated_since", FeedNote: "the primary serves updated_since",
		Position: &replication.Position{
			Identity: "https://chef.example.com/organizations/engineering#0123456789abcdef0123456789abcdef",
			Seq:      4711234, Marks: map[int64]string{},
		},
		LastAttempt: at(0), LastSuccess: at(0), LastCompare: at(-70 * time.Hour), LastVerified: at(-20 * time.Hour),
		NextRun: at(time.Minute), Objects: 3217, Unsynced: 2, NextRetry: at(time.Hour), IdentityAt: at(-time.Hour),
	}
	for i := range int64(100) {
		p.Position.Seen = append(p.Position.Seen, p.Position.Seq-99+i)
	}
	for i := range int64(8) {
		p.Position.Marks[p.Position.Seq-i] = fmt.Sprintf("%08x", 0x9e3779b9*uint32(i+1))
	}
	return p
}

func take(t *testing.T, s *dynamostate.State, id replication.PairID) int64 {
	t.Helper()
	st, err := s.Acquire(t.Context(), id, "ip-10-0-0-1/4711/2026-11-22T12:00:00Z", noon(), time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	return st.Lease.Fence
}

func commit(t *testing.T, s *dynamostate.State, fence int64, u replication.Update) {
	t.Helper()
	if err := s.Commit(t.Context(), engineering(), fence, noon(), u); err != nil {
		t.Fatal(err)
	}
}

func role(n int) object.Ref {
	return object.Ref{Kind: object.Role, Name: fmt.Sprintf("role-%05d", n)}
}

func run(id string) *replication.Run {
	return &replication.Run{ID: id, Pair: engineering(), Trigger: "schedule", Mode: "changes", Started: noon(), Ended: noon(), Outcome: "done"}
}

// many is an inventory with fingerprints that don't pack.
func many(n int) map[object.Ref]string {
	all := map[object.Ref]string{}
	for i := range n {
		h := uint64(i+1) * 0x9e3779b97f4a7c15
		all[object.Ref{Kind: object.Cookbook, Name: fmt.Sprintf("cookbook%d", i%700), Sub: fmt.Sprintf("%d.0.0", i)}] =
			fmt.Sprintf("%016x%016x%016x%016x", h, h*h, h*h*h+7, ^h*h)
	}
	return all
}

// TestAnEmptyPollIsTwoOperations: one read and one write of an item below 1 KB,
// which DynamoDB counts as one read unit and one write unit.
func TestAnEmptyPollIsTwoOperations(t *testing.T) {
	w := newWorld(t)
	s := w.open()
	p := normal()
	commit(t, s, take(t, s, engineering()), replication.Update{Progress: p, Applied: many(200), Run: run("1")})
	if err := s.Release(t.Context(), engineering(), 1); err != nil {
		t.Fatal(err)
	}
	blobs := len(w.blobs.calls)
	for range 3 {
		w.api.reset()
		st, err := s.Pair(t.Context(), engineering())
		if err != nil {
			t.Fatal(err)
		}
		st.Progress.LastAttempt = st.Progress.LastAttempt.Add(time.Minute)
		if err := s.Note(t.Context(), engineering(), st.Lease.Fence, noon(), st.Progress); err != nil {
			t.Fatal(err)
		}
		if ops := w.api.reset(); !slices.Equal(ops, []string{"GetItem", "UpdateItem"}) {
			t.Errorf("an empty poll takes %v", ops)
		}
	}
	if len(w.blobs.calls) != blobs {
		t.Errorf("an empty poll touches blobs: %v", w.blobs.calls[blobs:])
	}
	n := size(w.item(t, "pairs", "eu/engineering"))
	t.Logf("the hot item takes %d bytes", n)
	if n > 800 {
		t.Errorf("the hot item takes %d bytes; with 1,024 it begins to cost twice", n)
	}
}

// TestAFailingPollIsTwoOperations: a server that is down is noted every minute.
func TestAFailingPollIsTwoOperations(t *testing.T) {
	w := newWorld(t)
	s := w.open()
	p := normal()
	p.Status, p.Failures = replication.Retrying, 12
	p.LastError = &replication.Failure{At: noon(), Class: replication.Unreachable,
		Message: `read /organizations/engineering/updated_since on the primary: Get "https://chef.example.com/organizations/engineering/updated_since?seq=4711134": dial tcp 10.1.2.3:443: connect: connection refused`,
		Hint:    "check the network, the name and the port of the primary, and whether it is up"}
	p.Position.Seen = nil
	for i := range int64(100) { // ids with gaps
		p.Position.Seen = append(p.Position.Seen, p.Position.Seq-600+i*6+i*i%5)
	}
	p.Work = &replication.Work{Reason: "changes", Started: noon(), Upto: p.Position, Intent: slices.Collect(func(yield func(object.Ref) bool) {
		for i := range 100 {
			if !yield(object.Ref{Kind: object.DataBagItem, Name: strings.Repeat("b", 250) + fmt.Sprint(i), Sub: fmt.Sprintf("%064x", i*i)}) {
				return
			}
		}
	})}
	for i := range 3 {
		w.api.reset()
		p.LastAttempt = p.LastAttempt.Add(time.Minute)
		if err := s.Note(t.Context(), engineering(), 0, noon(), p); err != nil {
			t.Fatal(err)
		}
		ops := w.api.reset()
		if i > 0 && !slices.Equal(ops, []string{"UpdateItem"}) {
			t.Errorf("note %d of a failing pair takes %v", i, ops)
		}
	}
	st, err := s.Pair(t.Context(), engineering())
	if err != nil || len(st.Progress.Work.Intent) != 100 || st.Progress.LastError.Hint != p.LastError.Hint {
		t.Fatalf("%+v, %v", st, err)
	}
	hot, detail := size(w.item(t, "pairs", "eu/engineering")), size(w.item(t, "pair#eu/engineering", "detail"))
	t.Logf("the hot item takes %d bytes, the detail item %d", hot, detail)
	if hot > 1500 || detail > 64<<10 {
		t.Errorf("the hot item takes %d bytes, the detail item %d", hot, detail)
	}
}

// TestOneChangedRole counts a pass that writes one role, as the engine does it.
func TestOneChangedRole(t *testing.T) {
	w := newWorld(t)
	s := w.open()
	commit(t, s, take(t, s, engineering()), replication.Update{Progress: normal(), Applied: many(10_000), Run: run("1")})
	before, blobs := sizes(w.items(t)), len(w.blobs.calls)
	w.api.reset()

	fence := take(t, s, engineering())
	if _, err := s.Inventory(t.Context(), engineering()); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Unsynced(t.Context(), engineering()); err != nil {
		t.Fatal(err)
	}
	p := normal()
	p.Work = &replication.Work{Reason: "changes", Started: noon(), Intent: []object.Ref{role(1)}, Upto: p.Position}
	commit(t, s, fence, replication.Update{Progress: p, Run: run("2")})
	commit(t, s, fence, replication.Update{Progress: normal(), Run: run("2"), Applied: map[object.Ref]string{role(1): strings.Repeat("0123", 16)}})
	if err := s.Release(t.Context(), engineering(), fence); err != nil {
		t.Fatal(err)
	}
	want := []string{
		"UpdateItem",                           // Acquire
		"GetItem", "Query", "GetItem", "Query", // Inventory, Unsynced
		"GetItem", "TransactWriteItems(2)", // what is intended
		"GetItem", "TransactWriteItems(3)", // what was done
		"UpdateItem", // Release
	}
	if ops := w.api.reset(); !slices.Equal(ops, want) {
		t.Errorf("one changed role takes\n%v, want\n%v", ops, want)
	}
	if calls := w.blobs.calls[blobs:]; len(calls) != 1 || !strings.HasPrefix(calls[0], "get") {
		t.Errorf("one changed role does %v, want one read of the inventory", calls)
	}
	for key, n := range sizes(w.items(t)) {
		if before[key] == 0 {
			t.Logf("new item %s: %d bytes", key, n)
			if n > 1024 {
				t.Errorf("the new item %s takes %d bytes", key, n)
			}
		}
	}
}

func sizes(items []item) map[string]int {
	all := map[string]int{}
	for _, it := range items {
		all[text(it["pk"])+" "+text(it["sk"])] = size(it)
	}
	return all
}

// TestTenThousandObjects bootstraps an organization in windows of 100 objects.
func TestTenThousandObjects(t *testing.T) {
	w := newWorld(t)
	s := w.open()
	fence := take(t, s, engineering())
	all := many(10_000)
	window := map[object.Ref]string{}
	ops := map[string]int{}
	for ref, fingerprint := range all {
		if window[ref] = fingerprint; len(window) < 100 {
			continue
		}
		commit(t, s, fence, replication.Update{Progress: normal(), Applied: window, Run: run("1")})
		clear(window)
		for _, op := range w.api.reset() {
			ops[op]++
		}
		checkSizes(t, w)
	}
	got, err := s.Inventory(t.Context(), engineering())
	if err != nil || len(got) != len(all) {
		t.Fatalf("%d objects, %v", len(got), err)
	}
	for ref, fingerprint := range all {
		if got[ref] != fingerprint {
			t.Fatalf("%s has %q, want %q", ref, got[ref], fingerprint)
		}
	}
	puts, bytes := 0, 0
	for _, c := range w.blobs.calls {
		if strings.HasPrefix(c, "put") {
			puts++
		}
	}
	for _, b := range w.blobs.blobs {
		bytes += len(b)
	}
	t.Logf("100 commits of 100 objects: %v; %d blobs written, %d kept, of %d bytes", ops, puts, len(w.blobs.blobs), bytes)
	if puts > 15 || len(w.blobs.blobs) > 2 {
		t.Errorf("%d blobs were written and %d kept", puts, len(w.blobs.blobs))
	}
}

// checkSizes fails if an item comes near the 400 KB of DynamoDB.
func checkSizes(t *testing.T, w *world) {
	t.Helper()
	for key, n := range sizes(w.items(t)) {
		limit := 64 << 10
		if strings.HasPrefix(key, "pairs ") {
			limit = 1024
		}
		if n > limit {
			t.Errorf("the item %s takes %d bytes", key, n)
		}
	}
}

// TestALargeCommit: everything in a window goes wrong, with long names and long
// reasons.
func TestALargeCommit(t *testing.T) {
	w := newWorld(t)
	s := w.open()
	fence := take(t, s, engineering())
	u := replication.Update{Progress: normal(), Run: run("1"), Applied: map[object.Ref]string{}}
	u.Progress.Work = &replication.Work{Started: noon()}
	for i := range 100 {
		h := fmt.Sprintf("%016x", uint64(i+1)*0x9e3779b97f4a7c15)
		ref := object.Ref{Kind: object.DataBagItem, Name: strings.Repeat(h, 16)[:255], Sub: strings.Repeat(h, 16)[1:256]}
		u.Applied[ref] = "?"
		u.Progress.Work.Intent = append(u.Progress.Work.Intent, ref)
		u.Unsynced = append(u.Unsynced, replication.Unsynced{Ref: ref, Class: replication.Rejected, Reason: strings.Repeat(h, 500), Hint: h, FirstSeen: noon(), NextTry: noon(), Attempts: 3})
	}
	w.api.reset()
	commit(t, s, fence, u)
	t.Logf("100 applied and 100 unsynced objects: %v, %v, items %v", w.api.reset(), w.blobs.calls, sizes(w.items(t)))
	checkSizes(t, w)
	got, err := s.Unsynced(t.Context(), engineering())
	if err != nil || len(got) != 100 || len(got[0].Reason) != 8000 {
		t.Errorf("%d unsynced objects, %v", len(got), err)
	}
}

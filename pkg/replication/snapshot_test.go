package replication_test

import (
	"slices"
	"testing"
	"time"

	"chefsync/pkg/fault"
	"chefsync/pkg/object"
	"chefsync/pkg/replication"
	"chefsync/pkg/replication/replicationtest"
)

// scannedBy has the pair learn of changes by snapshots alone.
func (w *world) scannedBy() *replicationtest.Scanner {
	w.scanner = replicationtest.NewScanner(w.primary)
	w.scanner.Silent = true
	w.scanner.Scan()
	return w.scanner
}

// atRest wants some scans and passes to ask the servers nothing and read no snapshot.
func (w *world) atRest() {
	w.t.Helper()
	w.scanner.Scan()
	w.pass() // the ledger that was written to is compared once more
	reads, calls := w.scanner.SnapshotReads, w.primary.Calls+w.replica.Calls
	for range 5 {
		w.scanner.Scan()
		w.pass()
		w.advance(-59 * time.Second) // nothing is due for another try
	}
	if r, c := w.scanner.SnapshotReads, w.primary.Calls+w.replica.Calls; r != reads || c != calls {
		w.t.Errorf("five idle polls read the snapshot %d times, and asked the servers %d times", r-reads, c-calls)
	}
}

func TestWhatTheSnapshotShowsIsReplicated(t *testing.T) {
	w := newWorld(t)
	w.fill()
	f := w.scannedBy()
	w.pass()
	w.atRest()
	w.primary.Set("/roles/web", "other")
	w.primary.Set("/data/new/item", "new")
	w.primary.Unset("/roles/base")
	w.primary.Unset("/cookbooks/apt/1.0.0")
	f.Scan()
	if run := w.pass(); run.Mode != "changes" || run.Counts.Created != 2 || run.Counts.Updated != 1 || run.Counts.Deleted != 2 {
		t.Errorf("%+v", run)
	}
	w.wantEqual()
	w.atRest()
}

// TestAChangeBetweenScansIsReverted: a compare reads it, and it is gone before the
// next scan, for which nothing has changed.
func TestAChangeBetweenScansIsReverted(t *testing.T) {
	w := newWorld(t)
	w.fill()
	f := w.scannedBy()
	w.pass()
	w.primary.Set("/roles/web", "for a moment")
	w.primary.Unset("/roles/base")
	w.primary.Set("/roles/new", "for a moment")
	if run, err := w.engine().Pass(t.Context(), replication.PassOptions{Full: true}); err != nil {
		t.Fatalf("%+v, %v", run, err)
	}
	w.wantEqual()
	w.primary.Set("/roles/web", "web")
	w.primary.Set("/roles/base", "base")
	w.primary.Unset("/roles/new")
	before, _ := f.ReadSnapshot(t.Context())
	f.Scan()
	if after, _ := f.ReadSnapshot(t.Context()); after.Generation != before.Generation {
		t.Fatal("the scan saw it")
	}
	w.pass()
	w.wantEqual()
	w.atRest()
}

// A repair writes what it reads, which the next scan may not see either.
func TestAChangeBetweenScansThatARepairWroteIsReverted(t *testing.T) {
	w := newWorld(t)
	w.fill()
	f := w.scannedBy()
	w.pass()
	w.atRest()
	w.primary.Set("/roles/web", "for a moment")
	w.replica.Set("/roles/web", "edited on the replica")
	if r := w.verify(repairing()); len(r.Repaired) != 1 {
		t.Fatalf("%+v; want the role repaired", r)
	}
	w.primary.Set("/roles/web", "web")
	f.Scan()
	w.pass()
	w.wantEqual()
	w.atRest()
}

// An object that can't be applied now, or must not be, differs from the snapshot for
// good, and doesn't make each poll work.
func TestWhatIsNotDueMakesNoWork(t *testing.T) {
	for name, c := range map[string]struct {
		prepare, change func(*world)
	}{
		"a leftover that the prune rule keeps": {
			func(w *world) { w.pair.Prune = replication.PruneNone },
			func(w *world) { w.primary.Unset("/roles/web") },
		},
		"an object that the replica rejects": {
			func(w *world) {
				w.replica.Refuse = refuseOne("put", "/roles/web", fault.Rejected)
			},
			func(w *world) { w.primary.Set("/roles/web", "other") },
		},
		"a new object that the replica rejects": {
			func(w *world) {
				w.replica.Refuse = refuseOne("put", "/roles/new", fault.Rejected)
			},
			func(w *world) { w.primary.Set("/roles/new", "new") },
		},
		"an object that the primary doesn't show": {
			func(*world) {},
			func(w *world) {
				w.primary.Set("/roles/web", "other")
				w.primary.Refuse = refuseOne("get", "/roles/web", fault.Rejected)
			},
		},
		"objects that are not selected": {
			func(w *world) { w.pair.Kinds = []object.Kind{object.Cookbook} },
			func(w *world) { w.primary.Set("/roles/new", "new") },
		},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.fill()
			f := w.scannedBy()
			w.pass()
			c.prepare(w)
			if w.pair.Kinds != nil {
				w.pass() // the selection changed
			}
			c.change(w)
			f.Scan()
			w.pass()
			w.atRest()
		})
	}
}

// A deletion that is held waits for approval, and for nothing else; when the object
// comes back the hold ends.
func TestAHeldDeletionMakesNoWork(t *testing.T) {
	w := newWorld(t)
	w.fill()
	f := w.scannedBy()
	w.pass()
	all := w.primary.Snapshot()
	for path := range all {
		w.primary.Unset(path)
	}
	f.Scan()
	w.pass()
	w.wantStatus(replication.Held)
	f.Scan()
	w.pass()
	reads := f.SnapshotReads
	for range 5 {
		f.Scan()
		w.pass()
	}
	if f.SnapshotReads != reads {
		t.Errorf("five polls of a held pair read the snapshot %d times", f.SnapshotReads-reads)
	}
	w.fill()
	f.Scan()
	w.pass()
	w.wantEqual()
	w.wantStatus(replication.Synced)
	w.atRest()
}

// What the scanner hasn't seen yet is looked at after each scan for a while, and then
// less and less often.
func TestAnObjectThatScansShowOtherwiseIsLookedAtLessAndLess(t *testing.T) {
	w := newWorld(t)
	w.fill()
	f := w.scannedBy()
	f.Misread = mustRef("/roles/web")
	f.Scan()
	w.pass()
	looks := 0
	for range 300 {
		f.Scan()
		looks += w.pass().Counts.Observed
	}
	if looks < 8 || looks > 14 {
		t.Errorf("looked at %d times in 300 scans", looks)
	}
	w.primary.Set("/roles/web", "other")
	f.Misread = object.Ref{}
	for range 64 {
		f.Scan()
		w.pass()
	}
	w.wantEqual()
	w.atRest()
}

func TestDiffOfASnapshotAndALedger(t *testing.T) {
	role := func(name string) object.Ref { return object.Ref{Kind: object.Role, Name: name} }
	item := func(bag, name string) object.Ref {
		return object.Ref{Kind: object.DataBagItem, Name: bag, Sub: name}
	}
	bag := func(name string) object.Ref { return object.Ref{Kind: object.DataBag, Name: name} }
	type ledger = map[object.Ref]string
	for name, c := range map[string]struct {
		snapshot replication.Snapshot
		ledger   ledger
		records  []replication.Unsynced
		prune    replication.Prune
		want     []object.Ref
	}{
		"equal":                       {snapshot: replication.Snapshot{Objects: ledger{role("a"): "1"}}, ledger: ledger{role("a"): "1"}},
		"changed, new and gone":       {snapshot: replication.Snapshot{Objects: ledger{role("a"): "1", role("b"): "2"}}, ledger: ledger{role("a"): "3", role("c"): "4"}, want: []object.Ref{role("a"), role("b"), role("c")}},
		"a fingerprint isn't known":   {snapshot: replication.Snapshot{Objects: ledger{role("a"): "", role("b"): ""}}, ledger: ledger{role("a"): "1"}, want: []object.Ref{role("b")}},
		"an entry can't be trusted":   {snapshot: replication.Snapshot{Objects: ledger{role("a"): "1"}}, ledger: ledger{role("a"): "?", role("b"): "?"}},
		"gone, and kept by the rule":  {ledger: ledger{role("a"): "1"}, prune: replication.PruneNone},
		"gone, and no list says so":   {snapshot: replication.Snapshot{Unlisted: map[object.Scope]bool{{Kind: object.Role}: true}}, ledger: ledger{role("a"): "1"}},
		"an item of an unlisted bag":  {snapshot: replication.Snapshot{Objects: ledger{bag("b"): ""}, Unlisted: map[object.Scope]bool{{Kind: object.DataBagItem, Name: "b"}: true}}, ledger: ledger{bag("b"): "bag", item("b", "i"): "1", item("c", "i"): "1"}, want: []object.Ref{item("c", "i")}},
		"a new object with a record":  {snapshot: replication.Snapshot{Objects: ledger{role("a"): "1"}}, records: []replication.Unsynced{{Ref: role("a"), Class: fault.Rejected}}},
		"new below a failed list":     {snapshot: replication.Snapshot{Objects: ledger{role("a"): "1"}}, records: []replication.Unsynced{{Ref: role(""), Class: fault.Transient}}},
		"new in an unlisted bag":      {snapshot: replication.Snapshot{Objects: ledger{item("b", "i"): "1"}}, records: []replication.Unsynced{{Ref: item("b", ""), Class: fault.Transient}}},
		"new in a bag with a record":  {snapshot: replication.Snapshot{Objects: ledger{item("b", "i"): "1"}}, records: []replication.Unsynced{{Ref: bag("b"), Class: fault.Rejected}}},
		"changed, and degraded":       {snapshot: replication.Snapshot{Objects: ledger{role("a"): "1"}}, ledger: ledger{role("a"): "2"}, records: []replication.Unsynced{{Ref: role("a"), Class: fault.Degraded}}, want: []object.Ref{role("a")}},
		"gone, and the deletion held": {ledger: ledger{bag("b"): "bag", item("b", "i"): "1"}, records: []replication.Unsynced{{Ref: bag("b"), Class: fault.DeletionHeld}}},
		"held, and back":              {snapshot: replication.Snapshot{Objects: ledger{role("a"): "1"}}, ledger: ledger{role("a"): "1"}, records: []replication.Unsynced{{Ref: role("a"), Class: fault.DeletionHeld}}, want: []object.Ref{role("a")}},
		"not selected":                {snapshot: replication.Snapshot{Objects: ledger{{Kind: object.Policy, Name: "p", Sub: "1"}: ""}}, ledger: ledger{{Kind: object.Policy, Name: "q", Sub: "1"}: "1"}},
	} {
		entries := replication.Entries{}
		for r, fingerprint := range c.ledger {
			entries[r] = replication.Entry{Fingerprint: fingerprint}
			if fingerprint == "?" {
				entries[r] = replication.Entry{Dirty: true}
			}
		}
		for _, u := range c.records {
			e := entries[u.Ref]
			e.Failure = &u
			entries[u.Ref] = e
		}
		if got := c.snapshot.Diff(entries, replication.Pair{Prune: c.prune}); !slices.Equal(got, c.want) {
			t.Errorf("%s: %v, want %v", name, got, c.want)
		}
	}
}

// TestAReturnedBagIsComparedWithItsItems: a held bag is on the primary again, with other items.
func TestAReturnedBagIsComparedWithItsItems(t *testing.T) {
	w := newWorld(t)
	w.fill()
	w.fillBag("big", 60)
	f := w.scannedBy()
	w.pass()
	w.primary.Unset("/data/big")
	f.Scan()
	w.wantOutcome(w.run(), replication.OutcomeHeld)
	w.fillBag("big", 59)
	w.primary.Set("/data/big/i00001", "changed meanwhile")
	f.Scan()
	w.run()
	var left []string
	for p, print := range w.replica.Snapshot() {
		if w.primary.Snapshot()[p] != print {
			left = append(left, p)
		}
	}
	if u := w.unsynced(); len(left) != 1 || len(u) != 1 || u[0].Ref.Path() != left[0] || u[0].Class != fault.DeletionHeld {
		t.Errorf("the replica differs in %v, unsynced are %+v; want only the deleted item in both", left, u)
	}
	w.wantStatus(replication.Held)
}

package replication_test

import (
	"cmp"
	"context"
	"testing"
	"time"

	"pgregory.net/rapid"

	"chefsync/pkg/object"
	"chefsync/pkg/replication"
	"chefsync/pkg/replication/replicationtest"
)

// Edits of both sides, passes and repairs, some of them killed, broken off or refused, in any
// order, then such of the primary alone. One run is undone, by processes that may be killed
// too: the replica is as it was before that run. Once the pair is started, what was undone
// follows the primary again.
func TestAnyHistoryIsUndone(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		h := newHistory(t, rt)
		h.replica.Trusting = true // content that no cookbook version needs is gone from it
		h.replica.Searchable = rapid.Bool().Draw(rt, "replica searches")
		h.replica.KnownRevisions = true // else an undo can't delete what a group has come to need
		h.pair.Prune = rapid.SampledFrom([]replication.Prune{replication.PruneReplicated, replication.PruneAll}).Draw(rt, "prune")
		h.tuning = replication.Tuning{Window: rapid.IntRange(1, 5).Draw(rt, "window"), Backlog: rapid.IntRange(2, 30).Draw(rt, "backlog")}
		edit := func(t *rapid.T) { h.drawEdit(t, "primary")() }
		rt.Repeat(h.withScans(map[string]func(*rapid.T){"edit": edit, "edit 2": edit, "edit replica": func(t *rapid.T) { h.drawEdit(t, "replica")() },
			"run": h.drawRun, "time passes": func(*rapid.T) { h.advance(time.Hour) }}))
		was, last := h.replica.Snapshot(), h.lastRun()
		for range rapid.IntRange(1, 8).Draw(rt, "later edits") {
			edit(rt)
			if rapid.Bool().Draw(rt, "run now") {
				h.drawRun(rt)
			}
		}
		h.drawRun(rt)
		h.stage = h.stage.Without(h.pair.Space)
		undone := h.undoAfter(rt, last)
		wantOrg(rt, h.replica, was)
		h.direct(replication.DesiredChange{Stop: new(false), AllowDeletes: new(1000), Retry: new(h.now())})
		h.world.pass()
		h.wantFollowed(rt, undone)
	})
}

// drawRun does one pass or repair that may be killed, broken off, or meet refusals.
func (h *history) drawRun(t *rapid.T) {
	switch rapid.IntRange(0, 5).Draw(t, "trouble") {
	case 0:
		h.refuse(t)
	case 1:
		h.lose(t)
	}
	h.drawScan(t)
	repair, full := rapid.Bool().Draw(t, "repair"), rapid.IntRange(0, 4).Draw(t, "full") == 4
	h.meetFate(t, func(ctx context.Context, e *replication.Engine) {
		if repair {
			_, _ = e.Verify(ctx, replication.VerifyOptions{Trigger: "test", Repair: true})
			return
		}
		_, _ = e.Pass(ctx, replication.PassOptions{Trigger: "manual", Full: full})
	})
	h.heal()
}

// meetFate does a run that may be killed, broken off, or lose its lease.
func (h *history) meetFate(t *rapid.T, run func(context.Context, *replication.Engine)) {
	kind := rapid.SampledFrom([]string{"", "", "dies", "dies", "broken off", "loses its lease"}).Draw(t, "fate")
	at := rapid.IntRange(1, 40).Draw(t, "at call")
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	e := h.world.engine()
	crasher := &replicationtest.Crasher{}
	event := func() {}
	switch kind {
	case "dies":
		crasher = &replicationtest.Crasher{At: at, After: rapid.Bool().Draw(t, "after")}
	case "broken off":
		event = cancel
	case "loses its lease":
		event = func() { h.advance(2 * time.Minute) }
	}
	refuse, calls := h.replica.Refuse, 0
	h.replica.Refuse = func(op string, r object.Ref) error {
		if calls++; calls == at {
			event()
		}
		if refuse == nil || op == "get" || op == "open" || op == "list" { // else it can't be kept
			return nil
		}
		return refuse(op, r)
	}
	run(crasher.Wrap(ctx, e), e)
	h.replica.Refuse = refuse
	h.advance(2 * time.Minute)
}

// lastRun returns the id of the newest run, "" without one.
func (h *history) lastRun() string {
	runs, err := h.state.Runs(context.Background(), pairID, 1)
	if err != nil {
		h.t.Fatal(err)
	}
	if len(runs) == 0 {
		return ""
	}
	return runs[0].ID
}

// undoAfter undoes the first run after one that kept anything, and returns the objects.
func (h *history) undoAfter(t *rapid.T, last string) (undone []object.Ref) {
	parts, err := h.state.Backups(context.Background(), pairID, last)
	if err != nil {
		t.Fatal(err)
	}
	first := ""
	for _, part := range parts {
		if part.Run <= last {
			continue
		}
		first = cmp.Or(first, part.Run)
		for _, b := range part.Objects {
			undone = append(undone, b.Ref)
		}
	}
	if first == "" {
		return nil
	}
	h.direct(replication.NewUndoRequest(first, h.now()))
	for range rapid.IntRange(0, 2).Draw(t, "undo before") {
		h.meetFate(t, func(ctx context.Context, e *replication.Engine) { _, _ = e.Undo(ctx, first, replication.PassOptions{}) })
	}
	run, err := h.undo(first)
	if err != nil || run.Outcome != replication.OutcomeDone {
		t.Fatalf("undo: %+v, %v, %+v", run, err, h.unsynced())
	}
	return undone
}

// wantFollowed wants objects to be on the replica as they are on the primary. One may wait for
// another try, such as a bag that holds items of the replica's own.
func (h *history) wantFollowed(t *rapid.T, refs []object.Ref) {
	waits := map[object.Ref]bool{}
	for _, u := range h.unsynced() {
		waits[u.Ref] = true
	}
	primary, replica, ours := h.primary.Snapshot(), h.replica.Snapshot(), h.replicated()
	for _, r := range refs {
		_, replicated := ours[r]
		if p := r.Path(); primary[p] != replica[p] && !waits[r] && (primary[p] != "" || replicated) {
			t.Errorf("after the undo, %s has fingerprint %q on the primary and %q on the replica", p, primary[p], replica[p])
		}
	}
}

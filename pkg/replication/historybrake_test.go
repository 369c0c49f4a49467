package replication_test

import (
	"time"

	"pgregory.net/rapid"

	"chefsync/pkg/fault"
	"chefsync/pkg/object"
	"chefsync/pkg/replication"
)

// braked remembers what the replica has of what replication put there, and returns
// a check that no run without approval deletes more than the brake lets it.
func (h *history) braked() func(*rapid.T) {
	limit, selected := h.world.pair.MaxDelete, h.record().Progress.Selected
	before := h.ours()
	return func(t *rapid.T) {
		st := h.record()
		if h.now().Sub(h.allowed) < 2*time.Hour || limit == (replication.Limit{Percent: 100}) || st.Progress.Selected != selected {
			return
		}
		after, had, left := h.ours(), map[object.Kind]int{}, map[object.Kind]int{}
		gone := 0
		for r := range before {
			had[r.Kind]++
			if !after[r] {
				gone++
			}
		}
		for r := range after {
			left[r.Kind]++
		}
		if limit.Count > 0 && gone > limit.Count && !h.faulty {
			t.Errorf("%d objects deleted, the limit is %d", gone, limit.Count)
		}
		for k, n := range had {
			if n >= 3 && left[k] == 0 {
				t.Errorf("all %d objects of kind %s deleted", n, k)
			}
		}
		if len(before) > 0 && len(after) == 0 {
			t.Errorf("all %d objects deleted", len(before))
		}
		if hold := st.Progress.Hold; hold != nil && hold.Primary == "" {
			held := 0
			for _, u := range h.unsynced() {
				if u.Class == fault.DeletionHeld {
					held += 1 + u.Items
				}
			}
			if held != hold.Deletes {
				t.Errorf("%d deletions are held, and the pair says %d", held, hold.Deletes)
			}
		}
	}
}

// ours is what is on the replica and in the ledger.
func (h *history) ours() map[object.Ref]bool {
	out := map[object.Ref]bool{}
	inv := h.replicated()
	for p := range h.replica.Snapshot() {
		if r := mustRef(p); inv[r] != "" && h.world.pair.Manages(r) {
			out[r] = true
		}
	}
	return out
}

package transfer

import (
	"context"
	"errors"
	"fmt"
	"time"

	"chefsync/pkg/fault"
	"chefsync/pkg/replication"
)

// Export reads pairs into a document. Each must be stopped and not leased at now:
// [replication.LeasedError] names the holder. It fails if a pair changes meanwhile.
func Export(ctx context.Context, state replication.State, ids []replication.PairID, now time.Time) (Document, error) {
	d := Document{Format: Format, Version: Version, Exported: now.UTC(), Pairs: []Pair{}}
	for _, id := range ids {
		p, err := exportPair(ctx, state, id, now)
		if err != nil {
			return Document{}, fmt.Errorf("export pair %s: %w", id, err)
		}
		d.Pairs = append(d.Pairs, p)
	}
	return d, d.checkPairs()
}

func exportPair(ctx context.Context, state replication.State, id replication.PairID, now time.Time) (Pair, error) {
	before, err := state.Pair(ctx, id)
	if err != nil {
		return Pair{}, err
	}
	switch {
	case !before.Desired.Stopped:
		return Pair{}, &fault.Error{Op: "export", Class: fault.Local, Hint: "chef-sync-ctl sync-stop " + id.String() + ", or --stop",
			Err: errors.New("it isn't stopped, so it would keep changing")}
	case before.Lease.HeldAt(now):
		return Pair{}, &replication.LeasedError{What: "pair " + id.String(), Lease: before.Lease}
	}
	p, after, err := readPair(ctx, state, id)
	if err != nil {
		return Pair{}, err
	}
	before.Desired.Moved = ""
	then := Pair{ID: id, Desired: before.Desired, Progress: before.Progress, Inventory: p.Inventory, Unsynced: p.Unsynced}
	if !after.Desired.Stopped || after.Lease.Fence != before.Lease.Fence || after.Lease.HeldAt(now) || !sameRecords(p, then) {
		return Pair{}, &fault.Error{Op: "export", Class: fault.Transient, Hint: "try again",
			Err: errors.New("its record changed while it was read")}
	}
	return p, p.checkRecords()
}

// readPair reads the records of a pair, that with its state last.
func readPair(ctx context.Context, state replication.State, id replication.PairID) (Pair, replication.PairState, error) {
	p := Pair{ID: id}
	entries, err := state.Entries(ctx, id)
	if err != nil {
		return p, replication.PairState{}, err
	}
	p.setEntries(entries)
	st, err := state.Pair(ctx, id)
	p.Desired, p.Progress = st.Desired, st.Progress
	p.Desired.Moved = "" // it belongs to each state
	return p, st, err
}

package transfer

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"chefsync/pkg/fault"
	"chefsync/pkg/object"
	"chefsync/pkg/replication"
)

// Options say how a pair is imported.
type Options struct {
	Owner string           // names this process in the lease
	Now   func() time.Time // nil means time.Now
	// Force replaces records that are newer than the document.
	Force  bool
	Window int // entries written by one commit; 0 means 1,000
}

// Result is what an import did.
type Result struct {
	Pair     replication.PairID `json:"pair"`
	Outcome  string             `json:"result"` // imported, or unchanged: the state had it all
	Objects  int                `json:"objects"`
	Unsynced int                `json:"unsynced"`
}

// The outcomes.
const (
	Imported  = "imported"
	Unchanged = "unchanged"
)

// leaseTTL is longer than a commit of one window takes.
const leaseTTL = time.Minute

// NewerError means that the records of a pair in a state are newer than those in a
// document.
type NewerError struct {
	Pair       replication.PairID
	Ours, Here time.Time // last activity, by the document and by the state
}

// Error names both times.
func (e *NewerError) Error() string {
	return fmt.Sprintf("import pair %s: the state here is newer, of %s; the document's is of %s", e.Pair,
		e.Here.UTC().Format(time.RFC3339), e.Ours.UTC().Format(time.RFC3339))
}

// Import replaces the records of a pair in a state by those of a document, and leaves the
// pair stopped. It takes the pair's lease, and writes the progress last: an import that dies
// leaves a pair that the next one imports again. What was written is read back before the
// lease is released.
//
// It returns [replication.LeasedError] while a process works on the pair, and
// *NewerError when the records of the state are newer.
func Import(ctx context.Context, state replication.State, p Pair, o Options) (Result, error) {
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Window <= 0 {
		o.Window = 1000
	}
	r := Result{Pair: p.ID, Outcome: Imported, Objects: len(p.Inventory), Unsynced: len(p.Unsynced)}
	if err := p.checkRecords(); err != nil {
		return r, fmt.Errorf("import pair %s: %w", p.ID, err)
	}
	here, st, err := readPair(ctx, state, p.ID)
	if err != nil {
		return r, fmt.Errorf("import pair %s: %w", p.ID, err)
	}
	now := o.Now()
	switch {
	case st.Lease.HeldAt(now):
		return r, &replication.LeasedError{What: "pair " + p.ID.String(), Lease: st.Lease}
	case st.Desired.Stopped && sameRecords(here, p):
		r.Outcome = Unchanged
		return r, clearMoved(ctx, state, st, now)
	}
	got, err := state.Acquire(ctx, p.ID, o.Owner, now, leaseTTL)
	if err != nil {
		return r, fmt.Errorf("import pair %s: take the lease: %w", p.ID, err)
	}
	w := &pairWriter{state: state, pair: p, options: o, fence: got.Lease.Fence, expires: now.Add(leaseTTL)}
	defer w.releaseLease(ctx)
	if !o.Force && isNewer(got.Progress, p.Progress) {
		return r, &NewerError{Pair: p.ID, Ours: lastActivity(p.Progress), Here: lastActivity(got.Progress)}
	}
	if err := w.writePair(ctx, got.Progress); err != nil {
		return r, fmt.Errorf("import pair %s: %w", p.ID, err)
	}
	return r, nil
}

// clearMoved clears the mark of a pair that was moved away from here.
func clearMoved(ctx context.Context, state replication.State, st replication.PairState, now time.Time) error {
	if st.Desired.Moved == "" {
		return nil
	}
	here := ""
	if err := state.ChangeDesired(ctx, st.ID, replication.DesiredChange{Moved: &here, At: now}); err != nil {
		return fmt.Errorf("import pair %s: %w", st.ID, err)
	}
	return nil
}

// lastActivity returns when a pair was last synced or checked.
func lastActivity(p replication.Progress) time.Time {
	return slices.MaxFunc([]time.Time{p.LastAttempt, p.LastSuccess, p.LastCompare, p.LastCheck}, time.Time.Compare)
}

// isNewer reports whether the records of a state are newer than a document, by time or by
// position.
func isNewer(here, document replication.Progress) bool {
	a, b := here.Position, document.Position
	further := a != nil && b != nil && a.Identity == b.Identity && a.Epoch == b.Epoch && a.Seq > b.Seq
	return further || lastActivity(here).After(lastActivity(document))
}

// pairWriter writes the records of one pair under its lease.
type pairWriter struct {
	state   replication.State
	pair    Pair
	options Options
	fence   int64
	expires time.Time
}

func (w *pairWriter) writePair(ctx context.Context, before replication.Progress) error {
	if err := w.writeDesired(ctx); err != nil {
		return fmt.Errorf("write what is desired: %w", err)
	}
	here, _, err := readPair(ctx, w.state, w.pair.ID)
	if err != nil {
		return err
	}
	for _, u := range w.splitUpdates(here) {
		u.Progress = before
		if err := w.commitUpdate(ctx, u); err != nil {
			return err
		}
	}
	if err := w.commitUpdate(ctx, replication.Update{Progress: w.pair.Progress}); err != nil {
		return err
	}
	here, _, err = readPair(ctx, w.state, w.pair.ID)
	if err != nil {
		return fmt.Errorf("read it back: %w", err)
	}
	if !sameRecords(here, w.pair) {
		return &fault.Error{Op: "read back", Class: fault.Local, Hint: "import it again; the pair stays stopped here",
			Err: errors.New("the state holds something else than what was written")}
	}
	return nil
}

// writeDesired writes the desired state, and stops the pair whatever that says.
func (w *pairWriter) writeDesired(ctx context.Context) error {
	d, stop, here := w.pair.Desired, true, ""
	if err := w.state.ChangeDesired(ctx, w.pair.ID, replication.DesiredChange{Stop: &stop, Reason: &d.Reason, Moved: &here,
		Resync:          &d.ResyncAt,
		ResyncObjectsAt: &d.ResyncObjectsAt, ResyncObjects: d.ResyncObjects, Retry: &d.RetryAt, RetryOnly: d.RetryOnly,
		At: w.options.Now()}); err != nil {
		return err
	}
	if !d.PrimaryAcceptedAt.IsZero() {
		if err := w.state.ChangeDesired(ctx, w.pair.ID, replication.DesiredChange{AcceptPrimary: true, At: d.PrimaryAcceptedAt}); err != nil {
			return err
		}
	}
	return w.state.ChangeDesired(ctx, w.pair.ID, replication.DesiredChange{AllowDeletes: &d.AllowDeletes, At: d.AllowedAt})
}

// splitUpdates returns the updates that turn the ledger of the state into that of the
// document.
func (w *pairWriter) splitUpdates(here Pair) (all []replication.Update) {
	var gone, synced []object.Ref
	for r := range here.Inventory {
		if _, ok := w.pair.Inventory[r]; !ok {
			gone = append(gone, r)
		}
	}
	for _, u := range here.Unsynced {
		if !slices.ContainsFunc(w.pair.Unsynced, func(x replication.Unsynced) bool { return x.Ref == u.Ref }) {
			synced = append(synced, u.Ref)
		}
	}
	n := w.options.Window
	for refs := range slices.Chunk(gone, n) {
		all = append(all, replication.Update{Removed: refs})
	}
	for refs := range slices.Chunk(slices.SortedFunc(maps.Keys(w.pair.Inventory), object.Compare), n) {
		applied := make(map[object.Ref]string, len(refs))
		for _, r := range refs {
			applied[r] = w.pair.Inventory[r]
		}
		all = append(all, replication.Update{Applied: applied})
	}
	for refs := range slices.Chunk(synced, n) {
		all = append(all, replication.Update{Synced: refs})
	}
	for list := range slices.Chunk(w.pair.Unsynced, n) {
		all = append(all, replication.Update{Unsynced: list})
	}
	return all
}

// commitUpdate writes one update, and renews the lease when half of it is over.
func (w *pairWriter) commitUpdate(ctx context.Context, u replication.Update) error {
	now := w.options.Now()
	if w.expires.Sub(now) < leaseTTL/2 {
		if _, err := w.state.Renew(ctx, w.pair.ID, w.fence, now, leaseTTL); err != nil {
			return fmt.Errorf("renew the lease: %w", err)
		}
		w.expires = now.Add(leaseTTL)
	}
	if err := w.state.Commit(ctx, w.pair.ID, w.fence, now, u); err != nil {
		return fmt.Errorf("write the state: %w", err)
	}
	return nil
}

// releaseLease releases the lease, also when the context has ended. A failure doesn't
// matter: the lease expires.
func (w *pairWriter) releaseLease(ctx context.Context) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
	defer cancel()
	_ = w.state.Release(ctx, w.pair.ID, w.fence)
}

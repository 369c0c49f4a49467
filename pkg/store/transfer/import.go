package transfer

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"chefsync/pkg/fault"
	"chefsync/pkg/replication"
)

// Options say how a pair is imported.
type Options struct {
	Owner string           // names this process in the lease
	Now   func() time.Time // nil means time.Now
	// Force replaces records that are newer than the document.
	Force bool
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

// leaseTTL is longer than the commit of a large pair takes.
const leaseTTL = 5 * time.Minute

// NewerError means that the records of a pair in a state are newer than those in a
// document.
type NewerError struct {
	Pair       replication.PairID
	Ours, Here time.Time // last activity, by the document and by the state
}

// Error names both times.
func (e *NewerError) Error() string {
	return fmt.Sprintf("import pair %s: the state here is newer (%s) than the document (%s)", e.Pair,
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
	defer releaseLease(ctx, state, got)
	if !o.Force && isNewer(got.Progress, p.Progress) {
		return r, &NewerError{Pair: p.ID, Ours: lastActivity(p.Progress), Here: lastActivity(got.Progress)}
	}
	if err := writePair(ctx, state, p, got.Lease.Fence, o.Now); err != nil {
		return r, fmt.Errorf("import pair %s: %w", p.ID, err)
	}
	return r, nil
}

// clearMoved clears the mark of a pair that was moved away from here.
func clearMoved(ctx context.Context, state replication.State, st replication.PairState, now time.Time) error {
	if st.Desired.Moved == "" {
		return nil
	}
	reason, here := replication.ReasonImported, ""
	if err := state.ChangeDesired(ctx, st.ID, replication.DesiredChange{Reason: &reason, Moved: &here, At: now}); err != nil {
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

// writePair writes the records of a pair under its lease, and reads them back. The commit
// writes the progress after the ledger.
func writePair(ctx context.Context, state replication.State, p Pair, fence int64, now func() time.Time) error {
	if err := writeDesired(ctx, state, p, now()); err != nil {
		return fmt.Errorf("write what is desired: %w", err)
	}
	here, _, err := readPair(ctx, state, p.ID)
	if err != nil {
		return err
	}
	if err := state.Commit(ctx, p.ID, fence, now(), replaceRecords(here, p)); err != nil {
		return fmt.Errorf("write the state: %w", err)
	}
	here, _, err = readPair(ctx, state, p.ID)
	if err != nil {
		return fmt.Errorf("read it back: %w", err)
	}
	if !sameRecords(here, p) {
		return &fault.Error{Op: "read back", Class: fault.Local, Hint: "import it again; the pair stays stopped here",
			Err: errors.New("the state doesn't contain what was written")}
	}
	return nil
}

// writeDesired writes the desired state, and stops the pair whatever that says.
func writeDesired(ctx context.Context, state replication.State, p Pair, now time.Time) error {
	d, stop, reason, here := p.Desired, true, replication.ReasonImported, ""
	changes := []replication.DesiredChange{{
		Stop: &stop, Reason: &reason, Moved: &here, Resync: &d.ResyncAt, Retry: &d.RetryAt, RetryOnly: d.RetryOnly,
		ResyncObjectsAt: &d.ResyncObjectsAt, ResyncObjects: d.ResyncObjects, At: now,
	}, {AllowDeletes: &d.AllowDeletes, At: d.AllowedAt}}
	if !d.PrimaryAcceptedAt.IsZero() {
		changes = append(changes, replication.DesiredChange{AcceptPrimary: true, At: d.PrimaryAcceptedAt})
	}
	for _, c := range changes {
		if err := state.ChangeDesired(ctx, p.ID, c); err != nil {
			return err
		}
	}
	return nil
}

// replaceRecords returns the update that turns the records here into those of a document.
func replaceRecords(here, p Pair) replication.Update {
	u := replication.Update{Progress: p.Progress, Entries: p.entries()}
	for r := range here.entries() {
		if _, there := u.Entries[r]; !there {
			u.Entries[r] = replication.Entry{}
		}
	}
	return u
}

// releaseLease releases the lease, also when the context has ended. A failure doesn't
// matter: the lease expires.
func releaseLease(ctx context.Context, state replication.State, st replication.PairState) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
	defer cancel()
	_ = state.Release(ctx, st.ID, st.Lease.Fence)
}

package replication

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"chefsync/pkg/object"
)

// dueWork is what a pass finds to do.
type dueWork struct {
	full          bool
	repairs       bool // a full comparison that follows no drift rule
	reason        string
	changes       []Change  // fresh rows of the feed
	next          *Position // where the position goes once they are handled
	retry         bool      // unsynced objects are due
	resume        bool      // a pass was left unfinished, or known differences wait for one
	resumeCompare bool      // the full comparison is that one
	feed          string    // the feed in use, "none" without one
	note          string    // why that one
	rows          Rows      // what the feed said, without the changes
	// snapshot is what the newest scan saw, nil if it needn't be read, and stale the
	// objects that it shows otherwise than the ledger, with what that says.
	snapshot *Snapshot
	stale    map[object.Ref]string
	noop     bool // nothing was asked, nothing is to be recorded
	held     bool // nothing may be done: the primary is another organization
	// accepted: the operator accepted that it is.
	accepted bool
	replica  string // the replica's identity, if it was asked for
}

func (t dueWork) hasWork() bool {
	return t.full || len(t.changes)+len(t.stale) > 0 || t.retry || t.resume
}

// Changes notes in the run record what the feed showed.
func (r *Run) Changes(t dueWork) { r.Counts.Changes = len(t.changes) }

const identityEvery = time.Hour

// lookForWork asks the feed and the record what there is to do.
func (e *Engine) lookForWork(ctx context.Context, st PairState, o PassOptions) (dueWork, error) {
	p, now := st.Progress, e.Now()
	t := dueWork{
		feed:   "none",
		retry:  p.Unsynced > 0 && p.retryDue(now) || (p.Unsynced > 0 || p.Hold != nil) && st.RetryAsked(),
		resume: p.Work != nil || len(p.Dirty) > 0 || len(st.ObjectsAsked()) > 0,
	}
	if h := p.Hold; h != nil {
		if err := e.otherPrimary(ctx, st, &t); err != nil || t.held || t.accepted {
			return t, err
		}
		t.resume = t.resume || h.Primary != "" || holdAnswered(st, now) || e.Pair.holdIsOutdated(st, now)
	}
	newer := st.resyncAsked(now)
	if w := p.Work; w != nil && w.Full && (!newer || !st.Desired.ResyncAt.After(w.Started)) && !o.Full && p.Selected == e.Pair.selectionMark() {
		t.full, t.resumeCompare, t.reason = true, true, w.Reason
		return t, nil
	}
	if reason, repairs := e.fullReason(st, o); reason != "" {
		t.full, t.repairs, t.reason = true, repairs, reason
		return t, nil
	}
	if err := e.askReplica(ctx, p, &t); err != nil || t.full {
		return t, err
	}
	if p.Position != nil && e.readDue(cmp.Or(p.LastCheck, p.LastCompare)) {
		t.full, t.reason = true, "both sides are read periodically"
		return t, nil
	}
	if p.Position == nil {
		return e.withoutFeed(ctx, t, st, now)
	}
	t.feed, t.note = p.Feed, p.FeedNote
	overlap := e.overlapIDs(*p.Position)
	rows, err := e.Feed.Read(ctx, max(0, p.Position.Seq-overlap))
	if err == nil {
		var next Position
		t.changes, next, err = Continue(*p.Position, rows, overlap)
		t.next = &next
		t.changes = slices.DeleteFunc(t.changes, func(c Change) bool { return !e.Pair.concernsChange(c) })
	}
	switch {
	case errors.Is(err, ErrPositionLost):
		t.full, t.reason, t.changes, t.next = true, "the feed does not continue from the last position", nil, nil
	case errors.Is(err, ErrNoFeed):
		t.full, t.reason, t.changes, t.next = true, "the primary no longer serves a change feed", nil, nil
	case err != nil:
		return t, err
	default:
		return t, e.diffSnapshot(ctx, rows, &t)
	}
	return t, nil
}

// overlapIDs is how many ids below a position are read again: those that may show
// rows late, or where none can, those whose rows the position remembers.
func (e *Engine) overlapIDs(pos Position) int64 {
	if pos.Epoch != "" {
		return min(markedRows, e.Tuning.Overlap)
	}
	return e.Tuning.Overlap
}

// fullReason says why a full comparison is due before the feed is even asked.
func (e *Engine) fullReason(st PairState, o PassOptions) (reason string, repairs bool) {
	p, now := st.Progress, e.Now()
	switch {
	case st.resyncAsked(now):
		return "asked for", true
	case o.Full:
		return "asked for", true
	case p.LastCompare.IsZero():
		return "first pass of this pair", true
	case p.Selected != e.Pair.selectionMark():
		return "the selection has changed", false
	case p.Position != nil && e.Feed == nil:
		return "the feed was switched off", false
	}
	return "", false
}

// withoutFeed decides for a pair without a position: a full comparison every
// CompareEvery, which asks again for a feed, and one as soon as a feed has begun.
func (e *Engine) withoutFeed(ctx context.Context, t dueWork, st PairState, now time.Time) (dueWork, error) {
	every := max(e.Pair.CompareEvery, e.Pair.Interval)
	if ageAt(st.Progress.LastCompare, now) >= every {
		t.full, t.reason = true, "the primary has no change feed"
		return t, nil
	}
	if e.Feed != nil {
		begun, err := e.Feed.Begun(ctx)
		if err != nil {
			return t, fmt.Errorf("check whether the feed has started: %w", err)
		}
		if begun {
			t.full, t.reason = true, "a change feed has started"
			return t, nil
		}
	}
	t.noop = !t.retry && !t.resume && t.replica == ""
	return t, nil
}

// checkIdentity checks that the primary may be the one that the position belongs to.
// One request an hour at most.
func (p *pass) checkIdentity(ctx context.Context) (same bool, err error) {
	g, now := &p.rec.progress, p.Now()
	if g.Position == nil || ageAt(g.IdentityAt, now) < identityEvery {
		return true, nil
	}
	id, err := p.Source.Identity(ctx)
	if err != nil {
		return false, err
	}
	g.IdentityAt = now
	if !sameIdentity(id, g.Position.Identity) {
		return false, nil
	}
	at := *g.Position
	at.Identity = withKnownGUID(id, at.Identity)
	g.Position = &at
	if p.due.next != nil {
		p.due.next.Identity = at.Identity
	}
	return true, nil
}

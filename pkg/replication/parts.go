package replication

import (
	"context"
	"errors"
	"maps"
	"slices"
	"time"

	"chefsync/pkg/object"
)

// Checking is a verification that a schedule started and that isn't finished. One
// that doesn't fit the time of its process is done in parts: each goes on behind
// the last object that the one before compared.
type Checking struct {
	Started time.Time `json:"started"` // of the first part
	// At is the last heartbeat of the part under way, zero when none is, and Owner
	// its process. While that may still be running no other part is started.
	At    time.Time `json:"at,omitzero"`
	Owner string    `json:"owner,omitempty"`
	// FailedAt is when the newest part failed, zero when it did not.
	FailedAt time.Time           `json:"failed_at,omitzero"`
	After    string              `json:"after,omitempty"` // the last object compared, in the order of application
	Equal    map[object.Kind]int `json:"equal,omitempty"`
	// Differ counts differences that were left, Unreadable what could not be read.
	Differ     int   `json:"differ,omitempty"`
	Unreadable int   `json:"unreadable,omitempty"`
	Drift      Drift `json:"drift,omitzero"`
}

// A part under way records a heartbeat every claimRenewal while it reads. Without
// one for claimTTL it counts as dead. One that failed is tried again after
// verifyRetry.
const (
	claimRenewal = 20 * time.Second
	claimTTL     = 90 * time.Second
	verifyRetry  = 10 * time.Minute
)

// UnderWay reports whether a part of the verification seems to be running.
func (c *Checking) UnderWay(now time.Time) bool {
	return c != nil && !c.At.IsZero() && ageAt(c.At, now) < claimTTL
}

// claimPair records that a scheduled verification is under way, and takes up what its
// earlier parts found. *LeasedError if another process works on the pair.
func (v *verification) claimPair(ctx context.Context) error {
	now := v.report.At
	st, err := v.State.Pair(ctx, v.Pair.ID)
	if err != nil {
		return err
	}
	if err := v.claimError(st, now); err != nil {
		return err
	}
	got, err := v.acquireLease(ctx, now)
	if err != nil {
		return err
	}
	defer v.releaseLease(ctx, got.Lease.Fence)
	if err := v.claimError(got, now); err != nil {
		return err
	}
	c := got.Progress.Checking
	next := Checking{Started: now}
	if c != nil && c.After != "" {
		next = *c
		if !v.options.Portion {
			v.report.Earlier = c
		}
	}
	next.At, next.Owner, next.FailedAt = now, v.Owner, time.Time{}
	got.Progress.Checking = &next
	if err := v.State.Commit(ctx, v.Pair.ID, got.Lease.Fence, v.Now(), Update{Progress: got.Progress}); err != nil {
		return err
	}
	v.began = got
	v.began.Lease = Lease{Fence: got.Lease.Fence}
	return nil
}

// claimError is a *LeasedError if the verification of another process, not known to be
// dead, is under way.
func (v *verification) claimError(st PairState, now time.Time) error {
	c := st.Progress.Checking
	if !c.UnderWay(now) || c.Owner == v.Owner || v.OwnerDied != nil && v.OwnerDied(c.Owner) {
		return nil
	}
	return &LeasedError{What: "pair " + v.Pair.ID.String(), Lease: Lease{Owner: "a verification of " + c.Owner, Expires: c.At.Add(claimTTL)}}
}

// errOvertaken ends a reading whose claim another process took over.
var errOvertaken = errors.New("another process took over this verification")

// keepClaim renews the claim until stop is called. It ends the reading if another
// process took the claim over.
func (v *verification) keepClaim(g *guard) (stop func()) {
	if v.options.Trigger != TriggerSchedule {
		return func() {}
	}
	ctx, cancel := context.WithCancel(g.hard)
	done := make(chan struct{})
	go func() {
		defer close(done)
		tick := time.NewTicker(claimRenewal)
		defer tick.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
			}
			now := v.Now()
			err := v.updateClaim(ctx, now, func(c *Checking) { c.At = now })
			if errors.Is(err, errOvertaken) {
				g.kill(err)
			}
		}
	}()
	return func() {
		cancel()
		<-done
	}
}

// releaseClaim records that the part ended without a result, so that the next process
// takes it up at once, or after a while if it failed.
func (v *verification) releaseClaim(ctx context.Context, failed bool) {
	if v.options.Trigger != TriggerSchedule {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
	defer cancel()
	now := v.Now()
	err := v.updateClaim(ctx, now, func(c *Checking) {
		c.At, c.Owner = time.Time{}, ""
		if failed {
			c.FailedAt = now
		}
	})
	if err != nil && !errors.Is(err, errOvertaken) {
		v.Log.Warn("the end of a verification could not be recorded; it counts as running for a while", "pair", v.Pair.ID.String(),
			"for", claimTTL.String(), "error", err.Error())
	}
}

// updateClaim changes the claim in the record without the lease: a pass that works
// meanwhile has it in its own copy of the record, and writes it back unchanged.
func (v *verification) updateClaim(ctx context.Context, now time.Time, change func(*Checking)) error {
	st, err := v.State.Pair(ctx, v.Pair.ID)
	if err != nil {
		return err
	}
	c := st.Progress.Checking
	if c == nil || c.Owner != v.Owner {
		return errOvertaken
	}
	next := *c
	change(&next)
	st.Progress.Checking = &next
	return v.State.SaveProgress(ctx, v.Pair.ID, st.Lease.Fence, now, st.Progress)
}

// startedAt is when the first part began.
func (v *verification) startedAt() time.Time {
	if c := v.report.Earlier; c != nil {
		return c.Started
	}
	return v.report.At
}

// remainingRefs are the objects that no earlier part compared.
func (v *verification) remainingRefs() []object.Ref {
	refs := slices.SortedFunc(maps.Keys(v.source.refs), object.Compare)
	if v.report.Earlier == nil {
		return refs
	}
	after, err := object.ParseRef(v.report.Earlier.After)
	if err != nil {
		v.report.Earlier = nil // it can't be gone on with
		return refs
	}
	return slices.DeleteFunc(refs, func(r object.Ref) bool { return object.Compare(r, after) <= 0 })
}

// endsPart reports whether an error ends this part of a verification, which the next part
// then goes on with.
func (v *verification) endsPart(err error) bool {
	ended := errors.Is(err, errDeadline) || errors.Is(err, errDrained)
	return ended && v.options.Trigger == TriggerSchedule && v.after != ""
}

// addEarlier adds what the earlier parts found to what this one did.
func (v *verification) addEarlier(d Drift) Drift {
	if c := v.report.Earlier; c != nil {
		d.Changed += c.Drift.Changed
		d.Missing += c.Drift.Missing
		d.Extra += c.Drift.Extra
		d.Repaired += c.Drift.Repaired
	}
	return d
}

// partDone is the record for the part that comes next.
func (v *verification) partDone(d Drift) *Checking {
	c := Checking{Started: v.startedAt(), After: v.after, Equal: v.equalOf, Drift: d,
		Differ: len(v.report.Differences), Unreadable: len(v.report.Unreadable)}
	if e := v.report.Earlier; e != nil {
		c.Differ += e.Differ
		c.Unreadable += e.Unreadable
	}
	return &c
}

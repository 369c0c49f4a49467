package replication

import (
	"strconv"
	"strings"
	"time"
)

// The outcomes of records that nobody has ended: a run in progress, and one
// whose process died or lost its lease. OutcomeDied is never stored.
const (
	OutcomeRunning Outcome = "running"
	OutcomeDied    Outcome = "died"
)

// ShownRun returns a run's record as it is to be shown. A run that can't be running
// any more, since the pair's lease isn't its own or has ended, has the outcome
// OutcomeDied and ends at its last heartbeat. The state of the pair must have
// been read before the record.
func ShownRun(r Run, st PairState, now time.Time) Run {
	fence, ok := runFence(r.ID)
	if r.Outcome != OutcomeRunning || !ok || fence > st.Lease.Fence || fence == st.Lease.Fence && st.Lease.HeldAt(now) {
		return r
	}
	r.Outcome, r.Ended, r.Seen = OutcomeDied, laterOf(r.Started, r.Seen), time.Time{}
	return r
}

// runFence is the fencing token of the lease under which a run worked: see runID.
func runFence(id string) (fence int64, ok bool) {
	i := strings.LastIndexByte(id, '-')
	fence, err := strconv.ParseInt(id[i+1:], 10, 64)
	return fence, err == nil && i > 0
}

func laterOf(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}

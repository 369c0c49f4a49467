// Package pairstatus reads and shows the status of pairs, servers and the processes that
// run passes.
package pairstatus

import (
	"context"
	"fmt"
	"time"

	"chefsync/cli/internal/app"
	"chefsync/cli/internal/exit"
	"chefsync/cli/internal/ui"
	"chefsync/pkg/cloud"
	"chefsync/pkg/feed/changelog"
	"chefsync/pkg/replication"
	"chefsync/pkg/status"
)

// PairRow is what sync-status shows of a pair.
type PairRow struct {
	Pair         replication.PairID `json:"pair"`
	Source       string             `json:"source"`
	Organization string             `json:"organization"`
	Replica      string             `json:"replica"`
	Status       replication.Status `json:"status"`
	Since        time.Time          `json:"since,omitzero"`
	Note         string             `json:"note,omitempty"`
	Hint         string             `json:"hint,omitempty"`
	// Reasons keep the pair from being in sync, the worst first. Note and Hint are those
	// of the first.
	Reasons      []status.Reason      `json:"reasons,omitempty"`
	CurrentAsOf  time.Time            `json:"current_as_of,omitzero"`
	LastSuccess  time.Time            `json:"last_success,omitzero"`
	LastAttempt  time.Time            `json:"last_attempt,omitzero"`
	LastCompare  time.Time            `json:"last_compare,omitzero"`
	LastVerified time.Time            `json:"last_verified,omitzero"`
	LastCheck    time.Time            `json:"last_check,omitzero"`
	NextRun      time.Time            `json:"next_run,omitzero"`
	Overdue      bool                 `json:"overdue"`
	LagSeconds   *int64               `json:"lag_seconds"` // null before the first success
	Objects      int                  `json:"objects"`
	Pending      int                  `json:"pending"`
	Unsynced     int                  `json:"unsynced"`
	Failures     int                  `json:"failures"`
	Feed         string               `json:"feed,omitempty"`
	FeedNote     string               `json:"feed_note,omitempty"`
	Position     int64                `json:"position"`
	RunningOn    string               `json:"running_on,omitempty"` // holder of the lease
	Drift        *replication.Drift   `json:"drift,omitempty"`
	DamagedFiles int                  `json:"damaged_files,omitempty"`
	ReplicaOnly  int                  `json:"replica_only,omitempty"`
	ReplicaNew   time.Time            `json:"replica_new,omitzero"` // since when the replica is another organization than before
	Files        *replication.Files   `json:"files,omitempty"`
	Verifying    *verifying           `json:"verifying,omitempty"`
	Hold         *replication.Hold    `json:"hold,omitempty"`
	LastError    *replication.Failure `json:"last_error,omitempty"`
	LastScan     *changelog.LastScan  `json:"last_scan,omitempty"` // of the source, for a pair that reads the change log

	PrimaryUnreachableSince time.Time `json:"primary_unreachable_since,omitzero"`
	ReplicaUnreachableSince time.Time `json:"replica_unreachable_since,omitzero"`

	further        int           // pairs that the row stands for, beside its own
	pollInterval   time.Duration // of a pair on a stack, of whose polls not each is recorded
	recordValidFor time.Duration // how long the record of a poll counts as the newest
}

// ReadPairs returns the rows of pairs, in their order. The error names those whose records
// can't be read.
func ReadPairs(ctx context.Context, a *app.App, pairs []app.Pair, servers []ServerRow, now time.Time) ([]PairRow, error) {
	state, err := a.State(ctx)
	if err != nil {
		return nil, err
	}
	known, err := readPairStates(ctx, state, pairs)
	failed := []error{err}
	tolerance := ToleranceOf(a)
	hasDaemon := a.Stack == nil && daemonRuns(ctx, a, now)
	rows := []PairRow{}
	for _, p := range pairs {
		st, there := known[p.ID]
		if !there {
			continue
		}
		if a.Abandoned(st.Lease) {
			st.Lease = replication.Lease{Fence: st.Lease.Fence}
		}
		f := status.Facts{State: st, Pair: p.Pair, Down: unreachableServers(servers, p.ID), Now: now, Tolerance: tolerance, Stack: a.Stack != nil, Daemon: hasDaemon}
		if st.Progress.Feed == changelog.Name {
			last, err := a.LastScan(ctx, p.SourceOrg)
			if err != nil { // without its scans, the pair would seem to be in sync
				failed = append(failed, app.WrapPair(p.ID, err))
				continue
			}
			f.Scan = &last
			if f.Stack {
				f.State = status.AsOfScan(f.State, last)
			}
		}
		row := newPairRow(p, f)
		if a.Stack != nil {
			row.pollInterval, row.recordValidFor = p.Interval, cloud.RecordEvery+max(p.Interval, a.ChangeLog.ScanEvery)
		}
		rows = append(rows, row)
	}
	return rows, exit.Join(failed...)
}

// daemonRuns reports whether a daemon is known to run. If that can't be read it isn't.
func daemonRuns(ctx context.Context, a *app.App, now time.Time) bool {
	d, err := ReadProcesses(ctx, a, now)
	return err == nil && len(d.Running) > 0
}

// ToleranceOf returns how late passes and scans may be.
func ToleranceOf(a *app.App) status.Tolerance {
	if a.Stack != nil {
		return status.ToleranceFor(a.ChangeLog.ScanEvery, cloud.RecordEvery)
	}
	return status.ToleranceFor(a.ChangeLog.ScanEvery, 0)
}

// readPairStates reads the records of pairs: of several at once, for a stack answers a
// thousand pairs in the time of a few. The error names those that can't be read.
func readPairStates(ctx context.Context, state replication.State, pairs []app.Pair) (map[replication.PairID]replication.PairState, error) {
	if len(pairs) == 1 {
		st, err := state.Pair(ctx, pairs[0].ID)
		if err != nil {
			return nil, app.WrapPair(pairs[0].ID, err)
		}
		return map[replication.PairID]replication.PairState{pairs[0].ID: st}, nil
	}
	ids := make([]replication.PairID, len(pairs))
	for i, p := range pairs {
		ids[i] = p.ID
	}
	known, unread, err := replication.ReadPairs(ctx, state, ids)
	failed := []error{err}
	for _, id := range ids {
		failed = append(failed, app.WrapPair(id, unread[id]))
	}
	return known, exit.Join(failed...)
}

// newPairRow makes a row of what is recorded of a pair.
func newPairRow(p app.Pair, f status.Facts) PairRow {
	st, g, made := f.State, f.State.Progress, status.Evaluate(f)
	row := PairRow{
		Pair: p.ID, Source: p.SourceOrg, Organization: p.ID.Org, Replica: p.ID.Replica, Status: made.Status, Since: g.Since, Reasons: made.Reasons,
		LastSuccess: g.LastSuccess, LastAttempt: g.LastAttempt, LastCompare: g.LastCompare, LastVerified: g.LastVerified,
		NextRun:     g.NextTry(f.Now, max(p.Interval, p.CompareEvery)),
		CurrentAsOf: made.CurrentAsOf, Overdue: made.Has(status.CauseNoPass), Objects: g.Objects, Pending: made.Pending, Unsynced: g.Unsynced, Failures: g.Failures,
		Feed: g.Feed, FeedNote: g.FeedNote, LastCheck: g.LastCheck, Drift: g.Drift, Hold: g.Hold, LastError: g.LastError,
	}
	if g.Position != nil {
		row.Position = g.Position.Seq
	}
	if !made.CurrentAsOf.IsZero() {
		row.LagSeconds = new(int64(f.Now.Sub(made.CurrentAsOf) / time.Second))
	}
	if st.Lease.HeldAt(f.Now) {
		row.RunningOn = st.Lease.Owner
	}
	if s := f.Scan; s != nil && !s.Ended.IsZero() {
		row.LastScan = s
	}
	if len(row.Reasons) > 0 {
		worst := row.Reasons[0]
		row.Note, row.Hint = worst.Text, worst.Hint
		if worst.Status != st.Status() && !worst.Since.IsZero() {
			row.Since = worst.Since
		}
	}
	if row.Status == replication.Stopped {
		row.NextRun = time.Time{}
	}
	row.setReplica(g, f.Now)
	row.setUnreachable(f.Down)
	return row
}

// verifying is a scheduled verification that seems to be running.
type verifying struct {
	Owner   string    `json:"owner"`
	Started time.Time `json:"started"`
	Seen    time.Time `json:"seen"` // when it last recorded progress
}

// replicaNoteAge is how long the note lasts that the replica is another one than before.
const replicaNoteAge = 24 * time.Hour

// setReplica sets what the record says of the replica itself.
func (r *PairRow) setReplica(g replication.Progress, now time.Time) {
	r.DamagedFiles, r.ReplicaOnly, r.ReplicaNew, r.Files = g.Files.Left(), g.ReplicaOnly, g.ReplicaNew, g.Files
	if c := g.Checking; c.UnderWay(now) {
		r.Verifying = &verifying{Owner: c.Owner, Started: c.Started, Seen: c.At}
	}
}

// replicaNote returns what is worth knowing about the replica although it may be in sync,
// and what to try.
func (r *PairRow) replicaNote(now time.Time) (text, hint string) {
	id := r.Pair.String()
	switch {
	case r.ReplicaOnly > 0:
		return ui.Plural(r.ReplicaOnly, "object") + " only on the replica, not created by replication as far as it knows",
			fmt.Sprintf(`chef-sync-ctl plan %s --prune, then: chef-sync-ctl resync %s --prune; or exclude them, or set prune = "none"`, id, id)
	case r.ReplicaNew.IsZero() || now.Sub(r.ReplicaNew) >= replicaNoteAge:
		return "", ""
	case r.LastCompare.Before(r.ReplicaNew):
		return "the replica is a different server or organization since " + ui.Stamp(r.ReplicaNew) + "; everything is being compared with it", ""
	}
	return "the replica is a different server or organization since " + ui.Stamp(r.ReplicaNew) + "; everything was compared with it", ""
}

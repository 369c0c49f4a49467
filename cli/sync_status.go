package cli

import (
	"cmp"
	"context"
	"fmt"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"chefsync/cli/internal/app"
	"chefsync/cli/internal/cmdline"
	"chefsync/cli/internal/exit"
	"chefsync/cli/internal/ui"
	"chefsync/pkg/cloud"
	"chefsync/pkg/feed/journal"
	"chefsync/pkg/replication"
	"chefsync/pkg/status"
)

// statusRow is what sync-status tells of a pair.
type statusRow struct {
	Pair         replication.PairID `json:"pair"`
	Source       string             `json:"source"`
	Organization string             `json:"organization"`
	Replica      string             `json:"replica"`
	Status       replication.Status `json:"status"`
	Since        time.Time          `json:"since,omitzero"`
	Note         string             `json:"note,omitempty"`
	Hint         string             `json:"hint,omitempty"`
	// Reasons are all that keeps the pair from being in sync, the worst first. Note and
	// Hint are those of the first.
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
	LastScan     *journal.LastScan    `json:"last_scan,omitempty"` // of the source, for a pair that reads the journal

	PrimaryUnreachableSince time.Time `json:"primary_unreachable_since,omitzero"`
	ReplicaUnreachableSince time.Time `json:"replica_unreachable_since,omitzero"`

	every  time.Duration // between the polls of a pair on a stack, of which not each is recorded
	stands time.Duration // how long the record of one stands for those after it
}

func newSyncStatusCmd(env *cmdline.Env) *cobra.Command {
	var watch ui.Duration
	var exitCode, serversOnly bool
	cmd := &cobra.Command{
		Use:     "sync-status [PAIR...]",
		Short:   "Show how the pairs do",
		GroupID: cmdline.GroupLook,
		Long: `Show how the pairs do.

  bootstrapping  the first full compare is under way
  synced         the source was read, and all that was read is applied, as of LAG ago
  syncing        a pass is running, or known work waits for the next one
  retrying       something fails; it is tried again by itself
  drifted        what others changed on the replica is known and was not repaired
  stale          the source was not read, or no pass ran, for too long
  unreachable    the primary or the replica doesn't answer, or refuses every request
  blocked        needs a person; tried again slowly
  held           deletions wait for approval; everything else is replicated
  stopped        sync-stop

The word is that of the worst reason. Below the table all reasons are named, each with
what to try.

LAG is the age of the oldest time up to which all of the source was read and applied.
It grows while a scan fails or can't read one kind, while an object is unsynced or a
deletion waits for approval, and while a server of the pair is down. FEED is where
changes come from: updated_since, the journal that scans and pushes fill, or none:
everything is compared now and then. Why is said when one pair is named.

SERVERS are checked once a minute by run, and by the manager of a stack in its turn.
One that wasn't checked recently is unknown. --servers shows them alone.`,
		Example: `  chef-sync-ctl sync-status
  chef-sync-ctl sync-status eu/engineering --watch
  chef-sync-ctl sync-status -o json | jq '.[] | select(.unsynced > 0)'`,
		ValidArgsFunction: env.CompletePairs,
	}
	cmd.Flags().Var(&watch, "watch", "show it again and again, every 2s or as given")
	cmd.Flags().Lookup("watch").NoOptDefVal = "2s"
	cmd.Flags().BoolVar(&serversOnly, "servers", false, "show the Chef Servers alone")
	cmd.Flags().BoolVar(&exitCode, "exit-code", false, "end with a code other than 0 unless all pairs are in sync; see: help exit-codes")
	cmd.RunE = env.WithPairs(func(ctx context.Context, a *app.App, pairs []app.Pair) error {
		for again := false; ; again = true {
			servers, unread := serversStatus(ctx, a, pairs, env.Now())
			rows, failed := statusOf(ctx, a, pairs, servers, env.Now())
			failed = cmp.Or(failed, unread)
			if len(rows) == 0 && failed != nil {
				return failed
			}
			if watch > 0 && env.OutTTY && !env.Output().Machine() {
				fmt.Fprint(env.Out, "\x1b[H\x1b[2J")
			}
			if again && env.Format == ui.YAML {
				fmt.Fprintln(env.Out, "---") // or all times would be one list
			}
			works, err := daemonOf(ctx, a, env.Now())
			failed = exit.Join(failed, err)
			if err := emitStatus(env, rows, servers, serversOnly, works); err != nil {
				return err
			}
			if watch == 0 || failed != nil {
				return cmp.Or(failed, statusExit(rows, exitCode))
			}
			select {
			case <-ctx.Done():
				return nil
			case <-time.After(time.Duration(watch)):
			}
		}
	})
	return cmd
}

// statusOf says how each pair does, also when the record of another can't be read.
func statusOf(ctx context.Context, a *app.App, pairs []app.Pair, servers []serverRow, now time.Time) ([]statusRow, error) {
	state, err := a.State(ctx)
	if err != nil {
		return nil, err
	}
	known, failed := pairStates(ctx, state, pairs)
	patience := patienceOf(a)
	rows := []statusRow{}
	for _, p := range pairs {
		st, there := known[p.ID]
		if !there {
			continue
		}
		if a.Abandoned(st.Lease) {
			st.Lease = replication.Lease{Fence: st.Lease.Fence}
		}
		f := status.Facts{State: st, Pair: p.Pair, Down: downOf(servers, p.ID), Now: now, Tolerance: patience, Stack: a.Stack != nil}
		if st.Progress.Feed == journal.Name {
			last, err := a.LastScan(ctx, p.SourceOrg)
			failed = exit.Join(failed, app.WrapPair(p.ID, err))
			if err == nil {
				f.Scan = &last
			}
		}
		row := makeStatus(p, f)
		if a.Stack != nil {
			row.every, row.stands = p.Interval, cloud.NoteEvery+max(p.Interval, a.Journal.ScanEvery)
		}
		rows = append(rows, row)
	}
	return rows, failed
}

// patienceOf is how late passes and scans may be.
func patienceOf(a *app.App) status.Tolerance {
	if a.Stack != nil {
		return status.ToleranceFor(a.Journal.ScanEvery, cloud.NoteEvery)
	}
	return status.ToleranceFor(a.Journal.ScanEvery, 0)
}

// pairStates reads the records of pairs: of several at once, for a stack answers
// a thousand pairs in the time of a few. If one of them is damaged, each is read for
// itself, and the error names those that can't be.
func pairStates(ctx context.Context, state replication.State, pairs []app.Pair) (map[replication.PairID]replication.PairState, error) {
	known := map[replication.PairID]replication.PairState{}
	if len(pairs) > 1 {
		all, err := state.Pairs(ctx)
		if err != nil && replication.ClassOf(err) != replication.Local {
			return nil, err
		}
		for _, st := range all {
			known[st.ID] = st
		}
	}
	failed := app.ForEachPair(ctx, pairs, func(p app.Pair) error {
		if _, there := known[p.ID]; there {
			return nil
		}
		st, err := state.Pair(ctx, p.ID)
		if err == nil {
			known[p.ID] = st
		}
		return app.WrapPair(p.ID, err)
	})
	return known, failed
}

// makeStatus puts what is recorded of a pair, and what it makes of the pair, in a row.
func makeStatus(p app.Pair, f status.Facts) statusRow {
	st, g, made := f.State, f.State.Progress, status.Evaluate(f)
	row := statusRow{
		Pair: p.ID, Source: p.SourceOrg, Organization: p.ID.Org, Replica: p.ID.Replica, Status: made.Status, Since: g.Since, Reasons: made.Reasons,
		LastSuccess: g.LastSuccess, LastAttempt: g.LastAttempt, LastCompare: g.LastCompare, LastVerified: g.LastVerified, NextRun: g.NextTry(f.Now, max(p.Interval, p.CompareEvery)),
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
	row.showReplica(g, f.Now)
	row.reach(f.Down)
	return row
}

func emitStatus(env *cmdline.Env, rows []statusRow, servers []serverRow, serversOnly bool, works daemonStatus) error {
	if serversOnly {
		return env.Output().Emit(servers, func(t *ui.Grid) { showServers(t, servers, env.Now()) })
	}
	return env.Output().Emit(rows, func(t *ui.Grid) {
		now := env.Now()
		works.lines(t, now)
		showServers(t, servers, now)
		t.Line("")
		t.Head("ORGANIZATION", "REPLICA", "STATUS", "LAST SUCCESS", "NEXT RUN", "PENDING", "UNSYNCED", "LAG", "FEED")
		for _, r := range rows {
			t.Row(r.Organization, r.Replica, statusWord(t, r.Status), ui.Stamp(r.LastSuccess), works.next(r, now),
				strconv.Itoa(r.Pending), strconv.Itoa(r.Unsynced), r.lag(), orDash(r.Feed))
		}
		for _, r := range rows {
			for _, why := range works.reasons(r) {
				t.Line("%s: %s", r.Pair, why.Text)
				if why.Hint != "" {
					t.Line("  Try: %s", why.Hint)
				}
			}
			if text, hint := r.replicaNote(now); text != "" {
				t.Line("%s: %s", r.Pair, text)
				if hint != "" {
					t.Line("  Try: %s", hint)
				}
			}
		}
		if len(rows) == 1 {
			describeStatus(t, rows[0], now)
		}
	})
}

func (r *statusRow) next(now time.Time) string {
	switch {
	case r.RunningOn != "":
		return "now"
	case r.NextRun.IsZero():
		return "-"
	case r.Overdue:
		return "overdue"
	case r.NextRun.Before(now) && r.every > 0: // recorded now and then only
		return "within " + ui.Span(r.every)
	case r.NextRun.Before(now):
		return "due"
	}
	return ui.Age(r.NextRun, now)
}

func (r *statusRow) lag() string {
	if r.LagSeconds == nil {
		return "-"
	}
	lag := time.Duration(*r.LagSeconds) * time.Second
	if len(r.Reasons) == 0 && lag < r.stands {
		return "<" + ui.Span(r.stands)
	}
	return ui.Span(lag)
}

// describeStatus adds the rest when one pair was asked for.
func describeStatus(t *ui.Grid, r statusRow, now time.Time) {
	t.Line("")
	t.Row("source:", r.Source)
	t.Row("status since:", ui.Stamp(r.Since))
	t.Row("objects:", strconv.Itoa(r.Objects))
	t.Row("position:", strconv.FormatInt(r.Position, 10))
	t.Row("feed:", orDash(r.Feed)+because(r.FeedNote))
	t.Row("last attempt:", ui.Age(r.LastAttempt, now))
	t.Row("last full compare:", ui.Age(r.LastCompare, now))
	t.Row("last verified equal:", ui.Age(r.LastVerified, now))
	t.Row("last verification:", ui.Age(r.LastCheck, now)+driftWords(r.Drift))
	describeReplica(t, r, now)
	if s := r.LastScan; s != nil {
		t.Row("last scan:", fmt.Sprintf("%s, %s on the primary, %s", ui.Age(s.Ended, now), ui.Plural(s.Listed, "object"), ui.Plural(s.Changes, "change")))
	}
	if r.RunningOn != "" {
		t.Row("running on:", r.RunningOn)
	}
}

// driftWords counts what a verification found changed on the replica.
func driftWords(d *replication.Drift) string {
	if d == nil {
		return ""
	}
	return fmt.Sprintf("; of %s: %d changed, %d missing, %d extra on the replica; %d repaired", ui.Stamp(d.At), d.Changed, d.Missing, d.Extra, d.Repaired)
}

func orDash(s string) string {
	if s == "" {
		return "-"
	}
	return s
}

func statusWord(t *ui.Grid, s replication.Status) ui.Text {
	switch s {
	case replication.Synced:
		return t.Paint(ui.Green, string(s))
	case replication.Blocked, replication.Held, status.Unreachable, status.Stale:
		return t.Paint(ui.Red, string(s))
	case replication.Stopped:
		return t.Paint(ui.Faint, string(s))
	}
	return t.Paint(ui.Yellow, string(s))
}

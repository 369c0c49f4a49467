package main

import (
	"cmp"
	"context"
	"fmt"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"chefsync/cli/internal/app"
	"chefsync/cli/internal/exit"
	"chefsync/cli/internal/ui"
	"chefsync/pkg/cloud"
	"chefsync/pkg/feed/journal"
	"chefsync/pkg/replication"
)

// statusRow is what sync-status tells of a pair.
type statusRow struct {
	Pair         replication.PairID   `json:"pair"`
	Source       string               `json:"source"`
	Organization string               `json:"organization"`
	Replica      string               `json:"replica"`
	Status       replication.Status   `json:"status"`
	Since        time.Time            `json:"since,omitzero"`
	Note         string               `json:"note,omitempty"`
	Hint         string               `json:"hint,omitempty"`
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
	Hold         *replication.Hold    `json:"hold,omitempty"`
	LastError    *replication.Failure `json:"last_error,omitempty"`
	LastScan     *journal.LastScan    `json:"last_scan,omitempty"` // of the source, for a pair that reads the journal

	PrimaryUnreachableSince time.Time `json:"primary_unreachable_since,omitzero"`
	ReplicaUnreachableSince time.Time `json:"replica_unreachable_since,omitzero"`
}

// overdueAfter is how long after its time a run counts as overdue on one machine.
const overdueAfter = 2 * time.Minute

// neverRun is the note on a pair before its first pass.
const neverRun = "never run"

func newSyncStatusCmd(g *globals) *cobra.Command {
	var watch ui.Duration
	var exitCode, serversOnly bool
	cmd := &cobra.Command{
		Use:     "sync-status [PAIR...]",
		Short:   "Show how the pairs do",
		GroupID: groupLook,
		Long: `Show how the pairs do.

  bootstrapping  the first full compare is under way
  synced         all known changes were applied at LAST SUCCESS
  syncing        a pass is at work, or left work behind
  retrying       something fails; it is tried again by itself
  unreachable    the primary or the replica doesn't answer, or refuses every request
  blocked        needs a person; tried again slowly
  held           deletions wait for approval; everything else is replicated
  stopped        sync-stop

LAG is the time since the last pass that had applied everything known. FEED is where
changes come from: updated_since, the journal that scans and pushes fill, or none:
everything is compared now and then. Why is said when one pair is named.

SERVERS are checked once a minute by run, and by the manager of a stack in its turn.
One that wasn't checked recently is unknown. --servers shows them alone.`,
		Example: `  chef-sync-ctl sync-status
  chef-sync-ctl sync-status eu/engineering --watch
  chef-sync-ctl sync-status -o json | jq '.[] | select(.unsynced > 0)'`,
		ValidArgsFunction: g.completePairs,
	}
	cmd.Flags().Var(&watch, "watch", "show it again and again, every 2s or as given")
	cmd.Flags().Lookup("watch").NoOptDefVal = "2s"
	cmd.Flags().BoolVar(&serversOnly, "servers", false, "show the Chef Servers alone")
	cmd.Flags().BoolVar(&exitCode, "exit-code", false, "end with 3, 5, 7 or 9 for pairs with unsynced objects, failing, held or blocked")
	cmd.RunE = g.withPairs(func(ctx context.Context, a *app.App, pairs []app.Pair) error {
		for again := false; ; again = true {
			servers, unread := serversStatus(ctx, a, pairs, g.now())
			rows, failed := statusOf(ctx, a, pairs, servers, g.now())
			failed = cmp.Or(failed, unread)
			if len(rows) == 0 && failed != nil {
				return failed
			}
			if watch > 0 && g.outTTY && !g.output().Machine() {
				fmt.Fprint(g.out, "\x1b[H\x1b[2J")
			}
			if again && g.format == ui.YAML {
				fmt.Fprintln(g.out, "---") // or all times would be one list
			}
			works, err := daemonOf(ctx, a, g.now())
			failed = exit.Join(failed, err)
			if err := emitStatus(g, rows, servers, serversOnly, works); err != nil {
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
	rows := []statusRow{}
	for _, p := range pairs {
		st, there := known[p.ID]
		if !there {
			continue
		}
		patience := overdueAfter
		if a.Stack != nil {
			patience += cloud.NoteEvery
		}
		if a.Abandoned(st.Lease) {
			st.Lease = replication.Lease{Fence: st.Lease.Fence}
		}
		row := makeStatus(p, st, now, patience)
		if row.Feed == journal.Name {
			last, err := a.LastScan(ctx, p.SourceOrg)
			failed = exit.Join(failed, ofPair(p.ID, err))
			row.scanned(last, max(scanLate*a.Journal.ScanEvery, patience), now)
		}
		row.reach(servers)
		if a.Stack != nil {
			row.onStack()
		}
		rows = append(rows, row)
	}
	return rows, failed
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
	failed := eachPair(ctx, pairs, func(p app.Pair) error {
		if _, there := known[p.ID]; there {
			return nil
		}
		st, err := state.Pair(ctx, p.ID)
		if err == nil {
			known[p.ID] = st
		}
		return ofPair(p.ID, err)
	})
	return known, failed
}

// makeStatus says how a pair does. Patience is how long after its time a run counts
// as overdue.
func makeStatus(p app.Pair, st replication.PairState, now time.Time, patience time.Duration) statusRow {
	g := st.Progress
	row := statusRow{
		Pair: p.ID, Source: p.SourceOrg, Organization: p.ID.Org, Replica: p.ID.Replica, Status: st.Status(), Since: g.Since,
		LastSuccess: g.LastSuccess, LastAttempt: g.LastAttempt, LastCompare: g.LastCompare, LastVerified: g.LastVerified, NextRun: g.NextTry(now, max(p.Interval, p.CompareEvery)),
		Objects: g.Objects, Pending: g.Pending, Unsynced: g.Unsynced, Failures: g.Failures,
		Feed: g.Feed, FeedNote: g.FeedNote, LastCheck: g.LastCheck, Drift: g.Drift, Hold: g.Hold, LastError: g.LastError,
	}
	if g.Position != nil {
		row.Position = g.Position.Seq
	}
	if !g.LastSuccess.IsZero() {
		row.LagSeconds = ptr(int64(now.Sub(g.LastSuccess) / time.Second))
	}
	running := st.Lease.HeldAt(now)
	if running {
		row.RunningOn = st.Lease.Owner
	}
	row.explain(st, running, now, patience)
	return row
}

// explain says in a sentence what the status word leaves open.
func (r *statusRow) explain(st replication.PairState, running bool, now time.Time, patience time.Duration) {
	id := r.Pair.String()
	switch {
	case r.Status == replication.Stopped:
		r.Since, r.NextRun = st.Desired.Since, time.Time{}
		r.Note, r.Hint = "stopped by the operator", "chef-sync-ctl sync-start "+id
		if st.Desired.Reason != "" {
			r.Note += ": " + st.Desired.Reason
		}
		if st.Desired.Moved != "" {
			r.Note, r.Hint = "moved to "+st.Desired.Moved, "start it there, or: chef-sync-ctl sync-start "+id+" --force"
		}
	case r.Hold != nil:
		r.Note, r.Hint = r.Hold.Summary(), r.Hold.Hint(r.Pair)
	case r.LastAttempt.IsZero() && !running:
		r.Note, r.Hint = neverRun, "chef-sync-ctl run"
	case r.overdue(running, now, patience):
		r.Overdue = true
		r.Note, r.Hint = "no pass since "+ui.Span(now.Sub(r.LastAttempt)), "see that chef-sync-ctl run is at work"
	case r.LastError != nil:
		r.Note, r.Hint = r.LastError.Message, r.LastError.Hint
	case r.Unsynced > 0:
		r.Note, r.Hint = ui.Plural(r.Unsynced, "unsynced object"), "chef-sync-ctl unsynced-objects "+id
	case r.Drift != nil && r.Drift.Left() > 0:
		r.Note = ui.Plural(r.Drift.Left(), "object") + " changed on the replica, as found at " + ui.Stamp(r.Drift.At)
		r.Hint = fmt.Sprintf("chef-sync-ctl verify %s, then: chef-sync-ctl verify %s --repair", id, id)
	}
}

// onStack says what to try where schedules do the work.
func (r *statusRow) onStack() {
	switch {
	case r.Overdue, r.Hint == seeScans:
		r.Hint = "chef-sync-ctl doctor, then: chef-sync-ctl manager-log"
	case r.Note == neverRun:
		r.Hint = "wait for its schedule, or: chef-sync-ctl run --once " + r.Pair.String()
	}
}

func (r *statusRow) overdue(running bool, now time.Time, patience time.Duration) bool {
	return !running && !r.NextRun.IsZero() && now.Sub(r.NextRun) > patience
}

func statusExit(rows []statusRow, asked bool) error {
	code := exit.OK
	for _, r := range rows {
		switch {
		case !asked:
		case r.Status == replication.Blocked:
			return exit.Silent(exit.Denied)
		case r.Hold != nil:
			code = exit.Held
		case r.Unsynced > 0 && code == exit.OK:
			code = exit.Partial
		case (r.Overdue || r.Status == unreachable || r.Status == replication.Retrying) && code != exit.Held:
			code = exit.Temporary
		}
	}
	return exit.Silent(code)
}

func emitStatus(g *globals, rows []statusRow, servers []serverRow, serversOnly bool, works daemonStatus) error {
	if serversOnly {
		return g.output().Emit(servers, func(t *ui.Grid) { showServers(t, servers, g.now()) })
	}
	return g.output().Emit(rows, func(t *ui.Grid) {
		now := g.now()
		works.lines(t, now)
		showServers(t, servers, now)
		t.Line("")
		t.Head("ORGANIZATION", "REPLICA", "STATUS", "LAST SUCCESS", "NEXT RUN", "PENDING", "UNSYNCED", "LAG", "FEED")
		for _, r := range rows {
			t.Row(r.Organization, r.Replica, statusWord(t, r.Status), ui.Stamp(r.LastSuccess), works.next(r, now),
				strconv.Itoa(r.Pending), strconv.Itoa(r.Unsynced), r.lag(), orDash(r.Feed))
		}
		for _, r := range rows {
			note, hint := works.note(r)
			if note != "" {
				t.Line("%s: %s", r.Pair, note)
			}
			if hint != "" {
				t.Line("  Try: %s", hint)
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
	case r.NextRun.Before(now):
		return "due"
	}
	return ui.Age(r.NextRun, now)
}

func (r *statusRow) lag() string {
	if r.LagSeconds == nil {
		return "-"
	}
	return ui.Span(time.Duration(*r.LagSeconds) * time.Second)
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
	if s := r.LastScan; s != nil {
		t.Row("last scan:", fmt.Sprintf("%s, %s on the primary, %s", ui.Age(s.Ended, now), ui.Plural(s.Listed, "object"), ui.Plural(s.Changes, "change")))
	}
	if r.RunningOn != "" {
		t.Row("at work:", r.RunningOn)
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
	case replication.Blocked, replication.Held, unreachable:
		return t.Paint(ui.Red, string(s))
	case replication.Stopped:
		return t.Paint(ui.Faint, string(s))
	}
	return t.Paint(ui.Yellow, string(s))
}

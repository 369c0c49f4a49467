package pairstatus

import (
	"fmt"
	"strconv"
	"time"

	"chefsync/cli/internal/cmdline"
	"chefsync/cli/internal/ui"
	"chefsync/pkg/cloud"
	"chefsync/pkg/replication"
	"chefsync/pkg/status"
)

// Show prints the status of pairs, or with serversOnly that of servers.
func Show(env *cmdline.Env, rows []PairRow, servers []ServerRow, serversOnly bool, processes Processes) error {
	if serversOnly {
		return env.Output().Emit(servers, func(t *ui.Grid) { showServers(t, servers, env.Now()) })
	}
	return env.Output().Emit(rows, func(t *ui.Grid) {
		now := env.Now()
		processes.print(t, now)
		showServers(t, servers, now)
		t.Line("")
		t.Head("ORGANIZATION", "REPLICA", "STATUS", "LAST SUCCESS", "NEXT RUN", "PENDING", "UNSYNCED", "LAG", "FEED")
		for _, r := range rows {
			t.Row(r.Organization, r.Replica, StatusText(t, r.Status), ui.Stamp(r.LastSuccess), processes.nextRunText(r, now),
				strconv.Itoa(r.Pending), strconv.Itoa(r.Unsynced), r.lagText(), ui.OrDash(r.Feed))
		}
		for _, r := range rows {
			for _, why := range processes.shownReasons(r) {
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
			describePair(t, rows[0], now)
		}
	})
}

func (r *PairRow) nextRunText(now time.Time) string {
	switch {
	case r.RunningOn != "":
		return "now"
	case r.NextRun.IsZero():
		return "-"
	case r.Overdue:
		return "overdue"
	case r.NextRun.Before(now) && r.pollInterval > 0: // recorded now and then only
		return "within " + ui.Span(r.pollInterval)
	case r.NextRun.Before(now):
		return "due"
	}
	return ui.Age(r.NextRun, now)
}

func (r *PairRow) lagText() string {
	if r.LagSeconds == nil {
		return "-"
	}
	lag := time.Duration(*r.LagSeconds) * time.Second
	if len(r.Reasons) == 0 && lag < r.recordValidFor {
		return "<" + ui.Span(r.recordValidFor)
	}
	return ui.Span(lag)
}

// describePair adds what is shown only where one pair is asked for.
func describePair(t *ui.Grid, r PairRow, now time.Time) {
	t.Line("")
	t.Row("source:", r.Source)
	t.Row("status since:", ui.Stamp(r.Since))
	t.Row("objects:", strconv.Itoa(r.Objects))
	t.Row("position:", strconv.FormatInt(r.Position, 10))
	t.Row("feed:", ui.OrDash(r.Feed)+ui.Prefixed(", ", r.FeedNote))
	t.Row("last attempt:", ui.Age(r.LastAttempt, now))
	t.Row("last full compare:", ui.Age(r.LastCompare, now))
	t.Row("last verified equal:", ui.Age(r.LastVerified, now))
	t.Row("last verification:", ui.Age(r.LastCheck, now)+driftWords(r.Drift))
	describeReplica(t, r, now)
	if s := r.LastScan; s != nil {
		t.Row("last scan:", fmt.Sprintf("%s, %s on the primary, %s", ui.Age(s.Ended, now), ui.Plural(s.Listed, "object"),
			ui.Plural(s.Changes, "change")))
	}
	if r.RunningOn != "" {
		t.Row("running on:", r.RunningOn)
	}
}

// driftWords returns the counts of differences made on the replica.
func driftWords(d *replication.Drift) string {
	if d == nil {
		return ""
	}
	return fmt.Sprintf("; of %s: %d changed, %d missing, %d extra on the replica; %d repaired", ui.Stamp(d.At), d.Changed, d.Missing,
		d.Extra, d.Repaired)
}

// StatusText returns a status in its color.
func StatusText(t *ui.Grid, s replication.Status) ui.Text {
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

// describeReplica adds what is known about the replica of one pair.
func describeReplica(t *ui.Grid, r PairRow, now time.Time) {
	if v := r.Verifying; v != nil {
		t.Row("verifying:", fmt.Sprintf("begun %s by %s, last sign of life %s", ui.Age(v.Started, now), v.Owner, ui.Age(v.Seen, now)))
	}
	if f := r.Files; f != nil {
		words := "all checked, begun " + ui.Age(f.Started, now)
		if f.After != "" {
			words = "being checked, begun " + ui.Age(f.Started, now) + ", as far as " + f.After
		}
		t.Row("files:", words+"; "+ui.Plural(f.Left(), "damaged file"))
	}
}

// print adds the lines above the table: which processes run passes.
func (d *Processes) print(t *ui.Grid, now time.Time) {
	if d.OnStack {
		d.printManager(t, now)
	}
	for _, p := range d.Running {
		t.Line("daemon: running on %s since %s, %s", p.Host, FormatStart(p.Started, now), ui.Plural(p.Pairs, "pair"))
	}
	switch {
	case d.DoPasses():
	case d.last == nil:
		t.Line("daemon: %s, never seen", t.Paint(ui.Yellow, "not running"))
	case !d.last.Stopped.IsZero():
		t.Line("daemon: %s, stopped %s on %s", t.Paint(ui.Yellow, "not running"), ui.Age(d.last.Stopped, now), d.last.Host)
	default:
		t.Line("daemon: %s, last seen %s on %s", t.Paint(ui.Red, "NOT RUNNING"), ui.Age(d.last.Seen, now), d.last.Host)
	}
	if !d.DoPasses() {
		t.Line("  Try: chef-sync-ctl run")
	}
	if !d.ConfigChanged.IsZero() {
		t.Line("%s changed %s; reload it with SIGHUP or restart the daemon", d.ConfigFile, ui.Age(d.ConfigChanged, now))
	}
}

func (d *Processes) printManager(t *ui.Grid, now time.Time) {
	switch {
	case d.Manager == nil:
		t.Line("manager: no turn seen yet")
	case now.Sub(d.Manager.Seen) > 3*cloud.ManagerEvery:
		t.Line("manager: %s, last turn %s", t.Paint(ui.Red, "NOT RUNNING"), ui.Age(d.Manager.Seen, now))
		t.Line("  Try: chef-sync-ctl doctor, then: chef-sync-ctl manager-log")
	default:
		t.Line("manager: last turn %s", ui.Age(d.Manager.Seen, now))
	}
}

// FormatStart returns when a process began, with the day of the week for the last six days.
func FormatStart(t, now time.Time) string {
	form := "Mon 15:04 UTC"
	if now.Sub(t) > 6*24*time.Hour {
		form = "2006-01-02 15:04 UTC"
	}
	return t.UTC().Format(form)
}

// shownReasons returns the reasons of a pair without what the lines above the table say of
// all pairs.
func (d *Processes) shownReasons(r PairRow) []status.Reason {
	if d.OnStack {
		return r.Reasons
	}
	var shown []status.Reason
	for _, why := range r.Reasons {
		switch {
		case why.Cause == status.CauseNoPass && len(d.Running) == 0:
			continue
		case why.Cause != status.CauseNeverRun:
		case len(d.Running) == 0:
			why.Hint = ""
		case !d.ConfigChanged.IsZero() && d.Running[0].Pairs < d.pairs:
			why.Text, why.Hint = "never run; added after the daemon started", ""
		default:
			why.Text, why.Hint = "waiting for its first pass", ""
		}
		shown = append(shown, why)
	}
	return shown
}

// nextRunText returns when the next pass of a pair begins: never while no daemon runs.
func (d *Processes) nextRunText(r PairRow, now time.Time) string {
	if !d.DoPasses() && r.RunningOn == "" {
		return "-"
	}
	return r.nextRunText(now)
}

// showServers adds a table of servers, and why those that are down are.
func showServers(t *ui.Grid, rows []ServerRow, now time.Time) {
	t.Head("SERVER", "URL", "STATUS", "SINCE", "LAST ANSWER", "LATENCY", "PAIRS")
	for _, r := range rows {
		color, latency, since := ui.Yellow, "-", "-"
		switch r.Status {
		case serverUp:
			color = ui.Green
		case serverUnreachable:
			color, since = ui.Red, ui.Age(r.UnreachableSince, now)
		}
		if r.LatencyMS != nil {
			latency = strconv.FormatInt(*r.LatencyMS, 10) + " ms"
		}
		t.Row(r.Name, r.URL, t.Paint(color, r.Status), since, ui.Age(r.LastAnswer, now), latency, strconv.Itoa(r.Pairs))
	}
	for _, r := range rows {
		if r.Status == serverUnreachable {
			t.Line("%s: %s", r.Name, r.Error)
			if r.Hint != "" {
				t.Line("  Try: %s", r.Hint)
			}
		}
	}
}

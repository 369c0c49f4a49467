package pairstatus

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"chefsync/cli/internal/ui"
	"chefsync/pkg/cloud"
	"chefsync/pkg/replication"
	"chefsync/pkg/status"
)

// describePair adds what is shown only where one pair is asked for.
func describePair(t *ui.Grid, r PairRow, now time.Time) {
	t.Row("source:", r.Source)
	t.Row("status since:", ui.Age(r.Since, now))
	t.Row("objects:", strconv.Itoa(r.Objects))
	t.Row("position:", strconv.FormatInt(r.Position, 10))
	t.Row("feed:", ui.OrDash(r.Feed)+ui.Prefixed(", ", r.FeedNote))
	t.Row("last success:", ui.Age(r.LastSuccess, now))
	t.Row("last attempt:", ui.Age(r.LastAttempt, now))
	t.Row("last full comparison:", ui.Age(r.LastCompare, now))
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

// describeReplica adds what is known about the replica of one pair.
func describeReplica(t *ui.Grid, r PairRow, now time.Time) {
	if v := r.Verifying; v != nil {
		t.Row("verifying:", fmt.Sprintf("started %s by %s, last heartbeat %s", ui.Age(v.Started, now), v.Owner, ui.Age(v.Seen, now)))
	}
	if f := r.Files; f != nil {
		words := "all checked, started " + ui.Age(f.Started, now)
		if f.After != "" {
			words = "being checked, started " + ui.Age(f.Started, now) + ", as far as " + f.After
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
		t.Line("manager: no run seen yet")
	case now.Sub(d.Manager.Seen) > 3*cloud.ManagerEvery:
		t.Line("manager: %s, last run %s", t.Paint(ui.Red, "NOT RUNNING"), ui.Age(d.Manager.Seen, now))
		t.Line("  Try: chef-sync-ctl doctor, then: chef-sync-ctl manager-log")
	default:
		t.Line("manager: last run %s", ui.Age(d.Manager.Seen, now))
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
	var shown []status.Reason
	for _, why := range r.Reasons {
		switch {
		case why.Cause == status.CauseServerDown: // the table of servers says it
			continue
		case why.Cause == status.CauseNoPass && !d.DoPasses():
			continue
		case why.Cause != status.CauseNeverRun || d.OnStack:
		case len(d.Running) > 0 && !d.ConfigChanged.IsZero() && d.Running[0].Pairs < d.pairs:
			why.Text, why.Hint = "never run; added after the daemon started", ""
		case len(d.Running) == 1 && d.Running[0].Pairs < d.pairs: // it runs those that its command line names
			why.Text = fmt.Sprintf("never run; the daemon runs %d of %s", d.Running[0].Pairs, ui.Plural(d.pairs, "pair"))
			why.Hint = "chef-sync-ctl run " + r.Pair.String()
		default: // the status says it
			continue
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

// fewServers is the number of servers up to which all are shown with the pairs.
const fewServers = 3

// showTroubledServers adds a table of servers: of many only those that are unreachable,
// and how many the others are.
func showTroubledServers(t *ui.Grid, rows []ServerRow, now time.Time) {
	if len(rows) <= fewServers {
		showServers(t, rows, now)
		return
	}
	counts := map[string]int{}
	var down []ServerRow
	for _, r := range rows {
		counts[r.Status]++
		if r.Status == ServerUnreachable {
			down = append(down, r)
		}
	}
	var parts []string
	for _, s := range []string{ServerUnreachable, ServerUnknown, ServerUp} {
		if counts[s] > 0 {
			parts = append(parts, string(t.Paint(serverColor(s), fmt.Sprintf("%d %s", counts[s], s))))
		}
	}
	t.Line("servers: %s", ui.Text(strings.Join(parts, ", ")))
	if len(down) > 0 {
		showServers(t, down, now)
	}
}

func serverColor(status string) ui.Color {
	switch status {
	case ServerUp:
		return ui.Green
	case ServerUnreachable:
		return ui.Red
	}
	return ui.Yellow
}

// showServers adds a table of servers, and why those that are down are.
func showServers(t *ui.Grid, rows []ServerRow, now time.Time) {
	t.Columns(ui.Column{Name: "SERVER"}, ui.Column{Name: "URL", Drop: 4}, ui.Column{Name: "STATUS"}, ui.Column{Name: "SINCE", Drop: 1},
		ui.Column{Name: "LAST ANSWER", Drop: 2}, ui.Column{Name: "LATENCY", Drop: 3}, ui.Column{Name: "PAIRS", Drop: 1})
	for _, r := range rows {
		latency, since := "-", "-"
		if r.Status == ServerUnreachable {
			since = ui.Age(r.UnreachableSince, now)
		}
		if r.LatencyMS != nil {
			latency = strconv.FormatInt(*r.LatencyMS, 10) + " ms"
		}
		t.Row(r.Name, r.URL, t.Paint(serverColor(r.Status), r.Status), since, ui.Age(r.LastAnswer, now), latency, strconv.Itoa(r.Pairs))
	}
	for _, r := range rows {
		if r.Status == ServerUnreachable {
			t.Line("%s: %s", r.Name, r.Error)
			if r.Hint != "" {
				t.Line("  Try: %s", r.Hint)
			}
		}
	}
}

package cli

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"chefsync/cli/internal/app"
	"chefsync/cli/internal/daemon"
	"chefsync/cli/internal/ui"
	"chefsync/pkg/assembly"
	"chefsync/pkg/cloud"
	"chefsync/pkg/health"
	"chefsync/pkg/status"
)

// silentAfter is how long after its last sign of life a daemon counts as not running:
// three heartbeats.
const silentAfter = 3 * daemon.BeatEvery

// daemonStatus is what is known of the processes that do the passes.
type daemonStatus struct {
	running []health.Process
	last    *health.Process // the one seen last, if none runs
	stack   bool
	manager *health.Process // of a stack
	changed time.Time       // when the configuration file changed that a daemon runs an older version of
	file    string
	pairs   int // of the configuration
}

// daemonOf reads which processes run.
func daemonOf(ctx context.Context, a *app.App, now time.Time) (daemonStatus, error) {
	d := daemonStatus{stack: a.Stack != nil, pairs: len(a.Pairs())}
	store, err := a.Health(ctx)
	if err != nil {
		return d, err
	}
	all, err := store.Processes(ctx)
	if err != nil {
		return d, err
	}
	died := assembly.OwnerDied
	if d.stack {
		died = func(string) bool { return false } // it may be of another machine
	}
	for _, p := range all {
		d.add(p, now, died)
	}
	if !d.stack {
		d.compare(a.File)
	}
	return d, nil
}

// add takes up one process. The newest come first.
func (d *daemonStatus) add(p health.Process, now time.Time, died func(owner string) bool) {
	ago := now.Sub(p.Seen)
	switch {
	case p.Role == health.RoleManager && d.manager == nil:
		d.manager = &p
	case p.Role != health.RoleDaemon:
	case p.Stopped.IsZero() && ago.Abs() <= silentAfter && !died(p.Owner):
		d.running = append(d.running, p)
	case d.last == nil && ago >= -silentAfter: // else it is of a clock that was ahead
		d.last = &p
	}
}

// compare looks whether the configuration file is newer than what a daemon runs.
func (d *daemonStatus) compare(file string) {
	path, err := filepath.Abs(file)
	if err != nil {
		return
	}
	info, err := os.Stat(path)
	if err != nil {
		return
	}
	d.file = filepath.Base(path)
	for _, p := range d.running {
		if p.Config == path && info.ModTime().After(p.ConfigModified) {
			d.changed = info.ModTime()
		}
	}
}

// works reports whether anything does the passes: a daemon, or the schedules of a
// stack.
func (d *daemonStatus) works() bool { return d.stack || len(d.running) > 0 }

// lines says who does the passes, above the table.
func (d *daemonStatus) lines(t *ui.Grid, now time.Time) {
	if d.stack {
		d.managerLine(t, now)
	}
	for _, p := range d.running {
		t.Line("daemon: running on %s since %s, %s", p.Host, since(p.Started, now), ui.Plural(p.Pairs, "pair"))
	}
	switch {
	case d.works():
	case d.last == nil:
		t.Line("daemon: %s, never seen", t.Paint(ui.Yellow, "not running"))
	case !d.last.Stopped.IsZero():
		t.Line("daemon: %s, stopped %s on %s", t.Paint(ui.Yellow, "not running"), ui.Age(d.last.Stopped, now), d.last.Host)
	default:
		t.Line("daemon: %s, last seen %s on %s", t.Paint(ui.Red, "NOT RUNNING"), ui.Age(d.last.Seen, now), d.last.Host)
	}
	if !d.works() {
		t.Line("  Try: chef-sync-ctl run")
	}
	if !d.changed.IsZero() {
		t.Line("%s changed %s; reload it with SIGHUP or restart the daemon", d.file, ui.Age(d.changed, now))
	}
}

func (d *daemonStatus) managerLine(t *ui.Grid, now time.Time) {
	switch {
	case d.manager == nil:
		t.Line("manager: no turn seen yet")
	case now.Sub(d.manager.Seen) > 3*cloud.ManagerEvery:
		t.Line("manager: %s, last turn %s", t.Paint(ui.Red, "NOT RUNNING"), ui.Age(d.manager.Seen, now))
		t.Line("  Try: chef-sync-ctl doctor, then: chef-sync-ctl manager-log")
	default:
		t.Line("manager: last turn %s", ui.Age(d.manager.Seen, now))
	}
}

// since writes when a process began: the day of the week for the last six days.
func since(t, now time.Time) string {
	form := "Mon 15:04 UTC"
	if now.Sub(t) > 6*24*time.Hour {
		form = "2006-01-02 15:04 UTC"
	}
	return t.UTC().Format(form)
}

// reasons are those of a pair, for people. What the lines above the table say for all
// pairs isn't repeated for each.
func (d *daemonStatus) reasons(r statusRow) []status.Reason {
	if d.stack {
		return r.Reasons
	}
	var shown []status.Reason
	for _, why := range r.Reasons {
		switch {
		case why.Cause == status.CauseNoPass && len(d.running) == 0:
			continue
		case why.Cause != status.CauseNeverRun:
		case len(d.running) == 0:
			why.Hint = ""
		case !d.changed.IsZero() && d.running[0].Pairs < d.pairs:
			why.Text, why.Hint = "never run; added after the daemon started", ""
		default:
			why.Text, why.Hint = "waiting for its first pass", ""
		}
		shown = append(shown, why)
	}
	return shown
}

// next is when the next pass of a pair begins: never while no daemon runs.
func (d *daemonStatus) next(r statusRow, now time.Time) string {
	if !d.works() && r.RunningOn == "" {
		return "-"
	}
	return r.next(now)
}

// problem is why nothing does the passes, or "".
func (d *daemonStatus) problem(now time.Time) string {
	switch {
	case d.stack && d.manager != nil && now.Sub(d.manager.Seen) > 3*cloud.ManagerEvery:
		return fmt.Sprintf("the manager is not running, last turn %s", ui.Age(d.manager.Seen, now))
	case d.works() || d.last == nil:
		return ""
	case !d.last.Stopped.IsZero():
		return fmt.Sprintf("not running, stopped %s on %s", ui.Age(d.last.Stopped, now), d.last.Host)
	}
	return fmt.Sprintf("not running, last seen %s on %s", ui.Age(d.last.Seen, now), d.last.Host)
}

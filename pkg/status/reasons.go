package status

import (
	"fmt"
	"strings"
	"time"

	"chefsync/pkg/fault"
	"chefsync/pkg/object"
	"chefsync/pkg/replication"
)

// addStopped adds the reason that the operator stopped the pair.
func (d *evaluation) addStopped() {
	text := "stopped by the operator"
	switch why := d.State.Desired.Reason; why {
	case "":
	case replication.ReasonImported:
		text = "imported, and not started since"
	default:
		text += ": " + why
	}
	hint := "chef-sync-ctl sync-start " + d.id
	if to := d.State.Desired.Moved; to != "" {
		text, hint = "moved to "+to, "start it there, or: "+hint+" --force"
	}
	d.addReason(CauseStopped, replication.Stopped, d.State.Desired.Since, text, hint)
}

// addPasses adds the reasons that passes fail or are missing.
func (d *evaluation) addPasses() {
	g := d.State.Progress
	if e := g.LastError; e != nil && !(e.Class == fault.Unreachable && len(d.Down) > 0) {
		s := classStatus(e.Class)
		if g.Status == replication.Blocked {
			s = replication.Blocked
		}
		d.addReason(CausePassFailed, s, e.At, e.Message, e.Hint)
		d.setClass(e.Class)
	}
	l := d.State.Lease
	switch {
	case d.running:
	case d.isAhead(g.LastAttempt):
		d.addAhead(CauseNoPass, "the last pass", g.LastAttempt)
	case g.LastAttempt.IsZero() && g.Work != nil && d.isLate(l.Expires): // the first pass was killed
		d.addReason(CauseNoPass, Stale, l.Expires, "the first pass was interrupted "+FormatAge(d.Now.Sub(l.Expires))+" ago"+
			d.notRunningHint(), d.startHint())
	case g.LastAttempt.IsZero() && g.Work == nil && g.Status == "":
		hint := d.startHint()
		if d.Stack || d.Daemon {
			hint = "wait a minute, or: chef-sync-ctl run --once " + d.id
		}
		d.addReason(CauseNeverRun, replication.Bootstrapping, time.Time{}, "never run", hint)
	case d.isOverdue():
		d.addReason(CauseNoPass, Stale, g.LastAttempt, "last pass "+FormatAge(d.Now.Sub(g.LastAttempt))+" ago"+d.notRunningHint(), d.startHint())
	}
}

// isOverdue reports whether no pass has ended since one was due, and that is late.
func (d *evaluation) isOverdue() bool {
	return d.isLate(d.State.Progress.NextTry(d.Now, max(d.Pair.Interval, d.Pair.CompareEvery)))
}

// isLate reports whether something that was due at a time is late.
func (d *evaluation) isLate(due time.Time) bool {
	return !due.IsZero() && d.Now.Sub(due) > d.Tolerance.Pass
}

// maxSkew is how far the clocks of two machines may be apart, as the engine and Chef Servers
// allow.
const maxSkew = 15 * time.Minute

// isAhead reports whether a recorded time lies in the future. When that was isn't known, and
// what would be late by a right clock isn't noticed.
func (d *evaluation) isAhead(t time.Time) bool { return t.Sub(d.Now) > maxSkew }

// addAhead adds the reason that nothing is known of when something was done last.
func (d *evaluation) addAhead(c Cause, what string, at time.Time) {
	d.addReason(c, Stale, time.Time{}, what+" is recorded "+FormatAge(at.Sub(d.Now))+" in the future: a clock is or was wrong",
		"set the clock of this machine and of the one that runs passes; the next pass or scan records the time again")
}

func (d *evaluation) notRunningHint() string {
	switch {
	case d.Stack:
		return "; are its functions running?"
	case d.Daemon:
		return " although the daemon is running"
	}
	return "; is the daemon running?"
}

func (d *evaluation) startHint() string {
	if d.Stack || d.Daemon {
		return "chef-sync-ctl doctor, then: chef-sync-ctl manager-log"
	}
	return "chef-sync-ctl run"
}

// addServers adds a reason for each server that doesn't answer.
func (d *evaluation) addServers() {
	for _, s := range d.Down {
		d.addReason(CauseServerDown, Unreachable, s.DownSince,
			fmt.Sprintf("server %s is unreachable since %s: %s", s.Name, formatTime(s.DownSince), s.Error), s.Hint)
	}
}

// addScans adds the reasons that scans fail, are missing or incomplete.
func (d *evaluation) addScans() {
	if d.Scan == nil {
		return
	}
	s := *d.Scan
	tolerance := d.Tolerance.Scan
	if s.Failures == 0 && s.Good.Before(s.Ended) {
		tolerance += 2 * s.Ended.Sub(s.Good) // the next one may take as long
	}
	failing := func(since time.Time) replication.Status {
		if d.Now.Sub(since) > d.Tolerance.Scan {
			return Stale
		}
		return replication.Retrying
	}
	switch {
	case s.Ended.IsZero():
		d.addReason(CauseNoScan, Stale, time.Time{}, "no scan of the primary is recorded", d.scanHint())
	case s.Failures > 0:
		since, text := s.Good, "the primary can't be scanned for changes: "
		if since.IsZero() {
			since = s.FailingSince
		} else {
			text = fmt.Sprintf("the primary can't be scanned for changes since %s: ", formatTime(since))
		}
		status := classStatus(s.Class)
		if status == replication.Retrying {
			status = failing(since)
		}
		if s.Class != fault.Unreachable || len(d.Down) == 0 {
			d.addReason(CauseScanFailed, status, since, text+s.Error, s.Hint)
			d.setClass(s.Class)
		}
	}
	if s.Failures > 0 {
		tolerance += scanBackoff
	}
	switch {
	case d.isAhead(s.Ended):
		d.addAhead(CauseNoScan, "the last scan of the primary", s.Ended)
	case !s.Ended.IsZero() && d.Now.Sub(s.Ended) > tolerance:
		d.addReason(CauseNoScan, Stale, s.Ended, "the primary was last scanned for changes "+FormatAge(d.Now.Sub(s.Ended))+" ago", d.scanHint())
	}
	for _, u := range d.unreadKinds() {
		when := "not read since " + formatTime(u.Since)
		if u.Since.IsZero() {
			when = "never read"
		}
		d.addReason(CauseUnread, failing(u.Since), u.Since, fmt.Sprintf("%s of the primary %s: %s", kindPlural(u.Kind), when, u.Error), u.Hint)
		d.setClass(u.Class)
	}
}

func (d *evaluation) scanHint() string {
	if d.Stack || d.Daemon {
		return d.startHint()
	}
	return "chef-sync-ctl run, or: chef-sync-ctl serve-changes"
}

// addRecords adds the reasons in the records of the pair, also of a stopped one.
func (d *evaluation) addRecords() {
	g := d.State.Progress
	if h := g.Hold; h != nil {
		d.addReason(CauseHeld, replication.Held, h.At, h.Summary(), h.Hint(d.State.ID))
	}
	if g.Unsynced > 0 {
		d.addReason(CauseUnsynced, replication.Retrying, g.UnsyncedSince, formatCount(g.Unsynced, "unsynced object"),
			"chef-sync-ctl unsynced-objects "+d.id)
	}
	if x := g.Drift; x != nil && x.Left() > 0 {
		d.addReason(CauseDrift, Drifted, x.At, formatCount(x.Left(), "object")+" changed on the replica, as found at "+formatTime(x.At),
			fmt.Sprintf("chef-sync-ctl verify %s, then: chef-sync-ctl verify %s --repair", d.id, d.id))
	}
	if n := g.Files.Left(); n > 0 {
		d.addReason(CauseDrift, Drifted, g.Files.Started, formatCount(n, "damaged file")+" on the replica",
			fmt.Sprintf("chef-sync-ctl verify %s --files, then: chef-sync-ctl verify %s --files --repair", d.id, d.id))
	}
}

// addPending adds the work that waits for the next pass.
func (d *evaluation) addPending() {
	want, g := d.State.Desired, d.State.Progress
	add := func(since time.Time, text string) {
		d.addReason(CausePending, replication.Syncing, since, text, "chef-sync-ctl run --once "+d.id)
	}
	if d.State.CompareAsked(d.Now) {
		add(want.ResyncAt, "a full comparison was requested; the next pass does it")
	}
	if n := len(d.State.ObjectsAsked()); n > 0 {
		add(want.ResyncObjectsAt, "a comparison of "+formatCount(n, "object")+" was requested; the next pass does it")
	}
	switch {
	case d.running:
	case len(g.Dirty) > 0:
		add(g.LastCheck, formatCount(g.Pending, "difference")+" of the last verification not applied yet")
	case g.Work != nil && g.LastAttempt.IsZero():
		add(g.Work.Started, "the first pass was interrupted; the next one continues it")
	case g.Work != nil && g.LastError == nil:
		add(g.Work.Started, "work is left for the next pass")
	}
}

// countPending returns how many objects are known to wait for a pass.
func (d *evaluation) countPending() int {
	n := d.State.Progress.Pending + len(d.State.ObjectsAsked())
	if d.State.CompareAsked(d.Now) {
		n = max(n, d.State.Progress.Objects)
	}
	return n
}

// kindPlural returns the name of the objects of a kind.
func kindPlural(k object.Kind) string { return strings.ReplaceAll(k.ConfigName(), "_", " ") }

func formatCount(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}

func formatTime(t time.Time) string { return t.UTC().Format("2006-01-02T15:04:05Z") }

// FormatAge writes a duration with its two largest units: 3d4h, 5m10s, 12s, 0s.
func FormatAge(d time.Duration) string {
	d = d.Round(time.Second)
	units := []struct {
		name string
		size time.Duration
	}{{"d", 24 * time.Hour}, {"h", time.Hour}, {"m", time.Minute}, {"s", time.Second}}
	var b strings.Builder
	for i, u := range units {
		if n := d / u.size; n > 0 {
			fmt.Fprintf(&b, "%d%s", n, u.name)
			d -= n * u.size
			if i+1 < len(units) && d >= units[i+1].size {
				fmt.Fprintf(&b, "%d%s", d/units[i+1].size, units[i+1].name)
			}
			return b.String()
		}
	}
	return "0s"
}

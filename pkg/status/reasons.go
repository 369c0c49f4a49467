package status

import (
	"fmt"
	"strings"
	"time"

	"chefsync/pkg/object"
	"chefsync/pkg/replication"
)

// stopped adds that the operator stopped the pair.
func (d *decision) stopped() {
	text := "stopped by the operator"
	if why := d.State.Desired.Reason; why != "" {
		text += ": " + why
	}
	hint := "chef-sync-ctl sync-start " + d.id
	if to := d.State.Desired.Moved; to != "" {
		text, hint = "moved to "+to, "start it there, or: "+hint+" --force"
	}
	d.add(CauseStopped, replication.Stopped, d.State.Desired.Since, text, hint)
}

// passes adds that passes fail, or that there are none.
func (d *decision) passes() {
	g := d.State.Progress
	if e := g.LastError; e != nil && !(e.Class == replication.Unreachable && len(d.Down) > 0) {
		s := classStatus(e.Class)
		if g.Status == replication.Blocked {
			s = replication.Blocked
		}
		d.add(CausePassFailed, s, e.At, e.Message, e.Hint)
		d.classed(e.Class)
	}
	l := d.State.Lease
	switch {
	case d.running:
	case g.LastAttempt.IsZero() && g.Work != nil && d.late(l.Expires): // it died in its first pass
		d.add(CauseNoPass, Stale, l.Expires, "the first pass was broken off "+ago(d.Now.Sub(l.Expires))+" ago"+d.daemonRuns(), d.startHint())
	case g.LastAttempt.IsZero() && g.Work == nil && g.Status == "":
		hint := "chef-sync-ctl run"
		if d.Stack {
			hint = "wait for its schedule, or: chef-sync-ctl run --once " + d.id
		}
		d.add(CauseNeverRun, replication.Bootstrapping, time.Time{}, "never run", hint)
	case d.late(g.NextTry(d.Now, max(d.Pair.Interval, d.Pair.CompareEvery))):
		d.add(CauseNoPass, Stale, g.LastAttempt, "last pass "+ago(d.Now.Sub(g.LastAttempt))+" ago"+d.daemonRuns(), d.startHint())
	}
}

// late reports whether something that was due at a time is.
func (d *decision) late(due time.Time) bool {
	return !due.IsZero() && d.Now.Sub(due) > d.Patience.Pass
}

func (d *decision) daemonRuns() string {
	if d.Stack {
		return "; are its schedule and function there?"
	}
	return "; is the daemon running?"
}

func (d *decision) startHint() string {
	if d.Stack {
		return "chef-sync-ctl doctor, then: chef-sync-ctl manager-log"
	}
	return "chef-sync-ctl run"
}

// servers adds the servers that don't answer.
func (d *decision) servers() {
	for _, s := range d.Down {
		d.add(CauseServerDown, Unreachable, s.DownSince, fmt.Sprintf("server %s is unreachable since %s: %s", s.Name, stamp(s.DownSince), s.Error), s.Hint)
	}
}

// scans adds that the source is not read, or not all of it.
func (d *decision) scans() {
	if d.Scan == nil {
		return
	}
	s := *d.Scan
	patience := d.Patience.Scan
	if s.Failures == 0 && s.Good.Before(s.Ended) {
		patience += 2 * s.Ended.Sub(s.Good) // the next one may take as long
	}
	failing := func(since time.Time) replication.Status {
		if d.Now.Sub(since) > d.Patience.Scan {
			return Stale
		}
		return replication.Retrying
	}
	switch {
	case s.Ended.IsZero():
		d.add(CauseNoScan, Stale, time.Time{}, "no scan of the primary is recorded", d.scanHint())
	case s.Failures > 0:
		since, text := s.Good, "the primary can't be scanned for changes: "
		if since.IsZero() {
			since = s.FailingSince
		} else {
			text = fmt.Sprintf("the primary can't be scanned for changes since %s: ", stamp(since))
		}
		status := classStatus(s.Class)
		if status == replication.Retrying {
			status = failing(since)
		}
		if s.Class != replication.Unreachable || len(d.Down) == 0 {
			d.add(CauseScanFailed, status, since, text+s.Error, s.Hint)
			d.classed(s.Class)
		}
	}
	if s.Failures > 0 {
		patience += scanBackoff
	}
	if !s.Ended.IsZero() && d.Now.Sub(s.Ended) > patience {
		d.add(CauseNoScan, Stale, s.Ended, "the primary was last scanned for changes "+ago(d.Now.Sub(s.Ended))+" ago", d.scanHint())
	}
	for _, u := range d.unread() {
		when := "not read since " + stamp(u.Since)
		if u.Since.IsZero() {
			when = "never read"
		}
		d.add(CauseUnread, failing(u.Since), u.Since, fmt.Sprintf("%s of the primary %s: %s", plural(u.Kind), when, u.Error), u.Hint)
		d.classed(u.Class)
	}
}

func (d *decision) scanHint() string {
	if d.Stack {
		return d.startHint()
	}
	return "chef-sync-ctl run, or: chef-sync-ctl serve-changes"
}

// records adds what the records of the pair hold: also of a stopped one.
func (d *decision) records() {
	g := d.State.Progress
	if h := g.Hold; h != nil {
		d.add(CauseHeld, replication.Held, h.At, h.Summary(), h.Hint(d.State.ID))
	}
	if g.Unsynced > 0 {
		d.add(CauseUnsynced, replication.Retrying, g.UnsyncedSince, count(g.Unsynced, "unsynced object"), "chef-sync-ctl unsynced-objects "+d.id)
	}
	if x := g.Drift; x != nil && x.Left() > 0 {
		d.add(CauseDrift, Drifted, x.At, count(x.Left(), "object")+" changed on the replica, as found at "+stamp(x.At),
			fmt.Sprintf("chef-sync-ctl verify %s, then: chef-sync-ctl verify %s --repair", d.id, d.id))
	}
	if n := g.Files.Left(); n > 0 {
		d.add(CauseDrift, Drifted, g.Files.Started, count(n, "damaged file")+" on the replica",
			fmt.Sprintf("chef-sync-ctl verify %s --files, then: chef-sync-ctl verify %s --files --repair", d.id, d.id))
	}
}

// pending adds what waits for the next pass.
func (d *decision) pending() {
	want, g := d.State.Desired, d.State.Progress
	add := func(since time.Time, text string) {
		d.add(CausePending, replication.Syncing, since, text, "chef-sync-ctl run --once "+d.id)
	}
	if w := g.Work; d.State.CompareAsked(d.Now) && !(w != nil && w.Full && !want.ResyncAt.After(w.Started)) {
		add(want.ResyncAt, "a full comparison was asked for; the next pass makes it")
	}
	if n := len(d.State.ObjectsAsked()); n > 0 {
		add(want.ResyncObjectsAt, "a comparison of "+count(n, "object")+" was asked for; the next pass makes it")
	}
	switch {
	case d.running:
	case len(g.Dirty) > 0:
		add(g.LastCheck, count(g.Pending, "difference")+" of the last verification not applied yet")
	case g.Work != nil && g.LastAttempt.IsZero():
		add(g.Work.Started, "the first pass was broken off; the next one goes on with it")
	case g.Work != nil && g.LastError == nil:
		add(g.Work.Started, "work is left for the next pass")
	}
}

// waiting is how many objects are known to wait for a pass.
func (d *decision) waiting() int {
	n := d.State.Progress.Pending + len(d.State.ObjectsAsked())
	if d.State.CompareAsked(d.Now) {
		n = max(n, d.State.Progress.Objects)
	}
	return n
}

// plural names the objects of a kind.
func plural(k object.Kind) string { return strings.ReplaceAll(k.ConfigName(), "_", " ") }

func count(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}

func stamp(t time.Time) string { return t.UTC().Format("2006-01-02T15:04:05Z") }

// ago writes a span of time in its two largest units: 3m12s, 2d4h.
func ago(d time.Duration) string {
	d = d.Round(time.Second)
	var b strings.Builder
	shown := 0
	for _, u := range []struct {
		name string
		size time.Duration
	}{{"d", 24 * time.Hour}, {"h", time.Hour}, {"m", time.Minute}, {"s", time.Second}} {
		n := d / u.size
		if n == 0 && shown == 0 {
			continue
		}
		if shown++; n > 0 {
			fmt.Fprintf(&b, "%d%s", n, u.name)
		}
		if d -= n * u.size; shown == 2 {
			break
		}
	}
	if b.Len() == 0 {
		return "0s"
	}
	return b.String()
}

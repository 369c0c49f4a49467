package doctor

import (
	"context"
	"errors"

	"chefsync/cli/internal/pairstatus"
	"chefsync/cli/internal/ui"
)

// checkProcesses looks whether a process runs passes.
func (r Run) checkProcesses(ctx context.Context) []Check {
	l, now := &List{Group: "processes"}, r.Now()
	d, err := pairstatus.ReadProcesses(ctx, r.App, now)
	if err != nil {
		l.Skip("daemon", "the state can't be read")
		return l.Checks
	}
	name, hint := "daemon", "chef-sync-ctl run"
	if d.OnStack {
		name, hint = "manager", "chef-sync-ctl manager-log"
	}
	problem := d.Problem(now)
	switch {
	case problem != "":
		l.Fail(name, hint, errors.New(problem))
	case !d.DoPasses():
		l.Warn(name, hint, "not running, never seen")
	case d.Manager != nil:
		l.OK(name, "last run %s", ui.Age(d.Manager.Seen, now))
	case d.OnStack:
		l.Warn(name, "wait a minute, then: chef-sync-ctl manager-log", "no run seen yet")
	}
	for _, p := range d.Running {
		l.OK("daemon", "running on %s since %s, %s", p.Host, pairstatus.FormatStart(p.Started, now), ui.Plural(p.Pairs, "pair"))
	}
	if !d.ConfigChanged.IsZero() {
		l.Warn("configuration in use", "reload it with SIGHUP, or restart the daemon", "%s changed %s", d.ConfigFile,
			ui.Age(d.ConfigChanged, now))
	}
	return l.Checks
}

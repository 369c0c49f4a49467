package cli

import (
	"context"
	"errors"
	"time"

	"chefsync/cli/internal/app"
	"chefsync/cli/internal/doctor"
	"chefsync/cli/internal/ui"
)

// daemonChecks look whether anything does the passes.
func daemonChecks(ctx context.Context, a *app.App, now time.Time) []doctor.Check {
	l := &doctor.List{Group: "processes"}
	d, err := daemonOf(ctx, a, now)
	if err != nil {
		l.Skip("daemon", "the state can't be read")
		return l.Checks
	}
	name, hint := "daemon", "chef-sync-ctl run"
	if d.stack {
		name, hint = "manager", "chef-sync-ctl manager-log"
	}
	problem := d.problem(now)
	switch {
	case problem != "":
		l.Fail(name, hint, errors.New(problem))
	case !d.works():
		l.Warn(name, hint, "not running, never seen")
	case d.manager != nil:
		l.OK(name, "last turn %s", ui.Age(d.manager.Seen, now))
	case d.stack:
		l.OK(name, "no turn seen yet")
	}
	for _, p := range d.running {
		l.OK("daemon", "running on %s since %s, %s", p.Host, since(p.Started, now), ui.Plural(p.Pairs, "pair"))
	}
	if !d.changed.IsZero() {
		l.Warn("configuration in use", "reload it with SIGHUP, or restart the daemon", "%s changed %s", d.file, ui.Age(d.changed, now))
	}
	return l.Checks
}

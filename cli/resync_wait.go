package cli

import (
	"context"
	"errors"
	"time"

	"chefsync/cli/internal/app"
	"chefsync/cli/internal/exit"
)

// passesRun fails if nothing does the passes that a command is about to wait for.
func passesRun(ctx context.Context, a *app.App, now time.Time) error {
	d, err := daemonOf(ctx, a, now)
	if err != nil || d.works() {
		return err
	}
	return exit.With(exit.Temporary, errors.New("no daemon runs that would do it"), "chef-sync-ctl run, or: chef-sync-ctl run --once")
}

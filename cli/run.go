package cli

import (
	"context"

	"github.com/spf13/cobra"

	"chefsync/cli/internal/app"
	"chefsync/cli/internal/cmdline"
	"chefsync/cli/internal/runner"
)

func newRunCmd(env *cmdline.Env) *cobra.Command {
	opts := runner.Options{Parallel: 4}
	cmd := &cobra.Command{
		Use:     "run [PAIR...]",
		Short:   "Run the replication daemon, or a single pass with --once",
		GroupID: cmdline.GroupSync,
		Long: `Replicate all pairs, or the named ones, each at its interval, until it is stopped.
After outages and restarts a pair goes on where it was.

SIGTERM and SIGINT stop it within ten seconds: passes finish or cancel the objects
they write, and keep their position. A second signal stops it at once, which is safe
too.

Each replica has its own --parallel passes, so that one that hangs delays no other.
A server that doesn't answer is asked once per interval, of at most a minute, and
meanwhile all its pairs fail at once; they go on when it answers again.

SIGHUP reloads the configuration: passes finish as above, then everything goes on
with the new file; addresses stay open. A file that can't be used is refused with a
line in the log, and the old configuration stays in use. sync-status says when the
file is newer than what the daemon runs.

Where the primary serves no updated_since, its organizations are scanned, and what
its data collector pushes is taken and served, as [journal] in the configuration
says. Where [status] says, a status page, health and metrics are served: see web.

Several processes may run on the same state: each pair is worked on by one at a
time. The log goes to stderr, as JSON with --log-format json, and into the state
for sync-log and manager-log.

On a stack, its functions do this work. With --once, this machine does one pass
instead, or with --remote the stack's function does, which may reach servers that
this machine can't. As a daemon it only runs pairs that are stopped
there, once they are started.`,
		Example: `  chef-sync-ctl run
  chef-sync-ctl run --log-format json
  chef-sync-ctl run --once engineering
  chef-sync-ctl run --once --remote --stack chef-sync`,
	}
	cmd.Flags().BoolVar(&opts.Once, "once", false, "one pass for each pair, then end with its exit code")
	cmd.Flags().BoolVar(&opts.Full, "full", false, "with --once: a full compare that reads both sides")
	cmd.Flags().BoolVar(&opts.Remote, "remote", false, "with --once, on a stack: let its function do the passes")
	cmd.Flags().IntVar(&opts.Parallel, "parallel", opts.Parallel, "passes that run at once on each replica")
	env.TakePairs(cmd)
	cmd.PreRun = func(*cobra.Command, []string) {
		env.Daemon, env.TellsAll = !opts.Once, opts.Once
	}
	cmd.RunE = func(cmd *cobra.Command, names []string) error {
		if err := opts.Check(env); err != nil {
			return err
		}
		if !opts.Once {
			return opts.RunForever(cmd.Context(), env, names)
		}
		return env.WithPairs(func(ctx context.Context, a *app.App, pairs []app.Pair) error {
			return opts.RunOnce(ctx, env, a, pairs)
		})(cmd, names)
	}
	return cmd
}

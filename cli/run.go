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
		Long: `Replicate the selected pairs, or all, each at its interval, until stopped. After
an outage or a restart, a pair resumes where it stopped.

SIGTERM and SIGINT stop the daemon within ten seconds: running passes finish or
cancel the objects they are writing and keep their position. A second signal stops
it immediately, which is safe too.

Each replica has its own --parallel passes, so a replica that hangs doesn't delay
the others. A server that doesn't respond is probed once per interval, at least
once a minute; until it responds, all its pairs fail immediately.

SIGHUP reloads the configuration: running passes finish as described above, and
replication continues with the new file. Listeners stay open. A file that can't be
used is rejected with a line in the log, and the old configuration stays in effect.
sync-status reports when the file has changed since the daemon read it.

If the primary doesn't serve updated_since, its organizations are scanned, and
changes that its data collector pushes are received and served, as configured under
[journal]. A status page, health checks and metrics are served as configured under
[status]; see web.

Several processes may share one state: each pair is processed by one at a time. The
log is written to stderr, as JSON with --log-format json, and to the state for
sync-log and manager-log.

On a stack, the stack's functions do this work. With --once, this machine runs one
pass instead; with --remote, the stack's function runs it, and may reach servers
that this machine can't. As a daemon, it only runs pairs that are stopped on the
stack, once they are started.`,
		Example: `  chef-sync-ctl run
  chef-sync-ctl run --log-format json
  chef-sync-ctl run --once engineering
  chef-sync-ctl run --once --remote --stack chef-sync`,
	}
	cmd.Flags().BoolVar(&opts.Once, "once", false, "run one pass for each pair and exit")
	cmd.Flags().BoolVar(&opts.Full, "full", false, "with --once: a full comparison that reads both sides")
	cmd.Flags().BoolVar(&opts.Remote, "remote", false, "with --once, on a stack: run the passes in its function")
	cmd.Flags().IntVar(&opts.Parallel, "parallel", opts.Parallel, "number of concurrent passes for each replica")
	cmdline.TakeFromEnvironment(cmd, "parallel")
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

package cli

import (
	"context"
	"math/rand/v2"
	"time"

	"github.com/spf13/cobra"

	"chefsync/cli/internal/app"
	"chefsync/cli/internal/changeserver"
	"chefsync/cli/internal/cmdline"
	"chefsync/cli/internal/daemon"
	"chefsync/cli/internal/exit"
	"chefsync/cli/internal/passes"
	"chefsync/pkg/replication"
)

// runFlags are the flags of run.
type runFlags struct {
	once, full, remote bool
	parallel           int
	kept               *changeserver.KeptListener // nil with --once
}

func newRunCmd(env *cmdline.Env) *cobra.Command {
	f := runFlags{parallel: 4}
	cmd := &cobra.Command{
		Use:     "run [PAIR...]",
		Short:   "Replicate for ever, or once",
		GroupID: cmdline.GroupSync,
		Long: `Replicate all pairs, or the named ones, for ever: each at its interval. Outages
and restarts need no hand: a pair goes on where it was.

SIGTERM and SIGINT end it in order within ten seconds: passes finish the objects at
work, or break them off, and keep their position. A second signal ends it at once,
which is safe too.

Each replica has its own --parallel passes, so that one that hangs delays no other.
A server that doesn't answer is asked once per interval, of at most a minute, and
meanwhile all its pairs fail at once; they go on when it answers again.

SIGHUP reloads the configuration: passes finish as above, then everything goes on
with the new file; addresses stay open. A file that can't be used is refused with a
line in the log, and the old configuration stays in use. sync-status says when the
file is newer than what the daemon runs.

Where the primary serves no updated_since, its organizations are scanned, and what
its data collector pushes is taken and served, as [journal] in the configuration
says.

Several processes may run on the same state: each pair is worked on by one at a
time. The log goes to stderr, as JSON with --log-format json, and into the state
for sync-log and manager-log.

On a stack, its schedules and functions do this work. With --once, one pass is done
from here in their stead, or with --remote by the stack's function, which may reach
servers that this machine doesn't. For ever it only runs pairs whose schedules are
disabled.`,
		Example: `  chef-sync-ctl run
  chef-sync-ctl run --log-format json
  chef-sync-ctl run --once engineering
  chef-sync-ctl run --once --remote --stack chef-sync`,
		ValidArgsFunction: env.CompletePairs,
	}
	cmd.Flags().BoolVar(&f.once, "once", false, "one pass for each pair, then end with its exit code")
	cmd.Flags().BoolVar(&f.full, "full", false, "with --once: a full compare that reads both sides")
	cmd.Flags().BoolVar(&f.remote, "remote", false, "with --once, on a stack: let its function do the passes")
	cmd.Flags().IntVar(&f.parallel, "parallel", f.parallel, "passes that run at once on each replica")
	cmd.PreRun = func(*cobra.Command, []string) {
		env.Daemon = !f.once
	}
	cmd.RunE = func(cmd *cobra.Command, names []string) error {
		if err := f.check(env); err != nil {
			return err
		}
		if !f.once {
			return f.forever(cmd.Context(), env, names)
		}
		return env.WithPairs(func(ctx context.Context, a *app.App, pairs []app.Pair) error {
			return f.oncePairs(ctx, env, a, pairs)
		})(cmd, names)
	}
	return cmd
}

// grace is how long passes may go on with the objects at work after a signal. With
// the time to record them, the daemon ends within ten seconds.
const grace = 6 * time.Second

// check refuses flags that don't go together.
func (f runFlags) check(env *cmdline.Env) error {
	if f.full && !f.once {
		return exit.Usagef("chef-sync-ctl resync PAIR", "--full goes with --once")
	}
	if f.remote && (!f.once || env.Stack == "") {
		return exit.Usagef("add --once and --stack NAME", "--remote goes with --once, on a stack")
	}
	return nil
}

// oncePairs does one pass for each pair, from here or on the stack.
func (f runFlags) oncePairs(ctx context.Context, env *cmdline.Env, a *app.App, pairs []app.Pair) error {
	if f.remote {
		return f.runRemote(ctx, env, a, pairs)
	}
	d, err := f.daemon(ctx, env, a, pairs)
	if err != nil {
		return err
	}
	results := d.Once(ctx, "manual", f.full)
	down := checkServers(ctx, a, pairs)
	if err = conclude(ctx, env, a, pairs, results); err == nil {
		err = down
	}
	return app.HintRemote(a, err, "chef-sync-ctl run --once --remote")
}

// daemon wires the scheduler: the same engines for run and for run --once.
func (f runFlags) daemon(ctx context.Context, env *cmdline.Env, a *app.App, pairs []app.Pair) (*daemon.Daemon, error) {
	a.KeepLog()
	state, err := a.State(ctx)
	if err != nil {
		return nil, err
	}
	d := &daemon.Daemon{
		State: state, Log: a.Log, Now: env.Now, Parallel: f.parallel, Random: rand.Float64,
		Sources: changeserver.Sources(a, pairs),
		Servers: serversOf(a, pairs),
		Watch:   2 * time.Second, Grace: grace, Housekeeping: a.SweepStage,
	}
	if changeserver.Enabled(a) {
		d.Serve = changeserver.Server{App: a, Address: a.Journal.Listen, WaitForAddress: true, Kept: f.kept}.Serve
	} else if f.kept != nil {
		f.kept.Close()
	}
	for _, p := range pairs {
		d.Jobs = append(d.Jobs, daemon.Job{
			ID: p.ID, Interval: p.Interval, VerifyEvery: p.VerifyEvery, FilesEvery: p.FilesEvery,
			Pass: func(ctx context.Context, o replication.PassOptions) (replication.Run, error) {
				return passes.Run(ctx, env, a, p, o, f.once)
			},
			Verify: func(ctx context.Context, o replication.VerifyOptions) (replication.Report, error) {
				o.Repair = p.Drift == replication.DriftRepair
				return passes.VerifyInBackground(ctx, a, p, o)
			},
		})
	}
	return d, nil
}

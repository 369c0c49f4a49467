package cli

import (
	"context"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/spf13/cobra"

	"chefsync/cli/internal/app"
	"chefsync/cli/internal/cmdline"
	"chefsync/cli/internal/control"
	"chefsync/cli/internal/daemon"
	"chefsync/cli/internal/exit"
	"chefsync/cli/internal/pairstatus"
	"chefsync/pkg/replication"
)

// runFlags are the flags of run.
type runFlags struct {
	once, full, remote bool
	parallel           int
	kept               *keptListener // nil with --once
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
		Sources: sourcesOf(a, pairs),
		Servers: serversOf(a, pairs),
		Watch:   2 * time.Second, Grace: grace, Housekeeping: a.SweepStage,
	}
	if serves(a) {
		d.Serve = serving{app: a, address: a.Journal.Listen, patient: true, kept: f.kept}.run
	} else if f.kept != nil {
		f.kept.close()
	}
	for _, p := range pairs {
		d.Jobs = append(d.Jobs, daemon.Job{
			ID: p.ID, Interval: p.Interval, VerifyEvery: p.VerifyEvery, FilesEvery: p.FilesEvery,
			Pass: func(ctx context.Context, o replication.PassOptions) (replication.Run, error) {
				return passOf(ctx, env, a, p, o, f.once)
			},
			Verify: func(ctx context.Context, o replication.VerifyOptions) (replication.Report, error) {
				o.Repair = p.Drift == replication.DriftRepair
				return verifyOf(ctx, a, p, o)
			},
		})
	}
	return d, nil
}

// passOf runs one pass. After a refusal the keys are read again.
func passOf(ctx context.Context, env *cmdline.Env, a *app.App, p app.Pair, o replication.PassOptions, show bool) (replication.Run, error) {
	if o.Trigger == daemon.TriggerOperator {
		a.ProbeNow()
	}
	engine, err := a.Engine(ctx, p)
	if err != nil {
		return a.Fail(ctx, p, o, err)
	}
	if show {
		progress := env.Output().Progress(p.ID.String())
		defer progress.End()
		engine.Observe = progress.Observe
	}
	run, err := engine.Pass(ctx, o)
	if replication.ClassOf(err) == replication.Denied {
		a.Forget()
	}
	return run, err
}

// verifyOf runs one verification. After a refusal the keys are read again.
func verifyOf(ctx context.Context, a *app.App, p app.Pair, o replication.VerifyOptions) (replication.Report, error) {
	engine, err := a.Engine(ctx, p)
	if err != nil {
		return replication.Report{Pair: p.ID, Outcome: replication.OutcomeFailed}, err
	}
	report, err := engine.Verify(ctx, o)
	if replication.ClassOf(err) == replication.Denied {
		a.Forget()
	}
	return report, err
}

// conclude shows the results of one pass for each pair, and ends with what keeps pairs
// from being in sync.
func conclude(ctx context.Context, env *cmdline.Env, a *app.App, pairs []app.Pair, results []daemon.Result) error {
	runs := make([]replication.Run, len(results))
	for i, r := range results {
		runs[i] = r.Run
	}
	if err := emitRuns(env, runs); err != nil {
		return err
	}
	ctx = context.WithoutCancel(ctx)
	state, err := a.State(ctx)
	if err != nil {
		return err
	}
	failed := make([]error, len(results))
	var ended []app.Pair
	for i, r := range results {
		st, err := state.Pair(ctx, r.Run.Pair)
		if failed[i] = onceError(r, st); failed[i] == nil {
			failed[i] = app.WrapPair(r.Run.Pair, err)
		}
		if failed[i] == nil {
			ended = append(ended, pairs[i])
		}
	}
	return exit.Join(append(failed, outOfSync(ctx, env, a, ended))...)
}

// outOfSync is why pairs are not in sync although their passes ended well, or nil: a
// pass tells nothing of what it didn't have to look at.
func outOfSync(ctx context.Context, env *cmdline.Env, a *app.App, pairs []app.Pair) error {
	now := env.Now()
	servers, err := pairstatus.ReadServers(ctx, a, pairs, now)
	if err != nil {
		return err
	}
	rows, err := pairstatus.ReadPairs(ctx, a, pairs, servers, now)
	failed := []error{err}
	for _, r := range rows {
		failed = append(failed, r.OutOfSync())
	}
	return exit.Join(failed...)
}

// onceError is why a pass did not end in sync, or nil.
func onceError(res daemon.Result, st replication.PairState) error {
	r := res.Run
	id := r.Pair.String()
	switch {
	case r.Outcome == replication.OutcomeHeld:
		h := st.Progress.Hold
		if h == nil { // it has ended since
			return nil
		}
		return exit.With(exit.Held, control.HeldError(r.Pair, h), h.Hint(r.Pair))
	case r.Outcome == replication.OutcomeBusy:
		return exit.With(exit.Locked, fmt.Errorf("pair %s is being worked on by %s", id, st.Lease.Owner), "wait for it to end")
	case res.Err != nil:
		return fmt.Errorf("pair %s: %w", id, res.Err)
	case r.Outcome == replication.OutcomeStopped && st.Desired.Moved != "":
		return exit.With(exit.Partial, fmt.Errorf("pair %s was moved to %s", id, st.Desired.Moved), "start it there")
	case r.Outcome == replication.OutcomeStopped:
		return exit.With(exit.Partial, fmt.Errorf("pair %s is stopped", id), "chef-sync-ctl sync-start "+id)
	case st.Progress.Unsynced > 0:
		return exit.With(exit.Partial, fmt.Errorf("pair %s has unsynced objects: %d", id, st.Progress.Unsynced), "chef-sync-ctl unsynced-objects "+id)
	case r.Outcome == replication.OutcomePartial:
		return exit.With(exit.Partial, fmt.Errorf("pair %s has work left", id), "run it again")
	}
	return nil
}

package runner

import (
	"context"
	"math/rand/v2"
	"time"

	"chefsync/cli/internal/app"
	"chefsync/cli/internal/changeserver"
	"chefsync/cli/internal/cmdline"
	"chefsync/cli/internal/daemon"
	"chefsync/cli/internal/exit"
	"chefsync/pkg/fault"
	"chefsync/pkg/replication"
)

// Options are the flags of run.
type Options struct {
	Once, Full, Remote bool
	Parallel           int
}

// gracePeriod is how long passes may go on with the objects in progress after a signal. With
// the time to record them, the daemon ends within ten seconds.
const gracePeriod = 6 * time.Second

// Check refuses flags that don't go together, and values that mean nothing.
func (opts Options) Check(env *cmdline.Env) error {
	if opts.Parallel < 1 {
		return exit.Usagef("--parallel 1 for one pass at a time", "--parallel can't be %d", opts.Parallel)
	}
	if opts.Full && !opts.Once {
		return exit.Usagef("chef-sync-ctl resync PAIR", "--full needs --once")
	}
	if opts.Remote && (!opts.Once || env.Stack == "") {
		return exit.Usagef("add --once and --stack NAME", "--remote needs --once and a stack")
	}
	return nil
}

// RunOnce does one pass for each pair, from here or on the stack.
func (opts Options) RunOnce(ctx context.Context, env *cmdline.Env, a *app.App, pairs []app.Pair) error {
	if opts.Remote {
		return opts.runRemote(ctx, env, a, pairs)
	}
	progress := env.Output().NewProgress(len(pairs))
	defer progress.End()
	a.OnProgress = progress.Observe
	d, err := opts.newDaemon(ctx, env, a, pairs, func(id replication.PairID, pass func() (replication.Run, error)) (replication.Run, error) {
		defer progress.EndPair(id)
		return pass()
	})
	if err != nil {
		return err
	}
	results := d.Once(ctx, replication.TriggerManual, opts.Full)
	checkServers(ctx, a, pairs)
	progress.End()
	return app.HintRemote(a, showResults(ctx, env, a, pairs, results, progress), "chef-sync-ctl run --once --remote")
}

// newDaemon wires the scheduler: the same engines for run and for run --once, which show
// each pass in their own way.
func (opts Options) newDaemon(ctx context.Context, env *cmdline.Env, a *app.App, pairs []app.Pair,
	show func(id replication.PairID, pass func() (replication.Run, error)) (replication.Run, error)) (*daemon.Daemon, error) {
	a.KeepLog()
	state, err := a.State(ctx)
	if err != nil {
		return nil, err
	}
	d := &daemon.Daemon{
		State: state, Log: a.Log, Now: env.Now, Parallel: opts.Parallel, Random: rand.Float64,
		Sources: changeserver.Sources(a, pairs),
		Servers: daemonServers(a, pairs),
		Watch:   2 * time.Second, Grace: gracePeriod,
	}
	for _, p := range pairs {
		d.Jobs = append(d.Jobs, daemon.Job{
			ID: p.ID, Interval: p.Interval, VerifyEvery: p.VerifyEvery, FilesEvery: p.FilesEvery,
			Pass: func(ctx context.Context, o replication.PassOptions) (replication.Run, error) {
				return show(p.ID, func() (replication.Run, error) { return runPass(ctx, a, p, o) })
			},
			Verify: func(ctx context.Context, o replication.VerifyOptions) (replication.Report, error) {
				return verifyPair(ctx, a, p, o)
			},
		})
	}
	return d, nil
}

// runPass runs one pass.
func runPass(ctx context.Context, a *app.App, p app.Pair, o replication.PassOptions) (replication.Run, error) {
	if o.Trigger == replication.TriggerOperator {
		a.ProbeNow()
	}
	engine, err := a.Engine(ctx, p)
	if err != nil {
		return a.Fail(ctx, p, o, err)
	}
	run, err := engine.Pass(ctx, o)
	dropRefusedKeys(a, err)
	return run, err
}

// verifyPair runs one verification of the daemon.
func verifyPair(ctx context.Context, a *app.App, p app.Pair, o replication.VerifyOptions) (replication.Report, error) {
	engine, err := a.Engine(ctx, p)
	if err != nil {
		return replication.Report{Pair: p.ID, Outcome: replication.OutcomeFailed}, err // which the metrics count
	}
	o.Repair = p.Drift == replication.DriftRepair
	report, err := engine.Verify(ctx, o)
	dropRefusedKeys(a, err)
	return report, err
}

// dropRefusedKeys lets the keys be read again after a server has refused one.
func dropRefusedKeys(a *app.App, err error) {
	if fault.ClassOf(err) == fault.Denied {
		a.DropClients()
	}
}

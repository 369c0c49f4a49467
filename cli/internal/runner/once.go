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
	"chefsync/cli/internal/listener"
	"chefsync/cli/internal/ui"
	"chefsync/pkg/fault"
	"chefsync/pkg/replication"
)

// Options are the flags of run.
type Options struct {
	Once, Full, Remote bool
	Parallel           int
	kept               *listener.Kept // nil with --once
	status             *statusOptions // likewise
	progress           *ui.Progress   // nil but with --once
	live               *liveLine      // nil with --once
}

// gracePeriod is how long passes may go on with the objects in progress after a signal. With
// the time to record them, the daemon ends within ten seconds.
const gracePeriod = 6 * time.Second

// Check refuses flags that don't go together.
func (opts Options) Check(env *cmdline.Env) error {
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
	opts.progress = env.Output().NewProgress(len(pairs))
	defer opts.progress.End()
	d, err := opts.newDaemon(ctx, env, a, pairs)
	if err != nil {
		return err
	}
	results := d.Once(ctx, replication.TriggerManual, opts.Full)
	checkServers(ctx, a, pairs)
	opts.progress.End()
	return app.HintRemote(a, opts.showResults(ctx, env, a, pairs, results), "chef-sync-ctl run --once --remote")
}

// runPass runs one pass, and shows it.
func (opts Options) runPass(ctx context.Context, a *app.App, p app.Pair, o replication.PassOptions) (replication.Run, error) {
	if o.Trigger == replication.TriggerOperator {
		a.ProbeNow()
	}
	engine, err := a.Engine(ctx, p)
	pass := func() (replication.Run, error) {
		if err != nil {
			return a.Fail(ctx, p, o, err)
		}
		return engine.Pass(ctx, o)
	}
	if opts.progress == nil {
		return opts.live.watch(pass)
	}
	defer opts.progress.EndPair(p.ID)
	if err == nil {
		engine.Observe = opts.progress.Observe
	}
	return pass()
}

// verifyPair runs one verification of the daemon.
func verifyPair(ctx context.Context, a *app.App, p app.Pair, o replication.VerifyOptions) (replication.Report, error) {
	engine, err := a.Engine(ctx, p)
	if err != nil {
		return replication.Report{}, err
	}
	o.Repair = p.Drift == replication.DriftRepair
	return engine.Verify(ctx, o)
}

// dropRefusedKeys lets the keys be read again after a server has refused one.
func dropRefusedKeys(a *app.App, err error) {
	if fault.ClassOf(err) == fault.Denied {
		a.DropClients()
	}
}

// newDaemon wires the scheduler: the same engines for run and for run --once.
func (opts Options) newDaemon(ctx context.Context, env *cmdline.Env, a *app.App, pairs []app.Pair) (*daemon.Daemon, error) {
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
	if changeserver.Enabled(a) {
		d.Serve = changeserver.Server{App: a, Address: a.ChangeLog.Listen, Kept: opts.kept}.Serve
	} else if opts.kept != nil {
		opts.kept.Close()
	}
	for _, p := range pairs {
		d.Jobs = append(d.Jobs, daemon.Job{
			ID: p.ID, Interval: p.Interval, VerifyEvery: p.VerifyEvery, FilesEvery: p.FilesEvery,
			Pass: func(ctx context.Context, o replication.PassOptions) (replication.Run, error) {
				run, err := opts.runPass(ctx, a, p, o)
				dropRefusedKeys(a, err)
				return run, err
			},
			Verify: func(ctx context.Context, o replication.VerifyOptions) (replication.Report, error) {
				report, err := verifyPair(ctx, a, p, o)
				dropRefusedKeys(a, err)
				return report, err
			},
		})
	}
	return d, nil
}

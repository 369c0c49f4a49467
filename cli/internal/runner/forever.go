// Package runner is the command run: passes once, or until it is asked to end.
package runner

import (
	"context"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"syscall"
	"time"

	"chefsync/cli/internal/app"
	"chefsync/cli/internal/buildinfo"
	"chefsync/cli/internal/changeserver"
	"chefsync/cli/internal/cmdline"
	"chefsync/cli/internal/daemon"
	"chefsync/cli/internal/exit"
	"chefsync/cli/internal/listener"
	"chefsync/cli/internal/notifier"
	"chefsync/cli/internal/statusserver"
	"chefsync/pkg/assembly"
	"chefsync/pkg/health"
	"chefsync/pkg/replication"
)

// loaded is a configuration that was read, with the pairs to run.
type loaded struct {
	app      *app.App
	pairs    []app.Pair
	file     string    // absolute; "" on a stack
	modified time.Time // of the file, before it was read
}

// loadConfig reads the configuration for a daemon, and selects its pairs.
func (opts Options) loadConfig(ctx context.Context, env *cmdline.Env, names []string) (*loaded, error) {
	l := &loaded{}
	if path, err := app.FindConfig(env.ConfigPath); err == nil && env.Stack == "" {
		l.file, _ = filepath.Abs(path)
		if info, err := os.Stat(path); err == nil {
			l.modified = info.ModTime()
		}
	}
	a, err := env.Open(ctx)
	if err != nil {
		return nil, err
	}
	l.app = a
	opts.status.recorder.ObserveApp(a)
	if l.pairs, err = env.SelectPairs(a, names); err == nil {
		err = opts.checkConfig(ctx, l)
	}
	if err != nil {
		a.Close()
		return nil, err
	}
	return l, nil
}

// checkConfig fails if a daemon could not begin with a configuration.
func (opts Options) checkConfig(ctx context.Context, l *loaded) error {
	if err := notRunByStack(ctx, l.app, l.pairs); err != nil {
		return err
	}
	if _, err := l.app.State(ctx); err != nil {
		return err
	}
	if l.app.StatusPage.Listen != "" {
		if err := opts.statusServer(l).Check(ctx); err != nil {
			return err
		}
	}
	if !changeserver.Enabled(l.app) {
		return nil
	}
	return changeserver.Server{App: l.app, Address: l.app.ChangeLog.Listen, Kept: opts.kept}.Check(ctx)
}

// RunForever runs the daemon until ctx ends. SIGHUP reloads the configuration: the
// daemon drains, and goes on with the new one.
func (opts Options) RunForever(ctx context.Context, env *cmdline.Env, names []string) error {
	reload := make(chan os.Signal, 1)
	signal.Notify(reload, syscall.SIGHUP)
	defer signal.Stop(reload)
	env.Owner = assembly.NewOwner()
	opts.kept = &listener.Kept{}
	defer opts.kept.Close()
	opts.status = &statusOptions{owner: env.Owner, kept: &listener.Kept{}, recorder: statusserver.NewRecorder(env.Now)}
	defer opts.status.kept.Close()
	now, err := opts.loadConfig(ctx, env, names)
	if err != nil {
		return err
	}
	process := newHeartbeat(env)
	opts.live = newLiveLine(env)
	defer opts.live.start()()
	for {
		next, err := opts.runUntilReload(ctx, env, now, process, reload, names)
		if next == nil {
			process.saveStopped(ctx, now.app)
		}
		now.app.Close()
		if next == nil {
			return err
		}
		now = next
	}
}

// runUntilReload runs the daemon with one configuration, until ctx ends or another one was
// loaded, which it returns.
func (opts Options) runUntilReload(ctx context.Context, env *cmdline.Env, now *loaded, process *heartbeat,
	reload <-chan os.Signal, names []string,
) (*loaded, error) {
	d, err := opts.newDaemon(ctx, env, now.app, now.pairs)
	if err != nil {
		return nil, err
	}
	process.setConfig(now)
	opts.status.recorder.ObserveDaemon(d)
	opts.live.setPairs(len(now.pairs))
	d.Present = now.app.Present
	d.Tasks = append(notifier.Tasks(now.app, now.pairs, env.Now),
		daemon.Task{Every: daemon.BeatEvery, Failing: "the heartbeat can't be recorded", Do: process.saveFunc(now.app)},
		daemon.Task{Every: time.Hour, Failing: "housekeeping failed", Do: now.app.SweepStage})
	ctx, end := context.WithCancel(ctx)
	defer end()
	loading := make(chan *loaded, 1)
	go func() { loading <- opts.waitForReload(ctx, env, now, reload, names, end) }()
	stopServing := opts.serveStatus(ctx, now)
	err = d.Run(ctx)
	end()
	stopServing()
	next := <-loading
	if err != nil && next != nil {
		next.app.Close()
		next = nil
	}
	return next, err
}

// waitForReload waits for a signal, loads the configuration, and ends the daemon that runs
// with the old one. A configuration that can't be used is refused. It returns nil when
// ctx ends first.
func (opts Options) waitForReload(ctx context.Context, env *cmdline.Env, now *loaded, reload <-chan os.Signal, names []string,
	end func()) *loaded {
	log := now.app.Log
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-reload:
		}
		next, err := opts.loadConfig(ctx, env, names)
		if ctx.Err() != nil { // it ends anyway
			if next != nil {
				next.app.Close()
			}
			return nil
		}
		if err != nil {
			log.Error("the configuration was not reloaded; the old one stays in effect", "config", now.file, "error", err.Error(), "hint",
				exit.Hint(err))
			continue
		}
		added, removed := pairsChanged(now.pairs, next.pairs)
		log.Info("the configuration was reloaded", "config", next.file, "pairs", len(next.pairs), "added", added, "removed", removed)
		end()
		return next
	}
}

// pairsChanged counts the pairs that only the new configuration has, and those that
// only the old one had.
func pairsChanged(before, after []app.Pair) (added, removed int) {
	old, now := app.PairIDs(before), app.PairIDs(after)
	missing := func(of, in []replication.PairID) (n int) {
		for _, id := range of {
			if !slices.Contains(in, id) {
				n++
			}
		}
		return n
	}
	return missing(now, old), missing(old, now)
}

// heartbeat is the heartbeat of this daemon.
type heartbeat struct {
	record health.Process
	now    func() time.Time
}

func newHeartbeat(env *cmdline.Env) *heartbeat {
	host, _ := os.Hostname()
	p := &heartbeat{now: env.Now, record: health.Process{
		Role: health.RoleDaemon, Owner: env.Owner, Host: host, PID: os.Getpid(), Started: env.Now().UTC(),
		Version: buildinfo.Read().Version,
	}}
	return p
}

// setConfig records what the daemon runs from now on.
func (p *heartbeat) setConfig(l *loaded) {
	p.record.Pairs, p.record.Config, p.record.ConfigModified = len(l.pairs), l.file, l.modified.UTC()
}

// saveFunc saves the record, with the time.
func (p *heartbeat) saveFunc(a *app.App) func(context.Context) error {
	return func(ctx context.Context) error {
		store, err := a.Health(ctx)
		if err != nil {
			return err
		}
		record := p.record
		record.Seen = p.now().UTC()
		return store.SaveProcess(ctx, record)
	}
}

// saveStopped saves that the process ended cleanly.
func (p *heartbeat) saveStopped(ctx context.Context, a *app.App) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
	defer cancel()
	p.record.Stopped = p.now().UTC()
	if err := p.saveFunc(a)(ctx); err != nil {
		a.Log.Warn("the shutdown of the daemon can't be recorded", "error", err.Error())
	}
}

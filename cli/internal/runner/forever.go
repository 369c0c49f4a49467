// Package runner is the command run: passes once, or until it is asked to end.
package runner

import (
	"context"
	"net"
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

// process is a daemon. It goes on when its configuration is reloaded.
type process struct {
	Options
	env             *cmdline.Env
	names           []string       // that select pairs
	record          health.Process // without the configuration
	changes, status listener.Kept  // the addresses that it listens on
	recorder        *statusserver.Recorder
	live            *liveLine
}

// loadConfig reads the configuration, and selects its pairs.
func (d *process) loadConfig(ctx context.Context) (*loaded, error) {
	l := &loaded{}
	if path, err := app.FindConfig(d.env.ConfigPath); err == nil && d.env.Stack == "" {
		l.file, _ = filepath.Abs(path)
		if info, err := os.Stat(path); err == nil {
			l.modified = info.ModTime()
		}
	}
	a, err := d.env.Open(ctx)
	if err != nil {
		return nil, err
	}
	l.app = a
	d.recorder.ObserveApp(a)
	if l.pairs, err = d.env.SelectPairs(a, d.names); err == nil {
		err = d.checkConfig(ctx, l)
	}
	if err != nil {
		a.Close()
		return nil, err
	}
	return l, nil
}

// checkConfig fails if the daemon could not begin with a configuration.
func (d *process) checkConfig(ctx context.Context, l *loaded) error {
	if err := notRunByStack(ctx, l.app, l.pairs); err != nil {
		return err
	}
	if _, err := l.app.State(ctx); err != nil {
		return err
	}
	if l.app.StatusPage.Listen != "" {
		if err := d.statusServer(l).Check(ctx); err != nil {
			return err
		}
	}
	if !changeserver.Enabled(l.app) {
		return nil
	}
	return d.changeServer(l).Check(ctx)
}

func (d *process) statusServer(l *loaded) statusserver.Server {
	page := l.app.StatusPage
	return statusserver.Server{App: l.app, Pairs: l.pairs, Address: page.Listen, Token: page.Token, Setting: "listen under [status]",
		Owner: d.record.Owner, Recorder: d.recorder, Kept: &d.status}
}

// serveStatus serves the status until ctx ends. Passes don't depend on it.
func (d *process) serveStatus(ctx context.Context, l *loaded) error {
	return d.statusServer(l).Serve(ctx, func(address net.Addr) {
		l.app.Log.Info("serving the status", "url", "http://"+address.String(), "token", !l.app.StatusPage.Token.IsZero())
	})
}

func (d *process) changeServer(l *loaded) changeserver.Server {
	return changeserver.Server{App: l.app, Address: l.app.ChangeLog.Listen, Kept: &d.changes}
}

// RunForever runs the daemon until ctx ends. SIGHUP reloads the configuration: the
// daemon drains, and goes on with the new one.
func (opts Options) RunForever(ctx context.Context, env *cmdline.Env, names []string) error {
	reload := make(chan os.Signal, 1)
	signal.Notify(reload, syscall.SIGHUP)
	defer signal.Stop(reload)
	env.Owner = assembly.NewOwner()
	host, _ := os.Hostname()
	d := &process{Options: opts, env: env, names: names, recorder: statusserver.NewRecorder(env.Now), live: newLiveLine(env),
		record: health.Process{Role: health.RoleDaemon, Owner: env.Owner, Host: host, PID: os.Getpid(), Started: env.Now().UTC(),
			Version: buildinfo.Read().Version}}
	defer d.changes.Close()
	defer d.status.Close()
	now, err := d.loadConfig(ctx)
	if err != nil {
		return err
	}
	defer d.live.start()()
	for {
		next, err := d.runUntilReload(ctx, now, reload)
		if next == nil {
			d.saveStopped(ctx, now)
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
func (d *process) runUntilReload(ctx context.Context, now *loaded, reload <-chan os.Signal) (*loaded, error) {
	scheduler, err := d.newDaemon(ctx, d.env, now.app, now.pairs,
		func(_ replication.PairID, pass func() (replication.Run, error)) (replication.Run, error) {
			return d.live.watch(pass)
		})
	if err != nil {
		return nil, err
	}
	if changeserver.Enabled(now.app) {
		scheduler.Serve = d.changeServer(now).Serve
	} else {
		d.changes.Close()
	}
	d.recorder.ObserveDaemon(scheduler)
	d.live.setPairs(len(now.pairs))
	scheduler.Present = now.app.Present
	scheduler.Tasks = append(notifier.Tasks(now.app, now.pairs, d.env.Now),
		daemon.Task{Every: daemon.BeatEvery, Failing: "the heartbeat can't be recorded", Do: func(ctx context.Context) error {
			return d.saveHeartbeat(ctx, now, false)
		}},
		daemon.Task{Every: time.Hour, Failing: "housekeeping failed", Do: now.app.SweepStage})
	if now.app.StatusPage.Listen == "" {
		d.status.Close()
	} else {
		scheduler.Tasks = append(scheduler.Tasks, daemon.Task{Every: time.Minute, Failing: "the status can't be served",
			Do: func(ctx context.Context) error { return d.serveStatus(ctx, now) }})
	}
	ctx, end := context.WithCancel(ctx)
	defer end()
	loading := make(chan *loaded, 1)
	go func() { loading <- d.waitForReload(ctx, now, reload, end) }()
	err = scheduler.Run(ctx)
	end()
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
func (d *process) waitForReload(ctx context.Context, now *loaded, reload <-chan os.Signal, end func()) *loaded {
	log := now.app.Log
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-reload:
		}
		next, err := d.loadConfig(ctx)
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

// saveHeartbeat records that the daemon runs with a configuration, or has stopped cleanly.
func (d *process) saveHeartbeat(ctx context.Context, l *loaded, stopped bool) error {
	store, err := l.app.Health(ctx)
	if err != nil {
		return err
	}
	record := d.record
	record.Seen, record.Pairs, record.Config, record.ConfigModified = d.env.Now().UTC(), len(l.pairs), l.file, l.modified.UTC()
	if stopped {
		record.Stopped = record.Seen
	}
	return store.SaveProcess(ctx, record)
}

// saveStopped records that the daemon has stopped cleanly.
func (d *process) saveStopped(ctx context.Context, l *loaded) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
	defer cancel()
	if err := d.saveHeartbeat(ctx, l, true); err != nil {
		l.app.Log.Warn("the shutdown of the daemon can't be recorded", "error", err.Error())
	}
}

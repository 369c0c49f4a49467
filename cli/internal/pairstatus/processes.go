package pairstatus

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"chefsync/cli/internal/app"
	"chefsync/cli/internal/daemon"
	"chefsync/cli/internal/ui"
	"chefsync/pkg/assembly"
	"chefsync/pkg/cloud"
	"chefsync/pkg/health"
)

// maxSilence is the age of its last heartbeat from which a daemon counts as not running.
const maxSilence = 3 * daemon.BeatEvery

// Processes are the processes that run passes.
type Processes struct {
	Running       []health.Process
	last          *health.Process // the one seen last, if none runs
	OnStack       bool
	Manager       *health.Process // of a stack
	ConfigChanged time.Time       // when the configuration file changed, if a daemon has read another version of it
	ConfigFile    string
	pairs         int // of the configuration
}

// ReadProcesses returns the processes that are recorded.
func ReadProcesses(ctx context.Context, a *app.App, now time.Time) (Processes, error) {
	d := Processes{OnStack: a.Stack != nil, pairs: len(a.Pairs())}
	store, err := a.Health(ctx)
	if err != nil {
		return d, err
	}
	all, err := store.Processes(ctx)
	if err != nil {
		return d, err
	}
	died := assembly.OwnerDied
	if d.OnStack {
		died = func(string) bool { return false } // it may be of another machine
	}
	for _, p := range all {
		d.addProcess(p, now, died)
	}
	if !d.OnStack {
		d.checkConfigFile(a.File)
	}
	return d, nil
}

// addProcess adds a process. The newest come first.
func (d *Processes) addProcess(p health.Process, now time.Time, died func(owner string) bool) {
	ago := now.Sub(p.Seen)
	switch {
	case p.Role == health.RoleManager && d.Manager == nil:
		d.Manager = &p
	case p.Role != health.RoleDaemon:
	case p.Stopped.IsZero() && ago.Abs() <= maxSilence && !died(p.Owner):
		d.Running = append(d.Running, p)
	case d.last == nil && ago >= -maxSilence: // else it is of a clock that was ahead
		d.last = &p
	}
}

// checkConfigFile sets ConfigChanged if the configuration file has another time than when a
// daemon read it: an older one if a copy was put back.
func (d *Processes) checkConfigFile(file string) {
	path, err := filepath.Abs(file)
	if err != nil {
		return
	}
	info, err := os.Stat(path)
	if err != nil {
		return
	}
	d.ConfigFile = filepath.Base(path)
	for _, p := range d.Running {
		if p.Config == path && !info.ModTime().Equal(p.ConfigModified) {
			d.ConfigChanged = info.ModTime()
		}
	}
}

// DoPasses reports whether a process runs passes: a daemon, or the functions of a stack.
func (d *Processes) DoPasses() bool { return d.OnStack || len(d.Running) > 0 }

// LastHeartbeat returns the newest heartbeat of a daemon, or the newest run of the manager
// of a stack; zero if there was none.
func (d *Processes) LastHeartbeat() (newest time.Time) {
	switch {
	case d.OnStack && d.Manager != nil:
		return d.Manager.Seen
	case d.OnStack:
		return newest
	case len(d.Running) == 0 && d.last != nil:
		return d.last.Seen
	}
	for _, p := range d.Running {
		if p.Seen.After(newest) {
			newest = p.Seen
		}
	}
	return newest
}

// Problem returns why no process runs passes, or "".
func (d *Processes) Problem(now time.Time) string {
	switch {
	case d.OnStack && d.Manager != nil && now.Sub(d.Manager.Seen) > 3*cloud.ManagerEvery:
		return fmt.Sprintf("the manager is not running, last run %s", ui.Age(d.Manager.Seen, now))
	case d.DoPasses() || d.last == nil:
		return ""
	case !d.last.Stopped.IsZero():
		return fmt.Sprintf("not running, stopped %s on %s", ui.Age(d.last.Stopped, now), d.last.Host)
	}
	return fmt.Sprintf("not running, last seen %s on %s", ui.Age(d.last.Seen, now), d.last.Host)
}

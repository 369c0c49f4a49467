package runner

import (
	"context"
	"fmt"
	"sync"
	"time"

	"chefsync/cli/internal/cmdline"
	"chefsync/cli/internal/runlist"
	"chefsync/cli/internal/ui"
	"chefsync/pkg/replication"
)

// liveLine is the status line of a daemon on a terminal: it shows that the daemon runs while
// there is nothing to log.
type liveLine struct {
	line *ui.StatusLine
	now  func() time.Time

	mu       sync.Mutex
	started  time.Time
	pairs    int
	running  int
	passes   int
	lastPass time.Time
	changed  time.Time
	change   replication.Run
}

func newLiveLine(env *cmdline.Env) *liveLine {
	return &liveLine{line: env.Output().NewStatusLine(), now: env.Now, started: env.Now()}
}

// start shows the line, once a second, until stop is called.
func (l *liveLine) start() (stop func()) {
	if !l.line.IsShown() {
		return func() {}
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		tick := time.NewTicker(time.Second)
		defer tick.Stop()
		for {
			l.line.Set(l.text())
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
			}
		}
	}()
	return func() {
		cancel()
		<-ended
		l.line.Clear()
	}
}

// setPairs sets the number of pairs of the configuration in use.
func (l *liveLine) setPairs(n int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.pairs = n
}

// watch counts a pass.
func (l *liveLine) watch(pass func() (replication.Run, error)) (replication.Run, error) {
	l.mu.Lock()
	l.running++
	l.mu.Unlock()
	run, err := pass()
	l.mu.Lock()
	defer l.mu.Unlock()
	l.running--
	l.passes++
	l.lastPass = l.now()
	if c := run.Counts; c.Created+c.Updated+c.Deleted > 0 {
		l.changed, l.change = l.lastPass, run
	}
	return run, err
}

func (l *liveLine) text() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := l.now()
	text := ui.Plural(l.pairs, "pair")
	if l.running > 0 {
		text += fmt.Sprintf(", %d running", l.running)
	}
	text += ", " + passCount(l.passes) + " since " + ui.ShortTime(l.started, now)
	if !l.lastPass.IsZero() {
		text += ", last " + ui.Age(l.lastPass, now)
	}
	if !l.changed.IsZero() {
		text += fmt.Sprintf("; last change %s: %s %s", ui.Age(l.changed, now), l.change.Pair, runlist.WhatChanged(l.change))
	}
	return text
}

func passCount(n int) string {
	if n == 1 {
		return "1 pass"
	}
	return ui.Number(n) + " passes"
}

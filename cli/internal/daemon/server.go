package daemon

import (
	"context"
	"log/slog"
	"time"

	"chefsync/pkg/replication"
)

// Server is a Chef Server that is checked regularly, whether or not its pairs have work.
type Server struct {
	Name    string
	Pairs   []replication.PairID // that use it
	Sources []string             // that are scanned on it
	// Check records whether the server answers. An error means that it can't be recorded.
	Check func(context.Context) (up bool, err error)
}

// checkInterval is the time between two checks of a server.
const checkInterval = time.Minute

// serverLoop checks one server.
type serverLoop struct {
	server        Server
	log           *slog.Logger
	pairs         []*pairLoop
	sources       []*sourceLoop
	checked, down bool
}

func (d *Daemon) newServerLoops(loops map[replication.PairID]*pairLoop, sources map[string]*sourceLoop) []*serverLoop {
	all := make([]*serverLoop, len(d.Servers))
	for i, server := range d.Servers {
		c := &serverLoop{server: server, log: d.Log.With("server", server.Name)}
		for _, id := range server.Pairs {
			if l := loops[id]; l != nil {
				c.pairs = append(c.pairs, l)
			}
		}
		for _, name := range server.Sources {
			if s := sources[name]; s != nil {
				c.sources = append(c.sources, s)
			}
		}
		all[i] = c
	}
	return all
}

// task returns the regular check of the server. The first check comes after the first
// passes, which may make it unnecessary.
func (c *serverLoop) task() Task {
	return Task{First: startSpread, Every: checkInterval, Failing: "the result of the server check can't be recorded", Do: c.check}
}

func (c *serverLoop) check(ctx context.Context) error {
	up, err := c.server.Check(ctx)
	if err != nil || ctx.Err() != nil {
		return err
	}
	switch {
	case !c.checked && up: // it may have been down in the process before this one
		c.wakeFailing()
	case c.down && up:
		c.log.Info("the server responds again; its failed pairs resume")
		c.wakeFailing()
	case !c.down && !up:
		c.log.Warn("the server doesn't respond, or refuses every request; see chef-sync-ctl sync-status")
	}
	c.checked, c.down = true, !up
	return nil
}

// wakeFailing wakes the sources and pairs that failed: after many failures they would wait
// for minutes.
func (c *serverLoop) wakeFailing() {
	for _, s := range c.sources {
		s.wakeIfFailing()
	}
	for _, l := range c.pairs {
		l.wakeIfFailing()
	}
}

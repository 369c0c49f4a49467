package daemon

import (
	"context"
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
	daemon  *Daemon
	server  Server
	pairs   []*pairLoop
	sources []*sourceLoop
}

func (d *Daemon) newServerLoops(loops map[replication.PairID]*pairLoop, sources map[string]*sourceLoop) []*serverLoop {
	all := make([]*serverLoop, len(d.Servers))
	for i, server := range d.Servers {
		c := &serverLoop{daemon: d, server: server}
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

// runChecks checks the server until ctx ends. The first check comes after the first passes,
// which may make it unnecessary.
func (c *serverLoop) runChecks(ctx context.Context) {
	log := c.daemon.Log.With("server", c.server.Name)
	first, down, unrecorded := true, false, false
	for wait := startSpread; waitFor(ctx, wait, nil) != ended; wait = c.daemon.addJitter(checkInterval) {
		up, err := c.server.Check(ctx)
		if ctx.Err() != nil {
			return
		}
		if err != nil {
			if !unrecorded {
				log.Warn("the result of the server check can't be recorded", "error", err.Error())
			}
			unrecorded = true
			continue
		}
		unrecorded = false
		switch {
		case first && up: // it may have been down in the process before this one
			c.wakeFailing()
		case down && up:
			log.Info("the server responds again; its failed pairs resume")
			c.wakeFailing()
		case !down && !up:
			log.Warn("the server doesn't respond, or refuses every request; see chef-sync-ctl sync-status")
		}
		first, down = false, !up
	}
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

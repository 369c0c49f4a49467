package daemon

import (
	"context"
	"time"

	"chefsync/pkg/replication"
)

// Server is a Chef Server that is looked at now and then, whether or not its pairs
// have anything to do.
type Server struct {
	Name    string
	Pairs   []replication.PairID // that use it
	Sources []string             // that are scanned on it
	// Check records whether the server answers. The error is of the record.
	Check func(context.Context) (up bool, err error)
}

// checkEvery is the time between two checks of a server.
const checkEvery = time.Minute

// checking is the life of one server.
type checking struct {
	daemon  *Daemon
	server  Server
	pairs   []*loop
	sources []*scanning
}

func (d *Daemon) checkings(loops map[replication.PairID]*loop, sources map[string]*scanning) []*checking {
	all := make([]*checking, len(d.Servers))
	for i, server := range d.Servers {
		c := &checking{daemon: d, server: server}
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

// run checks the server until ctx ends. The first check comes after the first passes
// have begun, which may make it needless.
func (c *checking) run(ctx context.Context) {
	log := c.daemon.Log.With("server", c.server.Name)
	first, down, unrecorded := true, false, false
	for wait := startSpread; sleep(ctx, wait, nil) != ended; wait = c.daemon.jitter(checkEvery) {
		up, err := c.server.Check(ctx)
		if ctx.Err() != nil {
			return
		}
		if err != nil {
			if !unrecorded {
				log.Warn("whether the server answers can't be recorded", "error", err.Error())
			}
			unrecorded = true
			continue
		}
		unrecorded = false
		switch {
		case first && up: // it may have been down in the process before this one
			c.recovered()
		case down && up:
			log.Info("the server answers again; its pairs that failed go on")
			c.recovered()
		case !down && !up:
			log.Warn("the server doesn't answer, or refuses every request; see chef-sync-ctl sync-status")
		}
		first, down = false, !up
	}
}

// recovered wakes what failed because of the server: after many failures it would
// wait for minutes.
func (c *checking) recovered() {
	for _, s := range c.sources {
		s.recovered()
	}
	for _, l := range c.pairs {
		l.recovered()
	}
}

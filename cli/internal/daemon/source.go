package daemon

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"chefsync/pkg/replication"
)

// Source is the looking for changes of one organization of the primary.
type Source struct {
	Name  string
	Every time.Duration        // between the starts of two scans
	Pairs []replication.PairID // that read it
	// Scan looks for changes once, if they are found by scanning at all, and
	// tells whether there is something for the pairs to read.
	Scan func(context.Context) (changed bool, err error)
}

// scanCap is the longest wait between scans that fail.
const scanCap = 15 * time.Minute

// scanning is the life of one source.
type scanning struct {
	daemon *Daemon
	source Source
	pairs  []*loop
	tried  chan struct{} // closed once the first scan has ended, however

	failing atomic.Bool
	wake    chan struct{} // ends the wait after a failure
}

// scannings makes the lives of the sources and tells the loops of theirs.
func (d *Daemon) scannings(loops map[replication.PairID]*loop) map[string]*scanning {
	all := make(map[string]*scanning, len(d.Sources))
	for _, source := range d.Sources {
		s := &scanning{daemon: d, source: source, tried: make(chan struct{}), wake: make(chan struct{}, 1)}
		for _, id := range source.Pairs {
			if l := loops[id]; l != nil {
				s.pairs = append(s.pairs, l)
				l.scanned = s.tried
			}
		}
		all[source.Name] = s
	}
	return all
}

// serve takes pushes until ctx ends.
func (d *Daemon) serve(ctx context.Context, sources map[string]*scanning) error {
	if d.Serve == nil {
		return nil
	}
	return d.Serve(ctx, func(name string) {
		if s := sources[name]; s != nil {
			s.changed(replication.TriggerPush)
		}
	})
}

// changed wakes the pairs.
func (s *scanning) changed(trigger string) {
	for _, l := range s.pairs {
		l.wakeUp(trigger)
	}
}

// recovered scans now if the last scan failed: the server answers again.
func (s *scanning) recovered() {
	if !s.failing.Load() {
		return
	}
	select {
	case s.wake <- struct{}{}:
	default: // it is awake
	}
}

// run scans until ctx ends. A scan that is broken off loses nothing.
func (s *scanning) run(ctx context.Context) {
	d, failures, tried := s.daemon, 0, false
	for wait := time.Duration(0); sleep(ctx, wait, s.wake) != ended; {
		started := d.Now()
		changed, err := s.source.Scan(ctx)
		if !tried {
			close(s.tried)
			tried = true
		}
		if changed {
			s.changed(replication.TriggerScan)
		}
		every := s.source.Every
		s.failing.Store(err != nil)
		if err == nil {
			if failures > 0 {
				d.Log.Info("scanning again", "source", s.source.Name, "failures", failures)
			}
			failures = 0
		} else {
			failures++
			for i := 1; i < failures && every < scanCap; i++ {
				every *= 2
			}
			every = max(min(every, scanCap), s.source.Every)
		}
		wait = max(d.jitter(every)-d.Now().Sub(started), time.Second)
	}
}

// scanAll scans each source once, all at the same time, in a group. It returns what is
// closed at the end of the scan, by the pairs that read it.
func (d *Daemon) scanAll(ctx context.Context, group *sync.WaitGroup) map[replication.PairID]<-chan struct{} {
	scanned := map[replication.PairID]<-chan struct{}{}
	for _, s := range d.Sources {
		done := make(chan struct{})
		for _, id := range s.Pairs {
			scanned[id] = done
		}
		group.Go(func() {
			defer close(done)
			_, _ = s.Scan(ctx) // it has said why by itself
		})
	}
	return scanned
}

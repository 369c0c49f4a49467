package daemon

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"chefsync/pkg/replication"
)

// Source is an organization of the primary that is scanned for changes.
type Source struct {
	Name  string
	Every time.Duration        // between the starts of two scans
	Pairs []replication.PairID // that read it
	// Scan scans once, unless the primary serves a feed, and reports whether there are
	// changes for the pairs to read.
	Scan func(context.Context) (changed bool, err error)
	// Begun reports whether an earlier scan began the change log: pairs then needn't wait
	// for the first scan of this process, which may take long. Nil means that none did.
	Begun func(context.Context) bool
}

// maxScanWait is the longest wait after a scan that failed.
const maxScanWait = 15 * time.Minute

// sourceLoop scans one source.
type sourceLoop struct {
	daemon *Daemon
	source Source
	pairs  []*pairLoop
	ready  chan struct{} // closed once the pairs may begin: see run

	failing atomic.Bool
	wake    chan struct{} // ends the wait after a failure
}

// newSourceLoops returns a loop for each source, by name, and lets the loops of its pairs
// wait until they can begin with a position.
func (d *Daemon) newSourceLoops(loops map[replication.PairID]*pairLoop) map[string]*sourceLoop {
	all := make(map[string]*sourceLoop, len(d.Sources))
	for _, source := range d.Sources {
		s := &sourceLoop{daemon: d, source: source, ready: make(chan struct{}), wake: make(chan struct{}, 1)}
		for _, id := range source.Pairs {
			if l := loops[id]; l != nil {
				s.pairs = append(s.pairs, l)
				l.sourceReady = s.ready
			}
		}
		all[source.Name] = s
	}
	return all
}

// serveChanges receives pushes until ctx ends.
func (d *Daemon) serveChanges(ctx context.Context, sources map[string]*sourceLoop) error {
	if d.Serve == nil {
		return nil
	}
	return d.Serve(ctx, func(name string) {
		if s := sources[name]; s != nil {
			s.wakePairs(replication.TriggerPush)
		}
	})
}

// wakePairs wakes the pairs of the source.
func (s *sourceLoop) wakePairs(trigger replication.Trigger) {
	for _, l := range s.pairs {
		l.wakeUp(trigger)
	}
}

// wakeIfFailing scans at once if the last scan failed: the server responds again.
func (s *sourceLoop) wakeIfFailing() {
	if !s.failing.Load() {
		return
	}
	select {
	case s.wake <- struct{}{}:
	default: // it was woken before
	}
}

// run scans until ctx ends. A scan that is interrupted loses nothing. The pairs begin at
// once if the change log has begun, else after the first scan, whether or not it failed.
func (s *sourceLoop) run(ctx context.Context) {
	d, failures := s.daemon, 0
	ready := sync.OnceFunc(func() { close(s.ready) })
	if s.source.Begun != nil && s.source.Begun(ctx) {
		ready()
	}
	for wait := time.Duration(0); waitFor(ctx, wait, s.wake) != ended; {
		started := d.Now()
		changed, err := s.source.Scan(ctx)
		ready()
		if changed {
			s.wakePairs(replication.TriggerScan)
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
			for i := 1; i < failures && every < maxScanWait; i++ {
				every *= 2
			}
			every = max(min(every, maxScanWait), s.source.Every)
		}
		wait = max(d.addJitter(every)-d.Now().Sub(started), time.Second)
	}
}

// scanAll starts a scan of each source in a group. It returns a channel for each pair that
// is closed when the scan of its source has ended.
func (d *Daemon) scanAll(ctx context.Context, group *sync.WaitGroup) map[replication.PairID]<-chan struct{} {
	scanned := map[replication.PairID]<-chan struct{}{}
	for _, s := range d.Sources {
		done := make(chan struct{})
		for _, id := range s.Pairs {
			scanned[id] = done
		}
		group.Go(func() {
			defer close(done)
			_, _ = s.Scan(ctx) // it has logged why
		})
	}
	return scanned
}

package assembly

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"chefsync/pkg/chef"
	"chefsync/pkg/config"
	"chefsync/pkg/fault"
	"chefsync/pkg/health"
	"chefsync/pkg/replication"
)

// CheckEvery is how long an answer of a server counts as news: one that has
// answered within it isn't asked only to see whether it is up.
const CheckEvery = time.Minute

// checksAtOnce bounds the servers that CheckServers asks at the same time.
const checksAtOnce = 32

// CheckedServer is a server that pairs use, with one of its organizations.
type CheckedServer struct {
	config.Server
	Org   string
	Pairs []replication.PairID
}

// ServersOf returns the servers that pairs use, the primary first.
func (f *Fleet) ServersOf(pairs []config.PairConfig) []CheckedServer {
	var all []CheckedServer
	index := map[string]int{}
	add := func(s config.Server, org string, id replication.PairID) {
		i, known := index[s.Name]
		if !known {
			i = len(all)
			index[s.Name] = i
			all = append(all, CheckedServer{Server: s, Org: org})
		}
		all[i].Pairs = append(all[i].Pairs, id)
	}
	for _, p := range pairs {
		add(f.Primary, p.SourceOrg, p.ID)
	}
	for _, p := range pairs {
		add(p.Replica, p.ID.Org, p.ID)
	}
	return all
}

// CheckServers records whether servers answer, all at the same time, and returns the
// records. The error is of the records, not of the servers.
func (f *Fleet) CheckServers(ctx context.Context, servers []CheckedServer) ([]health.Server, error) {
	failed, records := make([]error, len(servers)), make([]health.Server, len(servers))
	free := make(chan struct{}, checksAtOnce)
	var all sync.WaitGroup
	for i, s := range servers {
		all.Go(func() {
			free <- struct{}{}
			defer func() { <-free }()
			records[i], failed[i] = f.CheckServer(ctx, s)
		})
	}
	all.Wait()
	return records, errors.Join(failed...)
}

// CheckServer records whether a server answers, and asks it if it hasn't answered
// anything within CheckEvery. The error is of the record, not of the server.
func (f *Fleet) CheckServer(ctx context.Context, s CheckedServer) (health.Server, error) {
	store, err := f.Health(ctx)
	if err != nil {
		return health.Server{}, err
	}
	records, err := store.Servers(ctx)
	if err != nil {
		return health.Server{}, fmt.Errorf("read the records of the servers: %w", err)
	}
	record := health.Server{Name: s.Name}
	for _, r := range records {
		if r.Name == s.Name {
			record = r
		}
	}
	seen := f.lastSeen(ctx, s)
	if ctx.Err() != nil {
		return record, nil // nothing was found out
	}
	record = seen.record(record, f.Now())
	if err := store.SaveServer(ctx, record); err != nil {
		return record, fmt.Errorf("record what was seen of server %s: %w", s.Name, err)
	}
	return record, nil
}

// lastSeen is what was seen of a server, with ages instead of times.
type lastSeen struct {
	answered time.Duration // since the answer, when failed is nil
	latency  time.Duration
	failed   error
	failing  time.Duration // since the first failure
}

func (f *Fleet) lastSeen(ctx context.Context, s CheckedServer) lastSeen {
	client, err := f.Client(ctx, s.Server)
	if err != nil {
		return lastSeen{failed: err}
	}
	if a := client.Breaker().Availability(); a.Served.IsZero() || a.Open || time.Since(a.Served) >= CheckEvery {
		err = client.Org(s.Org).Check(ctx)
	}
	if chef.KindOf(err) == chef.KindKey {
		f.Forget() // it may have been replaced
	}
	a := client.Breaker().Availability()
	if err == nil {
		return lastSeen{answered: time.Since(a.Served), latency: a.Latency}
	}
	seen := lastSeen{failed: err}
	if !a.DownSince.IsZero() {
		seen.failing = time.Since(a.DownSince)
	}
	if a.Open { // the cause, rather than when the next probe is
		seen.failed = a.Failure
	}
	return seen
}

// record is a server's record after the one before it.
func (l lastSeen) record(r health.Server, now time.Time) health.Server {
	r.CheckedAt = now
	if l.failed == nil {
		r.UpAt, r.Latency = now.Add(-l.answered), l.latency
		r.DownSince, r.Error, r.Hint = time.Time{}, "", ""
		return r
	}
	if r.DownSince.IsZero() {
		r.DownSince = now.Add(-l.failing)
	}
	r.Error, r.Hint = l.failed.Error(), fault.HintOf(l.failed)
	var e *chef.Error
	if errors.As(l.failed, &e) {
		r.Error, r.Hint = strings.TrimPrefix(e.Reason(), string(chef.KindUnreachable)+": "), cmp.Or(e.Hint, r.Hint)
	}
	return r
}

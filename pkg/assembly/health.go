package assembly

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"chefsync/pkg/chef"
	"chefsync/pkg/config"
	"chefsync/pkg/fault"
	"chefsync/pkg/health"
	"chefsync/pkg/replication"
)

// checkEvery is how long a response of a server shows that it is up, so that no request
// is sent to check it.
const checkEvery = time.Minute

// checkConcurrency is how many servers CheckServers checks at once.
const checkConcurrency = 32

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

// CheckServers calls CheckServer for servers concurrently, and returns the records.
func (f *Fleet) CheckServers(ctx context.Context, servers []CheckedServer) ([]health.Server, error) {
	failed, records := make([]error, len(servers)), make([]health.Server, len(servers))
	var group errgroup.Group
	group.SetLimit(checkConcurrency)
	for i, s := range servers {
		group.Go(func() error {
			records[i], failed[i] = f.CheckServer(ctx, s)
			return nil
		})
	}
	_ = group.Wait() // the errors are in failed
	return records, errors.Join(failed...)
}

// CheckServer records whether a server answers, and sends it a request if it hasn't
// answered any within checkEvery. The error is of the record, not of the server.
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
	observed := f.observeServer(ctx, s)
	if ctx.Err() != nil {
		return record, nil // the server wasn't checked
	}
	record = observed.updateRecord(record, f.Now())
	if err := store.SaveServer(ctx, record); err != nil {
		return record, fmt.Errorf("record what was seen of server %s: %w", s.Name, err)
	}
	return record, nil
}

// observation is the last response or failure of a server, with ages instead of times.
type observation struct {
	answeredAgo time.Duration // if err is nil
	latency     time.Duration
	err         error
	failingFor  time.Duration // time since the first failure
}

// observeServer returns the last observation of a server, after a request if that is older
// than checkEvery.
func (f *Fleet) observeServer(ctx context.Context, s CheckedServer) observation {
	client, err := f.Client(ctx, s.Server)
	if err != nil {
		return observation{err: err}
	}
	if a := client.Breaker().Availability(); a.Served.IsZero() || a.Open || time.Since(a.Served) >= checkEvery {
		err = client.Org(s.Org).Check(ctx)
	}
	if chef.KindOf(err) == chef.KindKey {
		f.DropClients() // it may have been replaced
	}
	a := client.Breaker().Availability()
	if err == nil {
		return observation{answeredAgo: time.Since(a.Served), latency: a.Latency}
	}
	failed := observation{err: err}
	if !a.DownSince.IsZero() {
		failed.failingFor = time.Since(a.DownSince)
	}
	if a.Open { // the cause rather than the time of the next probe
		failed.err = a.Failure
	}
	return failed
}

// updateRecord returns the record of a server after an observation.
func (l observation) updateRecord(r health.Server, now time.Time) health.Server {
	r.CheckedAt = now
	if l.err == nil {
		r.UpAt, r.Latency = now.Add(-l.answeredAgo), l.latency
		r.DownSince, r.Error, r.Hint = time.Time{}, "", ""
		return r
	}
	if r.DownSince.IsZero() {
		r.DownSince = now.Add(-l.failingFor)
	}
	r.Error, r.Hint = l.err.Error(), fault.HintOf(l.err)
	var e *chef.Error
	if errors.As(l.err, &e) {
		r.Error, r.Hint = strings.TrimPrefix(e.Reason(), string(chef.KindUnreachable)+": "), cmp.Or(e.Hint, r.Hint)
	}
	return r
}

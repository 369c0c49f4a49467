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
	client, err := f.Client(ctx, s.Server)
	var seen chef.Availability
	if err == nil {
		seen, err = f.checkClient(ctx, client, s.Org)
	}
	if ctx.Err() != nil {
		return record, nil // the server wasn't checked
	}
	record = updateRecord(record, seen, err, f.Now())
	if err := store.SaveServer(ctx, record); err != nil {
		return record, fmt.Errorf("record what was seen of server %s: %w", s.Name, err)
	}
	return record, nil
}

// checkClient returns what was last seen of a server, after a request if that is older than
// checkEvery, and why it doesn't answer.
func (f *Fleet) checkClient(ctx context.Context, client *chef.Client, org string) (seen chef.Availability, err error) {
	if seen = client.Breaker().Availability(); seen.Served.IsZero() || seen.Open || time.Since(seen.Served).Abs() >= checkEvery {
		err = client.Org(org).Check(ctx)
	}
	if chef.KindOf(err) == chef.KindKey {
		f.DropClients() // it may have been replaced
	}
	if seen = client.Breaker().Availability(); err != nil && seen.Open { // the cause rather than the time of the next probe
		err = seen.Failure
	}
	return seen, err
}

// updateRecord returns the record of a server after a check. What was seen is of the clock of
// the machine, so only its ages count.
func updateRecord(r health.Server, seen chef.Availability, err error, now time.Time) health.Server {
	r.CheckedAt = now
	if err == nil {
		r.UpAt, r.Latency = now.Add(-time.Since(seen.Served)), seen.Latency
		r.DownSince, r.Error, r.Hint = time.Time{}, "", ""
		return r
	}
	if r.DownSince.IsZero() {
		r.DownSince = now
		if !seen.DownSince.IsZero() {
			r.DownSince = now.Add(-time.Since(seen.DownSince))
		}
	}
	r.Error, r.Hint = err.Error(), fault.HintOf(err)
	var e *chef.Error
	if errors.As(err, &e) {
		r.Error, r.Hint = strings.TrimPrefix(e.Reason(), string(chef.KindUnreachable)+": "), cmp.Or(e.Hint, r.Hint)
	}
	return r
}

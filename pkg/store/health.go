package store

import (
	"context"
	"slices"
	"time"

	"chefsync/pkg/health"
)

// Partition and sort keys of the records of servers and processes.
const (
	healthPartition = "HEALTH"
	serverPrefix    = "SERVER#"
	processPrefix   = "PROCESS#"
)

// Health is what was last seen of servers and processes. Each operation is one request to
// the KV.
type Health struct{ s *Store }

var _ health.Store = Health{}

// Health returns the records of servers and processes.
func (s *Store) Health() Health { return Health{s} }

// put replaces a record, whatever is there.
func (s *Store) put(ctx context.Context, k Key, record any, expires time.Time) error {
	data, err := encode(record)
	if err == nil {
		_, err = s.kv.Transact(ctx, Put(Item{Key: k, Data: data, Expires: expires}))
	}
	return err
}

// SaveServer implements [health.Store].
func (h Health) SaveServer(ctx context.Context, s health.Server) error {
	s.Error, s.Hint = clip(s.Error), clip(s.Hint)
	return explain("save the record of the server "+s.Name, h.s.put(ctx, Key{healthPartition, serverPrefix + s.Name}, s, time.Time{}))
}

// Servers implements [health.Store].
func (h Health) Servers(ctx context.Context) ([]health.Server, error) {
	return loadHealth[health.Server](ctx, h.s, serverPrefix)
}

// SaveProcess implements [health.Store].
func (h Health) SaveProcess(ctx context.Context, p health.Process) error {
	key := Key{healthPartition, processPrefix + p.Role + "/" + p.Owner}
	return explain("save the record of the process "+p.Owner, h.s.put(ctx, key, p, p.Seen.Add(health.KeepProcesses)))
}

// Processes implements [health.Store]. What has expired may still be stored, and is left
// out.
func (h Health) Processes(ctx context.Context) ([]health.Process, error) {
	all, err := loadHealth[health.Process](ctx, h.s, processPrefix)
	if len(all) > 0 {
		newest := slices.MaxFunc(all, func(a, b health.Process) int { return a.Seen.Compare(b.Seen) }).Seen
		all = slices.DeleteFunc(all, func(p health.Process) bool { return newest.Sub(p.Seen) > health.KeepProcesses })
	}
	slices.SortFunc(all, health.Compare)
	return all, err
}

func loadHealth[T any](ctx context.Context, s *Store, prefix string) (all []T, err error) {
	const op = "read what was last seen of servers and processes"
	items, err := s.kv.Query(ctx, Prefix(healthPartition, prefix))
	for _, it := range items {
		record, err := decode[T](it.Data)
		if err != nil {
			return nil, explain(op, err)
		}
		all = append(all, record)
	}
	return all, explain(op, err)
}

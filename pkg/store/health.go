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

// SaveServer implements [health.Store].
func (h Health) SaveServer(ctx context.Context, s health.Server) error {
	s.Error, s.Hint = truncateText(s.Error), truncateText(s.Hint)
	err := saveRecord(ctx, h.s.kv, Key{healthPartition, serverPrefix + s.Name}, s, time.Time{})
	return explainError("save the record of the server "+s.Name, err)
}

// Servers implements [health.Store].
func (h Health) Servers(ctx context.Context) ([]health.Server, error) {
	return loadHealth[health.Server](ctx, h.s, serverPrefix)
}

// SaveProcess implements [health.Store]. The record of a process that ends also deletes
// expired ones, which not every KV does by itself.
func (h Health) SaveProcess(ctx context.Context, p health.Process) error {
	err := saveRecord(ctx, h.s.kv, Key{healthPartition, processPrefix + p.Role + "/" + p.Owner}, p, p.Seen.Add(health.KeepProcesses))
	if err == nil && !p.Stopped.IsZero() {
		err = h.deleteExpired(ctx, p.Seen)
	}
	return explainError("save the record of the process "+p.Owner, err)
}

func (h Health) deleteExpired(ctx context.Context, now time.Time) error {
	items, err := h.s.kv.Query(ctx, Prefix(healthPartition, processPrefix))
	if err != nil {
		return err
	}
	return h.s.deleteAll(ctx, slices.DeleteFunc(items, func(it Item) bool { return !it.Expires.Before(now) }))
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
		record, err := decodeRecord[T](it.Data)
		if err != nil {
			return nil, explainError(op, err)
		}
		all = append(all, record)
	}
	return all, explainError(op, err)
}

package dynamostate

import (
	"context"
	"errors"
	"slices"

	"chefsync/pkg/health"
)

// healthSchema is the version of the health records that this program writes.
const healthSchema = 1

// HealthPartition is the partition key of the health records.
const HealthPartition = "health"

// The beginnings of their sort keys.
const (
	serverSK  = "server#"
	processSK = "process#"
)

// Health is a [health.Store] in the state's table.
type Health struct{ s *State }

// Health returns the health records of this state.
func (s *State) Health() Health { return Health{s} }

var _ health.Store = Health{}

// SaveServer implements [health.Store]: one UpdateItem.
func (h Health) SaveServer(ctx context.Context, s health.Server) error {
	s.Error, s.Hint = clipText(s.Error), clipText(s.Hint)
	packed, err := pack(s)
	if err == nil {
		_, err = h.s.updateItem(ctx, keyOf(HealthPartition, serverSK+s.Name), change{
			set: "SET v = :v, r = :r", condition: ifKnown, values: item{":v": num(healthSchema), ":r": bin(packed)},
		})
	}
	return h.s.explain(ctx, "save the record of the server "+s.Name, err)
}

// Servers implements [health.Store]: one Query.
func (h Health) Servers(ctx context.Context) ([]health.Server, error) {
	return loadHealth[health.Server](ctx, h.s, serverSK)
}

// SaveProcess implements [health.Store]: one UpdateItem. The record expires by
// itself.
func (h Health) SaveProcess(ctx context.Context, p health.Process) error {
	packed, err := pack(p)
	if err == nil {
		_, err = h.s.updateItem(ctx, keyOf(HealthPartition, processSK+p.Role+"/"+p.Owner), change{
			set: "SET v = :v, r = :r, " + ttlName + " = :e", condition: ifKnown,
			values: item{":v": num(healthSchema), ":r": bin(packed), ":e": num(p.Seen.Add(health.KeepProcesses).Unix())},
		})
	}
	return h.s.explain(ctx, "save the record of the process "+p.Owner, err)
}

// Processes implements [health.Store]: one Query. What has expired may still be in
// the table, and is left out.
func (h Health) Processes(ctx context.Context) ([]health.Process, error) {
	all, err := loadHealth[health.Process](ctx, h.s, processSK)
	if len(all) > 0 {
		newest := slices.MaxFunc(all, func(a, b health.Process) int { return a.Seen.Compare(b.Seen) }).Seen
		all = slices.DeleteFunc(all, func(p health.Process) bool { return newest.Sub(p.Seen) > health.KeepProcesses })
	}
	slices.SortFunc(all, health.Compare)
	return all, err
}

func loadHealth[T any](ctx context.Context, s *State, prefix string) (all []T, err error) {
	items, err := s.query(ctx, HealthPartition, prefix, false, 0)
	for _, it := range items {
		r := reader{it: it}
		if err = errors.Join(checkVersion(r.num(attrSchema), healthSchema), r.err); err != nil {
			break
		}
		record, unpackErr := unpack[T](r.bin(attrRecord))
		if err = errors.Join(unpackErr, r.err); err != nil {
			break
		}
		all = append(all, record)
	}
	if err != nil {
		return nil, s.explain(ctx, "read what was last seen of servers and processes", err)
	}
	return all, nil
}

package state

import (
	"context"
	"encoding/json"
	"slices"

	"chefsync/pkg/health"
)

// healthTable is the fourth version of the state: what was last seen of servers and
// processes, as JSON.
const healthTable = `
CREATE TABLE health (
	kind   TEXT    NOT NULL, -- server or process
	name   TEXT    NOT NULL,
	seen   INTEGER NOT NULL, -- microseconds since 1970
	record TEXT    NOT NULL, -- JSON
	PRIMARY KEY (kind, name)
) STRICT, WITHOUT ROWID;
`

// The kinds of health records.
const (
	healthServer  = "server"
	healthProcess = "process"
)

// Health is a [health.Store] in the state's file.
type Health struct{ s *SQLite }

// Health returns the health records of this state.
func (s *SQLite) Health() Health { return Health{s} }

var _ health.Store = Health{}

// SaveServer implements [health.Store]: one write, one fsync.
func (h Health) SaveServer(ctx context.Context, s health.Server) error {
	return h.save(ctx, healthServer, s.Name, s.CheckedAt.UnixMicro(), s)
}

// Servers implements [health.Store]: one SELECT.
func (h Health) Servers(ctx context.Context) ([]health.Server, error) {
	return loadHealth[health.Server](ctx, h.s, healthServer)
}

// SaveProcess implements [health.Store]: two writes, one fsync each at most. It
// drops the records of processes that are no longer kept.
func (h Health) SaveProcess(ctx context.Context, p health.Process) error {
	if err := h.save(ctx, healthProcess, p.Role+"/"+p.Owner, p.Seen.UnixMicro(), p); err != nil {
		return err
	}
	oldest := p.Seen.Add(-health.KeepProcesses).UnixMicro()
	_, err := h.s.write.ExecContext(ctx, "DELETE FROM health WHERE kind = ? AND seen < ?", healthProcess, oldest)
	return explain(ctx, "drop records of old processes", err)
}

// Processes implements [health.Store]: one SELECT.
func (h Health) Processes(ctx context.Context) ([]health.Process, error) {
	all, err := loadHealth[health.Process](ctx, h.s, healthProcess)
	slices.SortFunc(all, health.Compare)
	return all, err
}

func (h Health) save(ctx context.Context, kind, name string, seen int64, record any) error {
	text, err := json.Marshal(record)
	if err != nil {
		return err
	}
	const set = "INSERT INTO health VALUES (?, ?, ?, ?) ON CONFLICT (kind, name) DO UPDATE SET seen = excluded.seen, record = excluded.record"
	_, err = h.s.write.ExecContext(ctx, set, kind, name, seen, string(text))
	return explain(ctx, "save the record of the "+kind+" "+name, err)
}

func loadHealth[T any](ctx context.Context, s *SQLite, kind string) (all []T, err error) {
	op := "read the records of each " + kind
	rows, err := s.read.QueryContext(ctx, "SELECT record FROM health WHERE kind = ? ORDER BY name", kind)
	if err != nil {
		return nil, explain(ctx, op, err)
	}
	defer rows.Close()
	for rows.Next() {
		var text string
		var record T
		if err := rows.Scan(&text); err != nil {
			return nil, explain(ctx, op, err)
		}
		if err := json.Unmarshal([]byte(text), &record); err != nil {
			return nil, damaged(op, err)
		}
		all = append(all, record)
	}
	return all, explain(ctx, op, rows.Err())
}

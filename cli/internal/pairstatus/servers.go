package pairstatus

import (
	"context"
	"time"

	"chefsync/cli/internal/app"
	"chefsync/pkg/cloud"
	"chefsync/pkg/health"
	"chefsync/pkg/replication"
)

// The states of a server.
const (
	ServerUp          = "up"
	ServerUnreachable = "unreachable"
	ServerUnknown     = "unknown" // not checked recently
)

// maxCheckAge is how old the newest check of a server may be on one machine to count.
const maxCheckAge = 5 * time.Minute

// ServerRow is what sync-status shows of a server.
type ServerRow struct {
	Name             string    `json:"name"`
	URL              string    `json:"url"`
	Status           string    `json:"status"`
	UnreachableSince time.Time `json:"unreachable_since,omitzero"`
	LastAnswer       time.Time `json:"last_answer,omitzero"`
	LastCheck        time.Time `json:"last_check,omitzero"`
	LatencyMS        *int64    `json:"latency_ms"` // null before the first answer
	Pairs            int       `json:"pairs"`
	Error            string    `json:"error,omitempty"`
	Hint             string    `json:"hint,omitempty"`
}

// ReadServers returns the servers of pairs with the newest check of each.
func ReadServers(ctx context.Context, a *app.App, pairs []app.Pair, now time.Time) ([]ServerRow, error) {
	store, err := a.Health(ctx)
	if err != nil {
		return nil, err
	}
	records, err := store.Servers(ctx)
	if err != nil {
		return nil, err
	}
	known := make(map[string]health.Server, len(records))
	for _, r := range records {
		known[r.Name] = r
	}
	maxAge := maxCheckAge
	if a.Stack != nil {
		maxAge = 3 * cloud.ManagerEvery
	}
	rows := []ServerRow{}
	for _, s := range a.ServersOf(pairs) {
		row := newServerRow(s.Name, s.URL, known[s.Name], now, maxAge)
		row.Pairs = len(s.Pairs)
		rows = append(rows, row)
	}
	return rows, nil
}

// newServerRow makes a row of the newest check of a server, which doesn't count if it is
// older than maxAge.
func newServerRow(name, url string, r health.Server, now time.Time, maxAge time.Duration) ServerRow {
	row := ServerRow{Name: name, URL: url, Status: ServerUp, LastAnswer: r.UpAt, LastCheck: r.CheckedAt, Error: r.Error, Hint: r.Hint}
	if r.Latency > 0 {
		row.LatencyMS = new(r.Latency.Milliseconds())
	}
	switch {
	case now.Sub(r.CheckedAt).Abs() > maxAge:
		row.Status = ServerUnknown
	case r.Down():
		row.Status, row.UnreachableSince = ServerUnreachable, r.DownSince
	}
	return row
}

// unreachableServers returns the servers of a pair that are unreachable.
func unreachableServers(servers []ServerRow, id replication.PairID) (down []health.Server) {
	for _, s := range servers {
		if s.Status == ServerUnreachable && (s.Name == id.Replica || s.Name == primaryName) {
			down = append(down, health.Server{Name: s.Name, DownSince: s.UnreachableSince, Error: s.Error, Hint: s.Hint})
		}
	}
	return down
}

// setUnreachable sets since when servers of the pair are unreachable.
func (r *PairRow) setUnreachable(down []health.Server) {
	for _, s := range down {
		if s.Name == primaryName {
			r.PrimaryUnreachableSince = s.DownSince
		} else {
			r.ReplicaUnreachableSince = s.DownSince
		}
	}
}

// primaryName is what the configuration calls the primary.
const primaryName = "primary"

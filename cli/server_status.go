package cli

import (
	"context"
	"strconv"
	"time"

	"chefsync/cli/internal/app"
	"chefsync/cli/internal/ui"
	"chefsync/pkg/cloud"
	"chefsync/pkg/health"
	"chefsync/pkg/replication"
)

// What a server does, as far as it is known.
const (
	serverUp          = "up"
	serverUnreachable = "unreachable"
	serverUnknown     = "unknown" // not checked recently
)

// serverLate is how old the newest check of a server may be on one machine.
const serverLate = 5 * time.Minute

// serverRow is what sync-status shows of a server.
type serverRow struct {
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

// serversStatus says of the servers of pairs whether they answer, by the record of the
// newest check of each.
func serversStatus(ctx context.Context, a *app.App, pairs []app.Pair, now time.Time) ([]serverRow, error) {
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
	late := serverLate
	if a.Stack != nil {
		late = 3 * cloud.ManagerEvery
	}
	rows := []serverRow{}
	for _, s := range a.ServersOf(pairs) {
		row := makeServerStatus(s.Name, s.URL, known[s.Name], now, late)
		row.Pairs = len(s.Pairs)
		rows = append(rows, row)
	}
	return rows, nil
}

// makeServerStatus says of a server whether it answers. A record older than late says
// nothing of now.
func makeServerStatus(name, url string, r health.Server, now time.Time, late time.Duration) serverRow {
	row := serverRow{Name: name, URL: url, Status: serverUp, LastAnswer: r.UpAt, LastCheck: r.CheckedAt, Error: r.Error, Hint: r.Hint}
	if r.Latency > 0 {
		row.LatencyMS = new(r.Latency.Milliseconds())
	}
	switch {
	case now.Sub(r.CheckedAt).Abs() > late:
		row.Status = serverUnknown
	case r.Down():
		row.Status, row.UnreachableSince = serverUnreachable, r.DownSince
	}
	return row
}

// showServers adds the servers to the output: one line each, and why one is down.
func showServers(t *ui.Grid, rows []serverRow, now time.Time) {
	t.Head("SERVER", "URL", "STATUS", "SINCE", "LAST ANSWER", "LATENCY", "PAIRS")
	for _, r := range rows {
		color, latency, since := ui.Yellow, "-", "-"
		switch r.Status {
		case serverUp:
			color = ui.Green
		case serverUnreachable:
			color, since = ui.Red, ui.Age(r.UnreachableSince, now)
		}
		if r.LatencyMS != nil {
			latency = strconv.FormatInt(*r.LatencyMS, 10) + " ms"
		}
		t.Row(r.Name, r.URL, t.Paint(color, r.Status), since, ui.Age(r.LastAnswer, now), latency, strconv.Itoa(r.Pairs))
	}
	for _, r := range rows {
		if r.Status == serverUnreachable {
			t.Line("%s: %s", r.Name, r.Error)
			if r.Hint != "" {
				t.Line("  Try: %s", r.Hint)
			}
		}
	}
}

// downOf returns the servers of a pair that are unreachable.
func downOf(servers []serverRow, id replication.PairID) (down []health.Server) {
	for _, s := range servers {
		if s.Status == serverUnreachable && (s.Name == id.Replica || s.Name == primaryName) {
			down = append(down, health.Server{Name: s.Name, DownSince: s.UnreachableSince, Error: s.Error, Hint: s.Hint})
		}
	}
	return down
}

// reach adds since when the servers of the pair are unreachable.
func (r *statusRow) reach(down []health.Server) {
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

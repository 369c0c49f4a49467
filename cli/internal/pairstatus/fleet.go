package pairstatus

import (
	"context"
	"errors"
	"time"

	"chefsync/cli/internal/app"
	"chefsync/pkg/health"
	"chefsync/pkg/notify"
	"chefsync/pkg/replication"
	"chefsync/pkg/status"
)

// Fleet is what a daemon knows of its pairs, and of all servers, at one time.
type Fleet struct {
	Servers []ServerRow
	Pairs   []PairRow
	read    []app.Pair // the pairs of the rows, also those whose records can't be read
	all     []app.Pair // of the configuration, also those that others run
}

// ReadFleet returns the rows of pairs, and of all servers of the configuration. The error
// names the pairs whose records can't be read; the rows of the others are returned with
// it.
func ReadFleet(ctx context.Context, a *app.App, pairs []app.Pair, now time.Time) (Fleet, error) {
	return readFleet(ctx, a, pairs, a.Pairs(), now)
}

// readFleet returns the rows of pairs, and of the servers of others.
func readFleet(ctx context.Context, a *app.App, pairs, serversOf []app.Pair, now time.Time) (f Fleet, err error) {
	f.read, f.all = pairs, a.Pairs()
	if f.Servers, err = ReadServers(ctx, a, serversOf, now); err != nil {
		return f, err
	}
	f.Pairs, err = ReadPairs(ctx, a, pairs, f.Servers, now)
	return f, err
}

// Known returns what is known, for notifications.
func (f Fleet) Known() (known notify.Fleet) {
	rows := make(map[replication.PairID]PairRow, len(f.Pairs))
	for _, r := range f.Pairs {
		rows[r.Pair] = r
	}
	for _, s := range f.Servers {
		server := notify.Server{Name: s.Name}
		if s.Status != ServerUnknown {
			server.Record = &health.Server{Name: s.Name, CheckedAt: s.LastCheck, UpAt: s.LastAnswer, DownSince: s.UnreachableSince, Error: s.Error, Hint: s.Hint}
		}
		for _, p := range f.all {
			if id := p.ID; (s.Name == primaryName || s.Name == id.Replica) && rows[id].Status != replication.Stopped {
				server.Pairs = append(server.Pairs, id)
			}
		}
		known.Servers = append(known.Servers, server)
	}
	own := make(map[replication.PairID]bool, len(f.read))
	for _, p := range f.read {
		own[p.ID] = true
	}
	for _, p := range f.all {
		pair := notify.Pair{ID: p.ID, Elsewhere: !own[p.ID]}
		if r, ok := rows[p.ID]; ok {
			pair.Report = &status.Report{Status: r.Status, Reasons: r.Reasons, CurrentAsOf: r.CurrentAsOf, Pending: r.Pending}
		}
		known.Pairs = append(known.Pairs, pair)
	}
	return known
}

// ErrNoPasses means that no pair has had a pass when it was due.
var ErrNoPasses = errors.New("no pair has passes")

// CheckPasses returns ErrNoPasses if all pairs are overdue that aren't stopped and have run: one
// that never ran shows no pass.
func (f Fleet) CheckPasses() error {
	overdue := 0
	for _, r := range f.Pairs {
		switch {
		case r.Status == replication.Stopped, r.ShownStatus() == Waiting:
		case !r.Overdue:
			return nil
		default:
			overdue++
		}
	}
	if overdue > 0 {
		return ErrNoPasses
	}
	return nil
}

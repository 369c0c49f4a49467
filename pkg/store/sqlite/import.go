package sqlite

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"chefsync/pkg/feed/changelog"
	"chefsync/pkg/object"
	"chefsync/pkg/replication"
	"chefsync/pkg/store"
)

// importTables converts the tables of the layouts 1 to 4, one for each kind of record, to
// items, and drops them.
func importTables(ctx context.Context, tx *sql.Tx, was int) error {
	old := oldTables{ctx: ctx, tx: tx}
	steps := []struct {
		since int // the layout that brought the tables
		read  func() ([]store.Write, error)
		drop  string
	}{
		{1, old.pairWrites, "DROP TABLE pairs; DROP TABLE inventory; DROP TABLE unsynced; DROP TABLE runs"},
		{2, old.sourceWrites, "DROP TABLE journals; DROP TABLE journal_rows; DROP TABLE scan_memory"},
		{3, old.scanWrites, "DROP TABLE last_scans"},
		// The next contact records servers and processes again.
		{4, func() ([]store.Write, error) { return nil, nil }, "DROP TABLE health"},
	}
	for _, step := range steps {
		if was < step.since {
			break
		}
		writes, err := step.read()
		if err != nil {
			return err
		}
		if err := writeItems(ctx, tx, store.NewVersion(), writes); err != nil {
			return err
		}
		if _, err := tx.ExecContext(ctx, step.drop); err != nil {
			return err
		}
	}
	return nil
}

// oldTables reads the tables of the older layouts.
type oldTables struct {
	ctx context.Context
	tx  *sql.Tx
}

// eachRow calls f with each row of a query.
func (t oldTables) eachRow(query string, f func(scan func(...any) error) error, args ...any) error {
	rows, err := t.tx.QueryContext(t.ctx, query, args...)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		if err := f(rows.Scan); err != nil {
			return err
		}
	}
	return rows.Err()
}

func fromMicros(us int64) time.Time { return time.UnixMicro(us).UTC() }

func newLease(owner string, expires, fence int64) replication.Lease {
	l := replication.Lease{Owner: owner, Fence: fence}
	if owner != "" {
		l.Expires = fromMicros(expires)
	}
	return l
}

func (t oldTables) pairWrites() ([]store.Write, error) {
	var all []store.PreviousPair
	err := t.eachRow("SELECT pair, schema, desired, progress, lease_owner, lease_expires, fence FROM pairs",
		func(scan func(...any) error) error {
			var name, desired, progress, owner string
			var schema, expires, fence int64
			if err := scan(&name, &schema, &desired, &progress, &owner, &expires, &fence); err != nil {
				return err
			}
			if schema > replication.SchemaVersion {
				return fmt.Errorf("%w: the record of %s has version %d", replication.ErrSchema, name, schema)
			}
			p := store.PreviousPair{State: replication.PairState{Lease: newLease(owner, expires, fence)}}
			var err error
			if p.State.ID, err = replication.ParsePairID(name); err != nil {
				return err
			}
			if err := replication.DecodeRecord([]byte(desired), &p.State.Desired); err != nil {
				return fmt.Errorf("the record of %s: %w", name, err)
			}
			if err := replication.DecodeRecord([]byte(progress), &p.State.Progress); err != nil {
				return fmt.Errorf("the record of %s: %w", name, err)
			}
			all = append(all, p)
			return nil
		})
	if err != nil {
		return nil, err
	}
	var writes []store.Write
	for _, p := range all {
		if err := t.readPairRecords(&p); err != nil {
			return nil, fmt.Errorf("the records of %s: %w", p.State.ID, err)
		}
		more, err := p.Writes()
		if err != nil {
			return nil, err
		}
		writes = append(writes, more...)
	}
	return writes, nil
}

// readPairRecords reads the other records of a pair.
func (t oldTables) readPairRecords(p *store.PreviousPair) error {
	name := p.State.ID.String()
	err := t.eachRow("SELECT kind, name, sub, fingerprint FROM inventory WHERE pair = ?", func(scan func(...any) error) error {
		var r object.Ref
		var fingerprint string
		err := scan(&r.Kind, &r.Name, &r.Sub, &fingerprint)
		p.SetFingerprint(r, fingerprint)
		return err
	}, name)
	if err != nil {
		return err
	}
	err = t.eachRow("SELECT kind, name, sub, record FROM unsynced WHERE pair = ?", func(scan func(...any) error) error {
		var r object.Ref
		var text string
		if err := scan(&r.Kind, &r.Name, &r.Sub, &text); err != nil {
			return err
		}
		var record struct {
			replication.Unsynced
			Ref *struct{} `json:"object,omitempty"`
		}
		err := json.Unmarshal([]byte(text), &record)
		record.Unsynced.Ref = r
		p.SetFailure(r, &record.Unsynced)
		return err
	}, name)
	if err != nil {
		return err
	}
	return t.eachRow("SELECT record FROM runs WHERE pair = ?", func(scan func(...any) error) error {
		var text string
		if err := scan(&text); err != nil {
			return err
		}
		var r replication.Run
		err := json.Unmarshal([]byte(text), &r)
		p.Runs = append(p.Runs, r)
		return err
	}, name)
}

func (t oldTables) sourceWrites() ([]store.Write, error) {
	var all []store.PreviousSource
	err := t.eachRow("SELECT j.source, epoch, oldest, next, generation, lease_owner, lease_expires, fence, memory FROM journals j"+
		" LEFT JOIN scan_memory m ON m.source = j.source", func(scan func(...any) error) error {
		var s store.PreviousSource
		var owner string
		var expires, fence int64
		err := scan(&s.Name, &s.Epoch, &s.Oldest, &s.Next, &s.Generation, &owner, &expires, &fence, &s.ScanState)
		s.Lease, s.ScanState = newLease(owner, expires, fence), slices.Clone(s.ScanState)
		all = append(all, s)
		return err
	})
	if err != nil {
		return nil, err
	}
	var writes []store.Write
	for _, s := range all {
		err := t.eachRow("SELECT id, action, path, at FROM journal_rows WHERE source = ? ORDER BY id", func(scan func(...any) error) error {
			var r changelog.Row
			var at int64
			err := scan(&r.ID, &r.Action, &r.Path, &at)
			r.Time = fromMicros(at)
			s.Rows = append(s.Rows, r)
			return err
		}, s.Name)
		if err != nil {
			return nil, err
		}
		more, err := s.Writes()
		if err != nil {
			return nil, err
		}
		writes = append(writes, more...)
	}
	return writes, nil
}

func (t oldTables) scanWrites() (writes []store.Write, err error) {
	err = t.eachRow("SELECT source, scan FROM last_scans", func(scan func(...any) error) error {
		var source, text string
		var s changelog.LastScan
		if err := scan(&source, &text); err != nil {
			return err
		}
		if err := json.Unmarshal([]byte(text), &s); err != nil {
			return err
		}
		w, err := store.ScanWrite(source, s)
		writes = append(writes, w)
		return err
	})
	return writes, err
}

package state

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"chefsync/pkg/object"
	"chefsync/pkg/replication"
)

// Commit implements [replication.State]. An entry that an update both drops and
// sets is set.
func (s *SQLite) Commit(ctx context.Context, id replication.PairID, fence int64, now time.Time, u replication.Update) error {
	k, err := key(id)
	if err != nil {
		return err
	}
	parts, err := encodeUpdate(u)
	if err != nil {
		return fmt.Errorf("commit state of %s: %w", k, err)
	}
	err = inTx(ctx, s.write, func(tx *sql.Tx) error {
		res, err := tx.ExecContext(ctx, "UPDATE pairs SET schema = ?, progress = ? WHERE "+held,
			replication.SchemaVersion, parts.progress, k, fence, micros(now), replication.SchemaVersion)
		if err := s.granted(ctx, tx, k, res, err); err != nil {
			return err
		}
		return parts.write(ctx, tx, k, s.keep.runs)
	})
	return explain(ctx, "commit state of "+k, err)
}

// encoded is an update as the statements take it: each part one JSON array of
// rows, so that a part is one statement however long it is. "" is no rows.
type encoded struct {
	progress                           string
	removed, applied, synced, unsynced string
	runID, run                         string
}

func encodeUpdate(u replication.Update) (e encoded, err error) {
	if e.progress, err = encode(u.Progress); err != nil {
		return e, fmt.Errorf("progress: %w", err)
	}
	var rows [4]table
	for _, r := range u.Removed {
		rows[0].add(r)
	}
	for r, fingerprint := range u.Applied {
		rows[1].add(r, fingerprint)
	}
	for _, r := range u.Synced {
		rows[2].add(r)
	}
	for _, x := range u.Unsynced {
		record, err := encode(unsyncedRecord{Unsynced: x})
		if err != nil {
			return e, fmt.Errorf("unsynced %s: %w", x.Ref, err)
		}
		rows[3].add(x.Ref, record)
	}
	for i, to := range []*string{&e.removed, &e.applied, &e.synced, &e.unsynced} {
		if *to, err = rows[i].json(); err != nil {
			return e, err
		}
	}
	if u.Run == nil {
		return e, nil
	}
	if u.Run.ID == "" {
		return e, errors.New("a run without an id")
	}
	e.runID = u.Run.ID
	if e.run, err = encode(*u.Run); err != nil {
		return e, fmt.Errorf("run %s: %w", u.Run.ID, err)
	}
	return e, nil
}

// table collects rows of an object and, maybe, a value.
type table struct {
	rows [][]string
	err  error
}

func (t *table) add(r object.Ref, value ...string) {
	if err := checkRef(r); err != nil {
		t.err = err
		return
	}
	t.rows = append(t.rows, append([]string{string(r.Kind), r.Name, r.Sub}, value...))
}

func (t *table) json() (string, error) {
	if t.err != nil || len(t.rows) == 0 {
		return "", t.err
	}
	b, err := json.Marshal(t.rows)
	return string(b), err
}

func (e encoded) write(ctx context.Context, tx *sql.Tx, k string, keepRuns int) error {
	const object = "value->>0, value->>1, value->>2"
	const conflict = " WHERE true ON CONFLICT (pair, kind, name, sub) DO UPDATE SET "
	for _, part := range []struct{ rows, statement string }{
		{e.removed, "DELETE FROM inventory WHERE pair = ? AND (kind, name, sub) IN (SELECT " + object + " FROM json_each(?))"},
		{e.applied, "INSERT INTO inventory SELECT ?, " + object + ", value->>3 FROM json_each(?)" + conflict + "fingerprint = excluded.fingerprint"},
		{e.synced, "DELETE FROM unsynced WHERE pair = ? AND (kind, name, sub) IN (SELECT " + object + " FROM json_each(?))"},
		{e.unsynced, "INSERT INTO unsynced SELECT ?, " + object + ", value->>3 FROM json_each(?)" + conflict + "record = excluded.record"},
	} {
		if part.rows == "" {
			continue
		}
		if _, err := tx.ExecContext(ctx, part.statement, k, part.rows); err != nil {
			return err
		}
	}
	if e.runID == "" {
		return nil
	}
	_, err := tx.ExecContext(ctx, "INSERT INTO runs VALUES (?, ?, ?) ON CONFLICT (pair, run) DO UPDATE SET record = excluded.record", k, e.runID, e.run)
	if err != nil {
		return err
	}
	_, err = tx.ExecContext(ctx, "DELETE FROM runs WHERE pair = ?1 AND run <= (SELECT run FROM runs WHERE pair = ?1 ORDER BY run DESC LIMIT 1 OFFSET ?2)", k, keepRuns)
	return err
}

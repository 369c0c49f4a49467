package state

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"chefsync/pkg/replication"
)

const pairColumns = "pair, schema, desired, progress, lease_owner, lease_expires, fence"

// scanPair reads a row of pairColumns.
func scanPair(scan func(...any) error) (replication.PairState, error) {
	var st replication.PairState
	var name, desired, progress string
	var schema int
	var expires int64
	if err := scan(&name, &schema, &desired, &progress, &st.Lease.Owner, &expires, &st.Lease.Fence); err != nil {
		return st, err
	}
	if err := checkSchema(schema); err != nil {
		return st, err
	}
	var err error
	if st.ID, err = replication.ParsePairID(name); err != nil {
		return st, damaged("read pair", err)
	}
	if st.Desired, err = decode[replication.Desired](desired); err != nil {
		return st, err
	}
	if st.Progress, err = decode[replication.Progress](progress); err != nil {
		return st, err
	}
	if st.Lease.Owner != "" {
		st.Lease.Expires = fromMicros(expires)
	}
	return st, nil
}

func checkSchema(schema int) error {
	if schema > replication.SchemaVersion {
		return fmt.Errorf("%w: the record has version %d, this program knows %d", replication.ErrSchema, schema, replication.SchemaVersion)
	}
	return nil
}

// readPair returns the record of a pair; found is false for one never seen.
func readPair(ctx context.Context, db querier, id replication.PairID, k string) (st replication.PairState, found bool, err error) {
	row := db.QueryRowContext(ctx, "SELECT "+pairColumns+" FROM pairs WHERE pair = ?", k)
	st, err = scanPair(row.Scan)
	if errors.Is(err, sql.ErrNoRows) {
		return replication.PairState{ID: id}, false, nil
	}
	return st, err == nil, err
}

// Pair implements [replication.State].
func (s *SQLite) Pair(ctx context.Context, id replication.PairID) (replication.PairState, error) {
	k, err := key(id)
	if err != nil {
		return replication.PairState{}, err
	}
	st, _, err := readPair(ctx, s.read, id, k)
	if err != nil {
		return replication.PairState{}, explain(ctx, "read state of "+k, err)
	}
	return st, nil
}

// Pairs implements [replication.State]. It fails as a whole when a newer version
// wrote one of the records.
func (s *SQLite) Pairs(ctx context.Context) ([]replication.PairState, error) {
	all, err := collect(ctx, s.read, scanPair, "SELECT "+pairColumns+" FROM pairs ORDER BY pair")
	return all, explain(ctx, "read state of all pairs", err)
}

// Acquire implements [replication.State].
func (s *SQLite) Acquire(ctx context.Context, id replication.PairID, owner string, now time.Time, ttl time.Duration) (st replication.PairState, err error) {
	k, err := key(id)
	if err != nil {
		return st, err
	}
	if owner == "" || ttl <= 0 {
		return st, fmt.Errorf("lease of %s: an owner and a duration are needed", k)
	}
	err = inTx(ctx, s.write, func(tx *sql.Tx) error {
		var found bool
		if st, found, err = readPair(ctx, tx, id, k); err != nil {
			return err
		}
		if st.Lease.HeldAt(now) && st.Lease.Owner != owner {
			return &replication.LeasedError{Pair: id, Lease: st.Lease}
		}
		expires := micros(now.Add(ttl))
		st.Lease = replication.Lease{Owner: owner, Expires: fromMicros(expires), Fence: st.Lease.Fence + 1}
		if !found {
			_, err = tx.ExecContext(ctx, "INSERT INTO pairs ("+pairColumns+") VALUES (?, ?, '{}', ?, ?, ?, ?)",
				k, replication.SchemaVersion, emptyProgress, owner, expires, st.Lease.Fence)
			return err
		}
		_, err = tx.ExecContext(ctx, "UPDATE pairs SET schema = ?, lease_owner = ?, lease_expires = ?, fence = ? WHERE pair = ?",
			replication.SchemaVersion, owner, expires, st.Lease.Fence, k)
		return err
	})
	if err != nil {
		return replication.PairState{}, explain(ctx, "take lease of "+k, err)
	}
	return st, nil
}

// emptyProgress is the JSON of a zero Progress.
const emptyProgress = `{"objects":0}`

// held is the condition of every write under a lease: the token is the last one
// given out and its lease has not ended.
const held = "pair = ? AND fence = ? AND lease_owner <> '' AND lease_expires > ? AND schema <= ?"

// Renew implements [replication.State]. A lease that has expired can't be
// renewed, even if nobody took it: a poll may have written a Note meanwhile,
// which the holder doesn't know.
func (s *SQLite) Renew(ctx context.Context, id replication.PairID, fence int64, now time.Time, ttl time.Duration) (st replication.PairState, err error) {
	k, err := key(id)
	if err != nil {
		return st, err
	}
	err = inTx(ctx, s.write, func(tx *sql.Tx) error {
		res, err := tx.ExecContext(ctx, "UPDATE pairs SET lease_expires = ? WHERE "+held,
			micros(now.Add(ttl)), k, fence, micros(now), replication.SchemaVersion)
		if err := s.granted(ctx, tx, k, res, err); err != nil {
			return err
		}
		st, _, err = readPair(ctx, tx, id, k)
		return err
	})
	if err != nil {
		return replication.PairState{}, explain(ctx, "renew lease of "+k, err)
	}
	return st, nil
}

// Release implements [replication.State].
func (s *SQLite) Release(ctx context.Context, id replication.PairID, fence int64) error {
	k, err := key(id)
	if err != nil {
		return err
	}
	_, err = s.write.ExecContext(ctx, "UPDATE pairs SET lease_owner = '', lease_expires = 0 WHERE pair = ? AND fence = ? AND schema <= ?",
		k, fence, replication.SchemaVersion)
	return explain(ctx, "release lease of "+k, err)
}

// Note implements [replication.State].
func (s *SQLite) Note(ctx context.Context, id replication.PairID, fence int64, now time.Time, p replication.Progress) error {
	k, err := key(id)
	if err != nil {
		return err
	}
	progress, err := encode(p)
	if err != nil {
		return fmt.Errorf("note state of %s: %w", k, err)
	}
	const free = "fence = ? AND (lease_owner = '' OR lease_expires <= ?) AND schema <= ?"
	var res sql.Result
	if fence == 0 { // possibly a pair never seen
		res, err = s.write.ExecContext(ctx, "INSERT INTO pairs ("+pairColumns+") VALUES (?, ?, '{}', ?, '', 0, 0)"+
			" ON CONFLICT (pair) DO UPDATE SET schema = excluded.schema, progress = excluded.progress WHERE "+free,
			k, replication.SchemaVersion, progress, fence, micros(now), replication.SchemaVersion)
	} else {
		res, err = s.write.ExecContext(ctx, "UPDATE pairs SET schema = ?, progress = ? WHERE pair = ? AND "+free,
			replication.SchemaVersion, progress, k, fence, micros(now), replication.SchemaVersion)
	}
	return explain(ctx, "note state of "+k, s.granted(ctx, s.write, k, res, err))
}

// granted tells whether a conditional write happened; if not, whether a newer
// version or another holder is the reason.
func (s *SQLite) granted(ctx context.Context, db querier, k string, res sql.Result, err error) error {
	if err != nil {
		return err
	}
	n, err := res.RowsAffected()
	if err != nil || n > 0 {
		return err
	}
	var schema int
	err = db.QueryRowContext(ctx, "SELECT schema FROM pairs WHERE pair = ?", k).Scan(&schema)
	if err != nil && !errors.Is(err, sql.ErrNoRows) {
		return err
	}
	if err := checkSchema(schema); err != nil {
		return err
	}
	return replication.ErrFenced
}

// Direct implements [replication.State].
func (s *SQLite) Direct(ctx context.Context, id replication.PairID, d replication.Directive) error {
	k, err := key(id)
	if err != nil {
		return err
	}
	err = inTx(ctx, s.write, func(tx *sql.Tx) error {
		st, _, err := readPair(ctx, tx, id, k)
		if err != nil {
			return err
		}
		desired, err := encode(st.Desired.Apply(d))
		if err != nil {
			return err
		}
		_, err = tx.ExecContext(ctx, "INSERT INTO pairs ("+pairColumns+") VALUES (?, ?, ?, ?, '', 0, 0)"+
			" ON CONFLICT (pair) DO UPDATE SET schema = excluded.schema, desired = excluded.desired",
			k, replication.SchemaVersion, desired, emptyProgress)
		return err
	})
	return explain(ctx, "direct "+k, err)
}

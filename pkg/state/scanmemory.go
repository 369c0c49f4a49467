package state

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"time"

	"chefsync/pkg/feed/journal"
	"chefsync/pkg/replication"
)

// Recall implements [journal.Memory]: one SELECT, no fsync.
func (j Journals) Recall(ctx context.Context, source string) (journal.Recollection, error) {
	var blob []byte
	r, err := readJournal(ctx, j.s.read, source, ", (SELECT memory FROM scan_memory m WHERE m.source = j.source)", &blob)
	if err != nil {
		return journal.Recollection{}, explain(ctx, "read the scan memory of "+source, err)
	}
	known := r.recollection()
	known.Blob = blob
	return known, nil
}

// Acquire implements [journal.Memory]: one SELECT, one write, one fsync.
func (j Journals) Acquire(ctx context.Context, source, owner string, now time.Time, ttl time.Duration) (known journal.Recollection, err error) {
	if source == "" || owner == "" || ttl <= 0 {
		return known, errors.New("lease of a scanner: a source, an owner and a duration are needed")
	}
	err = inTx(ctx, j.s.write, func(tx *sql.Tx) error {
		r, err := readJournal(ctx, tx, source, "")
		if err != nil {
			return err
		}
		if r.lease.HeldAt(now) && r.lease.Owner != owner {
			return &journal.LeasedError{Source: source, Lease: r.lease}
		}
		r.lease = replication.Lease{Owner: owner, Expires: fromMicros(micros(now.Add(ttl))), Fence: r.lease.Fence + 1}
		known = r.recollection()
		return r.save(ctx, tx, source)
	})
	return known, explainJournal(ctx, "take the scanner's lease of "+source, err)
}

// Lease implements [journal.Memory]: one SELECT, no fsync.
func (j Journals) Lease(ctx context.Context, source string) (replication.Lease, error) {
	r, err := readJournal(ctx, j.s.read, source, "")
	return r.lease, explain(ctx, "read the scanner's lease of "+source, err)
}

// Renew implements [journal.Memory]: one UPDATE, one fsync.
func (j Journals) Renew(ctx context.Context, source string, fence int64, now time.Time, ttl time.Duration) error {
	op := "renew the scanner's lease of " + source
	done, err := j.s.write.ExecContext(ctx, `UPDATE journals SET lease_expires = ?
		WHERE source = ? AND fence = ? AND lease_owner <> '' AND lease_expires > ? AND schema <= ?`,
		micros(now.Add(ttl)), source, fence, micros(now), journalSchema)
	if err != nil {
		return explain(ctx, op, err)
	}
	if n, err := done.RowsAffected(); err != nil || n == 0 {
		return explainJournal(ctx, op, cmp.Or(err, journal.ErrFenced))
	}
	return nil
}

// Release implements [journal.Memory]: one UPDATE, one fsync.
func (j Journals) Release(ctx context.Context, source string, fence int64) error {
	_, err := j.s.write.ExecContext(ctx, "UPDATE journals SET lease_owner = '', lease_expires = 0 WHERE source = ? AND fence = ? AND schema <= ?",
		source, fence, journalSchema)
	return explain(ctx, "release the scanner's lease of "+source, err)
}

// Commit implements [journal.Memory]: one SELECT, at most five writes, one fsync.
func (j Journals) Commit(ctx context.Context, source string, fence int64, now time.Time, step journal.Step) (head journal.Head, err error) {
	if err := journal.CheckEntries(step.Entries); err != nil {
		return head, err
	}
	err = inTx(ctx, j.s.write, func(tx *sql.Tx) error {
		r, err := readJournal(ctx, tx, source, "")
		switch {
		case err != nil:
			return err
		case !r.lease.HeldAt(now) || r.lease.Fence != fence || r.generation != step.Generation:
			return journal.ErrFenced
		case step.Begin == "" && r.epoch == "" && len(step.Entries) > 0:
			return journal.ErrNoJournal
		}
		if step.Begin != "" {
			if err := r.begin(ctx, tx, source, step.Begin, now); err != nil {
				return err
			}
		}
		if err := r.append(ctx, tx, source, now, step.Entries); err != nil {
			return err
		}
		if step.Blob != nil {
			r.generation++
			const set = "INSERT INTO scan_memory VALUES (?, ?) ON CONFLICT (source) DO UPDATE SET memory = excluded.memory"
			if _, err := tx.ExecContext(ctx, set, source, step.Blob); err != nil {
				return err
			}
		}
		head = r.head()
		return r.save(ctx, tx, source)
	})
	return head, explainJournal(ctx, "write the journal of "+source, err)
}

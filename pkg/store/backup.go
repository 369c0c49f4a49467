package store

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"chefsync/pkg/replication"
)

// backupRecord is one part of the backups of a run. Its key holds the run.
type backupRecord struct {
	Objects []replication.Backup `json:"objects"`
}

// backupKey returns the key of a part. Keys sort by the run and the number of the part.
func backupKey(id replication.PairID, run string, part int) Key {
	return Key{pairPartition(id), fmt.Sprintf("%s%s/%06d", backupPrefix, run, part)}
}

// maxLost is how long, in bytes, the reason may be why an object isn't kept. A part names many
// objects.
const maxLost = 500

func backupWrite(id replication.PairID, now time.Time, part replication.BackupPart) (Write, error) {
	if checkName("run", part.Run) != nil || part.Number < 1 {
		return Write{}, errors.New("backups need a run and a number above 0")
	}
	objects := slices.Clone(part.Objects)
	for i := range objects {
		objects[i].Lost = truncateBytes(objects[i].Lost, maxLost)
	}
	w, err := putRecord(backupKey(id, part.Run, part.Number), backupRecord{objects}, now.Add(replication.BackupAge))
	if err != nil {
		return w, fmt.Errorf("backups of run %s: %w", part.Run, err)
	}
	return w, nil
}

// Backups implements [replication.State].
func (s *Store) Backups(ctx context.Context, id replication.PairID, run string) (parts []replication.BackupPart, err error) {
	op := "read backups of " + id.String()
	if _, err := pairKey(id); err != nil {
		return nil, explainError(op, err)
	}
	q := Prefix(pairPartition(id), backupPrefix)
	q.From += run
	items, err := s.kv.Query(ctx, q)
	if err != nil {
		return nil, explainError(op, err)
	}
	for _, it := range items {
		r, err := decodeRecord[backupRecord](it.Data)
		if err != nil {
			return nil, explainError(op, err)
		}
		part := replication.BackupPart{Objects: r.Objects}
		name, number, _ := strings.Cut(strings.TrimPrefix(it.Sort, backupPrefix), "/")
		part.Run = name
		if _, err := fmt.Sscanf(number, "%d", &part.Number); err != nil {
			return nil, explainError(op, damagedError(fmt.Errorf("%q is not the key of backups", it.Sort)))
		}
		parts = append(parts, part)
	}
	return parts, nil
}

// trimBackups deletes backups that are older than they are kept, for a KV that doesn't
// remove what has expired.
func (s *Store) trimBackups(ctx context.Context, id replication.PairID, now time.Time) error {
	q := Prefix(pairPartition(id), backupPrefix)
	q.Limit = MaxWrites
	for {
		items, err := s.kv.Query(ctx, q)
		if err != nil {
			return err
		}
		expired := slices.IndexFunc(items, func(it Item) bool { return !it.Expires.Before(now) })
		if expired < 0 {
			expired = len(items)
		}
		if err := s.deleteAll(ctx, items[:expired]); err != nil || expired < MaxWrites {
			return err
		}
	}
}

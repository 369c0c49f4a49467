package store

import (
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"maps"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"chefsync/pkg/object"
	"chefsync/pkg/replication"
)

// Sort keys of the records of a pair.
const (
	objectPrefix = "OBJECT#"
	runPrefix    = "RUN#"
	backupPrefix = "BACKUP#"
)

// ledgerEntry is the entry of one object, or of a listing that failed, in the ledger of a pair.
type ledgerEntry struct {
	// Fingerprint is that of the object as it was last written to the replica.
	Fingerprint string `json:"fingerprint,omitempty"`
	// Dirty means that after an interrupted write it isn't known what the replica has.
	Dirty   bool           `json:"dirty,omitempty"`
	Failure *storedFailure `json:"failure,omitempty"`
}

// storedFailure is an unsynced object without its name, which the key holds: the path in JSON
// can't name every object.
type storedFailure struct {
	replication.Unsynced
	Ref *struct{} `json:"object,omitempty"` // hides the path
}

// objectSortKey returns the sort key of an object, KIND/NAME/SUB with slashes and percent
// signs in names escaped.
func objectSortKey(r object.Ref) string {
	sort := objectPrefix + escapeName(string(r.Kind))
	if r.Name != "" || r.Sub != "" {
		sort += "/" + escapeName(r.Name)
	}
	if r.Sub != "" {
		sort += "/" + escapeName(r.Sub)
	}
	return sort
}

func escapeName(s string) string { return nameEscaper.Replace(s) }

// What names in keys are escaped with, read-only.
var (
	nameEscaper   = strings.NewReplacer("%", "%25", "/", "%2F")
	nameUnescaper = strings.NewReplacer("%25", "%", "%2F", "/")
)

// decodeRef returns the object of a sort key.
func decodeRef(sort string) (object.Ref, error) {
	parts := strings.Split(strings.TrimPrefix(sort, objectPrefix), "/")
	for len(parts) < 3 {
		parts = append(parts, "")
	}
	r := object.Ref{Kind: object.Kind(nameUnescaper.Replace(parts[0])), Name: nameUnescaper.Replace(parts[1]),
		Sub: nameUnescaper.Replace(parts[2])}
	if len(parts) > 3 || objectSortKey(r) != sort {
		return r, damagedError(fmt.Errorf("%q is not the key of an object", sort))
	}
	return r, nil
}

// checkRef rejects names that a key can't hold unchanged. No name that a Chef Server
// accepts is refused (docs/chef-server-api.md §4).
func checkRef(r object.Ref) error {
	if n := len(objectSortKey(r)); n > MaxKey {
		return fmt.Errorf("the name of a %s is too long: %d bytes", r.Kind, n)
	}
	for _, s := range []string{string(r.Kind), r.Name, r.Sub} {
		if strings.ContainsRune(s, 0) || !utf8.ValidString(s) {
			return fmt.Errorf("%q is not the name of an object", r.Path())
		}
	}
	return nil
}

// ledgerWrites returns the writes of changed entries, in the order of application.
func ledgerWrites(id replication.PairID, entries replication.Entries) ([]Write, error) {
	writes := make([]Write, 0, len(entries)+1)
	for _, r := range slices.SortedFunc(maps.Keys(entries), object.Compare) {
		w, err := entryWrite(id, r, entries[r])
		if err != nil {
			return nil, err
		}
		writes = append(writes, w)
	}
	return writes, nil
}

func entryWrite(id replication.PairID, r object.Ref, e replication.Entry) (Write, error) {
	if err := checkRef(r); err != nil {
		return Write{}, err
	}
	key := Key{pairPartition(id), objectSortKey(r)}
	if e == (replication.Entry{}) {
		return Delete(key), nil
	}
	stored := ledgerEntry{Fingerprint: e.Fingerprint, Dirty: e.Dirty}
	if e.Failure != nil {
		u := *e.Failure
		u.Reason, u.Hint = truncateText(u.Reason), truncateText(u.Hint)
		stored.Failure = &storedFailure{Unsynced: u}
	}
	w, err := putRecord(key, stored, time.Time{})
	if err != nil {
		return w, fmt.Errorf("entry of %s: %w", r, err)
	}
	return w, nil
}

// Commit implements [replication.State]. An update of more entries than a transaction
// takes is written in several, the progress last; see the package documentation.
func (s *Store) Commit(ctx context.Context, id replication.PairID, fence int64, now time.Time, u replication.Update) error {
	return explainError("commit state of "+id.String(), s.commitUpdate(ctx, id, fence, now, u))
}

func (s *Store) commitUpdate(ctx context.Context, id replication.PairID, fence int64, now time.Time, u replication.Update) error {
	writes, err := ledgerWrites(id, u.Entries)
	if err != nil {
		return err
	}
	for _, part := range u.Backups {
		w, err := backupWrite(id, now, part)
		if err != nil {
			return err
		}
		writes = append(writes, w)
	}
	if u.Run != nil {
		w, err := runWrite(id, now, *u.Run)
		if err != nil {
			return err
		}
		writes = append(writes, w) // in the last transaction
	}
	chunks := splitWrites(writes)
	last := len(chunks) - 1
	for _, chunk := range chunks[:last] {
		if err := s.writeUnderLease(ctx, id, fence, now, chunk); err != nil {
			return err
		}
	}
	_, err = s.updatePair(ctx, id, func(st *replication.PairState) error {
		st.Progress = u.Progress
		return checkLease(st.Lease, fence, now)
	}, chunks[last]...)
	if err == nil && u.Run != nil && trimsRuns(u.Run.ID) {
		err = errors.Join(s.trimRuns(ctx, id), s.trimBackups(ctx, id, now))
	}
	return err
}

// splitWrites splits writes into transactions, at least one, with room for one more write
// in each.
func splitWrites(writes []Write) (chunks [][]Write) {
	start, size := 0, 0
	for i, w := range writes {
		if size += len(w.Item.Data); i > start && (i-start == MaxWrites-1 || size > maxTotal) {
			chunks = append(chunks, writes[start:i])
			start, size = i, len(w.Item.Data)
		}
	}
	return append(chunks, writes[start:])
}

// writeUnderLease does writes in a transaction that depends on the lease.
func (s *Store) writeUnderLease(ctx context.Context, id replication.PairID, fence int64, now time.Time, writes []Write) error {
	key, err := pairKey(id)
	if err != nil {
		return err
	}
	return s.writeBeside(ctx, key, writes, func(it Item) error {
		st, err := decodePair(it)
		if err != nil {
			return err
		}
		return checkLease(st.Lease, fence, now)
	})
}

// Entries implements [replication.State].
func (s *Store) Entries(ctx context.Context, id replication.PairID) (replication.Entries, error) {
	op := "read ledger of " + id.String()
	if _, err := pairKey(id); err != nil {
		return nil, explainError(op, err)
	}
	items, err := s.kv.Query(ctx, Prefix(pairPartition(id), objectPrefix))
	if err != nil {
		return nil, explainError(op, err)
	}
	all := make(replication.Entries, len(items))
	for _, it := range items {
		stored, err := decodeRecord[ledgerEntry](it.Data)
		if err != nil {
			return nil, explainError(op, err)
		}
		r, err := decodeRef(it.Sort)
		if err != nil {
			return nil, explainError(op, err)
		}
		all[r] = stored.toEntry(r)
	}
	return all, nil
}

// toEntry returns the entry of an object.
func (e ledgerEntry) toEntry(r object.Ref) replication.Entry {
	entry := replication.Entry{Fingerprint: e.Fingerprint, Dirty: e.Dirty}
	if e.Failure != nil {
		u := e.Failure.Unsynced
		u.Ref = r
		entry.Failure = &u
	}
	return entry
}

// What is kept of runs. A backend that expires items removes them after runAge.
const (
	KeepRuns = 200                 // newest runs of each pair, about
	runAge   = 30 * 24 * time.Hour // since it was recorded
)

func runWrite(id replication.PairID, now time.Time, r replication.Run) (Write, error) {
	if checkName("run", r.ID) != nil {
		return Write{}, errors.New("a run needs an id, of at most 900 bytes")
	}
	r.Error = truncateFailure(r.Error)
	w, err := putRecord(Key{pairPartition(id), runPrefix + r.ID}, r, now.Add(runAge))
	if err != nil {
		return w, fmt.Errorf("run %s: %w", r.ID, err)
	}
	return w, nil
}

// trimsRuns reports whether the commit of a run deletes old ones: one in fifty does, by the
// hash of its id, so that few commits read them.
func trimsRuns(id string) bool {
	h := fnv.New32a()
	_, _ = h.Write([]byte(id)) // never fails
	return h.Sum32()%50 == 0
}

func (s *Store) trimRuns(ctx context.Context, id replication.PairID) error {
	q := Prefix(pairPartition(id), runPrefix)
	q.Reverse, q.Limit = true, 10*KeepRuns
	items, err := s.kv.Query(ctx, q)
	if err != nil || len(items) <= KeepRuns {
		return err
	}
	return s.deleteAll(ctx, items[KeepRuns:])
}

// deleteAll deletes items.
func (s *Store) deleteAll(ctx context.Context, items []Item) error {
	for chunk := range slices.Chunk(items, MaxWrites) {
		writes := make([]Write, len(chunk))
		for i, it := range chunk {
			writes[i] = Delete(it.Key)
		}
		if _, err := s.kv.Transact(ctx, writes...); err != nil {
			return err
		}
	}
	return nil
}

// Runs implements [replication.State]. A limit below one gives none.
func (s *Store) Runs(ctx context.Context, id replication.PairID, limit int) (runs []replication.Run, err error) {
	if _, err := pairKey(id); err != nil || limit < 1 {
		return nil, err
	}
	q := Prefix(pairPartition(id), runPrefix)
	q.Reverse, q.Limit = true, limit
	items, err := s.kv.Query(ctx, q)
	for _, it := range items {
		r, err := decodeRecord[replication.Run](it.Data)
		if err != nil {
			return nil, explainError("read runs of "+id.String(), err)
		}
		runs = append(runs, r)
	}
	return runs, explainError("read runs of "+id.String(), err)
}

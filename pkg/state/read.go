package state

import (
	"context"
	"database/sql"
	"fmt"
	"slices"

	"chefsync/pkg/object"
	"chefsync/pkg/replication"
)

// collect runs a query and reads all rows.
func collect[T any](ctx context.Context, db *sql.DB, read func(scan func(...any) error) (T, error), query string, args ...any) (all []T, err error) {
	rows, err := db.QueryContext(ctx, query, args...)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	for rows.Next() {
		v, err := read(rows.Scan)
		if err != nil {
			return nil, err
		}
		all = append(all, v)
	}
	return all, rows.Err()
}

// ofPair is how the records of a pair are read: together with the pair's schema
// version, which holds for all of them. A pair without such records gives one
// row of nulls.
const ofPair = " FROM pairs p LEFT JOIN %s t ON t.pair = p.pair WHERE p.pair = ?"

type entry struct {
	ref   object.Ref
	value string
	none  bool
}

func scanEntry(scan func(...any) error) (e entry, err error) {
	var schema int
	var kind, name, sub, value sql.NullString
	if err := scan(&schema, &kind, &name, &sub, &value); err != nil {
		return e, err
	}
	ref := object.Ref{Kind: object.Kind(kind.String), Name: name.String, Sub: sub.String}
	return entry{ref: ref, value: value.String, none: !kind.Valid}, checkSchema(schema)
}

// entries reads the inventory or the unsynced objects of a pair.
func (s *SQLite) entries(ctx context.Context, id replication.PairID, tableName, column string) ([]entry, error) {
	k, err := key(id)
	if err != nil {
		return nil, err
	}
	query := "SELECT p.schema, t.kind, t.name, t.sub, t." + column + fmt.Sprintf(ofPair, tableName)
	all, err := collect(ctx, s.read, scanEntry, query, k)
	if err != nil {
		return nil, explain(ctx, "read "+tableName+" of "+k, err)
	}
	return slices.DeleteFunc(all, func(e entry) bool { return e.none }), nil
}

// Inventory implements [replication.State].
func (s *SQLite) Inventory(ctx context.Context, id replication.PairID) (map[object.Ref]string, error) {
	all, err := s.entries(ctx, id, "inventory", "fingerprint")
	if err != nil {
		return nil, err
	}
	inventory := make(map[object.Ref]string, len(all))
	for _, e := range all {
		inventory[e.ref] = e.value
	}
	return inventory, nil
}

// Unsynced implements [replication.State].
func (s *SQLite) Unsynced(ctx context.Context, id replication.PairID) ([]replication.Unsynced, error) {
	all, err := s.entries(ctx, id, "unsynced", "record")
	if err != nil {
		return nil, err
	}
	var list []replication.Unsynced
	for _, e := range all {
		record, err := decode[unsyncedRecord](e.value)
		if err != nil {
			return nil, explain(ctx, "read unsynced object "+e.ref.Path()+" of "+id.String(), err)
		}
		record.Unsynced.Ref = e.ref
		list = append(list, record.Unsynced)
	}
	slices.SortFunc(list, func(a, b replication.Unsynced) int { return object.Compare(a.Ref, b.Ref) })
	return list, nil
}

// Runs implements [replication.State]. A limit below one gives none.
func (s *SQLite) Runs(ctx context.Context, id replication.PairID, limit int) ([]replication.Run, error) {
	k, err := key(id)
	if err != nil || limit < 1 {
		return nil, err
	}
	read := func(scan func(...any) error) (r replication.Run, err error) {
		var schema int
		var record sql.NullString
		if err := scan(&schema, &record); err != nil {
			return r, err
		}
		if err := checkSchema(schema); err != nil || !record.Valid {
			return r, err
		}
		return decode[replication.Run](record.String)
	}
	query := "SELECT p.schema, t.record" + fmt.Sprintf(ofPair, "runs") + " ORDER BY t.run DESC LIMIT ?"
	all, err := collect(ctx, s.read, read, query, k, limit)
	if err != nil {
		return nil, explain(ctx, "read runs of "+k, err)
	}
	return slices.DeleteFunc(all, func(r replication.Run) bool { return r.ID == "" }), nil
}

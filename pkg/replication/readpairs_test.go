package replication_test

import (
	"context"
	"errors"
	"maps"
	"slices"
	"testing"

	"chefsync/pkg/fault"
	"chefsync/pkg/replication"
)

// records is a PairReader. A record that is an error can't be read, and with it those of all
// pairs at once.
type records map[replication.PairID]error

func (r records) Pair(_ context.Context, id replication.PairID) (replication.PairState, error) {
	return replication.PairState{ID: id}, r[id]
}

func (r records) Pairs(ctx context.Context) (all []replication.PairState, err error) {
	for id := range r {
		st, err := r.Pair(ctx, id)
		if err != nil {
			return nil, err
		}
		all = append(all, st)
	}
	return all, nil
}

func TestADamagedRecordLeavesTheOthersReadable(t *testing.T) {
	a, b, unseen := replication.PairID{Replica: "eu", Org: "a"}, replication.PairID{Replica: "eu", Org: "b"}, replication.PairID{Replica: "eu", Org: "c"}
	damaged := &fault.Error{Op: "read record", Class: fault.Local, Err: errors.New("damaged")}
	down := &fault.Error{Op: "read record", Class: fault.Transient, Err: errors.New("throttled")}
	for name, c := range map[string]struct {
		of            error // the record of b
		known, unread int
		fails         bool
	}{
		"all are well": {nil, 3, 0, false},
		"one damaged":  {damaged, 2, 1, false},
		"no answer":    {down, 0, 0, true},
	} {
		known, unread, err := replication.ReadPairs(t.Context(), records{a: nil, b: c.of}, []replication.PairID{a, b, unseen})
		if len(known) != c.known || len(unread) != c.unread || (err != nil) != c.fails {
			t.Errorf("%s: known %v, unread %v, error %v", name, slices.Collect(maps.Keys(known)), unread, err)
		}
		if c.unread > 0 && !errors.Is(unread[b], damaged) {
			t.Errorf("%s: unread %v, want %s", name, unread, b)
		}
		if st, ok := known[unseen]; ok && st.ID != unseen {
			t.Errorf("%s: a pair never seen has the record %+v", name, st)
		}
	}
}

package replication

import (
	"context"

	"chefsync/pkg/fault"
)

// PairReader reads records of pairs, as [State] does.
type PairReader interface {
	Pair(ctx context.Context, id PairID) (PairState, error)
	Pairs(ctx context.Context) ([]PairState, error)
}

// ReadPairs returns the records of pairs, and why some can't be read. It reads all records
// at once or, if one is damaged or of a newer version, each for itself: it is no reason not
// to work on the other pairs.
func ReadPairs(ctx context.Context, r PairReader, ids []PairID) (known map[PairID]PairState, unread map[PairID]error, err error) {
	all, err := r.Pairs(ctx)
	if err != nil && fault.ClassOf(err) != fault.Local {
		return nil, nil, err
	}
	known, unread = map[PairID]PairState{}, map[PairID]error{}
	for _, st := range all {
		known[st.ID] = st
	}
	for _, id := range ids {
		if _, there := known[id]; there {
			continue
		}
		if err == nil {
			known[id] = PairState{ID: id} // never seen
			continue
		}
		if st, failed := r.Pair(ctx, id); failed != nil {
			unread[id] = failed
		} else {
			known[id] = st
		}
	}
	return known, unread, ctx.Err()
}

package dynamostate

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"chefsync/pkg/replication"
)

// hot is the record of a pair as it is stored.
type hot struct {
	name                      string
	desired, progress, detail []byte // detail is the hash of the detail item
	lease                     replication.Lease
	commit                    []byte
	log                       head
	noted                     []byte // pending, packed
	pending                   []string
}

// head says what is valid of the log of a pair.
type head struct{ gen, count, bytes int64 }

func readHot(it item) (h hot, err error) {
	r := reader{it: it}

	if err := checkSchema(r.num(attrSchema)); err != nil {
		return h, err
	}
	h.name = r.str(keySK)
	h.desired, h.progress, h.detail, h.commit = r.bin(attrDesired), r.bin(attrProgress), r.bin(attrDetail), r.bin(attrCommit)
	h.lease = replication.Lease{Fence: r.num(attrFence)}
	if us := r.num(attrLease); us != 0 {
		h.lease.Owner, h.lease.Expires = r.str(attrOwner), fromMicros(us)
	}
	h.log = head{gen: r.num(attrGen), count: r.num(attrCount), bytes: r.num(attrBytes)}
	if h.noted = r.bin(attrPending); h.noted != nil {
		if h.pending, err = unpack[[]string](h.noted); err != nil {
			return h, err
		}
	}
	return h, r.err
}

// reader reads attributes. One that isn't there is zero.
type reader struct {
	it  item
	err error
}

func (r *reader) wrong(attr string) {
	r.err = cmp.Or(r.err, damaged(fmt.Errorf("the attribute %s has another type than it should", attr)))
}

func (r *reader) str(attr string) string {
	switch v := r.it[attr].(type) {
	case nil:
	case *types.AttributeValueMemberS:
		return v.Value
	default:
		r.wrong(attr)
	}
	return ""
}

func (r *reader) bin(attr string) []byte {
	switch v := r.it[attr].(type) {
	case nil:
	case *types.AttributeValueMemberB:
		if !bytes.Equal(v.Value, none()) {
			return v.Value
		}
	default:
		r.wrong(attr)
	}
	return nil
}

func (r *reader) num(attr string) int64 {
	switch v := r.it[attr].(type) {
	case nil:
	case *types.AttributeValueMemberN:
		n, err := strconv.ParseInt(v.Value, 10, 64)
		if err == nil {
			return n
		}
		r.wrong(attr)
	default:
		r.wrong(attr)
	}
	return 0
}

func micros(t time.Time) int64 { return t.UnixMicro() }

func fromMicros(us int64) time.Time { return time.UnixMicro(us).UTC() }

// state is the record, given its detail item.
func (h hot) state(id replication.PairID, detail item) (st replication.PairState, err error) {
	st = replication.PairState{ID: id, Lease: h.lease}
	if st.Desired, err = unpackDesired(h.desired); err != nil {
		return st, err
	}
	r := reader{it: detail}
	packed := r.bin(attrRecord)
	switch {
	case h.detail == nil:
		packed = nil
	case !bytes.Equal(h.detail, r.bin(attrDetail)):
		return st, errMoved
	}
	st.Progress, err = unpackProgress(h.progress, packed)
	return st, errors.Join(err, r.err)
}

// readHead reads the hot item of a pair. One never seen is zero.
func (s *State) readHead(ctx context.Context, k string) (hot, error) {
	it, err := s.get(ctx, hotKey(k))
	if err != nil {
		return hot{}, err
	}
	return readHot(it)
}

// whole completes the record of a pair that was read as it.
func (s *State) whole(ctx context.Context, id replication.PairID, it item) (replication.PairState, error) {
	h, err := readHot(it)
	if err != nil {
		return replication.PairState{}, err
	}
	var detail item
	if h.detail != nil {
		if detail, err = s.get(ctx, keyOf(pairPK(id.String()), detailSK)); err != nil {
			return replication.PairState{}, err
		}
	}
	return h.state(id, detail)
}

// Pair implements [replication.State].
func (s *State) Pair(ctx context.Context, id replication.PairID) (replication.PairState, error) {
	k, err := name(id)
	if err != nil {
		return replication.PairState{}, err
	}
	st, err := s.pair(ctx, id, k)
	if err != nil {
		return replication.PairState{}, s.explain(ctx, "read state of "+k, err)
	}
	return st, nil
}

func (s *State) pair(ctx context.Context, id replication.PairID, k string) (st replication.PairState, err error) {
	err = s.settle(ctx, func() error {
		it, err := s.get(ctx, hotKey(k))
		if err != nil {
			return err
		}
		st, err = s.whole(ctx, id, it)
		return err
	})
	return st, err
}

// settle reads again while others are writing what is read. What doesn't come to
// rest is damaged.
func (s *State) settle(ctx context.Context, read func() error) error {
	var err error
	for attempt := range attempts {
		if err = read(); !errors.Is(err, errMoved) {
			return err
		}
		if err := s.sleep(ctx, backoff(attempt)); err != nil {
			return err
		}
	}
	return damaged(fmt.Errorf("records don't belong together: %w", err))
}

// Pairs implements [replication.State]. It fails as a whole when a newer version
// wrote one of the records.
func (s *State) Pairs(ctx context.Context) ([]replication.PairState, error) {
	all, err := s.pairs(ctx)
	return all, s.explain(ctx, "read state of all pairs", err)
}

func (s *State) pairs(ctx context.Context) ([]replication.PairState, error) {
	items, err := s.query(ctx, pairsPK, "", false, 0)
	if err != nil {
		return nil, err
	}
	hots := make([]hot, len(items))
	var keys []item
	for i, it := range items {
		if hots[i], err = readHot(it); err != nil {
			return nil, err
		}
		if hots[i].detail != nil {
			keys = append(keys, keyOf(pairPK(hots[i].name), detailSK))
		}
	}
	found, err := s.getAll(ctx, keys)
	if err != nil {
		return nil, err
	}
	details := map[string]item{}
	for _, it := range found {
		r := reader{it: it}
		details[r.str(keyPK)] = it
	}
	var all []replication.PairState
	for _, h := range hots {
		id, err := replication.ParsePairID(h.name)
		if err != nil {
			return nil, damaged(err)
		}
		st, err := h.state(id, details[pairPK(h.name)])
		if errors.Is(err, errMoved) {
			st, err = s.pair(ctx, id, h.name)
		}
		if err != nil {
			return nil, err
		}
		all = append(all, st)
	}
	slices.SortFunc(all, func(a, b replication.PairState) int { return cmp.Compare(a.ID.String(), b.ID.String()) })
	return all, nil
}

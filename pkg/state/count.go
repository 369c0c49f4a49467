package state

import (
	"context"
	"sync/atomic"
	"time"

	"chefsync/pkg/object"
	"chefsync/pkg/replication"
)

// Operations counts the calls of a [replication.State]. One call is one state
// operation of the budget, whatever it carries.
type Operations struct {
	Pair, Pairs, Inventory, Unsynced, Runs        int64
	Acquire, Renew, Release, Commit, Note, Direct int64
}

// Reads is the number of calls that only read.
func (o Operations) Reads() int64 { return o.Pair + o.Pairs + o.Inventory + o.Unsynced + o.Runs }

// Writes is the number of calls that write.
func (o Operations) Writes() int64 {
	return o.Acquire + o.Renew + o.Release + o.Commit + o.Note + o.Direct
}

// Total is the number of all calls.
func (o Operations) Total() int64 { return o.Reads() + o.Writes() }

// Counter is a [replication.State] that counts the calls of another.
type Counter struct {
	state replication.State

	pair, pairs, inventory, unsynced, runs        atomic.Int64
	acquire, renew, release, commit, note, direct atomic.Int64
}

var _ replication.State = (*Counter)(nil)

// Counting returns s with its calls counted.
func Counting(s replication.State) *Counter { return &Counter{state: s} }

// Operations returns the counts since the last Reset.
func (c *Counter) Operations() Operations {
	return Operations{
		Pair: c.pair.Load(), Pairs: c.pairs.Load(), Inventory: c.inventory.Load(), Unsynced: c.unsynced.Load(), Runs: c.runs.Load(),
		Acquire: c.acquire.Load(), Renew: c.renew.Load(), Release: c.release.Load(), Commit: c.commit.Load(), Note: c.note.Load(), Direct: c.direct.Load(),
	}
}

// Reset starts counting from zero.
func (c *Counter) Reset() {
	for _, n := range []*atomic.Int64{
		&c.pair, &c.pairs, &c.inventory, &c.unsynced, &c.runs,
		&c.acquire, &c.renew, &c.release, &c.commit, &c.note, &c.direct,
	} {
		n.Store(0)
	}
}

// Pair implements [replication.State].
func (c *Counter) Pair(ctx context.Context, id replication.PairID) (replication.PairState, error) {
	c.pair.Add(1)
	return c.state.Pair(ctx, id)
}

// Pairs implements [replication.State].
func (c *Counter) Pairs(ctx context.Context) ([]replication.PairState, error) {
	c.pairs.Add(1)
	return c.state.Pairs(ctx)
}

// Acquire implements [replication.State].
func (c *Counter) Acquire(ctx context.Context, id replication.PairID, owner string, now time.Time, ttl time.Duration) (replication.PairState, error) {
	c.acquire.Add(1)
	return c.state.Acquire(ctx, id, owner, now, ttl)
}

// Renew implements [replication.State].
func (c *Counter) Renew(ctx context.Context, id replication.PairID, fence int64, now time.Time, ttl time.Duration) (replication.PairState, error) {
	c.renew.Add(1)
	return c.state.Renew(ctx, id, fence, now, ttl)
}

// Release implements [replication.State].
func (c *Counter) Release(ctx context.Context, id replication.PairID, fence int64) error {
	c.release.Add(1)
	return c.state.Release(ctx, id, fence)
}

// Commit implements [replication.State].
func (c *Counter) Commit(ctx context.Context, id replication.PairID, fence int64, now time.Time, u replication.Update) error {
	c.commit.Add(1)
	return c.state.Commit(ctx, id, fence, now, u)
}

// Note implements [replication.State].
func (c *Counter) Note(ctx context.Context, id replication.PairID, fence int64, now time.Time, p replication.Progress) error {
	c.note.Add(1)
	return c.state.Note(ctx, id, fence, now, p)
}

// Direct implements [replication.State].
func (c *Counter) Direct(ctx context.Context, id replication.PairID, d replication.Directive) error {
	c.direct.Add(1)
	return c.state.Direct(ctx, id, d)
}

// Inventory implements [replication.State].
func (c *Counter) Inventory(ctx context.Context, id replication.PairID) (map[object.Ref]string, error) {
	c.inventory.Add(1)
	return c.state.Inventory(ctx, id)
}

// Unsynced implements [replication.State].
func (c *Counter) Unsynced(ctx context.Context, id replication.PairID) ([]replication.Unsynced, error) {
	c.unsynced.Add(1)
	return c.state.Unsynced(ctx, id)
}

// Runs implements [replication.State].
func (c *Counter) Runs(ctx context.Context, id replication.PairID, limit int) ([]replication.Run, error) {
	c.runs.Add(1)
	return c.state.Runs(ctx, id, limit)
}

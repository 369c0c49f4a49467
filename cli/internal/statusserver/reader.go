package statusserver

import (
	"context"
	"slices"
	"sync"
	"time"

	"chefsync/cli/internal/app"
	"chefsync/cli/internal/logstore"
	"chefsync/cli/internal/pairstatus"
	"chefsync/pkg/replication"
)

// Status is what is recorded of all pairs, servers and processes.
type Status struct {
	pairstatus.Snapshot
	Unreadable []replication.PairID // pairs whose records can't be read
	Error      string               // why not, or what else could not be read
}

// Reader reads what is served. It is safe for concurrent use.
type Reader interface {
	// Processes reads the heartbeats, each time from the store.
	Processes(ctx context.Context) (pairstatus.Processes, error)
	// Status reads what is recorded of all pairs. It fails if nothing can be read.
	Status(ctx context.Context) (Status, error)
	// Pair reads what is recorded of one pair beside its status.
	Pair(ctx context.Context, id replication.PairID) (PairRecords, error)
	// OpenBreakers returns whether the circuit breakers of servers are open, by URL. It
	// has those that this process sent requests to.
	OpenBreakers() map[string]bool
}

// PairRecords are the records of one pair beside its status.
type PairRecords struct {
	Runs     []replication.Run // the newest first
	Unsynced []replication.Unsynced
	Log      []logstore.Line // the newest first
	LogError string          // why the log can't be read
}

// How many runs and lines of the log are read of a pair.
const (
	shownRuns  = 20
	shownLines = 40
)

// How long what was read is served, so that many readers cost as much as one: requests to
// a stack cost money and time.
const (
	localMaxAge = time.Second
	stackMaxAge = 15 * time.Second
)

// appReader reads the records of an app.
type appReader struct {
	app    *app.App
	pairs  []app.Pair
	status *cache[struct{}, Status]
	detail *cache[replication.PairID, PairRecords]
}

// NewReader returns a reader of the records of pairs.
func NewReader(a *app.App, pairs []app.Pair) Reader {
	maxAge := localMaxAge
	if a.Stack != nil {
		maxAge = stackMaxAge
	}
	r := &appReader{app: a, pairs: pairs}
	r.status = newCache(maxAge, a.Now, func(ctx context.Context, _ struct{}) (Status, error) { return r.readStatus(ctx) })
	r.detail = newCache(maxAge, a.Now, r.readPair)
	return r
}

func (r *appReader) Processes(ctx context.Context) (pairstatus.Processes, error) {
	return pairstatus.ReadProcesses(ctx, r.app, r.app.Now())
}

func (r *appReader) Status(ctx context.Context) (Status, error) { return r.status.get(ctx, struct{}{}) }

func (r *appReader) Pair(ctx context.Context, id replication.PairID) (PairRecords, error) {
	return r.detail.get(ctx, id)
}

func (r *appReader) OpenBreakers() map[string]bool { return r.app.OpenBreakers() }

func (r *appReader) readStatus(ctx context.Context) (Status, error) {
	snapshot, err := pairstatus.Read(ctx, r.app, r.pairs, r.app.Now())
	st := Status{Snapshot: snapshot}
	switch {
	case err != nil && len(st.Pairs) == 0:
		return st, err
	case err != nil:
		st.Error = err.Error()
	}
	for _, p := range r.pairs {
		if !slices.ContainsFunc(st.Pairs, func(row pairstatus.PairRow) bool { return row.Pair == p.ID }) {
			st.Unreadable = append(st.Unreadable, p.ID)
		}
	}
	return st, nil
}

func (r *appReader) readPair(ctx context.Context, id replication.PairID) (PairRecords, error) {
	var out PairRecords
	state, err := r.app.State(ctx)
	if err != nil {
		return out, err
	}
	if out.Runs, err = r.app.Runs(ctx, id, shownRuns); err != nil {
		return out, err
	}
	entries, err := state.Entries(ctx, id)
	if err != nil {
		return out, err
	}
	out.Unsynced = entries.Unsynced()
	out.Log, err = r.app.LogStore().NewReader(logstore.Query{Pairs: []replication.PairID{id}, Limit: shownLines}).Lines(ctx)
	slices.Reverse(out.Log)
	if err != nil {
		out.LogError = err.Error()
	}
	return out, nil
}

// cache keeps what was read for a short time. One caller at a time reads.
type cache[K comparable, T any] struct {
	maxAge time.Duration
	now    func() time.Time
	read   func(context.Context, K) (T, error)
	turn   chan struct{} // holds one token

	mu   sync.Mutex
	kept map[K]cached[T]
}

type cached[T any] struct {
	at    time.Time
	value T
}

func newCache[K comparable, T any](maxAge time.Duration, now func() time.Time, read func(context.Context, K) (T, error)) *cache[K, T] {
	c := &cache[K, T]{maxAge: maxAge, now: now, read: read, turn: make(chan struct{}, 1), kept: map[K]cached[T]{}}
	c.turn <- struct{}{}
	return c
}

// get returns what was read of a key at most maxAge ago, or reads it.
func (c *cache[K, T]) get(ctx context.Context, key K) (T, error) {
	if v, ok := c.lookUp(key); ok {
		return v, nil
	}
	var none T
	select {
	case <-c.turn:
		defer func() { c.turn <- struct{}{} }()
	case <-ctx.Done():
		return none, ctx.Err()
	}
	if v, ok := c.lookUp(key); ok { // the caller before has read it
		return v, nil
	}
	v, err := c.read(ctx, key)
	if err != nil {
		return none, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.kept[key] = cached[T]{c.now(), v}
	return v, nil
}

func (c *cache[K, T]) lookUp(key K) (T, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	v, ok := c.kept[key]
	return v.value, ok && c.now().Sub(v.at).Abs() < c.maxAge
}

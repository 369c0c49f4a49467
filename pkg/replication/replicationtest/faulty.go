package replicationtest

import (
	"context"
	"errors"
	"io"
	"sync"
	"time"

	"chefsync/pkg/object"
	"chefsync/pkg/replication"
)

// ErrCrashed is what every call returns once the process has "died".
var ErrCrashed = errors.New("the process is dead")

// Crasher lets a process die at the n-th external call, before or after the
// call has taken effect. Calls of the engine to its feed, source, target, stage
// and state are counted.
type Crasher struct {
	At    int  // the call, counted from 1; 0 never
	After bool // die after the effect instead of before it

	mu    sync.Mutex
	calls int
	dead  bool
	Where string // the call at which it died
	kill  context.CancelFunc
}

// Calls is how many calls were made.
func (c *Crasher) Calls() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.calls
}

// Wrap puts the crasher between the engine and the outside.
func (c *Crasher) Wrap(ctx context.Context, e *replication.Engine) context.Context {
	ctx, c.kill = context.WithCancel(ctx)
	if e.Feed != nil {
		e.Feed = feed{c, e.Feed}
	}
	e.Source, e.Target = source{c, e.Source}, target{c, e.Target}
	e.Stage, e.State = stage{c, e.Stage}, state{c, e.State}
	return ctx
}

// call does one external call unless the process is dead, or dies at it.
func (c *Crasher) call(name string, do func() error) error {
	c.mu.Lock()
	if c.dead {
		c.mu.Unlock()
		return ErrCrashed
	}
	c.calls++
	dies := c.calls == c.At
	if dies {
		c.dead, c.Where = true, name
	}
	c.mu.Unlock()
	if dies && !c.After {
		c.kill()
		return ErrCrashed
	}
	err := do()
	if dies {
		c.kill()
		return ErrCrashed
	}
	return err
}

type feed struct {
	c *Crasher
	replication.Feed
}

func (f feed) Read(ctx context.Context, after int64) (rows replication.Rows, err error) {
	err = f.c.call("feed.Read", func() error { rows, err = f.Feed.Read(ctx, after); return err })
	return rows, err
}

type source struct {
	c *Crasher
	replication.Source
}

func (s source) Identity(ctx context.Context) (id string, err error) {
	err = s.c.call("source.Identity", func() error { id, err = s.Source.Identity(ctx); return err })
	return id, err
}

func (s source) List(ctx context.Context, sc object.Scope) (refs []object.Ref, err error) {
	err = s.c.call("source.List", func() error { refs, err = s.Source.List(ctx, sc); return err })
	return refs, err
}

func (s source) Get(ctx context.Context, ref object.Ref) (obj object.Object, err error) {
	err = s.c.call("source.Get "+ref.Path(), func() error { obj, err = s.Source.Get(ctx, ref); return err })
	return obj, err
}

func (s source) GetBulk(ctx context.Context, refs []object.Ref, o replication.BulkOptions) (found map[object.Ref]object.Object) {
	_ = s.c.call("source.GetBulk", func() error { found = s.Source.GetBulk(ctx, refs, o); return nil })
	return found
}

func (s source) Open(ctx context.Context, obj object.Object, f object.File) (rc io.ReadCloser, n int64, err error) {
	err = s.c.call("source.Open", func() error { rc, n, err = s.Source.Open(ctx, obj, f); return err })
	return rc, n, err
}

type target struct {
	c *Crasher
	replication.Target
}

func (t target) List(ctx context.Context, sc object.Scope) (refs []object.Ref, err error) {
	err = t.c.call("target.List", func() error { refs, err = t.Target.List(ctx, sc); return err })
	return refs, err
}

func (t target) Get(ctx context.Context, ref object.Ref) (obj object.Object, err error) {
	err = t.c.call("target.Get "+ref.Path(), func() error { obj, err = t.Target.Get(ctx, ref); return err })
	return obj, err
}

func (t target) GetBulk(ctx context.Context, refs []object.Ref, o replication.BulkOptions) (found map[object.Ref]object.Object) {
	_ = t.c.call("target.GetBulk", func() error { found = t.Target.GetBulk(ctx, refs, o); return nil })
	return found
}

func (t target) Put(ctx context.Context, obj object.Object, create bool, content replication.Content) error {
	return t.c.call("target.Put "+obj.Ref.Path(), func() error { return t.Target.Put(ctx, obj, create, content) })
}

func (t target) Delete(ctx context.Context, ref object.Ref) error {
	return t.c.call("target.Delete "+ref.Path(), func() error { return t.Target.Delete(ctx, ref) })
}

func (t target) Open(ctx context.Context, obj object.Object, f object.File) (rc io.ReadCloser, n int64, err error) {
	err = t.c.call("target.Open", func() error { rc, n, err = t.Target.Open(ctx, obj, f); return err })
	return rc, n, err
}

func (t target) Upload(ctx context.Context, objs []object.Object, contentOf func(object.Object) replication.Content) {
	_ = t.c.call("target.Upload", func() error { t.Target.Upload(ctx, objs, contentOf); return nil })
}

func (t target) Reupload(ctx context.Context, f object.File, content replication.Content) (taken bool, err error) {
	err = t.c.call("target.Reupload", func() error { taken, err = t.Target.Reupload(ctx, f, content); return err })
	return taken, err
}

type stage struct {
	c *Crasher
	replication.Stage
}

func (s stage) Open(ctx context.Context, k replication.StageKey) (rc io.ReadCloser, n int64, err error) {
	err = s.c.call("stage.Open", func() error { rc, n, err = s.Stage.Open(ctx, k); return err })
	return rc, n, err
}

func (s stage) Put(ctx context.Context, k replication.StageKey, r io.Reader, n int64) error {
	return s.c.call("stage.Put", func() error { return s.Stage.Put(ctx, k, r, n) })
}

type state struct {
	c *Crasher
	replication.State
}

func (s state) Pair(ctx context.Context, id replication.PairID) (p replication.PairState, err error) {
	err = s.c.call("state.Pair", func() error { p, err = s.State.Pair(ctx, id); return err })
	return p, err
}

func (s state) Acquire(ctx context.Context, id replication.PairID, owner string, now time.Time, ttl time.Duration) (p replication.PairState, err error) {
	err = s.c.call("state.Acquire", func() error { p, err = s.State.Acquire(ctx, id, owner, now, ttl); return err })
	return p, err
}

func (s state) Release(ctx context.Context, id replication.PairID, fence int64) error {
	return s.c.call("state.Release", func() error { return s.State.Release(ctx, id, fence) })
}

func (s state) Commit(ctx context.Context, id replication.PairID, fence int64, now time.Time, u replication.Update) error {
	return s.c.call("state.Commit", func() error { return s.State.Commit(ctx, id, fence, now, u) })
}

func (s state) Note(ctx context.Context, id replication.PairID, fence int64, now time.Time, p replication.Progress) error {
	return s.c.call("state.Note", func() error { return s.State.Note(ctx, id, fence, now, p) })
}

func (s state) Inventory(ctx context.Context, id replication.PairID) (inv map[object.Ref]string, err error) {
	err = s.c.call("state.Inventory", func() error { inv, err = s.State.Inventory(ctx, id); return err })
	return inv, err
}

func (s state) Unsynced(ctx context.Context, id replication.PairID) (u []replication.Unsynced, err error) {
	err = s.c.call("state.Unsynced", func() error { u, err = s.State.Unsynced(ctx, id); return err })
	return u, err
}

// Die kills the process now: the call at work and all later ones fail.
func (c *Crasher) Die() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.dead = true
	c.kill()
}

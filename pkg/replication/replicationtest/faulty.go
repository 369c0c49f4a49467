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

// ErrCrashed is returned by every call after the simulated crash.
var ErrCrashed = errors.New("the process has crashed")

// Crasher simulates a crash of the process at the n-th external call, before or after the
// call takes effect. It counts the calls of the engine to its feed, source, target,
// stage and state.
type Crasher struct {
	At    int  // number of the call, from 1; 0 for no crash
	After bool // crash after the call takes effect instead of before

	mu    sync.Mutex
	calls int
	dead  bool
	Where string // name of the call at which it crashed
	kill  context.CancelFunc
}

// Calls returns the number of calls.
func (c *Crasher) Calls() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.calls
}

// Wrap wraps what the engine calls, and returns a context that a crash cancels.
func (c *Crasher) Wrap(ctx context.Context, e *replication.Engine) context.Context {
	ctx, c.kill = context.WithCancel(ctx)
	if e.Feed != nil {
		e.Feed = crashingFeed{c, e.Feed}
	}
	e.Source, e.Target = crashingSource{c, e.Source}, crashingTarget{c, e.Target}
	e.Stage, e.State = crashingStage{c, e.Stage}, crashingState{c, e.State}
	return ctx
}

// doCall does one external call, unless the process has crashed or crashes at this call.
func (c *Crasher) doCall(name string, do func() error) error {
	c.mu.Lock()
	if c.dead {
		c.mu.Unlock()
		return ErrCrashed
	}
	c.calls++
	crashes := c.calls == c.At
	if crashes {
		c.dead, c.Where = true, name
	}
	c.mu.Unlock()
	if crashes && !c.After {
		c.kill()
		return ErrCrashed
	}
	err := do()
	if crashes {
		c.kill()
		return ErrCrashed
	}
	return err
}

type crashingFeed struct {
	c *Crasher
	replication.Feed
}

func (f crashingFeed) Read(ctx context.Context, after int64) (rows replication.Rows, err error) {
	err = f.c.doCall("feed.Read", func() error { rows, err = f.Feed.Read(ctx, after); return err })
	return rows, err
}

func (f crashingFeed) Begun(ctx context.Context) (begun bool, err error) {
	err = f.c.doCall("feed.Begun", func() error { begun, err = f.Feed.Begun(ctx); return err })
	return begun, err
}

func (f crashingFeed) ReadSnapshot(ctx context.Context) (s replication.Snapshot, err error) {
	err = f.c.doCall("feed.ReadSnapshot", func() error { s, err = f.Feed.ReadSnapshot(ctx); return err })
	return s, err
}

type crashingSource struct {
	c *Crasher
	replication.Source
}

func (s crashingSource) Identity(ctx context.Context) (id string, err error) {
	err = s.c.doCall("source.Identity", func() error { id, err = s.Source.Identity(ctx); return err })
	return id, err
}

func (s crashingSource) List(ctx context.Context, sc object.Scope) (refs []object.Ref, err error) {
	err = s.c.doCall("source.List", func() error { refs, err = s.Source.List(ctx, sc); return err })
	return refs, err
}

func (s crashingSource) Get(ctx context.Context, ref object.Ref) (obj object.Object, err error) {
	err = s.c.doCall("source.Get "+ref.Path(), func() error { obj, err = s.Source.Get(ctx, ref); return err })
	return obj, err
}

func (s crashingSource) GetBulk(ctx context.Context, refs []object.Ref, o replication.BulkOptions) (found map[object.Ref]object.Object) {
	_ = s.c.doCall("source.GetBulk", func() error { found = s.Source.GetBulk(ctx, refs, o); return nil })
	return found
}

func (s crashingSource) Open(ctx context.Context, obj object.Object, f object.File) (rc io.ReadCloser, n int64, err error) {
	err = s.c.doCall("source.Open", func() error { rc, n, err = s.Source.Open(ctx, obj, f); return err })
	return rc, n, err
}

type crashingTarget struct {
	c *Crasher
	replication.Target
}

func (t crashingTarget) List(ctx context.Context, sc object.Scope) (refs []object.Ref, err error) {
	err = t.c.doCall("target.List", func() error { refs, err = t.Target.List(ctx, sc); return err })
	return refs, err
}

func (t crashingTarget) Get(ctx context.Context, ref object.Ref) (obj object.Object, err error) {
	err = t.c.doCall("target.Get "+ref.Path(), func() error { obj, err = t.Target.Get(ctx, ref); return err })
	return obj, err
}

func (t crashingTarget) GetBulk(ctx context.Context, refs []object.Ref, o replication.BulkOptions) (found map[object.Ref]object.Object) {
	_ = t.c.doCall("target.GetBulk", func() error { found = t.Target.GetBulk(ctx, refs, o); return nil })
	return found
}

func (t crashingTarget) Put(ctx context.Context, obj object.Object, create bool, content replication.Content) error {
	return t.c.doCall("target.Put "+obj.Ref.Path(), func() error { return t.Target.Put(ctx, obj, create, content) })
}

func (t crashingTarget) Delete(ctx context.Context, ref object.Ref) error {
	return t.c.doCall("target.Delete "+ref.Path(), func() error { return t.Target.Delete(ctx, ref) })
}

func (t crashingTarget) Open(ctx context.Context, obj object.Object, f object.File) (rc io.ReadCloser, n int64, err error) {
	err = t.c.doCall("target.Open", func() error { rc, n, err = t.Target.Open(ctx, obj, f); return err })
	return rc, n, err
}

func (t crashingTarget) Upload(ctx context.Context, objs []object.Object, contentOf func(object.Object) replication.Content) {
	_ = t.c.doCall("target.Upload", func() error { t.Target.Upload(ctx, objs, contentOf); return nil })
}

func (t crashingTarget) Reupload(ctx context.Context, f object.File, content replication.Content) (taken bool, err error) {
	err = t.c.doCall("target.Reupload", func() error { taken, err = t.Target.Reupload(ctx, f, content); return err })
	return taken, err
}

type crashingStage struct {
	c *Crasher
	replication.Stage
}

func (s crashingStage) Open(ctx context.Context, k replication.StageKey) (rc io.ReadCloser, n int64, err error) {
	err = s.c.doCall("stage.Open", func() error { rc, n, err = s.Stage.Open(ctx, k); return err })
	return rc, n, err
}

func (s crashingStage) Put(ctx context.Context, k replication.StageKey, r io.Reader, n int64) error {
	return s.c.doCall("stage.Put", func() error { return s.Stage.Put(ctx, k, r, n) })
}

type crashingState struct {
	c *Crasher
	replication.State
}

func (s crashingState) Pair(ctx context.Context, id replication.PairID) (p replication.PairState, err error) {
	err = s.c.doCall("state.Pair", func() error { p, err = s.State.Pair(ctx, id); return err })
	return p, err
}

func (s crashingState) Acquire(ctx context.Context, id replication.PairID, owner string, now time.Time,
	ttl time.Duration) (p replication.PairState, err error) {
	err = s.c.doCall("state.Acquire", func() error { p, err = s.State.Acquire(ctx, id, owner, now, ttl); return err })
	return p, err
}

func (s crashingState) Release(ctx context.Context, id replication.PairID, fence int64) error {
	return s.c.doCall("state.Release", func() error { return s.State.Release(ctx, id, fence) })
}

func (s crashingState) Commit(ctx context.Context, id replication.PairID, fence int64, now time.Time, u replication.Update) error {
	return s.c.doCall("state.Commit", func() error { return s.State.Commit(ctx, id, fence, now, u) })
}

func (s crashingState) SaveProgress(ctx context.Context, id replication.PairID, fence int64, now time.Time, p replication.Progress) error {
	return s.c.doCall("state.SaveProgress", func() error { return s.State.SaveProgress(ctx, id, fence, now, p) })
}

func (s crashingState) Entries(ctx context.Context, id replication.PairID) (e replication.Entries, err error) {
	err = s.c.doCall("state.Entries", func() error { e, err = s.State.Entries(ctx, id); return err })
	return e, err
}

// Die crashes now: the current call and all later ones fail.
func (c *Crasher) Die() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.dead = true
	c.kill()
}

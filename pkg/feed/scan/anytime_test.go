package scan_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"chefsync/pkg/chef"
	"chefsync/pkg/chef/cheftest"
	"chefsync/pkg/endpoint"
	"chefsync/pkg/feed/journal"
	"chefsync/pkg/feed/scan"
	"chefsync/pkg/object"
	"chefsync/pkg/replication"
)

// life is that of a process: it dies when its calls are used up, and records
// nothing from then on. The last one may have taken effect or not.
type life struct{ left atomic.Int64 }

func (l *life) do(call func() error) error {
	switch n := l.left.Add(-1); {
	case n > 0:
		return call()
	case n == 0 && rand.IntN(2) == 0:
		return errors.Join(errDied, call())
	}
	return errDied
}

// mortalState is the state as a pass sees it that may die, mortalJournal the
// journal as a scan does, or a pass that tells it something.
type mortalState struct {
	replication.State
	*life
}

func (m mortalState) Commit(ctx context.Context, id replication.PairID, fence int64, now time.Time, u replication.Update) error {
	return m.do(func() error { return m.State.Commit(ctx, id, fence, now, u) })
}

func (m mortalState) Release(ctx context.Context, id replication.PairID, fence int64) error {
	return m.do(func() error { return m.State.Release(ctx, id, fence) })
}

type mortalJournal struct {
	journal.ScanStore
	*life
}

func (m mortalJournal) Append(ctx context.Context, source string, at time.Time, e []journal.Entry) (h journal.Head, err error) {
	err = m.do(func() error { h, err = m.ScanStore.Append(ctx, source, at, e); return err })
	return h, err
}

func (m mortalJournal) Commit(ctx context.Context, source string, fence int64, now time.Time, s journal.Step) (h journal.Head, err error) {
	err = m.do(func() error { h, err = m.ScanStore.Commit(ctx, source, fence, now, s); return err })
	return h, err
}

func (m mortalJournal) Release(ctx context.Context, source string, fence int64) error {
	return m.do(func() error { return m.ScanStore.Release(ctx, source, fence) })
}

// chaos is a primary with two pairs, at which everything happens in the middle of
// everything else.
type chaos struct {
	*pairWorld
	copies []*cheftest.Org
	pairs  []replication.Engine
	busy   []atomic.Bool // the pair has a pass
	nested sync.Mutex    // held while something happens in the middle of something
	quiet  bool          // nothing does any more; guarded by nested
	moved  atomic.Int64  // of the clock, in minutes
}

func newChaos(t *testing.T) *chaos {
	p := newTestPair(t)
	to := cheftest.Start(t)
	second := to.AddOrg("second")
	user, key := to.Superuser()
	c := &chaos{pairWorld: p, copies: []*cheftest.Org{p.replica, second}, pairs: []replication.Engine{*p.engine, *p.engine}, busy: make([]atomic.Bool, 2)}
	c.pairs[1].Pair.ID.Org = "second"
	c.pairs[1].Target = endpoint.NewTarget(newClient(t, chef.Config{Name: "second", URL: to.URL, User: user, Key: key}).Org("second"), endpoint.TargetOptions{})
	start := p.now
	for i := range c.pairs {
		c.pairs[i].Pair.Kinds = append(object.DefaultKinds(), object.Policy, object.PolicyGroup)
		c.pairs[i].Tuning.Window = 3
		c.pairs[i].Now = func() time.Time { return start.Add(time.Duration(c.moved.Load()) * time.Minute) }
	}
	return c
}

// change changes an object, or takes the change back.
func (c *chaos) change() {
	flips := c.flips()
	flips[rand.IntN(len(flips))](rand.IntN(2) == 0)
}

// flips are all changes that happen.
func (c *chaos) flips() []func(back bool) {
	o := c.org
	text := func(back bool, a, b string) string {
		if back {
			return a
		}
		return b
	}
	either := func(back, change func()) func(bool) {
		return func(b bool) {
			if b {
				back()
				return
			}
			change()
		}
	}
	return []func(bool){
		func(back bool) { o.PutRole("web", text(back, `{}`, `{"description":"other"}`)) },
		func(back bool) { o.PutEnvironment("prod", text(back, `{}`, `{"description":"other"}`)) },
		func(back bool) { o.PutCookbook("apt", "2.0.0", files(text(back, "two", "forced")), true) },
		func(back bool) { o.BindPolicy("prod", "app", text(back, "r1", "r2")) },
		either(func() { o.PutDataBagItem("users", "bob", `{"n":2}`) }, func() { o.DeleteDataBagItem("users", "bob") }),
		either(func() { o.PutDataBagItem("one", "only", `{}`) }, func() { o.DeleteDataBag("one") }),
		either(func() { o.DeleteDataBag("new") }, func() { o.PutDataBagItem("new", "i", `{}`) }),
		either(func() { o.DeleteRole("new") }, func() { o.PutRole("new", `{}`) }),
		either(func() { o.DeleteCookbook("apt", "3.0.0") }, func() { o.PutCookbook("apt", "3.0.0", files("three"), false) }),
	}
}

func (c *chaos) push() {
	paths := []string{"/roles/web", "/roles/new", "/roles", "/environments/prod", "/data/users", "/data/users/bob", "/data/one", "/data/new/i",
		"/cookbooks/apt/2.0.0", "/cookbooks/apt", "/policies/app", "/policy_groups/prod/policies/app"}
	path := paths[rand.IntN(len(paths))]
	if _, err := c.store.Append(context.Background(), source, c.pairs[0].Now(), []journal.Entry{{Action: journal.Update, Path: path}}); err != nil && !errors.Is(err, journal.ErrNoJournal) {
		c.t.Errorf("push: %v", err)
	}
}

// mortally is a life that may end soon.
func mortally() *life {
	l := immortal()
	if rand.IntN(4) == 0 {
		l.left.Store(rand.Int64N(8))
	}
	return l
}

// scanOnce scans as a process of its own, within a time if that isn't 0.
func (c *chaos) scanOnce(l *life, within time.Duration) error {
	ctx := context.Background()
	if within > 0 {
		limited, cancel := context.WithTimeout(ctx, within)
		defer cancel()
		ctx = limited
	}
	s, err := scan.New(scan.Config{Source: source, Reader: c.from, Store: mortalJournal{c.store, l},
		Owner: fmt.Sprint("scanner-", rand.Int()), Kinds: c.pairs[0].Pair.Kinds, Rotation: time.Hour, Now: c.pairs[0].Now})
	if err == nil {
		_, err = s.Scan(ctx)
	}
	return err
}

// passOnce does a pass as a process of its own.
func (c *chaos) passOnce(i int, l *life, o replication.PassOptions) (replication.Run, error) {
	if !c.busy[i].CompareAndSwap(false, true) {
		return replication.Run{}, nil
	}
	defer c.busy[i].Store(false)
	e := c.pairs[i]
	e.Owner = fmt.Sprint("process-", rand.Int())
	e.State, e.Feed = mortalState{e.State, l}, scan.Feed(mortalJournal{c.store, l}, source)
	return e.Pass(context.Background(), o)
}

// anything does something, and what dies of it leaves its lease behind.
func (c *chaos) anything() {
	switch n := rand.IntN(10); {
	case n < 3:
		c.change()
	case n < 5:
		c.push()
	case n < 6:
		_ = c.scanOnce(mortally(), time.Duration(rand.IntN(3)*rand.IntN(10))*time.Millisecond)
	default:
		o := replication.PassOptions{Full: rand.IntN(3) == 0}
		if rand.IntN(3) == 0 {
			drain := make(chan struct{})
			time.AfterFunc(time.Duration(rand.IntN(20))*time.Millisecond, func() { close(drain) })
			o.Drain = drain
		}
		_, _ = c.passOnce(n%2, mortally(), o)
	}
}

// TestReplicationByJournalAtAnyTime: changes that are taken back in the end,
// pushes, scans, and passes of two pairs, each in the middle of another, die, run out
// of their time, are broken off and go on. Once there is quiet both replicas are equal without a
// compare, and nobody has anything to say any more.
func TestReplicationByJournalAtAnyTime(t *testing.T) {
	c := newChaos(t)
	c.fill()
	c.org.PutPolicy("app", "r1", `{}`)
	c.org.PutPolicy("app", "r2", `{}`)
	for _, flip := range c.flips() {
		flip(true)
	}
	for n := range 6 { // the journal begins, perhaps with a part
		_ = c.scanOnce(immortal(), time.Duration(2+n)*time.Millisecond)
		c.anything()
	}
	c.rest("at first")
	for round := range 12 {
		c.primary.Fault(cheftest.Fault{Path: "*", Do: func(*http.Request) {
			if rand.IntN(8) > 0 || !c.nested.TryLock() {
				return
			}
			defer c.nested.Unlock()
			if !c.quiet {
				c.anything()
			}
		}})
		for range 8 {
			c.anything()
			c.moved.Add(rand.Int64N(3))
		}
		c.primary.ClearFaults()
		c.still(true) // what was broken off may have left something at work
		for _, flip := range c.flips() {
			flip(true)
		}
		c.rest(fmt.Sprint("round ", round))
		c.still(false)
	}
}

// still waits for what happens in the middle of something, and lets nothing more of
// it begin, or lets it.
func (c *chaos) still(quiet bool) {
	c.nested.Lock()
	defer c.nested.Unlock()
	c.quiet = quiet
}

// rest lets everything come to rest, within a few scans.
func (c *chaos) rest(what string) {
	c.t.Helper()
	for range 4 {
		c.rows()
		c.moved.Add(3 * 60) // leases end, and what was set aside is tried again
		if err := c.scanOnce(immortal(), 0); err != nil {
			c.t.Fatalf("%s: scan: %v", what, err)
		}
		for i := range c.pairs {
			for range 2 {
				if run, err := c.passOnce(i, immortal(), replication.PassOptions{}); err != nil || run.Outcome != replication.OutcomeDone {
					c.t.Fatalf("%s: pass %d: %+v, %v", what, i, run, err)
				}
			}
		}
	}
	if noted := c.rows(); len(noted) > 0 {
		c.t.Errorf("%s: noted when all should be said: %q", what, noted)
	}
	for i, replica := range c.copies {
		if diff := cmp.Diff(c.org.Snapshot(), replica.Snapshot()); diff != "" {
			c.t.Fatalf("%s: replica %d differs (-primary +replica):\n%s", what, i, diff)
		}
	}
}

func immortal() *life {
	l := &life{}
	l.left.Store(1 << 40)
	return l
}

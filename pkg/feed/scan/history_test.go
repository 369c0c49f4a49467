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

// callLimit is the number of writes that a process does before it is killed: later writes
// fail. The last one may have taken effect or not.
type callLimit struct{ left atomic.Int64 }

func (l *callLimit) call(call func() error) error {
	switch n := l.left.Add(-1); {
	case n > 0:
		return call()
	case n == 0 && rand.IntN(2) == 0:
		return errors.Join(errKilled, call())
	}
	return errKilled
}

// limitedState is the state of a pass that may be killed.
type limitedState struct {
	replication.State
	*callLimit
}

func (m limitedState) Commit(ctx context.Context, id replication.PairID, fence int64, now time.Time, u replication.Update) error {
	return m.call(func() error { return m.State.Commit(ctx, id, fence, now, u) })
}

func (m limitedState) Release(ctx context.Context, id replication.PairID, fence int64) error {
	return m.call(func() error { return m.State.Release(ctx, id, fence) })
}

// limitedJournal is the journal of a scan or pass that may be killed.
type limitedJournal struct {
	journal.ScanStore
	*callLimit
}

func (m limitedJournal) Append(ctx context.Context, source string, at time.Time, e []journal.Change) (h journal.Head, err error) {
	err = m.call(func() error { h, err = m.ScanStore.Append(ctx, source, at, e); return err })
	return h, err
}

func (m limitedJournal) Commit(ctx context.Context, source string, fence int64, now time.Time, s journal.ScanUpdate) (h journal.Head,
	err error) {
	err = m.call(func() error { h, err = m.ScanStore.Commit(ctx, source, fence, now, s); return err })
	return h, err
}

func (m limitedJournal) Release(ctx context.Context, source string, fence int64) error {
	return m.call(func() error { return m.ScanStore.Release(ctx, source, fence) })
}

// randomHistory is a primary with two pairs. Changes, pushes, scans and passes happen in
// any order, also during one another.
type randomHistory struct {
	*pairFixture
	copies  []*cheftest.Org
	pairs   []replication.Engine
	busy    []atomic.Bool // a pass of the pair is running
	nested  sync.Mutex    // held during a nested step
	paused  bool          // no nested steps are started; guarded by nested
	minutes atomic.Int64  // by which the clock was advanced
}

func newRandomHistory(t *testing.T) *randomHistory {
	p := newTestPair(t)
	to := cheftest.Start(t)
	second := to.AddOrg("second")
	user, key := to.Superuser()
	c := &randomHistory{pairFixture: p, copies: []*cheftest.Org{p.replica, second},
		pairs: []replication.Engine{*p.engine, *p.engine}, busy: make([]atomic.Bool, 2)}
	c.pairs[1].Pair.ID.Org = "second"
	c.pairs[1].Target = endpoint.NewTarget(newClient(t,
		chef.Config{Name: "second", URL: to.URL, User: user, Key: key}).Org("second"), endpoint.TargetOptions{})
	start := p.now
	for i := range c.pairs {
		c.pairs[i].Pair.Kinds = append(object.DefaultKinds(), object.Policy, object.PolicyGroup)
		c.pairs[i].Tuning.Window = 3
		c.pairs[i].Now = func() time.Time { return start.Add(time.Duration(c.minutes.Load()) * time.Minute) }
	}
	return c
}

// changeObject applies or reverts a random change.
func (c *randomHistory) changeObject() {
	flips := c.toggles()
	flips[rand.IntN(len(flips))](rand.IntN(2) == 0)
}

// toggles returns functions that apply or revert one change each.
func (c *randomHistory) toggles() []func(back bool) {
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
		func(back bool) { o.PutCookbook("apt", "2.0.0", cookbookFiles(text(back, "two", "forced")), true) },
		func(back bool) { o.BindPolicy("prod", "app", text(back, "r1", "r2")) },
		either(func() { o.PutDataBagItem("users", "bob", `{"n":2}`) }, func() { o.DeleteDataBagItem("users", "bob") }),
		either(func() { o.PutDataBagItem("one", "only", `{}`) }, func() { o.DeleteDataBag("one") }),
		either(func() { o.DeleteDataBag("new") }, func() { o.PutDataBagItem("new", "i", `{}`) }),
		either(func() { o.DeleteRole("new") }, func() { o.PutRole("new", `{}`) }),
		either(func() { o.DeleteCookbook("apt", "3.0.0") }, func() { o.PutCookbook("apt", "3.0.0", cookbookFiles("three"), false) }),
	}
}

func (c *randomHistory) pushRow() {
	paths := []string{"/roles/web", "/roles/new", "/roles", "/environments/prod", "/data/users", "/data/users/bob", "/data/one",
		"/data/new/i",
		"/cookbooks/apt/2.0.0", "/cookbooks/apt", "/policies/app", "/policy_groups/prod/policies/app"}
	path := paths[rand.IntN(len(paths))]
	if _, err := c.store.Append(context.Background(), source, c.pairs[0].Now(),
		[]journal.Change{{Action: journal.Update, Path: path}}); err != nil && !errors.Is(err, journal.ErrNoJournal) {
		c.t.Errorf("push: %v", err)
	}
}

// randomLimit returns a limit that may be reached soon.
func randomLimit() *callLimit {
	l := noLimit()
	if rand.IntN(4) == 0 {
		l.left.Store(rand.Int64N(8))
	}
	return l
}

// scanOnce scans as a new process, with a deadline unless within is 0.
func (c *randomHistory) scanOnce(l *callLimit, within time.Duration) error {
	ctx := context.Background()
	if within > 0 {
		limited, cancel := context.WithTimeout(ctx, within)
		defer cancel()
		ctx = limited
	}
	s, err := scan.New(scan.Config{Source: source, Reader: c.from, Store: limitedJournal{c.store, l},
		Owner: fmt.Sprint("scanner-", rand.Int()), Kinds: c.pairs[0].Pair.Kinds, Rotation: time.Hour, Now: c.pairs[0].Now})
	if err == nil {
		_, err = s.Scan(ctx)
	}
	return err
}

// passOnce does a pass as a new process.
func (c *randomHistory) passOnce(i int, l *callLimit, o replication.PassOptions) (replication.Run, error) {
	if !c.busy[i].CompareAndSwap(false, true) {
		return replication.Run{}, nil
	}
	defer c.busy[i].Store(false)
	e := c.pairs[i]
	e.Owner = fmt.Sprint("process-", rand.Int())
	e.State, e.Feed = limitedState{e.State, l}, scan.NewFeed(limitedJournal{c.store, l}, source)
	return e.Pass(context.Background(), o)
}

// randomStep does a random step. A process that is killed keeps its lease.
func (c *randomHistory) randomStep() {
	switch n := rand.IntN(10); {
	case n < 3:
		c.changeObject()
	case n < 5:
		c.pushRow()
	case n < 6:
		_ = c.scanOnce(randomLimit(), time.Duration(rand.IntN(3)*rand.IntN(10))*time.Millisecond)
	default:
		o := replication.PassOptions{Full: rand.IntN(3) == 0}
		if rand.IntN(3) == 0 {
			drain := make(chan struct{})
			time.AfterFunc(time.Duration(rand.IntN(20))*time.Millisecond, func() { close(drain) })
			o.Drain = drain
		}
		_, _ = c.passOnce(n%2, randomLimit(), o)
	}
}

// TestReplicationByJournalRandomHistory: changes that are reverted in the end, pushes,
// scans and passes of two pairs run during one another, are killed, exceed their
// deadline, are canceled and are repeated. When no more steps are started, both replicas
// equal the primary without a full comparison, and scans write no more rows.
func TestReplicationByJournalRandomHistory(t *testing.T) {
	c := newRandomHistory(t)
	c.addObjects()
	c.org.PutPolicy("app", "r1", `{}`)
	c.org.PutPolicy("app", "r2", `{}`)
	for _, flip := range c.toggles() {
		flip(true)
	}
	for n := range 6 { // the journal begins, perhaps with a part of the objects
		_ = c.scanOnce(noLimit(), time.Duration(2+n)*time.Millisecond)
		c.randomStep()
	}
	c.wantConvergence("start")
	for round := range 12 {
		c.primary.Fault(cheftest.Fault{Path: "*", Do: func(*http.Request) {
			if rand.IntN(8) > 0 || !c.nested.TryLock() {
				return
			}
			defer c.nested.Unlock()
			if !c.paused {
				c.randomStep()
			}
		}})
		for range 8 {
			c.randomStep()
			c.minutes.Add(rand.Int64N(3))
		}
		c.primary.ClearFaults()
		c.pauseNested(true) // requests of canceled steps may still be running
		for _, flip := range c.toggles() {
			flip(true)
		}
		c.wantConvergence(fmt.Sprint("round ", round))
		c.pauseNested(false)
	}
}

// pauseNested waits for a running nested step and sets whether further ones are started.
func (c *randomHistory) pauseNested(quiet bool) {
	c.nested.Lock()
	defer c.nested.Unlock()
	c.paused = quiet
}

// wantConvergence checks that scans and passes converge within a few rounds.
func (c *randomHistory) wantConvergence(what string) {
	c.t.Helper()
	for range 4 {
		c.newRows()
		c.minutes.Add(3 * 60) // leases expire, and failed objects are due again
		if err := c.scanOnce(noLimit(), 0); err != nil {
			c.t.Fatalf("%s: scan: %v", what, err)
		}
		for i := range c.pairs {
			for range 2 {
				if run, err := c.passOnce(i, noLimit(), replication.PassOptions{}); err != nil || run.Outcome != replication.OutcomeDone {
					c.t.Fatalf("%s: pass %d: %+v, %v", what, i, run, err)
				}
			}
		}
	}
	if extra := c.newRows(); len(extra) > 0 {
		c.t.Errorf("%s: rows after convergence: %q", what, extra)
	}
	for i, replica := range c.copies {
		if diff := cmp.Diff(c.org.Snapshot(), replica.Snapshot()); diff != "" {
			c.t.Fatalf("%s: replica %d differs (-primary +replica):\n%s", what, i, diff)
		}
	}
}

func noLimit() *callLimit {
	l := &callLimit{}
	l.left.Store(1 << 40)
	return l
}

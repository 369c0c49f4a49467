package storetest

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"pgregory.net/rapid"

	"chefsync/pkg/object"
	"chefsync/pkg/replication"
)

// model is what a State should hold of one pair.
type model struct {
	state   replication.PairState
	entries replication.Entries
	runs    map[string]replication.Run
}

func (m *model) allRecords() pairRecords {
	a := pairRecords{Pair: m.state, Entries: m.entries}
	a.Runs = slices.SortedFunc(maps.Values(m.runs), func(a, b replication.Run) int { return strings.Compare(b.ID, a.ID) })
	return a
}

func (m *model) holdsLease(fence int64, now time.Time) bool {
	return m.state.Lease.HeldAt(now) && m.state.Lease.Fence == fence
}

func (m *model) applyUpdate(u replication.Update) {
	m.state.Progress = u.Progress
	maps.Copy(m.entries, u.Entries)
	maps.DeleteFunc(m.entries, func(_ object.Ref, e replication.Entry) bool { return e == replication.Entry{} })
	if u.Run != nil {
		m.runs[u.Run.ID] = *u.Run
	}
}

// testModel runs random operations against a store, through two handles, and
// against the model. Every attempt works on two pairs of its own.
func testModel(t *testing.T, open func() replication.State) {
	handles := []replication.State{open(), open()}
	var attempt atomic.Int64
	rapid.Check(t, func(t *rapid.T) {
		m := &stateMachine{handles: handles, now: startTime()}
		n := attempt.Add(1)
		for _, org := range []string{"a", "b"} {
			id := replication.PairID{Replica: fmt.Sprintf("r%d", n), Org: org}
			m.models = append(m.models, &model{
				state:   replication.PairState{ID: id},
				entries: replication.Entries{},
				runs:    map[string]replication.Run{},
			})
		}
		t.Repeat(map[string]func(*rapid.T){
			"":        m.checkPairs,
			"time":    m.advanceTime,
			"acquire": m.acquireLease,
			"renew":   m.renewLease,
			"release": m.releaseLease,
			"commit":  m.commitUpdate,
			"save":    m.saveProgress,
			"desired": m.changeDesired,
		})
	})
}

type stateMachine struct {
	handles []replication.State
	models  []*model
	now     time.Time
}

// pickTarget draws a handle, a pair and a token that is right, old or invalid.
func (m *stateMachine) pickTarget(t *rapid.T) (s replication.State, p *model, fence int64) {
	s = m.handles[rapid.IntRange(0, len(m.handles)-1).Draw(t, "handle")]
	p = m.models[rapid.IntRange(0, len(m.models)-1).Draw(t, "pair")]
	off := rapid.SampledFrom([]int64{0, 0, 0, 0, -1, 1}).Draw(t, "token is off by")
	return s, p, p.state.Lease.Fence + off
}

func (m *stateMachine) checkPairs(t *rapid.T) {
	for i, p := range m.models {
		assertEqual(t, "the pair "+p.state.ID.String(), p.allRecords(), readPair(t, m.handles[i%len(m.handles)], p.state.ID))
	}
}

func (m *stateMachine) advanceTime(t *rapid.T) {
	m.now = m.now.Add(time.Duration(rapid.IntRange(0, 90_000).Draw(t, "milliseconds")) * time.Millisecond)
}

func (m *stateMachine) acquireLease(t *rapid.T) {
	s, p, _ := m.pickTarget(t)
	owner := rapid.SampledFrom([]string{"one", "two"}).Draw(t, "owner")
	got, err := s.Acquire(context.Background(), p.state.ID, owner, m.now, leaseTTL)
	if l := p.state.Lease; l.HeldAt(m.now) && l.Owner != owner {
		var leased *replication.LeasedError
		if !errors.As(err, &leased) {
			t.Fatalf("Acquire: %v, want *LeasedError", err)
		}
		return
	}
	if err != nil {
		t.Fatalf("Acquire: %v", err)
	}
	p.state.Lease = replication.Lease{Owner: owner, Expires: m.now.Add(leaseTTL), Fence: p.state.Lease.Fence + 1}
	assertEqual(t, "what Acquire returned", p.state, got)
}

func (m *stateMachine) renewLease(t *rapid.T) {
	s, p, fence := m.pickTarget(t)
	got, err := s.Renew(context.Background(), p.state.ID, fence, m.now, leaseTTL)
	if expectFenced(t, "Renew", p.holdsLease(fence, m.now), err) {
		p.state.Lease.Expires = m.now.Add(leaseTTL)
		assertEqual(t, "what Renew returned", p.state, got)
	}
}

func (m *stateMachine) releaseLease(t *rapid.T) {
	s, p, fence := m.pickTarget(t)
	if err := s.Release(context.Background(), p.state.ID, fence); err != nil {
		t.Fatalf("Release: %v", err)
	}
	if fence == p.state.Lease.Fence {
		p.state.Lease = replication.Lease{Fence: fence}
	}
}

func (m *stateMachine) commitUpdate(t *rapid.T) {
	s, p, fence := m.pickTarget(t)
	u := drawUpdate(t, m.now)
	err := s.Commit(context.Background(), p.state.ID, fence, m.now, u)
	if expectFenced(t, "Commit", p.holdsLease(fence, m.now), err) {
		p.applyUpdate(u)
	}
}

func (m *stateMachine) saveProgress(t *rapid.T) {
	s, p, fence := m.pickTarget(t)
	progress := drawProgress(t, m.now)
	err := s.SaveProgress(context.Background(), p.state.ID, fence, m.now, progress)
	if expectFenced(t, "SaveProgress", fence == p.state.Lease.Fence && !p.state.Lease.HeldAt(m.now), err) {
		p.state.Progress = progress
	}
}

func (m *stateMachine) changeDesired(t *rapid.T) {
	s, p, _ := m.pickTarget(t)
	d := replication.DesiredChange{
		Stop:         rapid.Ptr(rapid.Bool(), true).Draw(t, "stop"),
		Reason:       rapid.Ptr(rapid.String(), true).Draw(t, "reason"),
		AllowDeletes: rapid.Ptr(rapid.IntRange(0, 9), true).Draw(t, "allow deletes"),
		At:           m.now,
	}
	if rapid.Bool().Draw(t, "resync objects") {
		d.ResyncObjectsAt, d.ResyncObjects = &m.now, []object.Ref{roleRef("a"), roleRef("..")}
	}
	if err := s.ChangeDesired(context.Background(), p.state.ID, d); err != nil {
		t.Fatalf("ChangeDesired: %v", err)
	}
	p.state.Desired = p.state.Desired.With(d)
}

// expectFenced compares an error with what the model expects, and reports whether the write
// was done.
func expectFenced(t *rapid.T, op string, ok bool, err error) bool {
	if ok && err != nil {
		t.Fatalf("%s: %v", op, err)
	}
	if !ok && !errors.Is(err, replication.ErrFenced) {
		t.Fatalf("%s: %v, want ErrFenced", op, err)
	}
	return ok
}

func drawProgress(t *rapid.T, now time.Time) replication.Progress {
	return replication.Progress{
		Status:      rapid.SampledFrom([]replication.Status{"", replication.Synced, replication.Held}).Draw(t, "status"),
		Position:    &replication.Position{Seq: rapid.Int64().Draw(t, "seq"), Seen: rapid.SliceOfN(rapid.Int64(), 0, 3).Draw(t, "seen")},
		LastAttempt: now,
		Deletions: &replication.Deletions{Since: now, Spans: []replication.DeletionCount{{},
			{Deleted: map[object.Kind]int{object.Role: rapid.IntRange(0, 9).Draw(t, "deletions")},
				Most:    map[object.Kind]int{object.Role: rapid.IntRange(0, 99).Draw(t, "most")},
				Objects: []object.Ref{{Kind: object.Role, Name: "web"}, {Kind: object.DataBagItem, Name: "users", Sub: "alice"}}}}},
		Objects: rapid.IntRange(0, 9).Draw(t, "objects"),

		UnsyncedSince: now, ObjectsAt: now,
		Dirty: []object.Ref{roleRef("a"), roleRef(".."), {Kind: object.Cookbook}}[:rapid.IntRange(0, 3).Draw(t, "dirty")],
	}
}

// drawUpdate draws an update.
func drawUpdate(t *rapid.T, now time.Time) replication.Update {
	u := replication.Update{Progress: drawProgress(t, now), Entries: replication.Entries{}}
	for _, name := range []string{"a", "A", "b", ".."} {
		r, e := roleRef(name), replication.Entry{}
		switch rapid.IntRange(0, 4).Draw(t, "what to do with "+name) {
		case 0:
			continue
		case 1:
			e.Fingerprint = rapid.StringN(1, 3, -1).Draw(t, "fingerprint")
		case 2:
			e.Dirty = true
		}
		if rapid.Bool().Draw(t, "fails") {
			e.Failure = &replication.Unsynced{Ref: r, Reason: rapid.String().Draw(t, "reason"),
				Items: rapid.IntRange(0, 9).Draw(t, "items"), NextTry: now}
		}
		u.Entries[r] = e
	}
	if rapid.Bool().Draw(t, "with a run") {
		u.Run = &replication.Run{Pair: pairA(), ID: rapid.SampledFrom([]string{"1", "2", "3"}).Draw(t, "run"), Started: now}
	}
	return u
}

package replication_test

import (
	"context"
	"fmt"
	"sync"
	"testing"

	"chefsync/pkg/replication"
)

// observed collects the events of a run that count objects.
type observed struct {
	mu     sync.Mutex
	events []replication.ProgressEvent
}

func (o *observed) add(e replication.ProgressEvent) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if e.Total > 0 {
		o.events = append(o.events, e)
	}
}

// wantSteady wants one total in all events, a count that never falls and ends at the total.
func (o *observed) wantSteady(t *testing.T, total int) {
	t.Helper()
	last := 0
	for i, e := range o.events {
		if e.Total != total || e.Done < last || e.Done > total {
			t.Fatalf("event %d: %s %d of %d after %d, want a growing count of %d", i, e.Phase, e.Done, e.Total, last, total)
		}
		last = e.Done
	}
	if last != total {
		t.Errorf("the last of %d events counts %d objects, want %d", len(o.events), last, total)
	}
}

func TestProgressCountsTheObjectsOfAllWindows(t *testing.T) {
	fill := func(t *testing.T) *world {
		w := newWorld(t)
		w.tuning.Window, w.pair.Concurrency = 10, 1
		for i := range 34 {
			w.primary.Set(fmt.Sprintf("/roles/r%d", i), "role")
		}
		w.primary.Set("/cookbooks/apt/1.0.0", "apt", "a recipe")
		return w
	}
	run := func(t *testing.T, w *world, do func(*replication.Engine) error) *observed {
		t.Helper()
		o := &observed{}
		e := w.engine()
		e.Observe = o.add
		if err := do(e); err != nil {
			t.Fatal(err)
		}
		return o
	}
	pass := func(e *replication.Engine) error {
		_, err := e.Pass(context.Background(), replication.PassOptions{Trigger: "test"})
		return err
	}
	t.Run("first copy", func(t *testing.T) {
		o := run(t, fill(t), pass)
		o.wantSteady(t, 35)
		if bytes := o.events[len(o.events)-1].Bytes; bytes != int64(len("a recipe")) {
			t.Errorf("%d bytes were sent, want those of the recipe", bytes)
		}
	})
	t.Run("a copy that goes on", func(t *testing.T) {
		w := fill(t)
		ctx, cancel := context.WithCancel(t.Context())
		e := w.engine()
		e.Observe = func(p replication.ProgressEvent) {
			if p.Done == 20 && p.Phase == replication.PhaseCompare {
				cancel() // before this window is recorded
			}
		}
		if _, err := e.Pass(ctx, replication.PassOptions{Trigger: "test"}); err == nil {
			t.Fatal("the first pass was not interrupted")
		}
		o := run(t, w, pass)
		o.wantSteady(t, 35)
		if first := o.events[0].Done; first < 10 {
			t.Errorf("the second pass begins at %d, want what the first did counted", first)
		}
	})
	t.Run("plan", func(t *testing.T) {
		run(t, fill(t), func(e *replication.Engine) error { _, err := e.Preview(t.Context(), true); return err }).wantSteady(t, 35)
	})
	t.Run("verification", func(t *testing.T) {
		w := fill(t)
		w.pass()
		run(t, w, func(e *replication.Engine) error {
			_, err := e.Verify(t.Context(), replication.VerifyOptions{Trigger: replication.TriggerManual})
			return err
		}).wantSteady(t, 35)
	})
	t.Run("changes", func(t *testing.T) {
		w := fill(t)
		w.pass()
		for i := range 12 {
			w.primary.Set(fmt.Sprintf("/roles/r%d", i), "changed")
		}
		o := run(t, w, pass)
		read := &observed{}
		written := &observed{}
		for _, e := range o.events {
			if e.Phase == replication.PhaseRead {
				read.add(e)
			} else {
				written.add(e)
			}
		}
		read.wantSteady(t, 12)
		written.wantSteady(t, 12)
	})
}

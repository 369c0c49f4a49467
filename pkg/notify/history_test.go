package notify_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"chefsync/pkg/fault"
	"chefsync/pkg/notify"
	"chefsync/pkg/replication"
	"chefsync/pkg/status"
)

// condition is a condition as the test sees it.
type condition struct {
	server, pair string
	status       replication.Status
}

// truth returns the conditions that are true by the faults of the world, but those of pairs
// that come with time or with a server that is down.
func (w *world) truth() map[condition]bool {
	all := map[condition]bool{}
	for name, down := range w.down {
		if down && w.isUsed(name) {
			all[condition{server: name, status: status.Unreachable}] = true
		}
	}
	for _, id := range w.ids() {
		tr := w.trouble[id.String()]
		failed := w.records[id.String()].Progress.LastError
		for s, on := range map[replication.Status]bool{
			replication.Held: tr.held, status.Drifted: tr.drifted, replication.Blocked: failed != nil && failed.Class == fault.Denied,
		} {
			if on && !tr.stopped {
				all[condition{pair: id.String(), status: s}] = true
			}
		}
	}
	return all
}

// isUsed reports whether a pair that isn't stopped uses a server.
func (w *world) isUsed(server string) bool {
	return slices.ContainsFunc(w.ids(), func(id replication.PairID) bool {
		return (server == "primary" || server == id.Replica) && !w.trouble[id.String()].stopped
	})
}

// isCovered reports whether a condition is of a pair with a server that is down, or with
// checked: that is known to be down.
func (w *world) isCovered(c condition, checked bool) bool {
	replica, _, isPair := strings.Cut(c.pair, "/")
	return isPair && slices.ContainsFunc([]string{"primary", replica}, func(s string) bool { return w.down[s] && !(checked && w.silent[s]) })
}

// wasRefused reports whether the receiver refused to hear of a condition.
func (w *world) wasRefused(c condition) bool {
	return slices.ContainsFunc(w.receiver.refused, func(m notify.Message) bool { return slices.Contains(conditionsOf(m), c) })
}

// conditionsOf returns the conditions of a message.
func conditionsOf(m notify.Message) (all []condition) {
	if m.Server != "" {
		return []condition{{server: m.Server, status: m.Event}}
	}
	for _, item := range m.Items {
		all = append(all, condition{pair: item.Pair, status: m.Event})
	}
	return all
}

// watcher checks a history while it goes on.
type watcher struct {
	*world
	seen    map[condition]time.Duration // how long each condition has been true
	known   map[condition]bool          // by the receiver: whether it is true
	crashes int
	repeats int // messages that came again
}

// minute lets a minute pass, and checks what is told.
func (w *watcher) minute(t *rapid.T) {
	before := len(w.receiver.messages)
	w.errs = nil
	w.world.minute()
	now := w.truth()
	for c := range w.seen {
		if !now[c] {
			delete(w.seen, c)
		}
	}
	for c := range now {
		w.seen[c] += time.Minute
	}
	w.crashes += len(w.errs)
	for _, m := range w.receiver.messages[before:] {
		firing, again := m.State == notify.StateFiring, false
		for _, c := range conditionsOf(m) {
			again = again || w.known[c] == firing && !w.wasRefused(c)
			w.known[c] = firing
			if firing {
				w.checkFiring(t, c)
			}
		}
		if again {
			w.repeats++
		}
	}
}

// checkFiring checks a condition that is told.
func (w *watcher) checkFiring(t *rapid.T, c condition) {
	consequence := c.status == status.Stale || c.status == status.Unreachable
	if consequence && w.isCovered(c, true) {
		t.Fatalf("%+v is told while its server is down", c)
	}
	atOnce := w.crashes+len(w.receiver.refused) == 0 // else it may have lasted before
	if atOnce && !consequence && w.seen[c] < w.rules.After {
		t.Fatalf("%+v is told after %s", c, w.seen[c])
	}
}

// step changes something.
func (w *watcher) step(t *rapid.T) {
	tr := w.trouble[rapid.SampledFrom(w.ids()).Draw(t, "pair").String()]
	server := rapid.SampledFrom([]string{"primary", "eu", "us"}).Draw(t, "server")
	flip := func(b *bool) { *b = !*b }
	actions := []func(){
		func() { flip(&tr.held) },
		func() { flip(&tr.drifted) },
		func() { flip(&tr.denied) },
		func() { flip(&tr.stuck) },
		func() { flip(&tr.stopped) },
		func() { flip(&tr.transient) },
		func() { flip(&w.receiver.down) },
		func() { w.down[server] = !w.down[server] },
		func() { w.silent[server] = !w.silent[server] },
		func() { w.store.crashIn = rapid.IntRange(1, 4).Draw(t, "save") },
		func() { w.restart() },
		func() { w.now = w.now.Add(rapid.SampledFrom([]time.Duration{time.Second, time.Hour}).Draw(t, "jump")) },
	}
	actions[rapid.IntRange(0, len(actions)-1).Draw(t, "action")]()
}

// TestAnyHistoryOfFaults: servers and pairs fail and recover, channels fail, and processes
// are killed and replaced, at any time. What is told lasts for the time of the rules and
// alternates; a message comes twice only after a crash; and in the end all that is true is
// known to have begun, and all else to have ended.
func TestAnyHistoryOfFaults(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := &watcher{world: newWorld(rapid.IntRange(1, 4).Draw(t, "organizations"), "eu", "us"),
			seen: map[condition]time.Duration{}, known: map[condition]bool{}}
		for range rapid.IntRange(1, 40).Draw(t, "steps") {
			w.step(t)
			for range rapid.IntRange(1, 9).Draw(t, "minutes") {
				w.minute(t)
			}
		}
		w.receiver.down, w.store.crashIn, w.silent = false, 0, map[string]bool{}
		for _, tr := range w.trouble {
			tr.stuck = false
		}
		for range 40 {
			w.minute(t)
		}
		settled := len(w.receiver.messages)
		for range 30 {
			w.minute(t)
		}
		if n := len(w.receiver.messages); n != settled {
			t.Fatalf("told without a change: %q", w.receiver.titles()[settled:])
		}
		if w.repeats > w.crashes {
			t.Fatalf("%d messages came again after %d crashes", w.repeats, w.crashes)
		}
		w.checkKnown(t, w.known)
	})
}

// checkKnown compares what the receiver knows with what is true.
func (w *world) checkKnown(t *rapid.T, known map[condition]bool) {
	now := w.truth()
	for c := range now {
		if !known[c] {
			t.Fatalf("%+v is true and was not told: %q", c, w.receiver.titles())
		}
	}
	for c, firing := range known {
		if firing && !now[c] && !w.isCovered(c, false) {
			t.Fatalf("the end of %+v was not told: %q", c, w.receiver.titles())
		}
	}
	if slices.ContainsFunc(w.store.state.Conditions, func(g notify.ConditionGroup) bool { return !g.Pending.IsZero() }) {
		t.Fatalf("conditions are pending: %+v", w.store.state)
	}
}

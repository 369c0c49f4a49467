package notify_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"time"

	"chefsync/pkg/fault"
	"chefsync/pkg/feed/changelog"
	"chefsync/pkg/health"
	"chefsync/pkg/notify"
	"chefsync/pkg/replication"
	"chefsync/pkg/status"
)

func noon() time.Time { return time.Date(2026, 11, 30, 12, 0, 0, 0, time.UTC) }

// errCrash is the death of a process.
var errCrash = errors.New("crashed")

// memStore is a notify.Store in memory. Its state survives the processes of a test.
type memStore struct {
	state   notify.State
	version int
	saves   int
	crashIn int // the n-th save from now on fails, and the process with it; 0 for none
}

func (s *memStore) LoadNotified(context.Context) (notify.State, string, error) {
	return s.state, fmt.Sprint(s.version), nil
}

func (s *memStore) SaveNotified(_ context.Context, state notify.State, version string) (string, error) {
	if s.crashIn > 0 {
		if s.crashIn--; s.crashIn == 0 {
			return "", errCrash
		}
	}
	if version != fmt.Sprint(s.version) {
		return "", notify.ErrConflict
	}
	s.state, s.version, s.saves = state, s.version+1, s.saves+1
	return fmt.Sprint(s.version), nil
}

// receiver is what a channel delivers to.
type receiver struct {
	messages, refused []notify.Message
	down              bool
}

func (r *receiver) send(_ context.Context, m notify.Message) error {
	if r.down {
		r.refused = append(r.refused, m)
		return errors.New("503")
	}
	r.messages = append(r.messages, m)
	return nil
}

// titles returns the titles of the messages.
func (r *receiver) titles() (all []string) {
	for _, m := range r.messages {
		all = append(all, m.Title)
	}
	return all
}

// trouble is what is wrong with a pair.
type trouble struct {
	held, denied, drifted, stuck, transient, unsynced, stopped, unknown bool
}

// world is a fleet with an engine that is simulated by its records. Statuses are made by
// package status.
type world struct {
	now      time.Time
	replicas []string
	orgs     []string
	down     map[string]bool // servers that don't answer
	silent   map[string]bool // servers that weren't checked
	trouble  map[string]*trouble
	records  map[string]*replication.PairState
	scan     changelog.LastScan
	noScans  bool
	removed  map[string]bool

	store    memStore
	receiver receiver
	rules    notify.Rules
	notifier *notify.Notifier
	errs     []error
}

func newWorld(orgs int, replicas ...string) *world {
	w := &world{now: noon(), replicas: replicas, down: map[string]bool{}, silent: map[string]bool{}, trouble: map[string]*trouble{},
		records: map[string]*replication.PairState{}, removed: map[string]bool{}, rules: notify.Rules{After: 5 * time.Minute, Every: time.Minute}}
	for i := range orgs {
		w.orgs = append(w.orgs, fmt.Sprintf("team-%02d", i+1))
	}
	for _, id := range w.ids() {
		w.trouble[id.String()] = &trouble{}
		w.records[id.String()] = &replication.PairState{ID: id, Progress: replication.Progress{Feed: changelog.Name}}
	}
	w.restart()
	w.work()
	return w
}

func (w *world) ids() (all []replication.PairID) {
	for _, replica := range w.replicas {
		for _, org := range w.orgs {
			all = append(all, replication.PairID{Replica: replica, Org: org})
		}
	}
	return all
}

// restart replaces the process. The store and the receiver stay.
func (w *world) restart() {
	w.notifier = &notify.Notifier{Store: &w.store, Channels: []notify.Channel{{Name: "pager", Send: w.receiver.send}}, Rules: w.rules, Instance: "vm",
		Now: func() time.Time { return w.now }, Log: slog.New(slog.DiscardHandler)}
}

// work is a minute of the engine: a scan, and a pass of each pair.
func (w *world) work() {
	if !w.noScans {
		w.scan.Ended = w.now
		if w.scan.Failures = 0; w.down["primary"] {
			w.scan.Failures, w.scan.Class, w.scan.Error = 1, fault.Unreachable, "no route to host"
		} else {
			w.scan.Good = w.now
		}
	}
	for id, st := range w.records {
		w.pass(st, *w.trouble[id])
	}
}

func (w *world) pass(st *replication.PairState, t trouble) {
	g := &st.Progress
	st.Desired.Stopped = t.stopped
	g.Hold, g.Drift, g.Unsynced = nil, nil, 0
	if t.held {
		g.Hold = &replication.Hold{At: w.now, Deletes: 9, Reason: "9 of 10 roles"}
	}
	if t.drifted {
		g.Drift = &replication.Drift{At: w.now, Changed: 2}
	}
	if t.unsynced {
		g.Unsynced, g.UnsyncedSince = 2, w.now
	}
	if t.stuck || t.stopped {
		return
	}
	g.LastAttempt, g.NextRun, g.LastError, g.Status = w.now, w.now.Add(time.Minute), nil, replication.Synced
	fail := func(c fault.Class, text string) {
		g.LastError = &replication.Failure{Class: c, Message: text, Hint: "look", At: w.now}
	}
	switch {
	case w.down[st.ID.Replica] || w.down["primary"]:
		fail(fault.Unreachable, "no route to host")
	case t.denied:
		fail(fault.Denied, "401: invalid signature")
		g.Status = replication.Blocked
	case t.transient:
		fail(fault.Transient, "503")
		g.Status = replication.Retrying
	default:
		g.LastSuccess, g.LastCompare = w.now, w.now
	}
}

// fleet returns what a process knows.
func (w *world) fleet() (f notify.Fleet) {
	var down []health.Server
	for _, name := range append([]string{"primary"}, w.replicas...) {
		s := notify.Server{Name: name}
		for _, id := range w.ids() {
			if (name == "primary" || name == id.Replica) && !w.trouble[id.String()].stopped {
				s.Pairs = append(s.Pairs, id)
			}
		}
		if !w.silent[name] {
			s.Record = &health.Server{Name: name, CheckedAt: w.now, UpAt: w.now}
			if w.down[name] {
				s.Record.DownSince, s.Record.Error, s.Record.Hint = w.now, "no route to host", "check the network"
				down = append(down, *s.Record)
			}
		}
		f.Servers = append(f.Servers, s)
	}
	for _, id := range w.ids() {
		if w.removed[id.String()] {
			continue
		}
		p := notify.Pair{ID: id}
		if !w.trouble[id.String()].unknown {
			facts := status.Facts{State: *w.records[id.String()], Scan: &w.scan, Now: w.now, Tolerance: status.ToleranceFor(time.Minute, 0)}
			facts.Down = slices.DeleteFunc(slices.Clone(down), func(s health.Server) bool { return s.Name != "primary" && s.Name != id.Replica })
			report := status.Evaluate(facts)
			p.Report = &report
		}
		f.Pairs = append(f.Pairs, p)
	}
	return f
}

// minute lets a minute pass: the engine works, and the notifier evaluates.
func (w *world) minute() {
	w.now = w.now.Add(time.Minute)
	w.work()
	if err := w.notifier.Evaluate(context.Background(), w.fleet()); err != nil {
		w.errs = append(w.errs, err)
	}
}

func (w *world) minutes(n int) {
	for range n {
		w.minute()
	}
}

// check compares the titles of all messages.
func (w *world) check(t *testing.T, want ...string) {
	t.Helper()
	if got := w.receiver.titles(); !slices.Equal(got, want) {
		t.Errorf("told:\n  %s\nwant:\n  %s", strings.Join(got, "\n  "), strings.Join(want, "\n  "))
	}
	if err := errors.Join(w.errs...); err != nil {
		t.Error(err)
	}
}

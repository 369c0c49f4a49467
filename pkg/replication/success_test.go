package replication_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"chefsync/pkg/fault"
	"chefsync/pkg/object"
	"chefsync/pkg/replication"
)

// The time of the last success is what operators and alarms go by.
func TestOnlyAPassThatCameToItsEndIsASuccess(t *testing.T) {
	for name, c := range map[string]struct {
		outcome replication.Outcome
		prepare func(*world, *replication.PassOptions)
	}{
		"held by another primary": {replication.OutcomeHeld, func(w *world, _ *replication.PassOptions) {
			w.pair.MaxDelete = replication.Limit{Count: 1}
			w.primary.ID = "primary#2"
			w.primary.Unset("/roles/base")
			w.primary.Unset("/environments/prod")
		}},
		"drained": {replication.OutcomePartial, func(w *world, o *replication.PassOptions) {
			drain := make(chan struct{})
			close(drain)
			o.Drain = drain
			w.primary.Refuse = func(string, object.Ref) error {
				time.Sleep(time.Millisecond) // until the pass has heard of it
				return nil
			}
		}},
		"failed": {replication.OutcomeFailed, func(w *world, _ *replication.PassOptions) {
			w.replica.Refuse = func(string, object.Ref) error { return refused(fault.Unreachable) }
		}},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t)
				w.fill()
				w.primary.ID = "primary#1"
				w.pass()
				before := w.record().Progress.LastSuccess
				w.primary.Set("/roles/web", "changed")
				var o replication.PassOptions
				c.prepare(w, &o)
				run, _ := w.engine().Pass(context.Background(), o)
				w.wantOutcome(run, c.outcome)
				p := w.record().Progress
				if !p.LastSuccess.Equal(before) || !p.LastAttempt.Equal(w.now()) {
					t.Errorf("last success %s, last attempt %s; want them %s and %s", p.LastSuccess, p.LastAttempt, before, w.now())
				}
			})
		})
	}
}

// Without a feed only a compare tells what the primary holds. What a pair does between two
// of them is no such success, but it ends a failure.
func TestBetweenComparesNothingIsKnownOfThePrimary(t *testing.T) {
	w := newWorld(t)
	w.primary.NoFeed, w.pair.CompareEvery = true, 24*time.Hour
	w.fill()
	w.replica.Refuse = refuseOne("put", "/roles/web", fault.Rejected)
	w.pass()
	compared := w.record().Progress.LastSuccess
	want := func(what string, status replication.Status) {
		t.Helper()
		w.wantStatus(status)
		if p := w.record().Progress; !p.LastSuccess.Equal(compared) || p.LastError != nil {
			t.Errorf("%s: last success %s, want %s; last error %+v", what, p.LastSuccess, compared, p.LastError)
		}
	}
	w.replica.Refuse = nil
	w.advance(10 * time.Minute)
	w.pass()
	want("a retry", replication.Synced)
	w.advance(2 * time.Hour)
	w.pass()
	want("the identity of the replica", replication.Synced)
	if _, err := w.engine().Fail(context.Background(), replication.PassOptions{}, refused(fault.Denied)); err == nil {
		t.Fatal("no error")
	}
	w.wantStatus(replication.Blocked)
	w.advance(10 * time.Minute)
	w.pass()
	want("a failure that has ended", replication.Synced)
	w.advance(24 * time.Hour)
	w.pass()
	if p := w.record().Progress; !p.LastSuccess.After(compared) {
		t.Errorf("last success %s after a compare", p.LastSuccess)
	}
}

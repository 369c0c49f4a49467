package replication_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"chefsync/pkg/fault"
	"chefsync/pkg/object"
	"chefsync/pkg/replication"
	"chefsync/pkg/replication/replicationtest"
)

// lateFeed is a feed beside the primary, with an epoch, that begins at some time.
type lateFeed struct {
	*replicationtest.Org
	epoch        string // "" before it has begun
	asked, reads int
	fail         error
}

func (f *lateFeed) Name() string { return "late" }

func (f *lateFeed) Reason() string { return "it has begun" }

func (f *lateFeed) Begun(context.Context) (bool, error) {
	f.asked++
	return f.epoch != "", f.fail
}

func (f *lateFeed) Read(ctx context.Context, after int64) (replication.Rows, error) {
	f.reads++
	if f.epoch == "" {
		return replication.Rows{}, replication.ErrNoFeed
	}
	rows, err := f.Org.Read(ctx, after)
	rows.Epoch = f.epoch
	return rows, err
}

// passBy runs a pass by a feed.
func (w *world) passBy(f replication.Feed) replication.Run {
	w.t.Helper()
	e := w.engine()
	e.Feed = f
	run, err := e.Pass(context.Background(), replication.PassOptions{Trigger: "test"})
	if err != nil || run.Outcome != replication.OutcomeDone && run.Left == 0 {
		w.t.Fatalf("pass: %+v, %v", run, err)
	}
	w.advance(time.Minute)
	return run
}

func TestAFeedThatBeginsLaterIsTakenUpAtTheNextPoll(t *testing.T) {
	w := newWorld(t)
	w.fill()
	f := &lateFeed{Org: w.primary}
	w.passBy(f)
	if p := w.record().Progress; p.Feed != "none" || p.Position != nil {
		t.Fatalf("before it has begun: feed %s, position %v", p.Feed, p.Position)
	}
	calls, reads := w.primary.Calls, f.reads
	if run := w.passBy(f); run.Mode != "" || f.asked != 1 || f.reads != reads || w.primary.Calls != calls {
		t.Errorf("a poll meanwhile: %s, asked %d times, read %d times; want the feed asked once and nothing else", run.Mode, f.asked, f.reads-reads)
	}
	w.primary.Set("/roles/web", "changed before it began")
	f.epoch = "a"
	if run := w.passBy(f); run.Mode != "compare" {
		t.Errorf("once it has begun: %q, want a compare", run.Mode)
	}
	if p := w.record().Progress; p.Feed != "late" || p.FeedNote != "it has begun" || p.Position == nil {
		t.Errorf("feed %s (%s), position %v", p.Feed, p.FeedNote, p.Position)
	}
	w.wantEqual()
	asked := f.asked
	w.primary.Set("/roles/web", "changed after")
	if run := w.passBy(f); run.Mode != "changes" || f.asked != asked {
		t.Errorf("from then on: %q, asked again %d times", run.Mode, f.asked-asked)
	}
	w.wantEqual()
}

func TestAFeedThatCannotTellWhetherItHasBegunIsAFailure(t *testing.T) {
	w := newWorld(t)
	f := &lateFeed{Org: w.primary}
	w.passBy(f)
	f.fail = &fault.Error{Op: "read the change log", Class: fault.Local, Err: errors.New("disk full")}
	e := w.engine()
	e.Feed = f
	if run, err := e.Pass(t.Context(), replication.PassOptions{}); run.Outcome != replication.OutcomeFailed || fault.ClassOf(err) != fault.Local {
		t.Errorf("%+v, %v", run, err)
	}
}

// TestAnotherFeedComparesEverythingOnce: whatever happened between the last read
// of one feed and the first of the other is found, in both directions.
func TestAnotherFeedComparesEverythingOnce(t *testing.T) {
	w := newWorld(t)
	w.fill()
	changeLog := &lateFeed{Org: w.primary, epoch: "a"}
	feeds := []replication.Feed{w.primary, changeLog, w.primary, &lateFeed{Org: w.primary, epoch: "b"}, changeLog}
	for n, f := range feeds {
		if run := w.passBy(f); run.Mode != "compare" {
			t.Errorf("feed %d: %q, want a compare", n, run.Mode)
		}
		w.wantEqual()
		w.primary.Set("/roles/web", string(rune('a'+n))+" by the feed")
		if run := w.passBy(f); run.Mode != "changes" {
			t.Errorf("feed %d goes on with %q", n, run.Mode)
		}
		w.wantEqual()
		w.primary.Set("/roles/base", string(rune('a'+n))+" between two feeds")
	}
}

// afters records what a feed is asked for.
type afters struct {
	replication.Feed
	asked []int64
}

func (a *afters) Read(ctx context.Context, after int64) (replication.Rows, error) {
	a.asked = append(a.asked, after)
	return a.Feed.Read(ctx, after)
}

// TestWhatIsReadAgainOfAFeed: a hundred ids, in which a row may still show, and of
// a feed that shows its rows in order only those that tell whether it is the same.
func TestWhatIsReadAgainOfAFeed(t *testing.T) {
	for _, c := range []struct {
		epoch string
		again int64
	}{{"", 100}, {"a", 8}} {
		w := newWorld(t)
		w.fill()
		for n := range 200 {
			w.primary.Set("/roles/web", fmt.Sprint(n))
		}
		feed := replication.Feed(w.primary)
		if c.epoch != "" {
			feed = &lateFeed{Org: w.primary, epoch: c.epoch}
		}
		f := &afters{Feed: feed}
		w.passBy(f)
		for _, change := range []bool{false, true, false} {
			if change {
				w.primary.Set("/roles/web", "changed")
			}
			seq := w.record().Progress.Position.Seq
			w.passBy(f)
			if got := seq - f.asked[len(f.asked)-1]; got != c.again {
				t.Errorf("epoch %q: %d ids are read again, want %d", c.epoch, got, c.again)
			}
		}
		w.wantEqual()
		// Another history under the same ids, as a restored copy would have it.
		w.primary.Restart()
		for range 300 {
			w.primary.Set("/roles/base", "another history")
		}
		if run := w.passBy(f); run.Mode != "compare" {
			t.Errorf("epoch %q: another history is read on as %q", c.epoch, run.Mode)
		}
	}
}

func TestWordOfAChangeWaitsForAFailingPair(t *testing.T) {
	w := newWorld(t)
	w.primary.Refuse = func(string, object.Ref) error { return refused(fault.Unreachable) }
	if run, err := w.engine().Pass(t.Context(), replication.PassOptions{Trigger: replication.TriggerPush}); err == nil {
		t.Fatalf("%+v", run)
	}
	run, err := w.engine().Pass(t.Context(), replication.PassOptions{Trigger: replication.TriggerPush})
	if err != nil {
		t.Fatal(err)
	}
	w.wantOutcome(run, replication.OutcomeWaiting)
}

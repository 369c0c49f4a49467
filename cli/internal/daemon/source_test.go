package daemon_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"chefsync/cli/internal/daemon"
	"chefsync/pkg/replication"
)

// scans is a source that counts its scans.
type scans struct{ at []time.Duration }

// source makes a source that the jobs read. What scan n finds is answered by scan.
func (s *scans) source(every time.Duration, scan func(ctx context.Context, n int) (bool, error), jobs ...daemon.Job) daemon.Source {
	start := time.Now()
	source := daemon.Source{Name: "acme", Every: every, Scan: func(ctx context.Context) (bool, error) {
		s.at = append(s.at, time.Since(start).Round(time.Second))
		return scan(ctx, len(s.at))
	}}
	for _, j := range jobs {
		source.Pairs = append(source.Pairs, j.ID)
	}
	return source
}

func TestThePairsOfASourceWaitForItsFirstScan(t *testing.T) {
	for name, result := range map[string]error{"that works": nil, "that fails": errors.New("no route to host")} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w, s := newWorld(), &scans{}
				start := time.Now()
				reader, other := w.job("reader", time.Minute, done), w.job("other", time.Minute, done)
				d := w.daemon(reader, other)
				d.Sources = []daemon.Source{s.source(time.Minute, func(_ context.Context, n int) (bool, error) {
					if n == 1 {
						time.Sleep(20 * time.Second)
					}
					return false, result
				}, reader)}
				during(t, d, time.Minute, nil)
				if first := w.passes[reader.ID][0].Sub(start); first < 20*time.Second || first > 24*time.Second {
					t.Errorf("the reader began after %s, want it right after the scan", first)
				}
				if first := w.passes[other.ID][0].Sub(start); first > 4*time.Second {
					t.Errorf("a pair of another source began after %s", first)
				}
			})
		})
	}
}

// TestPairsOfABegunChangeLogDoNotWaitForAScan: after a restart they go on with it, however
// long the first scan takes.
func TestPairsOfABegunChangeLogDoNotWaitForAScan(t *testing.T) {
	for begun, want := range map[bool]int{true: 2, false: 0} { // one pass at the start and one for the push
		synctest.Test(t, func(t *testing.T) {
			w, s := newWorld(), &scans{}
			start := time.Now()
			reader := w.job("reader", time.Hour, done)
			d := w.daemon(reader)
			d.Sources = []daemon.Source{s.source(time.Hour, func(ctx context.Context, _ int) (bool, error) {
				select {
				case <-time.After(30 * time.Minute):
				case <-ctx.Done():
				}
				return false, ctx.Err()
			}, reader)}
			d.Sources[0].Begun = func(context.Context) bool { return begun }
			d.Serve = func(ctx context.Context, changed func(string)) error {
				time.Sleep(10 * time.Minute)
				changed("acme")
				<-ctx.Done()
				return nil
			}
			during(t, d, 20*time.Minute, nil)
			if n := w.count("reader"); n != want {
				t.Fatalf("begun %v: %d passes during the first scan, want %d", begun, n, want)
			}
			if passes := w.passes[reader.ID]; begun && passes[1].Sub(start) > 10*time.Minute+time.Second {
				t.Errorf("the pass came %s after the start, want it right after the push", passes[1].Sub(start))
			}
		})
	}
}

func TestASourceIsScannedAtItsPaceAndLessOftenWhileItFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, s := newWorld(), &scans{}
		d := w.daemon()
		d.Sources = []daemon.Source{s.source(time.Minute, func(_ context.Context, n int) (bool, error) {
			if n >= 3 && n <= 9 {
				return false, errors.New("no route to host")
			}
			return false, nil
		})}
		during(t, d, 69*time.Minute+30*time.Second, nil)
		var minutes []int
		for _, at := range s.at {
			minutes = append(minutes, int(at.Minutes()))
		}
		want := []int{0, 1, 2, 3, 5, 9, 17, 32, 47, 62, 63, 64, 65, 66, 67, 68, 69}
		if len(minutes) != len(want) {
			t.Fatalf("scans at minutes %v, want %v", minutes, want)
		}
		for i := range want {
			if minutes[i] != want[i] {
				t.Fatalf("scans at minutes %v, want %v", minutes, want)
			}
		}
		if n := strings.Count(w.log.String(), "scanning again"); n != 1 {
			t.Errorf("that it scans again is said %d times:\n%s", n, w.log.String())
		}
	})
}

func TestChangesWakeThePairsOfTheirSourceOnly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, s := newWorld(), &scans{}
		var triggers []string
		reader := w.job("reader", time.Hour, func(_ context.Context, _ int, o replication.PassOptions) (replication.Outcome, error) {
			triggers = append(triggers, string(o.Trigger))
			return replication.OutcomeDone, nil
		})
		other := w.job("other", time.Hour, done)
		d := w.daemon(reader, other)
		d.Sources = []daemon.Source{s.source(10*time.Minute, func(_ context.Context, n int) (bool, error) { return n == 2, nil }, reader)}
		start := time.Now()
		d.Serve = func(ctx context.Context, changed func(string)) error {
			time.Sleep(time.Minute)
			for range 50 { // a burst, as of an upload of many cookbooks
				changed("acme")
				changed("unknown")
				time.Sleep(2 * time.Millisecond)
			}
			<-ctx.Done()
			return nil
		}
		during(t, d, 30*time.Minute, nil)
		if n := len(w.passes[reader.ID]); n != 3 {
			t.Fatalf("%d passes, want one at the start, one for the burst and one for the scan: %v", n, w.passes[reader.ID])
		}
		if late := w.passes[reader.ID][1].Sub(start) - time.Minute; late > time.Second {
			t.Errorf("the pass came %s after the push", late)
		}
		if got := strings.Join(triggers, " "); got != "schedule push scan" {
			t.Errorf("triggers %q", got)
		}
		if n := w.count("other"); n != 1 {
			t.Errorf("a pair of another source had %d passes", n)
		}
	})
}

func TestAServerThatFailsEndsTheDaemon(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		d := w.daemon(w.job("a", time.Minute, done))
		broken := errors.New("permission denied")
		d.Serve = func(context.Context, func(string)) error { time.Sleep(time.Minute); return broken }
		if err := d.Run(t.Context()); !errors.Is(err, broken) {
			t.Errorf("Run: %v, want why serving failed", err)
		}
	})
}

func TestTheEndBreaksOffAScan(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, s := newWorld(), &scans{}
		job := w.job("a", time.Minute, done)
		d := w.daemon(job)
		d.Sources = []daemon.Source{s.source(time.Minute, func(ctx context.Context, _ int) (bool, error) { <-ctx.Done(); return false, ctx.Err() }, job)}
		if took := during(t, d, 10*time.Second, nil); took != 10*time.Second || w.count("a") != 0 {
			t.Errorf("ended after %s with %d passes, want 10s and none", took, w.count("a"))
		}
	})
}

func TestOnceScansBeforeItPasses(t *testing.T) {
	w, s := newWorld(), &scans{}
	scanned := 0
	job := w.job("a", time.Minute, func(context.Context, int, replication.PassOptions) (replication.Outcome, error) {
		scanned = len(s.at)
		return replication.OutcomeDone, nil
	})
	d := w.daemon(job)
	d.Sources = []daemon.Source{s.source(time.Minute, func(context.Context, int) (bool, error) { return false, errors.New("no route to host") }, job)}
	if results := d.Once(t.Context(), "manual", false); results[0].Err != nil || scanned != 1 {
		t.Errorf("%+v after %d scans, want a pass after one", results[0], scanned)
	}
}

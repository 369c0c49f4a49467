package scan_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"sync"
	"testing"
	"time"

	"chefsync/pkg/chef/cheftest"
	"chefsync/pkg/feed/journal"
	"chefsync/pkg/feed/scan"
	"chefsync/pkg/replication"
)

// dying fails at its nth write, before or after it took effect.
type dying struct {
	journal.ScanStore
	at    int
	after bool
	n     int
}

var errDied = errors.New("the process died here")

func (d *dying) dies(do func() error) error {
	d.n++
	if d.n < d.at {
		return do()
	}
	if d.n == d.at && d.after {
		_ = do()
	}
	return errDied
}

func (d *dying) Acquire(ctx context.Context, source, owner string, now time.Time, ttl time.Duration) (r journal.Recollection, err error) {
	err = d.dies(func() error { r, err = d.ScanStore.Acquire(ctx, source, owner, now, ttl); return err })
	return r, err
}

func (d *dying) Commit(ctx context.Context, source string, fence int64, now time.Time, s journal.Step) (h journal.Head, err error) {
	err = d.dies(func() error { h, err = d.ScanStore.Commit(ctx, source, fence, now, s); return err })
	return h, err
}

func (d *dying) Release(ctx context.Context, source string, fence int64) error {
	return d.dies(func() error { return d.ScanStore.Release(ctx, source, fence) })
}

// TestKilledScannersLoseNoRow kills a scanner that has 250 changes to note at
// each of its writes. The next one, after the lease, notes what is missing.
func TestKilledScannersLoseNoRow(t *testing.T) {
	for at := 1; at <= 5; at++ {
		for _, after := range []bool{false, true} {
			t.Run(fmt.Sprintf("write %d, after it %v", at, after), func(t *testing.T) {
				w := newWorld(t)
				w.begin()
				var want []string
				for i := range 250 {
					w.org.PutRole(fmt.Sprintf("r%03d", i), `{}`)
					want = append(want, fmt.Sprintf("create /roles/r%03d", i))
				}
				alive := w.store
				w.store = &dying{ScanStore: alive, at: at, after: after}
				_, err := w.scanner().Scan(t.Context())
				if at < 5 && !errors.Is(err, errDied) {
					t.Fatalf("error %v", err)
				}
				w.store = alive
				w.now = w.now.Add(2 * time.Minute)
				w.scan()
				got := w.rows()
				if n := len(got); n < 250 || n > 500 {
					t.Errorf("%d rows", n)
				}
				slices.Sort(got)
				if got = slices.Compact(got); !slices.Equal(got, want) {
					t.Errorf("%d different rows, want 250", len(got))
				}
				w.scanWants()
			})
		}
	}
}

func TestAHeldLeaseKeepsOthersOut(t *testing.T) {
	w := newWorld(t)
	w.fill()
	w.begin()
	if _, err := w.store.Acquire(t.Context(), source, "somebody", w.now, time.Minute); err != nil {
		t.Fatal(err)
	}
	w.asked()
	_, err := w.scanner().Scan(t.Context())
	var leased *journal.LeasedError
	if !errors.As(err, &leased) || leased.Lease.Owner != "somebody" {
		t.Errorf("error %v, want *LeasedError", err)
	}
	if got := w.asked(); len(got) != 0 {
		t.Errorf("asked %q", got)
	}
	w.config.OwnerDied = func(owner string) bool { return owner == "somebody" }
	w.org.PutRole("new", `{}`)
	w.scanWants("create /roles/new")
	w.now = w.now.Add(time.Minute)
	w.scanWants()
}

// TestAnOvertakenScannerWritesNothing: its process is suspended until its lease has
// ended, and another scanner does a whole scan meanwhile.
func TestAnOvertakenScannerWritesNothing(t *testing.T) {
	w := newWorld(t)
	w.fill()
	w.begin()
	w.org.PutRole("new", `{}`)
	w.primary.Fault(cheftest.Fault{Path: "/environments", Times: 1, Do: func(*http.Request) {
		w.now = w.now.Add(2 * time.Minute)
		w.scan()
	}})
	report, err := w.scanner().Scan(t.Context())
	if !errors.Is(err, journal.ErrFenced) || report.Changes != 0 {
		t.Errorf("error %v, want ErrFenced; %d rows noted", err, report.Changes)
	}
	w.wantRows("create /roles/new")
	w.scanWants()
}

func TestTwoScannersAtOnce(t *testing.T) {
	w := newWorld(t)
	w.begin()
	for round := range 6 {
		for i := range 120 {
			w.org.PutRole(fmt.Sprintf("r%d-%03d", round, i), `{}`)
		}
		var wg sync.WaitGroup
		for range 3 {
			s := w.scanner()
			wg.Go(func() {
				_, err := s.Scan(context.Background())
				var leased *journal.LeasedError
				if err != nil && !errors.As(err, &leased) && !errors.Is(err, scan.ErrOvertaken) {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		if got := w.rows(); len(got) != 120 {
			t.Errorf("round %d: %d rows, want 120", round, len(got))
		}
	}
	w.scanWants()
}

func TestALostMemoryMakesTheJournalAnew(t *testing.T) {
	for name, blob := range map[string][]byte{"damaged": []byte("\x1f\x8bnot a memory"), "empty": {}} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.fill()
			w.begin()
			before, err := w.store.Recall(t.Context(), source)
			if err != nil {
				t.Fatal(err)
			}
			lease, err := w.store.Acquire(t.Context(), source, "test", w.now, time.Second)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := w.store.Commit(t.Context(), source, lease.Lease.Fence, w.now, journal.Step{Generation: lease.Generation, Blob: blob}); err != nil {
				t.Fatal(err)
			}
			w.now = w.now.Add(time.Minute)
			w.org.DeleteRole("base")
			if r := w.scan(); !r.Begun || r.Head.Epoch == before.Head.Epoch || r.Head.Oldest <= before.Head.Newest {
				t.Errorf("%+v after %+v", r, before.Head)
			}
			w.wantRows("begin /")
		})
	}
}

func TestRowsAreDroppedWithTime(t *testing.T) {
	w := newWorld(t)
	w.config.Retain = 24 * time.Hour
	w.begin()
	start, _ := w.store.Head(t.Context(), source)
	for range 4 {
		w.org.PutRole("a", fmt.Sprintf(`{"description":"%s"}`, w.now))
		w.scan()
		w.now = w.now.Add(10 * time.Hour)
	}
	head, err := w.store.Head(t.Context(), source)
	if err != nil || head.Newest != start.Newest+4 || head.Oldest != start.Newest+2 {
		t.Errorf("head %+v, %v; began with %+v", head, err, start)
	}
	_, err = journal.After(t.Context(), w.store, source, "", start.Newest, 1)
	if !errors.Is(err, replication.ErrPositionLost) {
		t.Errorf("a reader of yesterday: %v, want ErrPositionLost", err)
	}
}

func TestEveryKindOfServer(t *testing.T) {
	goiardi := cheftest.Options{Orgless: true, MaxAPIVersion: 1, LenientVersion: true, EmptyUnknown: true, NoFrontEnd: true}
	for name, o := range map[string]cheftest.Options{
		"API version 2": {}, "API version 1": {MaxAPIVersion: 1}, "API version 0": {MaxAPIVersion: cheftest.OnlyVersion0}, "like goiardi": goiardi,
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, o)
			w.fill()
			w.begin()
			w.scanWants()
			w.org.PutRole("web", `{"description":"changed"}`)
			w.org.PutDataBagItem("users", "bob", `{"id":"bob","n":3}`)
			w.org.PutCookbook("apt", "1.0.0", files("changed"), true)
			w.org.DeleteEnvironment("test")
			w.org.DeleteDataBag("users")
			w.scanWants("update /roles/web", "update /cookbooks/apt/1.0.0", "delete /environments/test",
				"delete /data/users/bob", "delete /data/users/alice", "delete /data/users")
			w.scanWants()
		})
	}
}

func TestScannersNeedTheirParts(t *testing.T) {
	if _, err := scan.New(scan.Config{}); err == nil {
		t.Error("no error for an empty configuration")
	}
}

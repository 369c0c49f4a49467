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
	"chefsync/pkg/endpoint"
	"chefsync/pkg/fault"
	"chefsync/pkg/feed/changelog"
	"chefsync/pkg/feed/scan"
	"chefsync/pkg/object"
	"chefsync/pkg/replication"
)

// failingStore fails at a write, before or after it takes effect, and at all later ones.
type failingStore struct {
	changelog.ScanStore
	failAt     int
	afterWrite bool
	writes     int
}

var errKilled = errors.New("the process was killed")

func (d *failingStore) failWrite(do func() error) error {
	d.writes++
	if d.writes < d.failAt {
		return do()
	}
	if d.writes == d.failAt && d.afterWrite {
		_ = do()
	}
	return errKilled
}

func (d *failingStore) Acquire(ctx context.Context, source, owner string, now time.Time,
	ttl time.Duration) (r changelog.ScanState, err error) {
	err = d.failWrite(func() error { r, err = d.ScanStore.Acquire(ctx, source, owner, now, ttl); return err })
	return r, err
}

func (d *failingStore) Commit(ctx context.Context, source string, fence int64, now time.Time, s changelog.ScanUpdate) (h changelog.Head, err error) {
	err = d.failWrite(func() error { h, err = d.ScanStore.Commit(ctx, source, fence, now, s); return err })
	return h, err
}

func (d *failingStore) Release(ctx context.Context, source string, fence int64) error {
	return d.failWrite(func() error { return d.ScanStore.Release(ctx, source, fence) })
}

// TestKilledScannersLoseNoRows kills a scanner that has 250 changes to write, at each of
// its writes. The next one, after the lease has expired, writes the missing rows.
func TestKilledScannersLoseNoRows(t *testing.T) {
	for at := 1; at <= 5; at++ {
		for _, after := range []bool{false, true} {
			t.Run(fmt.Sprintf("write %d, after it %v", at, after), func(t *testing.T) {
				w := newFixture(t)
				w.beginChangeLog()
				var want []string
				for i := range 250 {
					w.org.PutRole(fmt.Sprintf("r%03d", i), `{}`)
					want = append(want, fmt.Sprintf("create /roles/r%03d", i))
				}
				alive := w.store
				w.store = &failingStore{ScanStore: alive, failAt: at, afterWrite: after}
				_, err := w.newScanner().Scan(t.Context())
				if at < 5 && !errors.Is(err, errKilled) {
					t.Fatalf("error %v", err)
				}
				w.store = alive
				w.now = w.now.Add(2 * time.Minute)
				w.mustScan()
				got := w.newRows()
				if n := len(got); n < 250 || n > 500 {
					t.Errorf("%d rows", n)
				}
				slices.Sort(got)
				if got = slices.Compact(got); !slices.Equal(got, want) {
					t.Errorf("%d different rows, want 250", len(got))
				}
				w.scanAndWantRows()
			})
		}
	}
}

func TestHeldLeaseExcludesOtherScanners(t *testing.T) {
	w := newFixture(t)
	w.addObjects()
	w.beginChangeLog()
	if _, err := w.store.Acquire(t.Context(), source, "somebody", w.now, time.Minute); err != nil {
		t.Fatal(err)
	}
	w.takeRequests()
	_, err := w.newScanner().Scan(t.Context())
	var leased *replication.LeasedError
	if !errors.As(err, &leased) || leased.Lease.Owner != "somebody" {
		t.Errorf("error %v, want *LeasedError", err)
	}
	if got := w.takeRequests(); len(got) != 0 {
		t.Errorf("asked %q", got)
	}
	w.config.OwnerDied = func(owner string) bool { return owner == "somebody" }
	w.org.PutRole("new", `{}`)
	w.scanAndWantRows("create /roles/new")
	w.now = w.now.Add(time.Minute)
	w.scanAndWantRows()
}

// TestManyBrokenObjectsHideNoOthers: the scan stops reading a kind after some failures, but
// what its list shows, and what it has read, is recorded.
func TestManyBrokenObjectsHideNoOthers(t *testing.T) {
	w := newFixture(t)
	w.config.Concurrency = 1
	for i := range 12 {
		w.org.PutCookbook("broken", fmt.Sprintf("1.0.%d", i), cookbookFiles("1"), false)
		w.org.PutDataBagItem("broken", fmt.Sprintf("i%d", i), fmt.Sprintf(`{"id":"i%d"}`, i))
	}
	w.org.PutCookbook("good", "1.0.0", cookbookFiles("1"), false)
	w.org.PutDataBagItem("good", "old", `{"id":"old"}`)
	w.beginChangeLog()
	w.primary.Fault(cheftest.Fault{Method: "GET", Path: "/cookbooks/broken/*", Status: 500})
	w.primary.Fault(cheftest.Fault{Method: "GET", Path: "/data/broken/*", Status: 500})
	w.config.Reader = withoutBulk{endpoint.NewSource(w.client.Org("acme"), nil)}
	w.org.DeleteCookbook("good", "1.0.0")
	w.org.PutCookbook("good", "2.0.0", cookbookFiles("2"), false)
	w.org.PutDataBagItem("good", "new", `{"id":"new"}`)
	w.org.DeleteDataBagItem("good", "old")
	r := w.mustScan()
	want := []string{"create /data/good/new", "create /cookbooks/good/2.0.0", "delete /cookbooks/good/1.0.0", "delete /data/good/old"}
	w.wantRows(want...)
	if r.Unread[object.Cookbook] == nil || r.Unread[object.DataBagItem] == nil {
		t.Errorf("unread kinds %v", r.Unread)
	}
	for range 10 {
		w.mustScan()
	}
	w.newRows()
	w.org.PutCookbook("good", "2.0.0", cookbookFiles("3"), false)
	for range 10 { // not each reaches it
		w.mustScan()
	}
	w.wantRows("update /cookbooks/good/2.0.0")
}

// TestOvertakenScannerWritesNothing: its process is suspended until its lease has
// expired, and another scanner completes a scan in between.
func TestOvertakenScannerWritesNothing(t *testing.T) {
	w := newFixture(t)
	w.addObjects()
	w.beginChangeLog()
	w.org.PutRole("new", `{}`)
	w.primary.Fault(cheftest.Fault{Path: "/environments", Times: 1, Do: func(*http.Request) {
		w.now = w.now.Add(2 * time.Minute)
		w.mustScan()
	}})
	report, err := w.newScanner().Scan(t.Context())
	if !errors.Is(err, replication.ErrFenced) || report.Changes != 0 {
		t.Errorf("error %v, want ErrFenced; %d rows written", err, report.Changes)
	}
	w.wantRows("create /roles/new")
	w.scanAndWantRows()
}

func TestConcurrentScanners(t *testing.T) {
	w := newFixture(t)
	w.beginChangeLog()
	for round := range 6 {
		for i := range 120 {
			w.org.PutRole(fmt.Sprintf("r%d-%03d", round, i), `{}`)
		}
		var wg sync.WaitGroup
		for range 3 {
			s := w.newScanner()
			wg.Go(func() {
				_, err := s.Scan(context.Background())
				var leased *replication.LeasedError
				if err != nil && !errors.As(err, &leased) && !errors.Is(err, scan.ErrOvertaken) {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		if got := w.newRows(); len(got) != 120 {
			t.Errorf("round %d: %d rows, want 120", round, len(got))
		}
	}
	w.scanAndWantRows()
}

// replaceState writes a scan state as another program does.
func (w *fixture) replaceState(blob []byte) {
	w.t.Helper()
	lease, err := w.store.Acquire(context.Background(), source, "another program", w.now, time.Second)
	if err == nil {
		_, err = w.store.Commit(context.Background(), source, lease.Lease.Fence, w.now, changelog.ScanUpdate{Version: lease.Version, Blob: blob})
	}
	if err != nil {
		w.t.Fatal(err)
	}
	w.now = w.now.Add(time.Minute)
}

// TestStateOfANewerProgramIsKept: scans and readers say what to do, and change nothing.
func TestStateOfANewerProgramIsKept(t *testing.T) {
	w := newFixture(t)
	w.addObjects()
	w.beginChangeLog()
	newer := `{"version":99,"listed":{},"objects":{}}`
	w.replaceState([]byte(newer))
	w.takeRequests()
	if _, err := w.newScanner().Scan(t.Context()); !errors.Is(err, replication.ErrSchema) || fault.ClassOf(err) != fault.Local {
		t.Errorf("a scan: %v, want ErrSchema", err)
	}
	if _, err := scan.NewFeed(w.store, source).ReadSnapshot(t.Context()); !errors.Is(err, replication.ErrSchema) {
		t.Errorf("a reader: %v, want ErrSchema", err)
	}
	if state, err := w.store.LoadScanState(t.Context(), source); err != nil || string(state.Blob) != newer {
		t.Errorf("the state %s, %v; want it as it was", state.Blob, err)
	}
	if sent := w.takeRequests(); len(sent) > 0 {
		t.Errorf("sent %q", sent)
	}
	w.wantRows()
}

func TestDamagedStateRestartsTheChangeLog(t *testing.T) {
	for name, blob := range map[string][]byte{"damaged": []byte("\x1f\x8bnot a state"), "empty": {}, "no version": []byte(`{"objects":{}}`),
		"an array": []byte(`[]`)} {
		t.Run(name, func(t *testing.T) {
			w := newFixture(t)
			w.addObjects()
			w.beginChangeLog()
			before, err := w.store.LoadScanState(t.Context(), source)
			if err != nil {
				t.Fatal(err)
			}
			w.replaceState(blob)
			if s, err := scan.NewFeed(w.store, source).ReadSnapshot(t.Context()); err != nil || s.Objects != nil {
				t.Errorf("the snapshot %+v, %v; want none", s, err)
			}
			w.org.DeleteRole("base")
			if r := w.mustScan(); !r.Begun || r.Head.Epoch == before.Head.Epoch || r.Head.Oldest <= before.Head.Newest {
				t.Errorf("%+v after %+v", r, before.Head)
			}
			w.wantRows("begin /")
		})
	}
}

func TestOldRowsAreTrimmed(t *testing.T) {
	w := newFixture(t)
	w.config.Retain = 24 * time.Hour
	w.beginChangeLog()
	start, _ := w.store.Head(t.Context(), source)
	for range 4 {
		w.org.PutRole("a", fmt.Sprintf(`{"description":"%s"}`, w.now))
		w.mustScan()
		w.now = w.now.Add(10 * time.Hour)
	}
	head, err := w.store.Head(t.Context(), source)
	if err != nil || head.Newest != start.Newest+4 || head.Oldest != start.Newest+2 {
		t.Errorf("head %+v, %v; began with %+v", head, err, start)
	}
}

func TestServerVariants(t *testing.T) {
	goiardi := cheftest.Options{Orgless: true, MaxAPIVersion: 1, LenientVersion: true, EmptyUnknown: true, NoFrontEnd: true}
	for name, o := range map[string]cheftest.Options{
		"API version 2": {}, "API version 1": {MaxAPIVersion: 1}, "API version 0": {MaxAPIVersion: cheftest.OnlyVersion0},
		"like goiardi": goiardi,
	} {
		t.Run(name, func(t *testing.T) {
			w := newFixture(t, o)
			w.addObjects()
			w.beginChangeLog()
			w.scanAndWantRows()
			w.org.PutRole("web", `{"description":"changed"}`)
			w.org.PutDataBagItem("users", "bob", `{"id":"bob","n":3}`)
			w.org.PutCookbook("apt", "1.0.0", cookbookFiles("changed"), true)
			w.org.DeleteEnvironment("test")
			w.org.DeleteDataBag("users")
			w.scanAndWantRows("update /roles/web", "update /cookbooks/apt/1.0.0", "delete /environments/test",
				"delete /data/users/bob", "delete /data/users/alice", "delete /data/users")
			w.scanAndWantRows()
		})
	}
}

func TestNewRequiresItsParts(t *testing.T) {
	if _, err := scan.New(scan.Config{}); err == nil {
		t.Error("no error for an empty configuration")
	}
}

package scan_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"chefsync/pkg/chef/cheftest"
	"chefsync/pkg/feed/changelog"
	"chefsync/pkg/feed/scan"
	"chefsync/pkg/object"
	"chefsync/pkg/replication"
	"chefsync/pkg/store/sqlite"
)

// TestScansDoNotOverlap: a scan that is started during another one sends no
// request to the primary.
func TestScansDoNotOverlap(t *testing.T) {
	w := newFixture(t)
	w.addObjects()
	w.beginChangeLog()
	reached, resume := make(chan struct{}), make(chan struct{})
	w.primary.Fault(cheftest.Fault{Path: "/environments", Times: 1, Do: func(*http.Request) {
		close(reached)
		<-resume
	}})
	first := make(chan error, 1)
	s := w.newScanner()
	go func() {
		_, err := s.Scan(context.Background())
		first <- err
	}()
	<-reached
	w.takeRequests()
	var others sync.WaitGroup
	for range 20 {
		s := w.newScanner()
		others.Go(func() {
			var leased *replication.LeasedError
			if report, err := s.Scan(context.Background()); !errors.As(err, &leased) || report.Listed > 0 {
				t.Errorf("%+v, %v; want *LeasedError", report, err)
			}
		})
	}
	others.Wait()
	if asked := w.takeRequests(); len(asked) > 0 {
		t.Errorf("20 scanners sent the primary %q", asked)
	}
	w.org.PutRole("pushed", `{}`) // rows can be appended during a scan
	if _, err := w.store.Append(t.Context(), source, w.now, []changelog.Change{{Action: "update", Path: "/roles/pushed"}}); err != nil {
		t.Error(err)
	}
	close(resume)
	if err := <-first; err != nil {
		t.Error(err)
	}
	w.wantRows("update /roles/pushed")
	w.scanAndWantRows("create /roles/pushed")
	w.scanAndWantRows()
}

// killScanner runs a scan that is killed at the first request for a path.
func (w *fixture) killScanner(path string) {
	w.t.Helper()
	alive := w.store
	w.store = &failingStore{ScanStore: alive, failAt: 2} // it writes nothing more after its lease
	defer func() { w.store = alive }()
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	fault := w.primary.Fault(cheftest.Fault{Path: path, Drop: true, Do: func(*http.Request) { cancel() }})
	defer fault.Remove()
	if _, err := w.newScanner().Scan(ctx); err == nil {
		w.t.Fatal("the scan was not killed")
	}
}

// TestLeaseOfAKilledScannerIsTakenOver when it has expired, or at once if the owner is
// known to be dead.
func TestLeaseOfAKilledScannerIsTakenOver(t *testing.T) {
	for _, known := range []bool{false, true} {
		t.Run(fmt.Sprintf("known to be dead: %v", known), func(t *testing.T) {
			w := newFixture(t)
			w.addObjects()
			w.beginChangeLog()
			w.org.PutRole("new", `{}`)
			dead := fmt.Sprintf("process-%d", w.scanners+1)
			w.killScanner("/environments")
			var leased *replication.LeasedError
			if _, err := w.newScanner().Scan(t.Context()); !errors.As(err, &leased) || leased.Lease.Owner != dead {
				t.Fatalf("%v, want the lease of %s", err, dead)
			}
			if known {
				w.config.OwnerDied = func(owner string) bool { return owner == dead }
			} else {
				w.now = w.now.Add(time.Minute)
			}
			w.scanAndWantRows("create /roles/new")
		})
	}
}

// TestLeaseOfAClockAheadIsTakenOver: otherwise no scan would run until it expires.
func TestLeaseOfAClockAheadIsTakenOver(t *testing.T) {
	for ahead, free := range map[time.Duration]bool{time.Minute: false, 24 * time.Hour: true} {
		w := newFixture(t)
		w.beginChangeLog()
		if _, err := w.store.Acquire(t.Context(), source, "ahead", w.now.Add(ahead), time.Minute); err != nil {
			t.Fatal(err)
		}
		_, err := w.newScanner().Scan(t.Context())
		var leased *replication.LeasedError
		if errors.As(err, &leased) == free || free && err != nil {
			t.Errorf("a clock that was %s ahead: %v", ahead, err)
		}
	}
}

// TestCanceledScanKeepsWhatItRead, as when a daemon is stopped during a scan.
func TestCanceledScanKeepsWhatItRead(t *testing.T) {
	w := newFixture(t)
	w.beginChangeLog()
	w.org.PutRole("web", `{}`)
	w.org.PutEnvironment("prod", `{}`)
	ctx, cancel := context.WithCancel(t.Context())
	fault := w.primary.Fault(cheftest.Fault{Path: "/environments", Drop: true, Do: func(*http.Request) { cancel() }})
	if _, err := w.newScanner().Scan(ctx); !errors.Is(err, context.Canceled) {
		t.Fatalf("error %v", err)
	}
	fault.Remove()
	w.wantRows("create /roles/web")
	w.scanAndWantRows("create /environments/prod") // the lease was released
}

// slowReader is a primary whose roles each take some time to read.
type slowReader struct {
	roles int
	each  time.Duration
	reads atomic.Int64
}

func (s *slowReader) Identity(context.Context) (string, error) { return "slow", nil }

func (s *slowReader) List(_ context.Context, scope object.Scope) (refs []object.Ref, _ error) {
	for i := range s.roles {
		refs = append(refs, object.Ref{Kind: scope.Kind, Name: fmt.Sprintf("r%03d", i)})
	}
	return refs, nil
}

func (s *slowReader) Get(ctx context.Context, ref object.Ref) (object.Object, error) {
	s.reads.Add(1)
	select {
	case <-ctx.Done():
		return object.Object{}, ctx.Err()
	case <-time.After(s.each):
	}
	return object.Object{Ref: ref, Body: []byte(`{}`), Fingerprint: ref.Name}, nil
}

func (s *slowReader) ListBindings(context.Context, object.Kind) (map[object.Ref]string, error) {
	return map[object.Ref]string{}, nil
}

func (s *slowReader) GetBulk(context.Context, []object.Ref, replication.BulkOptions) map[object.Ref]object.Object {
	return nil
}

// renewalCounter counts the renewals of a lease, and can refuse them.
type renewalCounter struct {
	changelog.ScanStore
	renewals atomic.Int64
	refuse   func(n int64) error
}

func (l *renewalCounter) Renew(ctx context.Context, source string, fence int64, now time.Time, ttl time.Duration) error {
	n := l.renewals.Add(1)
	if l.refuse != nil {
		if err := l.refuse(n); err != nil {
			return err
		}
	}
	return l.ScanStore.Renew(ctx, source, fence, now, ttl)
}

// withFakeClock calls do in a synctest bubble, with a function that makes scanners.
func withFakeClock(t *testing.T, primary *slowReader,
	do func(t *testing.T, store *renewalCounter, scanner func(owner string) *scan.Scanner)) {
	path := filepath.Join(t.TempDir(), "state.db")
	synctest.Test(t, func(t *testing.T) {
		s, err := sqlite.OpenState(t.Context(), path)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = s.Close() }()
		store := &renewalCounter{ScanStore: s.ChangeLogs()}
		do(t, store, func(owner string) *scan.Scanner {
			s, err := scan.New(scan.Config{Source: source, Reader: primary, Store: store, Owner: owner, Kinds: []object.Kind{object.Role}})
			if err != nil {
				t.Fatal(err)
			}
			return s
		})
	})
}

// TestLongScanRenewsItsLease: scans that are started during it are refused.
func TestLongScanRenewsItsLease(t *testing.T) {
	primary := &slowReader{roles: 400, each: 5 * time.Second}
	withFakeClock(t, primary, func(t *testing.T, store *renewalCounter, scanner func(string) *scan.Scanner) {
		first := make(chan error, 1)
		long := scanner("long")
		go func() {
			_, err := long.Scan(context.Background())
			first <- err
		}()
		synctest.Wait()
		busy := 0
		for minute := time.NewTicker(time.Minute); ; busy++ {
			select {
			case err := <-first:
				if err != nil || busy != 8 { // 400 × 5 s, four at a time
					t.Errorf("%v after %d others", err, busy)
				}
				if n, m := primary.reads.Load(), store.renewals.Load(); n != 400 || m < 30 || m > 36 {
					t.Errorf("%d reads, %d renewals", n, m)
				}
				return
			case <-minute.C:
			}
			var leased *replication.LeasedError
			if _, err := scanner(fmt.Sprint("other-", busy)).Scan(t.Context()); !errors.As(err, &leased) {
				t.Fatalf("error %v, want *LeasedError", err)
			}
		}
	})
}

// TestScanThatLostItsLeaseStopsReading, and keeps what it read unless another one
// wrote in between.
func TestScanThatLostItsLeaseStopsReading(t *testing.T) {
	away := errors.New("the store doesn't answer")
	for name, c := range map[string]struct {
		refuse func(int64) error
		reads  int64 // at most
		fails  bool
	}{
		"refused":               {func(int64) error { return replication.ErrFenced }, 20, true},
		"store away":            {func(int64) error { return away }, 44, true},
		"store away for a time": {func(n int64) error { return map[bool]error{true: away}[n < 3] }, 400, false},
	} {
		t.Run(name, func(t *testing.T) {
			primary := &slowReader{roles: 400, each: 5 * time.Second}
			withFakeClock(t, primary, func(t *testing.T, store *renewalCounter, scanner func(string) *scan.Scanner) {
				store.refuse = c.refuse
				report, err := scanner("one").Scan(context.Background())
				if errors.Is(err, replication.ErrFenced) != c.fails || !c.fails && err != nil {
					t.Errorf("error %v", err)
				}
				if n := primary.reads.Load(); n > c.reads || !report.Begun || report.Read == 0 {
					t.Errorf("%d requests, %+v; want it begun with what was read", n, report)
				}
				if head, err := store.Head(t.Context(), source); err != nil || head.Epoch == "" {
					t.Errorf("%+v, %v; want the change log begun", head, err)
				}
			})
		})
	}
}

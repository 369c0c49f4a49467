package changelogtest

import (
	"reflect"
	"testing"
	"time"

	"chefsync/pkg/fault"
	"chefsync/pkg/feed/changelog"
	"chefsync/pkg/object"
)

func testLastScan(t *testing.T, open func() changelog.ScanStore) {
	s := open()
	if got, err := s.LastScan(t.Context(), source); err != nil || !reflect.DeepEqual(got, changelog.LastScan{}) {
		t.Errorf("never scanned: %+v, %v", got, err)
	}
	good := changelog.LastScan{Ended: t0(), Good: t0(), Listed: 7, Changes: 1, Partial: 2,
		Unread: []changelog.Unread{{Kind: object.Role, Since: t0().Add(-time.Hour), Failing: t0(), Error: "read /roles: 403",
			Class: fault.Rejected, Hint: "grant read"}}}
	bad := changelog.LastScan{Ended: t0().Add(time.Minute), Good: t0(), Error: "no route to host", Class: fault.Unreachable,
		Hint: "check the URL", Failures: 3, FailingSince: t0().Add(time.Second), Epoch: "e", Newest: 12, Generation: 3}
	for at, scans := range map[string][]changelog.LastScan{source: {good, bad, good, bad}, otherSource: {bad, good}} {
		for _, scan := range scans {
			if err := s.RecordScan(t.Context(), at, scan); err != nil {
				t.Fatal(err)
			}
		}
		if got, err := open().LastScan(t.Context(), at); err != nil || !reflect.DeepEqual(got, scans[len(scans)-1]) {
			t.Errorf("%s: %+v, %v; want the newest, %+v", at, got, err, scans[len(scans)-1])
		}
	}
	if all, err := open().LastScans(t.Context()); err != nil || len(all) != 2 || !reflect.DeepEqual(all[source], bad) ||
		!reflect.DeepEqual(all[otherSource], good) {
		t.Errorf("all: %+v, %v", all, err)
	}
	if head, got := mustReadRows(t, s, source); head != (changelog.Head{}) || len(got) != 0 {
		t.Errorf("the record of a failed scan began the change log: %+v, %v", head, rowPaths(got))
	}

	// The record and the change log are independent.
	mustBegin(t, s, source, "e", t0())
	if _, err := s.Acquire(t.Context(), source, "me", t0(), ttl); err != nil {
		t.Fatal(err)
	}
	if err := s.RecordScan(t.Context(), source, good); err != nil {
		t.Errorf("a record while a scanner holds the lease: %v", err)
	}
	if _, got := mustReadRows(t, s, source); len(got) != 1 {
		t.Errorf("rows %v, want only the first one", rowPaths(got))
	}
	if _, err := s.Trim(t.Context(), source, t0().Add(time.Hour), 0); err != nil {
		t.Error(err)
	}
	if got, err := s.LastScan(t.Context(), source); err != nil || !reflect.DeepEqual(got, good) {
		t.Errorf("after a change log began and was trimmed: %+v, %v", got, err)
	}
}

package state_test

import (
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"chefsync/pkg/feed/journal"
	"chefsync/pkg/replication"
)

func TestTheNewestScanOfEachSourceIsRemembered(t *testing.T) {
	path := filepath.Join(t.TempDir(), "state.db")
	at := time.Date(2026, 11, 25, 12, 0, 0, 0, time.UTC)
	first := open(t, path).Journals()
	if got, err := first.LastScan(t.Context(), "a"); err != nil || got != (journal.LastScan{}) {
		t.Errorf("never scanned: %+v, %v", got, err)
	}
	good := journal.LastScan{Ended: at, Good: at, Listed: 7, Changes: 1}
	bad := journal.LastScan{Ended: at.Add(time.Minute), Good: at, Error: "no route to host", Class: replication.Unreachable, Hint: "check the URL", Failures: 3}
	for source, scans := range map[string][]journal.LastScan{"a": {good, bad}, "b": {good}} {
		for _, s := range scans {
			if err := first.NoteScan(t.Context(), source, s); err != nil {
				t.Fatal(err)
			}
		}
		got, err := open(t, path).Journals().LastScan(t.Context(), source)
		if diff := cmp.Diff(scans[len(scans)-1], got); err != nil || diff != "" {
			t.Errorf("source %s: %v (-want +got)\n%s", source, err, diff)
		}
	}
}

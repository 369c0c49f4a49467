package serve

import (
	"fmt"
	"strings"
	"testing"

	"chefsync/pkg/feed"
	"chefsync/pkg/feed/changelog"
	"chefsync/pkg/replication"
)

// TestLargeAnswersAreSplit: what the URL of a function can pass on. A client
// that asks on has every row once and in order; one that begins ends at the newest
// row, for it would otherwise begin again and again.
func TestLargeAnswersAreSplit(t *testing.T) {
	w := newTestServer(t)
	key := w.org.AddClient("reader")
	head, err := w.store.Head(t.Context(), "src")
	if err != nil {
		t.Fatal(err)
	}
	many := func(rows, length int) {
		for n := 0; n < rows; n += changelog.MaxAppend {
			var paths []string
			for i := range changelog.MaxAppend {
				paths = append(paths, "/roles/"+strings.Repeat("x", length)+fmt.Sprint(n+i))
			}
			w.addRows(paths...)
		}
	}
	many(7_000, 990)
	f := feed.NewUpdatedSince(orgGetter{w.client("reader", key, false).Org("acme")}, isAbsent)
	end, err := w.store.Head(t.Context(), "src")
	if err != nil {
		t.Fatal(err)
	}
	answers := 0
	for after := head.Newest; after < end.Newest; answers++ {
		answer, err := w.getPath("reader", key, fmt.Sprintf("%s?seq=%d", feedPath, after))
		if err != nil || len(answer.Body)+strings.Count(string(answer.Body), `"`) > 6<<20 {
			t.Fatalf("an answer of %d bytes, %v", len(answer.Body), err)
		}
		changes, err := feed.DecodeRows(answer.Body)
		if err != nil || len(changes) == 0 {
			t.Fatal(err)
		}
		for _, c := range changes {
			if after++; c.ID != after {
				t.Fatalf("the row %d is at the place of %d", c.ID, after)
			}
		}
	}
	if answers != 2 {
		t.Errorf("%d answers, want 2", answers)
	}

	many(30_000, 40)
	if end, err = w.store.Head(t.Context(), "src"); err != nil {
		t.Fatal(err)
	}
	rows, err := f.Read(t.Context(), 0)
	if err != nil || len(rows.Changes) != maxRows || rows.Changes[maxRows-1].ID != end.Newest {
		t.Fatalf("%d rows, %v; want the newest ones", len(rows.Changes), err)
	}
	if _, _, err := replication.Continue(replication.Position{}, rows, 100); err != nil {
		t.Error(err)
	}
}

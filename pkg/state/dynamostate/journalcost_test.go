package dynamostate_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"chefsync/pkg/feed/journal"
	"chefsync/pkg/state/dynamostate"
)

// TestWhatJournalsCost counts requests, as the documentation of Journals says
// them.
func TestWhatJournalsCost(t *testing.T) {
	w, j := begun(t)
	pushed(t, j, 1, 200)
	newest := noon().UnixMilli() + 200
	f := journal.Feed(j, source)
	read := func(after int64, want int) func(*testing.T) {
		return func(t *testing.T) {
			rows, err := f.Read(t.Context(), after)
			if err != nil || len(rows.Changes) != want {
				t.Errorf("%d changes, %v; want %d", len(rows.Changes), err, want)
			}
		}
	}
	var fence int64
	take := func(t *testing.T) int64 {
		known, err := j.Acquire(t.Context(), source, "me", noon(), time.Minute)
		if err != nil {
			t.Fatal(err)
		}
		fence = known.Lease.Fence
		return known.Generation
	}
	step := func(s journal.Step) func(*testing.T) {
		return func(t *testing.T) {
			if _, err := j.Commit(t.Context(), source, fence, noon(), s); err != nil {
				t.Fatal(err)
			}
		}
	}
	many := make([]journal.Entry, journal.MaxAppend)
	for i := range many {
		many[i] = push(i)[0]
	}
	for _, c := range []struct {
		name string
		do   func(*testing.T)
		ops  string
		blob string
	}{
		{"an empty poll", read(newest, 0), "Query", ""},
		{"an empty poll that reads a hundred rows again", read(newest-100, 100), "Query", ""},
		{"a push", func(t *testing.T) { pushed(t, j, 201, 201) }, "GetItem TransactWriteItems(2)", ""},
		{"the largest push", func(t *testing.T) {
			if _, err := j.Append(t.Context(), source, noon(), many); err != nil {
				t.Fatal(err)
			}
		}, "GetItem TransactWriteItems(2)", ""},
		{"taking the lease", func(t *testing.T) { take(t) }, "UpdateItem", ""},
		{"a scan that found nothing", step(journal.Step{}), "GetItem", ""},
		{"a scan's memory alone", step(journal.Step{Blob: []byte("one")}), "GetItem UpdateItem UpdateItem", "put"},
		{"a scan that found changes", step(journal.Step{Generation: 1, Entries: many, Blob: []byte("two")}), "GetItem UpdateItem TransactWriteItems(2)", "put"},
		{"and the next", step(journal.Step{Generation: 2, Entries: many, Blob: []byte("three")}), "GetItem UpdateItem TransactWriteItems(2)", "delete put"},
		{"what a scanner remembers", func(t *testing.T) {
			if known, err := j.Recall(t.Context(), source); err != nil || string(known.Blob) != "three" {
				t.Errorf("%+v, %v", known, err)
			}
		}, "GetItem", "get"},
		{"giving the lease back", func(t *testing.T) {
			if err := j.Release(t.Context(), source, fence); err != nil {
				t.Fatal(err)
			}
		}, "UpdateItem", ""},
		{"leaving word of a scan", func(t *testing.T) {
			if err := j.NoteScan(t.Context(), source, journal.LastScan{Ended: noon(), Good: noon()}); err != nil {
				t.Fatal(err)
			}
		}, "UpdateItem", ""},
		{"how the newest scan went", func(t *testing.T) {
			if _, err := j.LastScan(t.Context(), source); err != nil {
				t.Fatal(err)
			}
		}, "GetItem", ""},
		{"trimming nothing", func(t *testing.T) {
			if _, err := j.Trim(t.Context(), source, noon().Add(-time.Hour), 0); err != nil {
				t.Fatal(err)
			}
		}, "GetItem Query", ""},
		{"trimming twenty rows", func(t *testing.T) {
			if _, err := j.Trim(t.Context(), source, noon().Add(20*time.Minute), 0); err != nil {
				t.Fatal(err)
			}
		}, "GetItem Query UpdateItem BatchWriteItem", ""},
	} {
		w.api.reset()
		blobs := len(w.blobs.calls)
		c.do(t)
		if ops := strings.Join(w.api.reset(), " "); ops != c.ops {
			t.Errorf("%s takes %s, want %s", c.name, ops, c.ops)
		}
		var calls []string
		for _, call := range w.blobs.calls[blobs:] {
			op, _, _ := strings.Cut(call, " ")
			calls = append(calls, op)
		}
		if got := strings.Join(calls, " "); got != c.blob {
			t.Errorf("%s asks for blobs: %q, want %q", c.name, got, c.blob)
		}
	}
}

// TestItemsOfJournalsAreSmall: a head costs one write unit, as do the rows of a
// push, and nothing comes near the 400 KB of an item.
func TestItemsOfJournalsAreSmall(t *testing.T) {
	w, j := begun(t)
	pushed(t, j, 1, 1)
	for n := range 3 {
		w.api.before = failing("Transact", 1, errLost)
		_ = scan(t.Context(), j, "ip-10-0-0-1/4711/2026-11-22T12:00:00Z", journal.Step{Entries: push(n), Blob: []byte{1}}) // leaves a blob
		w.api.before = nil
		if err := scan(t.Context(), j, "ip-10-0-0-1/4711/2026-11-22T12:00:00Z", journal.Step{Blob: []byte{2}}); err != nil {
			t.Fatal(err)
		}
	}
	head := size(w.item(t, "journal#"+source, "top"))
	rows := size(w.item(t, "journal#"+source, fmt.Sprintf("row#%019d", noon().UnixMilli()+1)))
	t.Logf("the head takes %d bytes, the row of a push %d", head, rows)
	if head > 800 || rows > 200 {
		t.Errorf("the head takes %d bytes, the row of a push %d", head, rows)
	}

	worst := make([]journal.Entry, journal.MaxAppend)
	const length = 1000
	text := noise(strings.Repeat("x", length*len(worst)))
	for i := range worst {
		worst[i] = journal.Entry{Action: journal.Update, Path: "/" + text[i*length:][:length] + `\"\"\"`}
	}
	after, err := j.Append(t.Context(), source, noon(), worst)
	if err != nil {
		t.Fatal(err)
	}
	largest := size(w.item(t, "journal#"+source, fmt.Sprintf("row#%019d", after.Newest)))
	t.Logf("%d rows of long paths take %d bytes", len(worst), largest)
	if largest > 200<<10 {
		t.Errorf("%d rows of long paths take %d bytes", len(worst), largest)
	}
	page, err := j.Rows(t.Context(), source, after.Newest-journal.MaxAppend, 1000)
	if err != nil || !slices.EqualFunc(page.Rows, worst, func(r journal.Row, e journal.Entry) bool { return r.Path == e.Path }) {
		t.Errorf("%d rows, %v", len(page.Rows), err)
	}
}

// TestRowsOfAJournalHaveNoTimeToLive: DynamoDB would drop the newest row of a
// journal in which nothing happens.
func TestRowsOfAJournalHaveNoTimeToLive(t *testing.T) {
	w, j := begun(t)
	pushed(t, j, 1, 3)
	scanned(t, j, journal.Step{Entries: push(4), Blob: []byte("x")})
	for _, it := range w.items(t) {
		if it[dynamostate.Definition().TTLAttribute] != nil {
			t.Errorf("the item %s expires", text(it["sk"]))
		}
	}
}

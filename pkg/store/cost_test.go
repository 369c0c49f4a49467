package store_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"chefsync/pkg/feed/changelog"
	"chefsync/pkg/object"
	"chefsync/pkg/replication"
	"chefsync/pkg/store"
	"chefsync/pkg/store/kvtest"
)

// countingKV returns a KV, and a function that returns its operations since the last call.
func countingKV() (*kvtest.Memory, func() []string) {
	var ops []string
	kv := &kvtest.Memory{Before: func(op string, n int) error {
		ops = append(ops, fmt.Sprintf("%s(%d)", op, n))
		return nil
	}}
	return kv, func() []string {
		done := ops
		ops = nil
		return done
	}
}

// TestAnEmptyPollIsOneReadAndOneWrite.
func TestAnEmptyPollIsOneReadAndOneWrite(t *testing.T) {
	kv, done := countingKV()
	s := store.New(kv)
	commitUpdate(t, s, acquireLease(t, s, "me", noon()), replication.Update{Entries: newEntries(200),
		Run: &replication.Run{ID: "1", Pair: engineeringPair()}})
	if err := s.Release(t.Context(), engineeringPair(), 1); err != nil {
		t.Fatal(err)
	}
	for _, s := range []*store.Store{s, store.New(kv)} {
		done()
		st, err := s.Pair(t.Context(), engineeringPair())
		if err != nil {
			t.Fatal(err)
		}
		if err := s.SaveProgress(t.Context(), engineeringPair(), st.Lease.Fence, noon(), st.Progress); err != nil {
			t.Fatal(err)
		}
		assertEqual(t, "an empty poll", []string{"Get(1)", "Transact(1)"}, done())
	}
}

// TestOneChangedRole counts a pass that writes one role, as the engine does it.
func TestOneChangedRole(t *testing.T) {
	kv, done := countingKV()
	first := store.New(kv)
	commitUpdate(t, first, acquireLease(t, first, "me", noon()), replication.Update{Entries: newEntries(1000)})
	s := store.New(kv)
	if _, err := s.Pair(t.Context(), engineeringPair()); err != nil {
		t.Fatal(err)
	}
	done()
	fence := acquireLease(t, s, "me", noon())
	readEntries(t, s)
	run := &replication.Run{ID: "2", Pair: engineeringPair()}
	intent := replication.Progress{Work: &replication.Work{Intent: []object.Ref{roleRef(1)}}}
	commitUpdate(t, s, fence, replication.Update{Progress: intent, Run: run})
	commitUpdate(t, s, fence, replication.Update{Run: run, Entries: replication.Entries{roleRef(1): {Fingerprint: "new"}}})
	if err := s.Release(t.Context(), engineeringPair(), fence); err != nil {
		t.Fatal(err)
	}
	assertEqual(t, "one changed role", []string{
		"Transact(1)", // Acquire
		"Query(1)",    // Entries
		"Transact(2)", // what is intended
		"Transact(3)", // what was done
		"Transact(1)", // Release
	}, done())
}

// TestALargeCommit takes a transaction for each 99 objects, and each checks the lease.
func TestALargeCommit(t *testing.T) {
	kv, done := countingKV()
	s := store.New(kv)
	fence := acquireLease(t, s, "me", noon())
	done()
	commitUpdate(t, s, fence, replication.Update{Entries: newEntries(250),
		Run: &replication.Run{ID: "1", Pair: engineeringPair()}})
	assertEqual(t, "a commit of 250 objects and a run", []string{"Transact(100)", "Transact(100)", "Transact(54)"}, done())
}

// TestACommitThatDiesBetweenTransactions: the progress of before stands, with what was
// intended.
func TestACommitThatDiesBetweenTransactions(t *testing.T) {
	died, left := errors.New("died"), 1000
	kv := &kvtest.Memory{Before: func(op string, _ int) error {
		if op == "Transact" {
			left--
		}
		if left < 0 {
			return died
		}
		return nil
	}}
	s := store.New(kv)
	fence := acquireLease(t, s, "me", noon())
	intended := replication.Progress{Objects: 1, Work: &replication.Work{Intent: []object.Ref{roleRef(0)}}}
	commitUpdate(t, s, fence, replication.Update{Progress: intended})
	left = 2
	err := s.Commit(t.Context(), engineeringPair(), fence, noon(),
		replication.Update{Progress: replication.Progress{Objects: 250}, Entries: newEntries(250)})
	if !errors.Is(err, died) {
		t.Fatalf("%v, want the error of the KV", err)
	}
	left = 1000
	st, err := store.New(kv).Pair(t.Context(), engineeringPair())
	if err != nil {
		t.Fatal(err)
	}
	assertEqual(t, "the progress", intended, st.Progress)
	if n := len(readEntries(t, s)); n != 198 {
		t.Errorf("%d entries, want those of two transactions", n)
	}
}

// TestALeaseLostWithinACommit: from then on nothing more is written.
func TestALeaseLostWithinACommit(t *testing.T) {
	kv := &kvtest.Memory{}
	s, other := store.New(kv), store.New(kv)
	fence := acquireLease(t, s, "me", noon())
	transactions := 0
	kv.Before = func(op string, n int) error {
		if op == "Transact" && n > 1 {
			if transactions++; transactions == 2 {
				acquireLease(t, other, "other", noon().Add(time.Minute))
			}
		}
		return nil
	}
	err := s.Commit(t.Context(), engineeringPair(), fence, noon(),
		replication.Update{Progress: replication.Progress{Objects: 250}, Entries: newEntries(250)})
	if !errors.Is(err, replication.ErrFenced) {
		t.Errorf("%v, want ErrFenced", err)
	}
	if n := len(readEntries(t, s)); n != 99 {
		t.Errorf("%d entries, want those of the transaction before the lease was lost", n)
	}
	if st, err := s.Pair(t.Context(), engineeringPair()); err != nil || st.Progress.Objects != 0 || st.Lease.Owner != "other" {
		t.Errorf("%+v, %v", st, err)
	}
}

// TestACommitBesideARenewal: the holder renews its lease while it commits.
func TestACommitBesideARenewal(t *testing.T) {
	kv := &kvtest.Memory{}
	s := store.New(kv)
	fence := acquireLease(t, s, "me", noon())
	renewals := 0
	kv.Before = func(op string, n int) error {
		if op == "Transact" && n > 1 && renewals < 5 {
			renewals++
			if _, err := s.Renew(t.Context(), engineeringPair(), fence, noon(), time.Hour); err != nil {
				t.Error(err)
			}
		}
		return nil
	}
	commitUpdate(t, s, fence, replication.Update{Progress: replication.Progress{Objects: 250}, Entries: newEntries(250)})
	if st, err := s.Pair(t.Context(), engineeringPair()); err != nil || st.Progress.Objects != 250 ||
		!st.Lease.Expires.Equal(noon().Add(time.Hour)) {
		t.Errorf("%+v, %v", st, err)
	}
}

// TestWhatChangeLogsCost counts requests, as the documentation of ChangeLogs says.
func TestWhatChangeLogsCost(t *testing.T) {
	kv, done := countingKV()
	j, ctx := store.New(kv).ChangeLogs(), t.Context()
	lease := beginChangeLog(t, j)
	entries := []changelog.Change{{Action: "update", Path: "/roles/a"}, {Action: "update", Path: "/roles/b"}}
	memory := []byte(strings.Join(slices.Repeat([]string{"what the scanner knows of an object; "}, 5000), ""))
	for i := range memory { // so that parts differ
		memory[i] += byte(i / 977 % 7)
	}
	version := int64(0)
	for _, c := range []struct {
		name string
		do   func() error
		want []string
	}{
		{"Append", func() error { _, err := j.Append(ctx, "s", noon(), entries); return err }, []string{"Transact(3)"}},
		{"Rows to the end", func() error { _, err := j.Rows(ctx, "s", 0, 100); return err }, []string{"Query(1)"}},
		{"Rows not to the end", func() error { _, err := j.Rows(ctx, "s", 0, 1); return err }, []string{"Query(1)", "Get(1)"}},
		{"Head", func() error { _, err := j.Head(ctx, "s"); return err }, []string{"Get(1)"}},
		{"Renew", func() error { return j.Renew(ctx, "s", lease, noon(), time.Hour) }, []string{"Transact(1)"}},
		{"an idle Commit", func() error { _, err := j.Commit(ctx, "s", lease, noon(), changelog.ScanUpdate{}); return err }, []string{"Get(1)"}},
		{"Trim of nothing", func() error { _, err := j.Trim(ctx, "s", noon(), 0); return err }, []string{"Get(1)", "Query(1)"}},
		{"RecordScan", func() error { return j.RecordScan(ctx, "s", changelog.LastScan{Ended: noon()}) }, []string{"Transact(1)"}},
		{"LoadScanState without memory", func() error { _, err := j.LoadScanState(ctx, "s"); return err }, []string{"Get(1)"}},
	} {
		done()
		if err := c.do(); err != nil {
			t.Fatalf("%s: %v", c.name, err)
		}
		assertEqual(t, c.name, c.want, done())
	}
	write := func() []string {
		done()
		if _, err := j.Commit(ctx, "s", lease, noon(), changelog.ScanUpdate{Version: version, Blob: memory}); err != nil {
			t.Fatal(err)
		}
		version++
		return done()
	}
	t.Logf("memory of %d bytes: %v", len(memory), write())
	memory[len(memory)/2] ^= 1
	changed := write()
	t.Logf("with one byte changed: %v", changed)
	if len(changed) != 4 || !slices.Contains([]string{"Transact(2)", "Transact(3)"}, changed[1]) {
		t.Errorf("one changed byte takes %v: want a read of the list, one or two parts, the list with the head, and a removal", changed)
	}
	known, err := store.New(kv).ChangeLogs().LoadScanState(ctx, "s")
	if err != nil || string(known.Blob) != string(memory) || known.Version != 2 {
		t.Errorf("%d bytes of version %d, %v", len(known.Blob), known.Version, err)
	}
}

// TestAQueryOfTwoMoments: a query may see the head of one write and the rows of another.
func TestAQueryOfTwoMoments(t *testing.T) {
	kv := &kvtest.Memory{}
	j := store.New(kv).ChangeLogs()
	beginChangeLog(t, j)
	torn := &tornQueries{KV: kv}
	torn.between = func() {
		if _, err := j.Append(t.Context(), "s", noon(), []changelog.Change{{Action: "update", Path: "/roles/a"}}); err != nil {
			t.Error(err)
		}
	}
	page, err := store.New(torn).ChangeLogs().Rows(t.Context(), "s", 0, 100)
	if err != nil || len(page.Rows) != 2 || page.Head.Newest != page.Rows[1].ID {
		t.Errorf("%+v, %v; want both rows", page, err)
	}
}

// tornQueries is a KV whose first query returns its last item as it is after a later write.
type tornQueries struct {
	store.KV
	between func()
}

func (k *tornQueries) Query(ctx context.Context, q store.Query) ([]store.Item, error) {
	items, err := k.KV.Query(ctx, q)
	if between := k.between; between != nil && err == nil {
		k.between = nil
		between()
		newest, err := k.KV.Get(ctx, items[len(items)-1].Key)
		return append(items[:len(items)-1], newest), err
	}
	return items, err
}

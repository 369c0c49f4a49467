package store_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"chefsync/pkg/fault"
	"chefsync/pkg/feed/changelog"
	"chefsync/pkg/health"
	"chefsync/pkg/object"
	"chefsync/pkg/replication"
	"chefsync/pkg/store"
	"chefsync/pkg/store/kvtest"
)

func noon() time.Time { return time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC) }

func engineeringPair() replication.PairID {
	return replication.PairID{Replica: "eu", Org: "engineering"}
}

func roleRef(n int) object.Ref {
	return object.Ref{Kind: object.Role, Name: fmt.Sprintf("role-%05d", n)}
}

func acquireLease(t *testing.T, s *store.Store, owner string, now time.Time) int64 {
	t.Helper()
	st, err := s.Acquire(t.Context(), engineeringPair(), owner, now, time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	return st.Lease.Fence
}

func commitUpdate(t *testing.T, s *store.Store, fence int64, u replication.Update) {
	t.Helper()
	if err := s.Commit(t.Context(), engineeringPair(), fence, noon(), u); err != nil {
		t.Fatal(err)
	}
}

// newEntries returns entries of n roles.
func newEntries(n int) replication.Entries {
	all := replication.Entries{}
	for i := range n {
		all[roleRef(i)] = replication.Entry{Fingerprint: fmt.Sprintf("%064x", i)}
	}
	return all
}

func readEntries(t *testing.T, s *store.Store) replication.Entries {
	t.Helper()
	got, err := s.Entries(t.Context(), engineeringPair())
	if err != nil {
		t.Fatal(err)
	}
	return got
}

func assertEqual(t *testing.T, what string, want, got any) {
	t.Helper()
	if d := cmp.Diff(want, got, cmpopts.EquateEmpty()); d != "" {
		t.Errorf("%s (-want +got):\n%s", what, d)
	}
}

// editRecord changes the data of an item as another program would.
func editRecord(t *testing.T, kv store.KV, k store.Key, change func(map[string]any)) {
	t.Helper()
	it, err := kv.Get(t.Context(), k)
	if err != nil || it.Version == "" {
		t.Fatalf("%v: %+v, %v", k, it, err)
	}
	var members map[string]any
	if err := json.Unmarshal(it.Data, &members); err != nil {
		t.Fatal(err)
	}
	change(members)
	data, err := json.Marshal(members)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := kv.Transact(t.Context(), store.Put(store.Item{Key: k, Data: data})); err != nil {
		t.Fatal(err)
	}
}

func pairKey() store.Key { return store.Key{Partition: "PAIRS", Sort: "eu/engineering"} }

// TestRecordsOfANewerVersion are neither read in part nor overwritten.
func TestRecordsOfANewerVersion(t *testing.T) {
	kv := &kvtest.Memory{}
	s, id, ctx := store.New(kv), engineeringPair(), t.Context()
	fence := acquireLease(t, s, "me", noon())
	editRecord(t, kv, pairKey(), func(m map[string]any) { m["schema"] = 99 })
	for _, s := range []*store.Store{s, store.New(kv)} { // one remembers the record as it was
		_, pairErr := s.Pair(ctx, id)
		_, pairsErr := s.Pairs(ctx)
		_, acquireErr := s.Acquire(ctx, id, "me", noon(), 1)
		for op, err := range map[string]error{
			"Pair": pairErr, "Pairs": pairsErr, "Acquire": acquireErr,
			"ChangeDesired": s.ChangeDesired(ctx, id, replication.DesiredChange{}),
			"SaveProgress":  s.SaveProgress(ctx, id, 0, noon(), replication.Progress{}),
			"Commit":        s.Commit(ctx, id, fence, noon(), replication.Update{}),
			"large Commit":  s.Commit(ctx, id, fence, noon(), replication.Update{Entries: newEntries(500)}),
			"Release":       s.Release(ctx, id, fence),
		} {
			if !errors.Is(err, replication.ErrSchema) || fault.ClassOf(err) != fault.Local || fault.HintOf(err) == "" {
				t.Errorf("%s: %v (hint %q), want ErrSchema with a hint", op, err, fault.HintOf(err))
			}
		}
	}
	assertEqual(t, "the ledger", 0, len(readEntries(t, s)))
}

// TestChangeLogsOfANewerVersion are neither read nor written.
func TestChangeLogsOfANewerVersion(t *testing.T) {
	kv, ctx := &kvtest.Memory{}, t.Context()
	j := store.New(kv).ChangeLogs()
	lease := beginChangeLog(t, j)
	editRecord(t, kv, store.Key{Partition: "SOURCE#s", Sort: "HEAD"}, func(m map[string]any) { m["schema"] = 99 })
	_, headErr := j.Head(ctx, "s")
	_, rowsErr := j.Rows(ctx, "s", 0, 1)
	_, recallErr := j.LoadScanState(ctx, "s")
	_, takeErr := j.Acquire(ctx, "s", "me", noon(), time.Hour)
	_, trimErr := j.Trim(ctx, "s", noon().Add(time.Hour), 1)
	_, appendErr := j.Append(ctx, "s", noon(), []changelog.Change{{Action: "update", Path: "/roles/a"}})
	_, commitErr := j.Commit(ctx, "s", lease, noon(), changelog.ScanUpdate{})
	for op, err := range map[string]error{"Head": headErr, "Rows": rowsErr, "LoadScanState": recallErr, "Acquire": takeErr,
		"Trim": trimErr, "Append": appendErr, "Commit": commitErr} {
		if !errors.Is(err, replication.ErrSchema) || fault.HintOf(err) == "" {
			t.Errorf("%s: %v (hint %q), want ErrSchema with a hint", op, err, fault.HintOf(err))
		}
	}
}

// TestTrimDeletesWhatAnEarlierChangeLogHad, which no reader sees any more.
func TestTrimDeletesWhatAnEarlierChangeLogHad(t *testing.T) {
	kv := &kvtest.Memory{}
	j, ctx := store.New(kv).ChangeLogs(), t.Context()
	fence := beginChangeLog(t, j)
	for range 250 {
		if _, err := j.Append(ctx, "s", noon(), []changelog.Change{{Action: "update", Path: "/roles/a"}}); err != nil {
			t.Fatal(err)
		}
	}
	head, err := j.Commit(ctx, "s", fence, noon(), changelog.ScanUpdate{Begin: "another"})
	if err != nil {
		t.Fatal(err)
	}
	trimmed, err := j.Trim(ctx, "s", noon(), 0)
	items, queryErr := kv.Query(ctx, store.Prefix("SOURCE#s", "CHANGE#"))
	if err != nil || queryErr != nil || trimmed != head || len(items) != 1 {
		t.Errorf("%d changes are stored, the head is %+v, %v, %v; want the first of %+v", len(items), trimmed, err, queryErr, head)
	}
}

// beginChangeLog begins the change log of s and returns the token of its lease.
func beginChangeLog(t *testing.T, j store.ChangeLogs) int64 {
	t.Helper()
	known, err := j.Acquire(t.Context(), "s", "me", noon(), time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := j.Commit(t.Context(), "s", known.Lease.Fence, noon(), changelog.ScanUpdate{Begin: "e"}); err != nil {
		t.Fatal(err)
	}
	return known.Lease.Fence
}

// TestRecordWithoutAGeneration: it was written when the scan state and its snapshot had
// one number. Pairs know that number as the generation.
func TestRecordWithoutAGeneration(t *testing.T) {
	kv := &kvtest.Memory{}
	j := store.New(kv).ChangeLogs()
	fence := beginChangeLog(t, j)
	save := func(j store.ChangeLogs, version int64, same bool) {
		t.Helper()
		update := changelog.ScanUpdate{Version: version, Blob: []byte("state"), SameSnapshot: same}
		if _, err := j.Commit(t.Context(), "s", fence, noon(), update); err != nil {
			t.Fatal(err)
		}
	}
	for version := range int64(3) {
		save(j, version, version > 0)
	}
	editRecord(t, kv, store.Key{Partition: "SOURCE#s", Sort: "HEAD"}, func(m map[string]any) { delete(m, "snapshot") })
	for n, want := range []changelog.ScanState{{Version: 3, Generation: 3}, {Version: 4, Generation: 3}, {Version: 5, Generation: 4}} {
		j := store.New(kv).ChangeLogs()
		if n > 0 {
			save(j, want.Version-1, n == 1)
		}
		if known, err := j.LoadScanState(t.Context(), "s"); err != nil || known.Version != want.Version || known.Generation != want.Generation {
			t.Errorf("%d writes later: %+v, %v; want %+v", n, known, err, want)
		}
	}
}

// TestFieldsOfANewerVersion: a program that was rolled back reads what the newer one
// wrote, works on, and leaves to it what only it knows.
func TestFieldsOfANewerVersion(t *testing.T) {
	kv := &kvtest.Memory{}
	s, id, ctx := store.New(kv), engineeringPair(), t.Context()
	fence := acquireLease(t, s, "newer", noon())
	commitUpdate(t, s, fence, replication.Update{
		Progress: replication.Progress{Objects: 3, Position: &replication.Position{Seq: 7}},
		Entries:  replication.Entries{roleRef(1): {Failure: &replication.Unsynced{Ref: roleRef(1), Reason: "too large"}}}, Run: &replication.Run{ID: "r1", Pair: id},
	})
	editRecord(t, kv, pairKey(), func(m map[string]any) {
		p := m["progress"].(map[string]any)
		p["later"], p["Seen_Later"] = map[string]any{"a": []any{"<&>", 1}}, 2
		p["position"].(map[string]any)["later"] = 1
		m["desired"].(map[string]any)["later"] = 1
	})
	later := func(m map[string]any) { m["later"] = 1 }
	editRecord(t, kv, store.Key{Partition: "PAIR#eu/engineering", Sort: "OBJECT#role/role-00001"}, later)
	editRecord(t, kv, store.Key{Partition: "PAIR#eu/engineering", Sort: "RUN#r1"}, later)

	entries, entriesErr := s.Entries(ctx, id)
	unsynced := entries.Unsynced()
	runs, runsErr := s.Runs(ctx, id, 10)
	st, err := s.Acquire(ctx, id, "newer", noon(), time.Minute)
	if err != nil || len(unsynced) != 1 || unsynced[0].Reason != "too large" || len(runs) != 1 {
		t.Fatalf("%v, %v, %v; unsynced %+v, runs %+v", err, entriesErr, runsErr, unsynced, runs)
	}
	if st.Progress.Objects != 3 || st.Progress.Position.Seq != 7 {
		t.Errorf("read %+v", st.Progress)
	}
	st.Progress.Objects = 4
	commitUpdate(t, s, st.Lease.Fence, replication.Update{Progress: st.Progress})
	if err := s.ChangeDesired(ctx, id, replication.DesiredChange{Stop: new(bool), At: noon()}); err != nil {
		t.Fatal(err)
	}
	editRecord(t, kv, pairKey(), func(m map[string]any) {
		p, d := m["progress"].(map[string]any), m["desired"].(map[string]any)
		assertEqual(t, "what only the newer version knows", []any{map[string]any{"a": []any{"<&>", 1.0}}, 2.0, 4.0, 1.0},
			[]any{p["later"], p["Seen_Later"], p["objects"], d["later"]})
	})
}

// TestDamagedRecords: an error that says what to do, and nothing is overwritten.
func TestDamagedRecords(t *testing.T) {
	for _, damaged := range []string{`{"schema":1,"progress":{"objects":`, `[]`, `{"schema":1,"desired":7,"progress":{}}`} {
		kv := &kvtest.Memory{}
		it := store.Item{Key: pairKey(), Data: []byte(damaged)}
		version, err := kv.Transact(t.Context(), store.Put(it))
		if err != nil {
			t.Fatal(err)
		}
		s := store.New(kv)
		_, err = s.Acquire(t.Context(), engineeringPair(), "me", noon(), 1)
		if fault.ClassOf(err) != fault.Local || fault.HintOf(err) == "" {
			t.Errorf("%s: %v, want an error of class local with a hint", damaged, err)
		}
		if it, err := kv.Get(t.Context(), pairKey()); err != nil || it.Version != version {
			t.Errorf("%s was overwritten", damaged)
		}
	}
}

// TestUnreadableRecordsAreNotWritten: what could not be read again would stop its pair
// for good.
func TestUnreadableRecordsAreNotWritten(t *testing.T) {
	s := store.New(&kvtest.Memory{})
	p := replication.Progress{Hold: &replication.Hold{Sample: []object.Ref{{Kind: "invented"}}}}
	if err := s.SaveProgress(t.Context(), engineeringPair(), 0, noon(), p); err == nil {
		t.Error("written")
	}
	st, err := s.Pair(t.Context(), engineeringPair())
	if err != nil || st.Progress.Hold != nil {
		t.Errorf("%+v, %v", st, err)
	}
}

// TestNamesThatAreNoKeys are refused.
func TestNamesThatAreNoKeys(t *testing.T) {
	s := store.New(&kvtest.Memory{})
	for _, id := range []replication.PairID{{}, {Replica: "eu"}, {Replica: "e/u", Org: "x"},
		{Replica: "eu", Org: strings.Repeat("x", 1000)}, {Replica: "eu", Org: "\xff"}} {
		if _, err := s.Pair(t.Context(), id); err == nil {
			t.Errorf("%q is taken for a pair", id)
		}
	}
	for _, source := range []string{"", strings.Repeat("x", 1000), "\xff"} {
		if _, err := s.ChangeLogs().Head(t.Context(), source); err == nil {
			t.Errorf("%q is taken for a source", source)
		}
	}
}

// TestNamesTooLongForAKeyAreRefused: no server takes one of more than 255 bytes.
func TestNamesTooLongForAKeyAreRefused(t *testing.T) {
	s := store.New(&kvtest.Memory{})
	fence := acquireLease(t, s, "me", noon())
	entry := func(name string) replication.Update {
		return replication.Update{Entries: replication.Entries{{Kind: object.DataBagItem, Name: name, Sub: name}: {Fingerprint: "1"}}}
	}
	if err := s.Commit(t.Context(), engineeringPair(), fence, noon(), entry(strings.Repeat("n", 600))); err == nil {
		t.Error("no error for a name of 600 bytes")
	}
	longest := entry(strings.Repeat("n", 255))
	commitUpdate(t, s, fence, longest)
	assertEqual(t, "entries", longest.Entries, readEntries(t, s))
}

// TestLongTextIsClipped: an error that a server made a megabyte long.
func TestLongTextIsClipped(t *testing.T) {
	kv := &kvtest.Memory{}
	s, long := store.New(kv), strings.Repeat("no ", 400_000)
	failure := replication.Failure{At: noon(), Class: fault.Foreign, Message: long, Hint: long}
	commitUpdate(t, s, acquireLease(t, s, "me", noon()), replication.Update{
		Progress: replication.Progress{LastError: &failure}, Entries: replication.Entries{roleRef(1): {Failure: &replication.Unsynced{Ref: roleRef(1), Reason: long, Hint: long}}},
		Run: &replication.Run{ID: "r", Pair: engineeringPair(), Error: &failure},
	})
	if err := s.ChangeLogs().RecordScan(t.Context(), "s", changelog.LastScan{Error: long, Hint: long}); err != nil {
		t.Fatal(err)
	}
	for _, partition := range []string{"PAIRS", "PAIR#eu/engineering", "SCANS"} {
		items, err := kv.Query(t.Context(), store.Prefix(partition, ""))
		if err != nil || len(items) == 0 {
			t.Fatalf("%d items, %v", len(items), err)
		}
		for _, it := range items {
			if len(it.Data) > 40_000 {
				t.Errorf("%v takes %d bytes", it.Key, len(it.Data))
			}
		}
	}
}

// TestRunsAreTrimmed: each run that is one of about fifty removes all but the newest.
func TestRunsAreTrimmed(t *testing.T) {
	s := store.New(&kvtest.Memory{})
	fence := acquireLease(t, s, "me", noon())
	const n = 700
	for i := range n {
		commitUpdate(t, s, fence, replication.Update{Run: &replication.Run{ID: fmt.Sprintf("%04d", i), Pair: engineeringPair()}})
	}
	runs, err := s.Runs(t.Context(), engineeringPair(), n)
	if err != nil || len(runs) < store.KeepRuns || len(runs) > 2*store.KeepRuns || runs[0].ID != fmt.Sprintf("%04d", n-1) {
		t.Errorf("%d runs are left, %v; want the newest %d or some more", len(runs), err, store.KeepRuns)
	}
}

// TestBackupsAreTrimmed: what is older than it is kept goes, however many parts a run has.
func TestBackupsAreTrimmed(t *testing.T) {
	s := store.New(&kvtest.Memory{})
	const n, partsOfRun = 300, 5
	commit := func(now time.Time, prefix string) {
		fence := acquireLease(t, s, "me", now)
		for i := range n {
			id := fmt.Sprintf("%s-%04d", prefix, i)
			u := replication.Update{Run: &replication.Run{ID: id, Pair: engineeringPair()}}
			for part := range partsOfRun {
				u.Backups = append(u.Backups, replication.BackupPart{Run: id, Number: part + 1, Objects: []replication.Backup{{Ref: roleRef(i)}}})
			}
			if err := s.Commit(t.Context(), engineeringPair(), fence, now, u); err != nil {
				t.Fatal(err)
			}
		}
	}
	commit(noon(), "1")
	commit(noon().Add(replication.BackupAge+time.Hour), "2")
	parts, err := s.Backups(t.Context(), engineeringPair(), "")
	if err != nil || len(parts) != n*partsOfRun || parts[0].Run != "2-0000" {
		t.Errorf("%d parts are left, %v; want those of the newer %d runs", len(parts), err, n)
	}
}

// TestRecordsOfOldProcessesGo with the next process that ends cleanly.
func TestRecordsOfOldProcessesGo(t *testing.T) {
	kv := &kvtest.Memory{}
	h := store.New(kv).Health()
	later := noon().Add(health.KeepProcesses + time.Minute)
	for _, p := range []health.Process{
		{Role: health.RoleDaemon, Owner: "killed", Seen: noon()},
		{Role: health.RoleDaemon, Owner: "lives", Seen: later},
		{Role: health.RoleDaemon, Owner: "ends", Seen: later, Stopped: later},
	} {
		if err := h.SaveProcess(t.Context(), p); err != nil {
			t.Fatal(err)
		}
	}
	items, err := kv.Query(t.Context(), store.Prefix("HEALTH", ""))
	if err != nil || len(items) != 2 {
		t.Errorf("%d records, %v; want those of the two that were seen lately", len(items), err)
	}
}

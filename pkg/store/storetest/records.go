package storetest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"chefsync/pkg/object"
	"chefsync/pkg/replication"
)

// fillValue sets every field within a value to something that isn't zero, so that a
// field that is added later and not stored fails the suite. Times are in a zone
// of their own and have milliseconds.
func fillValue(v reflect.Value) {
	switch x := v.Addr().Interface().(type) {
	case *time.Time:
		*x = time.Date(2026, 11, 22, 10, 0, 1, 234_000_000, time.FixedZone("", 3600))
		return
	case *object.Ref:
		*x = object.Ref{Kind: object.DataBagItem, Name: "users", Sub: "alice"}
		return
	case *replication.PairID:
		*x = pairA()
		return
	case *json.RawMessage:
		*x = json.RawMessage(`{"later":[1,"two"]}`)
		return
	}
	switch v.Kind() {
	case reflect.String:
		v.SetString("ünïcode \"quoted\" <&> \u2028 line\nbreak")
	case reflect.Bool:
		v.SetBool(true)
	case reflect.Int, reflect.Int64, reflect.Int32:
		v.SetInt(1<<53 + 1)
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		fillValue(v.Elem())
	case reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), 2, 2))
		for i := range v.Len() {
			fillValue(v.Index(i))
		}
	case reflect.Map:
		k, x := reflect.New(v.Type().Key()).Elem(), reflect.New(v.Type().Elem()).Elem()
		fillValue(k)
		fillValue(x)
		v.Set(reflect.MakeMap(v.Type()))
		v.SetMapIndex(k, x)
	case reflect.Struct:
		for i := range v.NumField() {
			fillValue(v.Field(i))
		}
	default:
		panic(fmt.Sprintf("records have a field of kind %s, which this suite can't fill yet", v.Kind()))
	}
}

func filledRecord[T any]() (v T) {
	fillValue(reflect.ValueOf(&v).Elem())
	return v
}

// findNonUTC returns the paths of the times within a value that aren't in UTC.
func findNonUTC(path string, v reflect.Value) (bad []string) {
	switch v.Kind() {
	case reflect.Pointer:
		if !v.IsNil() {
			return findNonUTC(path, v.Elem())
		}
	case reflect.Slice:
		for i := range v.Len() {
			bad = append(bad, findNonUTC(fmt.Sprintf("%s[%d]", path, i), v.Index(i))...)
		}
	case reflect.Map:
		for _, k := range v.MapKeys() {
			bad = append(bad, findNonUTC(fmt.Sprintf("%s[%v]", path, k), v.MapIndex(k))...)
		}
	case reflect.Struct:
		if t, ok := v.Interface().(time.Time); ok {
			if t.Location() != time.UTC {
				return []string{path}
			}
			return nil
		}
		for i := range v.NumField() {
			bad = append(bad, findNonUTC(path+"."+v.Type().Field(i).Name, v.Field(i))...)
		}
	}
	return bad
}

func testFields(t *testing.T, open func() replication.State) {
	s := open()
	east := time.FixedZone("", 3600)
	st, err := s.Acquire(t.Context(), pairA(), "me", startTime().In(east), leaseTTL)
	if err != nil {
		t.Fatal(err)
	}
	d := filledRecord[replication.DesiredChange]()
	if err := s.ChangeDesired(t.Context(), pairA(), d); err != nil {
		t.Fatal(err)
	}
	progress, run, unsynced := filledRecord[replication.Progress](), filledRecord[replication.Run](), filledRecord[replication.Unsynced]()
	commitUpdate(t, s, pairA(), st.Lease.Fence, replication.Update{Progress: progress, Run: &run,
		Entries: replication.Entries{unsynced.Ref: {Failure: &unsynced}}})
	got := readPair(t, s, pairA())
	assertEqual(t, "the record", replication.PairState{ID: pairA(), Desired: replication.Desired{}.With(d), Progress: progress,
		Lease: st.Lease}, got.Pair)
	assertEqual(t, "the run", []replication.Run{run}, got.Runs)
	assertEqual(t, "the unsynced object", []replication.Unsynced{unsynced}, got.Entries.Unsynced())
	if bad := findNonUTC("", reflect.ValueOf(got.Pair)); bad != nil {
		t.Errorf("not in UTC: %v", bad)
	}
	if bad := slices.Concat(findNonUTC("run", reflect.ValueOf(got.Runs)), findNonUTC("unsynced", reflect.ValueOf(got.Entries.Unsynced()))); bad != nil {
		t.Errorf("not in UTC: %v", bad)
	}
}

// objectNames returns what Chef Servers allow as names (docs/chef-server-api.md §4.7), and
// more.
func objectNames() []string {
	return []string{"a", "A", "1.10", "1.9", ".", "..", "...", "a.b.c", "a:b", "a::b", "a-b_c", "-", "_", "%2F", "a%b",
		"ünïcode", "日本", "a b", "'", `"`, "\\", "*",
		strings.Repeat("n", 255), strings.Repeat("N", 255)}
}

// objectRefs returns objects of all kinds with all names, and listings, which stand for a
// listing that failed.
func objectRefs() (all []object.Ref) {
	for _, k := range object.Kinds() {
		all = append(all, object.Ref{Kind: k})
		for _, n := range objectNames() {
			all = append(all, object.Ref{Kind: k, Name: n}, object.Ref{Kind: k, Name: n, Sub: "1.0.0"}, object.Ref{Kind: k, Name: "x", Sub: n})
		}
	}
	return all
}

func testNames(t *testing.T, open func() replication.State) {
	s := open()
	fence := acquireLease(t, s, pairA(), "me", startTime())
	want := replication.Entries{}
	for i, r := range objectRefs() {
		want[r] = replication.Entry{Fingerprint: fmt.Sprint(i), Failure: &replication.Unsynced{Ref: r, Reason: fmt.Sprint(i)}}
	}
	commitUpdate(t, s, pairA(), fence, replication.Update{Entries: want})
	assertEqual(t, "entries", want, readPair(t, s, pairA()).Entries)

	gone := replication.Entries{}
	for _, r := range objectRefs()[:60] {
		gone[r] = replication.Entry{}
		delete(want, r)
	}
	commitUpdate(t, s, pairA(), fence, replication.Update{Entries: gone})
	assertEqual(t, "entries after removing some", want, readPair(t, s, pairA()).Entries)
}

func testManyObjects(t *testing.T, open func() replication.State) {
	s := open()
	fence := acquireLease(t, s, pairA(), "me", startTime())
	want := replication.Entries{}
	for i := range 1500 {
		r := object.Ref{Kind: object.Cookbook, Name: fmt.Sprintf("cookbook%d", i%700), Sub: fmt.Sprintf("%d.0.0", i)}
		want[r] = replication.Entry{Fingerprint: fmt.Sprintf("%064x", i)}
	}
	commitUpdate(t, s, pairA(), fence, replication.Update{Entries: want})
	assertEqual(t, "entries", want, readPair(t, s, pairA()).Entries)

	for r := range want {
		want[r] = replication.Entry{}
	}
	commitUpdate(t, s, pairA(), fence, replication.Update{Entries: want})
	if got := readPair(t, s, pairA()).Entries; len(got) != 0 {
		t.Errorf("%d objects are left after removing all", len(got))
	}
}

func testUnsyncedSorted(t *testing.T, open func() replication.State) {
	s := open()
	fence := acquireLease(t, s, pairA(), "me", startTime())
	want := []object.Ref{
		{Kind: object.DataBag, Name: "z"},
		{Kind: object.DataBagItem, Name: "a", Sub: "b"},
		{Kind: object.Role, Name: "B"},
		{Kind: object.Role, Name: "a"},
		{Kind: object.Cookbook, Name: "a", Sub: "1.0.0"},
		{Kind: object.Environment, Name: "a"},
	}
	u := replication.Update{Entries: replication.Entries{}}
	for _, r := range want {
		u.Entries[r] = replication.Entry{Failure: &replication.Unsynced{Ref: r}}
	}
	commitUpdate(t, s, pairA(), fence, u)
	var got []object.Ref
	for _, x := range readPair(t, s, pairA()).Entries.Unsynced() {
		got = append(got, x.Ref)
	}
	assertEqual(t, "order", want, got)
}

func testRuns(t *testing.T, open func() replication.State) {
	s := open()
	fence := acquireLease(t, s, pairA(), "me", startTime())
	for _, id := range []string{"2", "1", "4", "3"} {
		commitUpdate(t, s, pairA(), fence, replication.Update{Run: &replication.Run{ID: id, Pair: pairA(), Outcome: "running"}})
	}
	commitUpdate(t, s, pairA(), fence, replication.Update{Run: &replication.Run{ID: "4", Pair: pairA(), Outcome: "done"}})
	for limit, want := range map[int]string{0: "", 1: "4 done", 3: "4 done, 3 running, 2 running",
		9: "4 done, 3 running, 2 running, 1 running"} {
		runs, err := s.Runs(t.Context(), pairA(), limit)
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, r := range runs {
			got = append(got, r.ID+" "+string(r.Outcome))
		}
		assertEqual(t, fmt.Sprintf("Runs(%d)", limit), want, strings.Join(got, ", "))
	}
	if err := s.Commit(t.Context(), pairA(), fence, startTime(), replication.Update{Run: &replication.Run{}}); err == nil {
		t.Error("a run without an id was stored")
	}
}

func testBackups(t *testing.T, open func() replication.State) {
	s := open()
	fence := acquireLease(t, s, pairA(), "me", startTime())
	part := func(run string, number int, roles ...string) replication.BackupPart {
		p := replication.BackupPart{Run: run, Number: number}
		for _, name := range roles {
			p.Objects = append(p.Objects, replication.Backup{Ref: roleRef(name), Content: []byte("content of " + name)})
		}
		return p
	}
	lost := part("2", 1)
	lost.Objects = []replication.Backup{{Ref: roleRef("lost"), Lost: "no room"}, {Ref: roleRef("large"), Staged: "a sum"}, {Ref: roleRef("absent")}}
	for _, parts := range [][]replication.BackupPart{{part("3", 1, "e")}, {part("1", 1, "a")}, {lost, part("2", 2, "b")}, {part("2", 10, "d")}} {
		commitUpdate(t, s, pairA(), fence, replication.Update{Backups: parts})
	}
	for run, want := range map[string][]replication.BackupPart{
		"1": {part("1", 1, "a"), lost, part("2", 2, "b"), part("2", 10, "d"), part("3", 1, "e")},
		"2": {lost, part("2", 2, "b"), part("2", 10, "d"), part("3", 1, "e")},
		"4": nil,
	} {
		got, err := open().Backups(t.Context(), pairA(), run)
		if err != nil {
			t.Fatal(err)
		}
		assertEqual(t, "backups from run "+run, want, got)
	}
	if got, err := s.Backups(t.Context(), pairB(), ""); err != nil || len(got) > 0 {
		t.Errorf("backups of another pair: %v, %v", got, err)
	}
	err := s.Commit(t.Context(), pairA(), fence, startTime(), replication.Update{Backups: []replication.BackupPart{{Number: 1}}})
	if err == nil {
		t.Error("backups without a run were stored")
	}
}

func testReopen(t *testing.T, open func() replication.State) {
	first := open()
	fence := acquireLease(t, first, pairA(), "me", startTime())
	commitUpdate(t, first, pairA(), fence, fullUpdate())
	want := readPair(t, first, pairA())
	second := open()
	assertEqual(t, "what another handle sees", want, readPair(t, second, pairA()))
	commitUpdate(t, second, pairA(), fence, otherUpdate())
	assertEqual(t, "what the first sees then", readPair(t, second, pairA()), readPair(t, first, pairA()))
}

func testContext(t *testing.T, open func() replication.State) {
	s := open()
	fence := acquireLease(t, s, pairA(), "me", startTime())
	before := readPair(t, s, pairA())
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, readErr := s.Pair(ctx, pairA())
	for name, err := range map[string]error{"Pair": readErr, "Commit": s.Commit(ctx, pairA(), fence, startTime(), fullUpdate())} {
		if !errors.Is(err, context.Canceled) {
			t.Errorf("%s with an ended context: %v, want context.Canceled", name, err)
		}
	}
	assertEqual(t, "the record", before, readPair(t, s, pairA()))
}

package kvtest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"reflect"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"chefsync/pkg/store"
)

// Run runs the suite. A call of newKV makes an empty KV; each call of the function that
// it returns opens it once more, as another process would. The factory closes what it
// opened with t.Cleanup.
func Run(t *testing.T, newKV func(t *testing.T) (open func() store.KV)) {
	for _, part := range []struct {
		name string
		test func(t *testing.T, open func() store.KV)
	}{
		{"an absent item has no version", testAbsent},
		{"an item comes back as it was put", testRoundTrip},
		{"a query returns what lies between, in order", testQuery},
		{"a query goes through pages", testPages},
		{"a condition that isn't met writes nothing", testConditions},
		{"a version never comes back", testVersions},
		{"a transaction takes a hundred writes", testFullTransaction},
		{"a transaction is seen whole or not at all", testAtomic},
		{"one of many writers wins", testRace},
		{"increments aren't lost", testIncrements},
		{"keys and data are taken up to their limits", testLimits},
		{"an ended context ends the operation", testContext},
		{"everything is there after reopening", testReopen},
	} {
		t.Run(part.name, func(t *testing.T) { part.test(t, newKV(t)) })
	}
}

func testKey(sort string) store.Key { return store.Key{Partition: "p", Sort: sort} }

func textItem(sort, text string) store.Item {
	return store.Item{Key: testKey(sort), Data: fmt.Appendf(nil, "{%q:%q}", "text", text)}
}

func mustTransact(t *testing.T, kv store.KV, writes ...store.Write) string {
	t.Helper()
	version, err := kv.Transact(t.Context(), writes...)
	if err != nil {
		t.Fatalf("Transact: %v", err)
	}
	return version
}

func mustGet(t *testing.T, kv store.KV, sort string) store.Item {
	t.Helper()
	it, err := kv.Get(t.Context(), testKey(sort))
	if err != nil {
		t.Fatalf("Get: %v", err)
	}
	return it
}

func mustQuery(t *testing.T, kv store.KV, q store.Query) []store.Item {
	t.Helper()
	items, err := kv.Query(t.Context(), q)
	if err != nil {
		t.Fatalf("Query: %v", err)
	}
	return items
}

func assertEqual(t *testing.T, what string, want, got any) {
	t.Helper()
	if reflect.DeepEqual(want, got) { // faster, for what is large
		return
	}
	if d := cmp.Diff(want, got, cmpopts.EquateEmpty()); d != "" {
		t.Fatalf("%s (-want +got):\n%s", what, d)
	}
}

func testAbsent(t *testing.T, open func() store.KV) {
	kv := open()
	assertEqual(t, "Get", store.Item{Key: testKey("a")}, mustGet(t, kv, "a"))
	assertEqual(t, "Query", 0, len(mustQuery(t, kv, store.Prefix("p", ""))))
	mustTransact(t, kv, store.Delete(testKey("a")))
}

func testRoundTrip(t *testing.T, open func() store.KV) {
	kv := open()
	it := textItem("a", "ünïcode \"quoted\" <&> \u2028 line\nbreak")
	it.Expires = time.Date(2036, 1, 2, 3, 4, 5, 0, time.UTC)
	it.Version = mustTransact(t, kv, store.Put(it))
	if it.Version == "" {
		t.Fatal("a put gave no version")
	}
	assertEqual(t, "Get", it, mustGet(t, kv, "a"))
	assertEqual(t, "Query", []store.Item{it}, mustQuery(t, kv, store.Prefix("p", "a")))

	plain := textItem("a", strings.Repeat("long and repeated ", 1000))
	plain.Version = mustTransact(t, kv, store.Put(plain))
	assertEqual(t, "what replaced it", plain, mustGet(t, kv, "a"))
	mustTransact(t, kv, store.Delete(testKey("a")))
	assertEqual(t, "after its removal", store.Item{Key: testKey("a")}, mustGet(t, kv, "a"))
}

func sortKeys(items []store.Item) string {
	var all []string
	for _, it := range items {
		all = append(all, it.Sort)
	}
	return strings.Join(all, " ")
}

func testQuery(t *testing.T, open func() store.KV) {
	kv := open()
	for _, s := range []string{"b", "B", "a", "a/b", "a#", "aé", "ab", "c", "é"} {
		mustTransact(t, kv, store.Put(textItem(s, s)))
	}
	mustTransact(t, kv, store.Put(store.Item{Key: store.Key{Partition: "other", Sort: "b"}, Data: []byte("{}")}))
	for _, c := range []struct {
		q    store.Query
		want string
	}{
		{store.Prefix("p", ""), "B a a# a/b ab aé b c é"},
		{store.Prefix("p", "a"), "a a# a/b ab aé"},
		{store.Query{Partition: "p", From: "a/", To: "b"}, "a/b ab aé b"},
		{store.Query{Partition: "p", From: "b", To: "b"}, "b"},
		{store.Query{Partition: "p", From: "d", To: "e"}, ""},
		{store.Query{Partition: "p", From: "a", To: "c", Limit: 2}, "a a#"},
		{store.Query{Partition: "p", From: "a", To: "c", Limit: 2, Reverse: true}, "c b"},
		{store.Query{Partition: "p", From: "a#", To: "b", Reverse: true}, "b aé ab a/b a#"},
		{store.Prefix("nowhere", ""), ""},
	} {
		assertEqual(t, fmt.Sprintf("%+v", c.q), c.want, sortKeys(mustQuery(t, kv, c.q)))
	}
}

// testPages reads more than a server returns in one answer: DynamoDB ends a page at 1 MB.
func testPages(t *testing.T, open func() store.KV) {
	kv := open()
	var want []string
	noise := rand.New(rand.NewPCG(1, 2))
	for range 30 {
		var writes []store.Write
		for range 2 {
			sort := fmt.Sprintf("%04d", len(want))
			want = append(want, sort)
			var text strings.Builder
			for text.Len() < 25_000 {
				fmt.Fprintf(&text, "%016x", noise.Uint64())
			}
			writes = append(writes, store.Put(textItem(sort, text.String())))
		}
		mustTransact(t, kv, writes...)
	}
	assertEqual(t, "all", strings.Join(want, " "), sortKeys(mustQuery(t, kv, store.Prefix("p", ""))))
	assertEqual(t, "limited", strings.Join(want[:55], " "),
		sortKeys(mustQuery(t, kv, store.Query{Partition: "p", From: "0", To: "9", Limit: 55})))
}

func testConditions(t *testing.T, open func() store.KV) {
	kv := open()
	version := mustTransact(t, kv, store.Replace(textItem("a", "1"))) // there was none
	at := func(it store.Item, version string) store.Item {
		it.Version = version
		return it
	}
	before := mustGet(t, kv, "a")
	for name, w := range map[string]store.Write{
		"replace an item that is there":  store.Replace(textItem("a", "2")),
		"replace another version":        store.Replace(at(textItem("a", "2"), "other")),
		"replace an item that is absent": store.Replace(at(textItem("b", "2"), "other")),
		"check for absence":              store.Check(textItem("a", "")),
		"check for another version":      store.Check(at(textItem("a", ""), "other")),
		"check of an absent item":        store.Check(at(textItem("b", ""), version)),
		"delete another version":         {Op: store.OpDelete, Item: at(textItem("a", ""), "other"), Conditional: true},
	} {
		if _, err := kv.Transact(t.Context(), w); !errors.Is(err, store.ErrConflict) {
			t.Errorf("%s: %v, want ErrConflict", name, err)
		}
		if _, err := kv.Transact(t.Context(), store.Put(textItem("c", "1")), w, store.Put(textItem("d", "1"))); !errors.Is(err,
			store.ErrConflict) {
			t.Errorf("%s among others: %v, want ErrConflict", name, err)
		}
	}
	assertEqual(t, "after refused writes", before, mustGet(t, kv, "a"))
	assertEqual(t, "all items", "a", sortKeys(mustQuery(t, kv, store.Prefix("p", ""))))

	next := mustTransact(t, kv, store.Replace(at(textItem("a", "2"), version)), store.Check(textItem("b", "")))
	mustTransact(t, kv, store.Check(at(textItem("a", ""), next)), store.Put(textItem("c", "1")))
	mustTransact(t, kv, store.Write{Op: store.OpDelete, Item: at(textItem("a", ""), next), Conditional: true})
	assertEqual(t, "all items in the end", "c", sortKeys(mustQuery(t, kv, store.Prefix("p", ""))))
}

func testVersions(t *testing.T, open func() store.KV) {
	kv := open()
	seen := map[string]bool{}
	for i := range 20 {
		version := mustTransact(t, kv, store.Put(textItem("a", "the same")))
		if seen[version] {
			t.Fatalf("version %q twice", version)
		}
		seen[version] = true
		if i%3 == 0 {
			mustTransact(t, kv, store.Delete(testKey("a")))
		}
	}
}

func testFullTransaction(t *testing.T, open func() store.KV) {
	kv := open()
	version := mustTransact(t, kv, store.Put(textItem("record", "1")))
	record := textItem("record", "2")
	record.Version = version
	writes := []store.Write{store.Replace(record)}
	for i := range store.MaxWrites - 1 {
		writes = append(writes, store.Put(textItem(fmt.Sprintf("object %02d", i), strings.Repeat("x", 20_000))))
	}
	mustTransact(t, kv, writes...)
	assertEqual(t, "items", store.MaxWrites, len(mustQuery(t, kv, store.Prefix("p", ""))))
}

// testAtomic reads while another handle writes items that carry the same number.
func testAtomic(t *testing.T, open func() store.KV) {
	writer, reader := open(), open()
	const writes = 30
	var wg sync.WaitGroup
	wg.Go(func() {
		for n := range writes {
			if _, err := writer.Transact(context.Background(), store.Put(textItem("a", fmt.Sprint(n))),
				store.Put(textItem("b", fmt.Sprint(n)))); err != nil {
				t.Error(err)
			}
		}
	})
	for n := -1; n < writes-1 && !t.Failed(); {
		b, a := mustGet(t, reader, "b"), mustGet(t, reader, "a") // a is read later and may be newer
		if b.Version == "" {
			continue
		}
		var first, second int
		_, _ = fmt.Sscanf(string(b.Data), `{"text":"%d"}`, &first)
		_, _ = fmt.Sscanf(string(a.Data), `{"text":"%d"}`, &second)
		if second < first {
			t.Errorf("a is at %d when b is at %d", second, first)
		}
		n = first
	}
	wg.Wait()
}

func testRace(t *testing.T, open func() store.KV) {
	handles := []store.KV{open(), open()}
	version := ""
	for round := range 5 {
		results := make([]string, 12)
		var wg sync.WaitGroup
		for i := range results {
			wg.Go(func() {
				it := textItem("a", fmt.Sprint(i))
				it.Version = version
				got, err := handles[i%2].Transact(context.Background(), store.Replace(it), store.Put(textItem(fmt.Sprint(i), "")))
				if err != nil && !errors.Is(err, store.ErrConflict) {
					t.Errorf("a loser got %v, want ErrConflict", err)
				}
				results[i] = got
			})
		}
		wg.Wait()
		won := strings.Join(results, "")
		version = mustGet(t, handles[0], "a").Version
		if won != version {
			t.Fatalf("round %d: the winners are %q, the version is %q", round, won, version)
		}
	}
}

func testIncrements(t *testing.T, open func() store.KV) {
	const writers, each = 4, 10
	var wg sync.WaitGroup
	for range writers {
		kv := open()
		wg.Go(func() {
			for done := 0; done < each; {
				it, err := kv.Get(context.Background(), testKey("counter"))
				if err != nil {
					t.Error(err)
					return
				}
				n := 0
				_, _ = fmt.Sscanf(string(it.Data), `{"text":"%d"}`, &n)
				next := textItem("counter", fmt.Sprint(n+1))
				next.Version = it.Version
				switch _, err := kv.Transact(context.Background(), store.Replace(next)); {
				case err == nil:
					done++
				case !errors.Is(err, store.ErrConflict):
					t.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
	assertEqual(t, "counter", string(textItem("", fmt.Sprint(writers*each)).Data), string(mustGet(t, open(), "counter").Data))
}

func testLimits(t *testing.T, open func() store.KV) {
	kv := open()
	noise := rand.New(rand.NewPCG(3, 4))
	var text strings.Builder
	for text.Len() < store.MaxData-100 {
		fmt.Fprintf(&text, "%016x", noise.Uint64())
	}
	it := textItem(strings.Repeat("k", store.MaxKey), text.String())
	it.Version = mustTransact(t, kv, store.Put(it))
	if got := mustGet(t, kv, it.Sort); got.Key != it.Key || got.Version != it.Version || !bytes.Equal(got.Data, it.Data) {
		t.Errorf("the largest item comes back with %d bytes at version %q", len(got.Data), got.Version)
	}
}

func testContext(t *testing.T, open func() store.KV) {
	kv := open()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, getErr := kv.Get(ctx, testKey("a"))
	_, queryErr := kv.Query(ctx, store.Prefix("p", ""))
	_, writeErr := kv.Transact(ctx, store.Put(textItem("a", "")))
	for op, err := range map[string]error{"Get": getErr, "Query": queryErr, "Transact": writeErr} {
		if !errors.Is(err, context.Canceled) {
			t.Errorf("%s with an ended context: %v, want context.Canceled", op, err)
		}
	}
	assertEqual(t, "items", 0, len(mustQuery(t, kv, store.Prefix("p", ""))))
}

func testReopen(t *testing.T, open func() store.KV) {
	first := open()
	it := textItem("a", "1")
	it.Version = mustTransact(t, first, store.Put(it))
	second := open()
	assertEqual(t, "what another handle sees", it, mustGet(t, second, "a"))
	it.Version = mustTransact(t, second, store.Replace(it))
	assertEqual(t, "what the first sees then", it, mustGet(t, first, "a"))
}

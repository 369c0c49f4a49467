package dynamostate

import (
	"math"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"pgregory.net/rapid"

	"chefsync/pkg/feed/journal"
	"chefsync/pkg/replication"
)

func TestIDsComeBack(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		base := rapid.Int64().Draw(t, "base")
		ids := rapid.SliceOf(rapid.OneOf(rapid.Int64Range(base-200, max(base-200, base)), rapid.SampledFrom([]int64{math.MinInt64, math.MaxInt64, 0}))).Draw(t, "ids")
		got, err := unpackIDs(base, packIDs(base, ids))
		if err != nil || !slices.Equal(got, ids) {
			t.Fatalf("%v, %v", got, err)
		}
	})
}

func TestMarksComeBack(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		base := rapid.Int64().Draw(t, "base")
		marks := rapid.MapOf(rapid.Int64(), rapid.OneOf(rapid.String(), rapid.StringMatching("[0-9a-fA-F]{0,9}"))).Draw(t, "marks")
		got, err := unpackMarks(base, packMarks(base, marks))
		if d := cmp.Diff(marks, got, cmpopts.EquateEmpty()); err != nil || d != "" {
			t.Fatalf("%v %s", err, d)
		}
	})
}

// TestConsecutiveIDsAreSmall: what a position remembers of a feed without gaps.
func TestConsecutiveIDsAreSmall(t *testing.T) {
	var ids []int64
	for i := range int64(100) {
		ids = append(ids, 4711000+i)
	}
	if n := len(packIDs(4711099, ids)); n > 6 {
		t.Errorf("100 ids take %d bytes", n)
	}
}

// TestFieldsOfANewerVersionAreOverlooked in all records.
func TestFieldsOfANewerVersionAreOverlooked(t *testing.T) {
	packed, err := pack(map[string]any{"invented_later": map[string]any{"a": 1}})
	if err != nil {
		t.Fatal(err)
	}
	zipped, err := zip([]map[string]any{{"invented_later": 1}})
	if err != nil {
		t.Fatal(err)
	}
	errs := map[string]error{}
	_, errs["progress"] = unpack[wireProgress](packed)
	_, errs["desired"] = unpack[wireDesired](packed)
	_, errs["detail"] = unpack[wireDetail](packed)
	_, errs["run"] = unpack[replication.Run](packed)
	_, errs["delta"] = unpack[wireDelta](packed)
	_, errs["base"] = unpack[wireBase](packed)
	_, errs["scan memory"] = unpack[wireMemory](packed)
	_, errs["last scan"] = unpack[journal.LastScan](packed)
	_, errs["unsynced objects"] = unzip[[]wireUnsynced](zipped)
	for what, err := range errs {
		if err != nil {
			t.Errorf("%s: %v", what, err)
		}
	}
}

func TestPairPrefixesAreSafeAndApart(t *testing.T) {
	for pair, want := range map[string]string{
		"eu/engineering": "eu/engineering/",
		"e.u/..":         "e=2eu/=2e=2e/",
		"a b/ü":          "a=20b/=c3=bc/",
	} {
		if got := PairPrefix(pair); got != want {
			t.Errorf("%s: %s, want %s", pair, got, want)
		}
	}
}

// FuzzDecoders: nothing that may stand in the table brings a reader or the
// next writer down.
func FuzzDecoders(f *testing.F) {
	p, err := packProgress(replication.Progress{Objects: 1, Position: &replication.Position{Seq: 9, Seen: []int64{7, 8, 9}, Marks: map[int64]string{9: "abcd"}}}, standard())
	if err != nil {
		f.Fatal(err)
	}
	f.Add(p.hot, []byte(nil))
	delta, err := pack(wireDelta{Removed: []wireRef{{"role", "a"}}, Applied: []entry{{"role", "b", "", "f"}}, Unsynced: []wireUnsynced{{}}})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(delta, delta)
	blob, err := zip([]entry{{"role", "b", "", "f"}})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(blob, []byte{1, 0})
	f.Fuzz(func(t *testing.T, a, b []byte) {
		if p, err := unpackProgress(a, b); err == nil {
			_, _ = packProgress(p, standard()) // refused for names that no object has
		}
		_, _ = unpack[wireDelta](a)
		_, _ = unpack[wireBase](a)
		_, _ = unpackDesired(a)
		_, _ = unpack[replication.Run](a)
		_, _ = unzip[[]entry](a)
		_, _ = unzip[[]wireUnsynced](a)
		_, _ = unpackIDs(1, a)
		_, _ = unpackMarks(1, a)
	})
}

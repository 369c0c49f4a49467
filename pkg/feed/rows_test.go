package feed

import (
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"chefsync/pkg/object"
	"chefsync/pkg/replication"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

func TestDecodeRows(t *testing.T) {
	got, err := DecodeRows([]byte(` [
		{"action":"update","id":9223372036854775807,"path":"/organizations/acme/cookbooks/a/1.0.0","extra":{"x":[1]}},
		{"id":4,"path":"/roles/web","action":"anything"},
		{"action":"create","id":1,"path":"/nodes/n1"},
		{"action":"update","id":4,"path":"/roles/web"}] `))
	want := []replication.Change{
		{ID: 1, Action: "create", Path: "/nodes/n1", Scope: object.Scope{Kind: unreplicated}},
		{ID: 4, Action: "anything", Path: "/roles/web", Scope: object.Scope{Kind: object.Role, Name: "web"}},
		{ID: 9223372036854775807, Action: "update", Path: "/organizations/acme/cookbooks/a/1.0.0",
			Scope: object.Scope{Kind: object.Cookbook, Name: "a", Sub: "1.0.0"}},
	}
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if rows, err := DecodeRows([]byte(`[]`)); err != nil || len(rows) != 0 {
		t.Errorf("an empty array: %v, %v; want no rows", rows, err)
	}
}

func TestRowsOfUnreplicatedCollectionsNameNoObject(t *testing.T) {
	rows, err := DecodeRows([]byte(`[{"id":1,"action":"update","path":"/nodes/n1"}]`))
	if err != nil || len(rows) != 1 {
		t.Fatalf("%v, %v; want the row kept, since its id marks the position", rows, err)
	}
	for _, k := range object.Kinds() {
		if rows[0].Scope.Contains(object.Ref{Kind: k, Name: "n1"}) {
			t.Errorf("the row about a node touches %s n1", k)
		}
	}
}

func TestOneIDWithSeveralPathsCoversThemAll(t *testing.T) {
	tests := []struct {
		paths []string
		want  object.Scope
	}{
		{[]string{"/roles/a", "/roles/a"}, object.Scope{Kind: "role", Name: "a"}},
		{[]string{"/roles/a", "/roles/b"}, object.Scope{Kind: "role"}},
		{[]string{"/roles/a", "/environments/a"}, object.Scope{}},
		{[]string{"/roles/a", "/unknown"}, object.Scope{}},
		{[]string{"/roles/a", "/nodes/a"}, object.Scope{Kind: "role", Name: "a"}},
		{[]string{"/nodes/a", "/clients/a"}, object.Scope{Kind: unreplicated}},
		{[]string{"/cookbooks/a/1.0.0", "/cookbooks/a/2.0.0"}, object.Scope{Kind: "cookbook", Name: "a"}},
		{[]string{"/cookbooks/a/1.0.0", "/cookbooks/b/1.0.0"}, object.Scope{Kind: "cookbook"}},
		{[]string{"/data/b/i", "/data/b"}, object.Scope{Kind: "data_bag", Name: "b"}},
		{[]string{"/data/b/i", "/data/b/j"}, object.Scope{Kind: "data_bag", Name: "b"}},
		{[]string{"/data/b/i", "/data/c/i"}, object.Scope{Kind: "data_bag"}},
		{[]string{"/data/b/i", "/data/c"}, object.Scope{Kind: "data_bag"}},
		{[]string{"/data/b/i", "/roles/b"}, object.Scope{}},
	}
	for _, tt := range tests {
		for range 2 {
			slices.Reverse(tt.paths)
			got, err := DecodeRows(encodeRows(rowsOf(7, tt.paths...)))
			if err != nil || len(got) != 1 || got[0].Scope != tt.want || got[0].Path != slices.Min(tt.paths) {
				t.Errorf("%v: %+v, %v; want one row with scope %+v under the least path", tt.paths, got, err, tt.want)
			}
		}
	}
}

func TestDecodeRowsDistinguishesOtherShapesFromInvalidJSON(t *testing.T) {
	const row = `{"id":1,"action":"a","path":"/roles/a"}`
	shapes := []string{`{}`, `null`, `"x"`, `1`, `[1]`, `[null]`, `[[]]`, `["/roles/a"]`, `[{}]`, `{"rows":[]}`,
		`[{"id":"1","action":"a","path":"p"}]`, `[{"id":1.0,"action":"a","path":"p"}]`, `[{"id":1e3,"action":"a","path":"p"}]`,
		`[{"id":-1,"action":"a","path":"p"}]`, `[{"id":9223372036854775808,"action":"a","path":"p"}]`, `[{"id":null,"action":"a","path":"p"}]`,
		`[{"action":"a","path":"p"}]`, `[{"id":1,"path":"p"}]`, `[{"id":1,"action":"a"}]`, `[{"id":1,"action":1,"path":"p"}]`,
		`[{"id":1,"action":"a","path":null}]`, `[{"id":1,"action":"a","path":["p"]}]`, `[{"ID":1,"action":"a","path":"p"}]`, `[` + row + `,{}]`}
	for _, body := range shapes {
		if got, err := DecodeRows([]byte(body)); !errors.Is(err, ErrShape) {
			t.Errorf("DecodeRows(%s) = %v, %v; want ErrShape", body, got, err)
		}
	}
	broken := []string{``, ` `, `[`, `[` + row, `[` + row + `,`, `[` + row[:10], `[` + row + `]]`, `[` + row + `] x`, `[` + row +
		` ` + row + `]`,
		`[` + row + `,]`, `<html>`, `[{"id":"1"}`, `[1`}
	for _, body := range broken {
		if got, err := DecodeRows([]byte(body)); err == nil || errors.Is(err, ErrShape) {
			t.Errorf("DecodeRows(%s) = %v, %v; want an error about a broken answer", body, got, err)
		}
	}
}

func TestDecodeRowsHasLimits(t *testing.T) {
	two := encodeRows(rowsOf(1, "/roles/a", "/roles/b"))
	if rows, err := decodeRows(two, 2); err != nil || len(rows) != 1 {
		t.Errorf("an answer at the limits: %v, %v; want it taken", rows, err)
	}
	if _, err := decodeRows(two, 1); err == nil || errors.Is(err, ErrShape) {
		t.Errorf("a row more than allowed: %v, want an error", err)
	}
	long := "/roles/" + strings.Repeat("é", maxPath)
	rows, err := DecodeRows(encodeRows(rowsOf(1, long)))
	if err != nil || len(rows) != 1 || len(rows[0].Path) > maxPath || !utf8.ValidString(rows[0].Path) {
		t.Errorf("a long path: %v, want it cut to whole characters", err)
	}
}

type testRow struct {
	ID     int64  `json:"id"`
	Action string `json:"action"`
	Path   string `json:"path"`
}

func rowsOf(id int64, paths ...string) (rows []testRow) {
	for _, p := range paths {
		rows = append(rows, testRow{id, "update", p})
	}
	return rows
}

func encodeRows(rows []testRow) []byte {
	b, err := json.Marshal(rows)
	if err != nil {
		panic(err)
	}
	return b
}

func TestOrderAndRepetitionDoNotMatter(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		rows := rapid.SliceOfN(rapid.Custom(func(t *rapid.T) testRow {
			return testRow{rapid.Int64Range(0, 9).Draw(t, "id"), "update",
				rapid.SampledFrom([]string{"/roles/a", "/roles/b", "/data/b/i", "/nodes/n", "/?"}).Draw(t, "path")}
		}), 1, 8).Draw(t, "rows")
		want, err := DecodeRows(encodeRows(rows))
		if err != nil {
			t.Fatal(err)
		}
		r := rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "seed"), 0))
		again := append(slices.Clone(rows), rows[r.IntN(len(rows))])
		r.Shuffle(len(again), func(i, j int) { again[i], again[j] = again[j], again[i] })
		got, err := DecodeRows(encodeRows(again))
		if diff := cmp.Diff(want, got); err != nil || diff != "" {
			t.Fatal(err, diff)
		}
		for _, r := range rows {
			i, found := slices.BinarySearchFunc(got, r.ID, func(c replication.Change, id int64) int { return int(c.ID - id) })
			scope, replicate := ParsePath(r.Path)
			if !found || replicate && unionScope(got[i].Scope, scope) != got[i].Scope {
				t.Fatalf("row %+v isn't covered by %+v", r, got)
			}
		}
	})
}

func FuzzDecodeRows(f *testing.F) {
	f.Add([]byte(`[{"action":"create","id":1,"path":"/roles/web"},{"action":"update","id":4,"path":"/data/b/i"}]`))
	f.Add([]byte(`[{"id":1,"id":2,"action":"","path":"\ud800"}]`))
	f.Add([]byte(`{"error":["x"]}`))
	f.Fuzz(func(t *testing.T, body []byte) {
		rows, err := DecodeRows(body)
		if err == nil && !json.Valid(body) || errors.Is(err, ErrShape) && !json.Valid(body) {
			t.Fatalf("DecodeRows(%q) = %v, %v, but it isn't JSON", body, rows, err)
		}
		for i, c := range rows {
			if c.ID < 0 || i > 0 && rows[i-1].ID >= c.ID || !utf8.ValidString(c.Path) {
				t.Fatalf("DecodeRows(%q) = %+v: not sorted or not usable", body, rows)
			}
		}
	})
}

func BenchmarkDecodeRows(b *testing.B) {
	var rows []testRow
	for i := range 10000 {
		rows = append(rows, testRow{int64(i), "update", fmt.Sprintf("/cookbooks/cookbook%d/1.%d.0", i%300, i)})
	}
	body := encodeRows(rows)
	b.SetBytes(int64(len(body)))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := DecodeRows(body); err != nil {
			b.Fatal(err)
		}
	}
}

package scan

import (
	"reflect"
	"testing"
	"time"

	"pgregory.net/rapid"

	"chefsync/pkg/object"
)

func FuzzReadRow(f *testing.F) {
	for _, row := range []string{`{"name":"web"}`, `null`, `[]`, `{"name":1}`,
		`{"name":"data_bag_item_b_i","json_class":"Chef::DataBagItem","chef_type":"data_bag_item","data_bag":"b","raw_data":{"id":"i"}}`} {
		f.Add([]byte(row))
	}
	f.Fuzz(func(t *testing.T, row []byte) {
		for _, s := range []object.Scope{{Kind: object.Role}, {Kind: object.Environment}, {Kind: object.DataBagItem, Name: "b"}} {
			ref, print, ok := readRow(s, row)
			if ok && (ref.Name == "" || print == "" || ref.Kind != s.Kind || s.Name != "" && ref.Name != s.Name) {
				t.Errorf("%q: %+v, %q", row, ref, print)
			}
		}
	})
}

func FuzzDecodeMemory(f *testing.F) {
	m := newMemory()
	m.Objects[object.Ref{Kind: object.Role, Name: "web"}] = knowledge{Print: "x"}
	blob, err := m.encode()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(blob)
	f.Add(blob[:len(blob)/2])
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, blob []byte) {
		m, err := decodeMemory(blob)
		if err != nil {
			return
		}
		if m.Listed == nil || m.Objects == nil {
			t.Error("a memory without its parts")
		}
	})
}

func TestMemoryComesBackAsItWas(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		m := newMemory()
		m.Swept = time.UnixMicro(rapid.Int64Range(1, 1<<50).Draw(t, "swept")).UTC()
		name := rapid.StringMatching(`[a-zA-Z0-9_.:-]{1,12}x`)
		for range rapid.IntRange(0, 20).Draw(t, "objects") {
			kind := rapid.SampledFrom(object.Kinds()).Draw(t, "kind")
			ref := object.Ref{Kind: kind, Name: name.Draw(t, "name")}
			if kind == object.Cookbook || kind == object.DataBagItem {
				ref.Sub = name.Draw(t, "sub")
			}
			m.Objects[ref] = knowledge{Print: rapid.String().Draw(t, "print"), Frozen: rapid.Bool().Draw(t, "frozen"), Missing: rapid.Bool().Draw(t, "missing")}
			m.Listed[kind] = true
		}
		blob, err := m.encode()
		if err != nil {
			t.Fatal(err)
		}
		got, err := decodeMemory(blob)
		if err != nil || !reflect.DeepEqual(got, m) {
			t.Errorf("%+v, %v, want %+v", got, err, m)
		}
	})
}

// TestTurnsComeOnceInAPeriod, however the scans lie.
func TestTurnsComeOnceInAPeriod(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		period := time.Duration(rapid.Int64Range(1, int64(48*time.Hour)).Draw(t, "period"))
		ref := object.Ref{Kind: object.Cookbook, Name: rapid.String().Draw(t, "name"), Sub: "1.0.0"}
		start := time.Unix(rapid.Int64Range(-1e9, 4e9).Draw(t, "start"), 0)
		end, turns := start.Add(period), 0
		for at := start; at.Before(end); {
			next := at.Add(time.Duration(rapid.Int64Range(int64(period)/20+1, int64(period)).Draw(t, "step")))
			if next.After(end) {
				next = end
			}
			if turn(ref, at, next, period) {
				turns++
			}
			at = next
		}
		if turns != 1 {
			t.Errorf("%d turns in one period", turns)
		}
	})
}

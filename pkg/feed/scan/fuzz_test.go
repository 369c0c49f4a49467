package scan

import (
	"bytes"
	"compress/gzip"
	"reflect"
	"testing"
	"time"

	"pgregory.net/rapid"

	"chefsync/pkg/object"
)

func FuzzDecodeState(f *testing.F) {
	m := newState()
	m.Objects[object.Ref{Kind: object.Role, Name: "web"}] = objectState{Fingerprint: "x"}
	blob, err := m.encode()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(blob)
	f.Add(blob[:len(blob)/2])
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, blob []byte) {
		m, err := decodeState(blob)
		if err != nil {
			return
		}
		if m.Listed == nil || m.Objects == nil {
			t.Error("the state lacks required fields")
		}
	})
}

func TestStateRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		m := newState()
		m.RotatedTo = time.UnixMicro(rapid.Int64Range(1, 1<<50).Draw(t, "rotated to")).UTC()
		name := rapid.StringMatching(`[a-zA-Z0-9_.:-]{1,12}x`)
		for range rapid.IntRange(0, 20).Draw(t, "objects") {
			kind := rapid.SampledFrom(object.Kinds()).Draw(t, "kind")
			ref := object.Ref{Kind: kind, Name: name.Draw(t, "name")}
			if kind == object.Cookbook || kind == object.DataBagItem {
				ref.Sub = name.Draw(t, "sub")
			}
			m.Objects[ref] = objectState{Fingerprint: rapid.String().Draw(t, "print"), Revision: rapid.StringMatching("r[0-9]").Draw(t, "revision"),
				Frozen: rapid.Bool().Draw(t, "frozen"), Missing: rapid.Bool().Draw(t, "missing")}
			m.Listed[kind] = true
		}
		blob, err := m.encode()
		if err != nil {
			t.Fatal(err)
		}
		got, err := decodeState(blob)
		if err != nil || !reflect.DeepEqual(got, m) {
			t.Errorf("%+v, %v, want %+v", got, err, m)
		}
	})
}

// TestStateOfThePreviousVersionIsRead: it has fields that are no longer used, and only
// the revision of a policy in a policy group.
func TestStateOfThePreviousVersionIsRead(t *testing.T) {
	var blob bytes.Buffer
	z := gzip.NewWriter(&blob)
	_, _ = z.Write([]byte(`{"version":1,"listed":{"role":true,"policy_group":true},"through":7,
		"tail":["/roles/web"],"doubts":{"/roles/web":true},
		"objects":{"/roles/web":{"f":"abc","a":true},"/policy_groups/prod/policies/app":{"f":"r1"}}}`))
	_ = z.Close()
	m, err := decodeState(blob.Bytes())
	want := map[object.Ref]objectState{{Kind: object.Role, Name: "web"}: {Fingerprint: "abc"},
		{Kind: object.PolicyGroup, Name: "prod", Sub: "app"}: {Revision: "r1"}}
	if err != nil || !reflect.DeepEqual(m.Objects, want) {
		t.Errorf("%+v, %v; want %+v", m, err, want)
	}
}

// TestVersionIsDueOnceInARotation, at whatever times scans run.
func TestVersionIsDueOnceInARotation(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		period := time.Duration(rapid.Int64Range(1, int64(48*time.Hour)).Draw(t, "period"))
		ref := object.Ref{Kind: object.Cookbook, Name: rapid.String().Draw(t, "name"), Sub: "1.0.0"}
		start := time.Unix(rapid.Int64Range(-1e9, 4e9).Draw(t, "start"), 0)
		end, due := start.Add(period), 0
		for at := start; at.Before(end); {
			next := at.Add(time.Duration(rapid.Int64Range(int64(period)/20+1, int64(period)).Draw(t, "step")))
			if next.After(end) {
				next = end
			}
			if dueInRotation(ref, at, next, period) {
				due++
			}
			at = next
		}
		if due != 1 {
			t.Errorf("due %d times in one period", due)
		}
	})
}

package cheftest

import (
	"bytes"
	"encoding/json"
	"testing"
)

// What the server once stored, it stores again without a change: that is what
// lets one erchef's answers go through a second one.
func FuzzJSON(f *testing.F) {
	for _, s := range []string{`{"a":1e3,"a":[null,-0.0,"\u2028\\\"\u0001"],"b":{}}`, `1E-400`, `[1e999]`, `"` + "\xff" + `"`,
		`-0`, `[[[]]]`, `1e21`} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		v, err := decode(b)
		if err != nil {
			return
		}
		once := encode(v)
		if !json.Valid(once) {
			t.Fatalf("%q became %q, which is no JSON", b, once)
		}
		again, err := decode(once)
		if err != nil {
			t.Fatalf("%q became %q, which isn't read: %v", b, once, err)
		}
		if twice := encode(again); !bytes.Equal(once, twice) {
			t.Fatalf("%q became %q, and then %q", b, once, twice)
		}
	})
}

func TestDeepJSONIsRefused(t *testing.T) {
	deep := append(bytes.Repeat([]byte("["), 2*maxDepth), bytes.Repeat([]byte("]"), 2*maxDepth)...)
	if _, err := decode(deep); err == nil {
		t.Error("accepted")
	}
}

func FuzzVersion(f *testing.F) {
	f.Add("1.2.3")
	f.Add("9223372036854775808.0")
	f.Add("-1")
	f.Fuzz(func(t *testing.T, s string) {
		v, valid := parseVersion(s)
		if !valid {
			return
		}
		if w, valid := parseVersion(v.String()); !valid || w != v {
			t.Errorf("%q is %v, and %v again", s, v, w)
		}
	})
}

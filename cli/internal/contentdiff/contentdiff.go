// Package contentdiff shows how one object differs between the primary and a
// replica, in the canonical form that decides on equality. Values of data bag
// items stay hidden unless asked for.
package contentdiff

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"slices"

	"github.com/rogpeppe/go-internal/diff"

	"chefsync/cli/internal/ui"
	"chefsync/pkg/object"
)

// Unified compares two bodies as the servers returned them; nil means that the
// side doesn't have the object. Equal objects give "".
func Unified(ref object.Ref, replica, primary []byte, showValues bool) (string, error) {
	var forms [2]any
	for i, body := range [][]byte{replica, primary} {
		if body == nil {
			forms[i] = absent{}
			continue
		}
		form, err := object.Canonicalize(ref, body)
		if err != nil {
			return "", fmt.Errorf("compare %s: %w", ref, err)
		}
		if forms[i], err = decode(form); err != nil {
			return "", fmt.Errorf("compare %s: %w", ref, err)
		}
	}
	if ref.Kind == object.DataBagItem && !showValues {
		forms[0], forms[1] = redact("", forms[0], forms[1])
	}
	old, err := lines(forms[0])
	if err != nil {
		return "", err
	}
	now, err := lines(forms[1])
	if err != nil {
		return "", err
	}
	path := string(ui.Safe(ref.Path())) // a line break would make lines of its own
	return string(diff.Diff("replica"+path, old, "primary"+path, now)), nil
}

// absent stands for a side that doesn't have the object, or a key.
type absent struct{}

func decode(form []byte) (any, error) {
	dec := json.NewDecoder(bytes.NewReader(form))
	dec.UseNumber()
	var v any
	return v, dec.Decode(&v)
}

func lines(v any) ([]byte, error) {
	if _, ok := v.(absent); ok {
		return nil, nil
	}
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	err := enc.Encode(v)
	return b.Bytes(), err
}

// redact replaces values by words that only tell whether they differ. Names of
// keys and the id stay.
func redact(key string, a, b any) (any, any) {
	if ma, mb, ok := both[map[string]any](a, b); ok {
		ra, rb := map[string]any{}, map[string]any{}
		for _, k := range union(ma, mb) {
			va, vb := redact(k, get(ma, k), get(mb, k))
			put(ra, k, va)
			put(rb, k, vb)
		}
		return orAbsent(a, ra), orAbsent(b, rb)
	}
	if la, lb, ok := both[[]any](a, b); ok {
		ra, rb := []any{}, []any{}
		for i := range max(len(la), len(lb)) {
			va, vb := redact("", at(la, i), at(lb, i))
			if i < len(la) {
				ra = append(ra, va)
			}
			if i < len(lb) {
				rb = append(rb, vb)
			}
		}
		return orAbsent(a, ra), orAbsent(b, rb)
	}
	if key == "id" {
		return a, b
	}
	if same(a, b) {
		return "(hidden, equal)", "(hidden, equal)"
	}
	return hide(a, "replica"), hide(b, "primary")
}

func hide(v any, side string) any {
	if _, ok := v.(absent); ok {
		return v
	}
	return "(hidden, " + side + "'s value)"
}

// both tells whether two values are of one type, where an absent one is of any.
func both[T any](a, b any) (T, T, bool) {
	va, oka := a.(T)
	vb, okb := b.(T)
	_, missingA := a.(absent)
	_, missingB := b.(absent)
	return va, vb, oka && okb || oka && missingB || okb && missingA
}

func union(a, b map[string]any) []string {
	keys := maps.Clone(a)
	if keys == nil {
		keys = map[string]any{}
	}
	maps.Copy(keys, b)
	return slices.Sorted(maps.Keys(keys))
}

func get(m map[string]any, k string) any {
	if v, ok := m[k]; ok {
		return v
	}
	return absent{}
}

func put(m map[string]any, k string, v any) {
	if _, ok := v.(absent); !ok {
		m[k] = v
	}
}

func at(l []any, i int) any {
	if i < len(l) {
		return l[i]
	}
	return absent{}
}

func orAbsent(original, redacted any) any {
	if _, ok := original.(absent); ok {
		return original
	}
	return redacted
}

func same(a, b any) bool {
	x, errX := json.Marshal(a)
	y, errY := json.Marshal(b)
	_, missA := a.(absent)
	_, missB := b.(absent)
	return errX == nil && errY == nil && missA == missB && bytes.Equal(x, y)
}

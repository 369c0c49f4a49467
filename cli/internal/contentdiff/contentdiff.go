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
		if forms[i], err = decodeJSON(form); err != nil {
			return "", fmt.Errorf("compare %s: %w", ref, err)
		}
		if manifest, ok := forms[i].(map[string]any); ok && len(Files(replica, primary)) > 0 {
			delete(manifest, "all_files") // the files are shown by their content
		}
	}
	if ref.Kind == object.DataBagItem && !showValues {
		forms[0], forms[1] = redactValues("", forms[0], forms[1])
	}
	old, err := encodeLines(forms[0])
	if err != nil {
		return "", err
	}
	now, err := encodeLines(forms[1])
	if err != nil {
		return "", err
	}
	path := string(ui.Safe(ref.Path())) // a line break would make lines of its own
	return string(diff.Diff("replica"+path, old, "primary"+path, now)), nil
}

// absent stands for a side that doesn't have the object, or a key.
type absent struct{}

func decodeJSON(form []byte) (any, error) {
	dec := json.NewDecoder(bytes.NewReader(form))
	dec.UseNumber()
	var v any
	return v, dec.Decode(&v)
}

func encodeLines(v any) ([]byte, error) {
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

// redactValues replaces values by words that only show whether they differ. Keys and the
// id stay.
func redactValues(key string, a, b any) (any, any) {
	if ma, mb, ok := bothOfType[map[string]any](a, b); ok {
		ra, rb := map[string]any{}, map[string]any{}
		for _, k := range unionOfKeys(ma, mb) {
			va, vb := redactValues(k, valueOf(ma, k), valueOf(mb, k))
			setIfPresent(ra, k, va)
			setIfPresent(rb, k, vb)
		}
		return orAbsent(a, ra), orAbsent(b, rb)
	}
	if la, lb, ok := bothOfType[[]any](a, b); ok {
		ra, rb := []any{}, []any{}
		for i := range max(len(la), len(lb)) {
			va, vb := redactValues("", elementAt(la, i), elementAt(lb, i))
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
	if isSameJSON(a, b) {
		return "(hidden, equal)", "(hidden, equal)"
	}
	return hideValue(a, "replica"), hideValue(b, "primary")
}

func hideValue(v any, side string) any {
	if _, ok := v.(absent); ok {
		return v
	}
	return "(hidden, " + side + "'s value)"
}

// bothOfType reports whether two values are of one type; an absent one is of any.
func bothOfType[T any](a, b any) (T, T, bool) {
	va, oka := a.(T)
	vb, okb := b.(T)
	_, missingA := a.(absent)
	_, missingB := b.(absent)
	return va, vb, oka && okb || oka && missingB || okb && missingA
}

func unionOfKeys(a, b map[string]any) []string {
	keys := maps.Clone(a)
	if keys == nil {
		keys = map[string]any{}
	}
	maps.Copy(keys, b)
	return slices.Sorted(maps.Keys(keys))
}

func valueOf(m map[string]any, k string) any {
	if v, ok := m[k]; ok {
		return v
	}
	return absent{}
}

func setIfPresent(m map[string]any, k string, v any) {
	if _, ok := v.(absent); !ok {
		m[k] = v
	}
}

func elementAt(l []any, i int) any {
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

func isSameJSON(a, b any) bool {
	x, errX := json.Marshal(a)
	y, errY := json.Marshal(b)
	_, missA := a.(absent)
	_, missB := b.(absent)
	return errX == nil && errY == nil && missA == missB && bytes.Equal(x, y)
}

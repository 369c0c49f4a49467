// Package contentdiff shows how one object differs between the primary and a
// replica, in the canonical form that decides on equality. Values of data bag
// items stay hidden unless asked for.
package contentdiff

import (
	"bytes"
	"encoding/json"
	"fmt"
	"reflect"

	"github.com/rogpeppe/go-internal/diff"

	"chefsync/cli/internal/ui"
	"chefsync/pkg/object"
)

// Unified compares two bodies as the servers returned them; nil means that the
// side doesn't have the object. Equal objects give "". The list of files of a cookbook
// version is left out if files differ, which are shown by their content.
func Unified(ref object.Ref, replica, primary []byte, files []File, showValues bool) (string, error) {
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
		if manifest, ok := forms[i].(map[string]any); ok && len(files) > 0 {
			delete(manifest, "all_files")
		}
	}
	if ref.Kind == object.DataBagItem && !showValues {
		forms[0], forms[1] = redactItem(forms[0], forms[1], "replica"), redactItem(forms[1], forms[0], "primary")
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

// redactItem replaces the values of an item but its id, which is its name.
func redactItem(v, other any, side string) any {
	redacted := redactValues(v, other, side)
	if item, ok := redacted.(map[string]any); ok {
		if id, ok := v.(map[string]any)["id"].(string); ok {
			item["id"] = id
		}
	}
	return redacted
}

// redactValues replaces the values of one side by words that only show whether they differ
// from those of the other side. Keys stay.
func redactValues(v, other any, side string) any {
	_, alone := other.(absent)
	switch value := v.(type) {
	case absent:
		return v
	case map[string]any:
		if others, ok := other.(map[string]any); ok || alone {
			redacted := map[string]any{}
			for k, member := range value {
				counterpart, found := others[k]
				if !found {
					counterpart = absent{}
				}
				redacted[k] = redactValues(member, counterpart, side)
			}
			return redacted
		}
	case []any:
		if others, ok := other.([]any); ok || alone {
			redacted := make([]any, len(value))
			for i, element := range value {
				counterpart := any(absent{})
				if i < len(others) {
					counterpart = others[i]
				}
				redacted[i] = redactValues(element, counterpart, side)
			}
			return redacted
		}
	}
	if reflect.DeepEqual(v, other) {
		return "(hidden, equal)"
	}
	return "(hidden, " + side + "'s value)"
}

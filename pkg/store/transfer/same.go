package transfer

import (
	"bytes"
	"encoding/json"
	"reflect"
	"slices"
	"time"

	"chefsync/pkg/object"
	"chefsync/pkg/replication"
)

// sameRecords reports whether the records of two pairs are equal, as far as every state
// keeps them: times to the millisecond, and the text of the last error perhaps truncated.
// Whether a pair is stopped, and since when, belongs to each state.
func sameRecords(a, b Pair) bool {
	left, err := comparableJSON(a)
	if err != nil {
		return false
	}
	right, err := comparableJSON(b)
	return err == nil && bytes.Equal(left, right)
}

// comparableJSON returns the JSON by which records are compared.
func comparableJSON(p Pair) ([]byte, error) {
	text, err := json.Marshal(p) // a deep copy
	if err != nil {
		return nil, err
	}
	var c Pair
	if err := json.Unmarshal(text, &c); err != nil {
		return nil, err
	}
	c.Desired.Stopped, c.Desired.Since, c.Progress.LastError = false, time.Time{}, nil
	if len(c.Inventory) == 0 {
		c.Inventory = nil
	}
	c.Unsynced = append([]replication.Unsynced{}, c.Unsynced...)
	slices.SortFunc(c.Unsynced, func(a, b replication.Unsynced) int { return object.Compare(a.Ref, b.Ref) })
	toMillis(reflect.ValueOf(&c).Elem())
	return json.Marshal(c)
}

// toMillis truncates every time within a value to milliseconds, in UTC.
func toMillis(v reflect.Value) {
	switch v.Kind() {
	case reflect.Pointer:
		if !v.IsNil() {
			toMillis(v.Elem())
		}
	case reflect.Slice:
		for i := range v.Len() {
			toMillis(v.Index(i))
		}
	case reflect.Struct:
		if t, ok := v.Addr().Interface().(*time.Time); ok {
			*t = t.UTC().Truncate(time.Millisecond)
			return
		}
		for i := range v.NumField() {
			toMillis(v.Field(i))
		}
	}
}

package state

import (
	"encoding/json"
	"fmt"
	"reflect"
	"strings"
	"time"
	"unicode/utf8"

	"chefsync/pkg/object"
	"chefsync/pkg/replication"
)

// key is the key of a pair.
func key(id replication.PairID) (string, error) {
	k := id.String()
	if back, err := replication.ParsePairID(k); err != nil || back != id {
		return "", fmt.Errorf("%q is not the name of a pair", k)
	}
	return k, nil
}

// checkRef refuses what the database can't give back unchanged. No name that a
// Chef Server accepts is refused (docs/chef-server-api.md §4).
func checkRef(r object.Ref) error {
	for _, s := range []string{string(r.Kind), r.Name, r.Sub} {
		if strings.ContainsRune(s, 0) || !utf8.ValidString(s) {
			return fmt.Errorf("%q is not the name of an object", r.Path())
		}
	}
	return nil
}

// encode writes a record and makes sure that it can be read again: an
// unreadable record would stop its pair for good.
func encode[T any](v T) (string, error) {
	b, err := json.Marshal(v)
	if err == nil {
		b, err = replication.AppendNewer(b, &v)
	}
	if err != nil {
		return "", err
	}
	if _, err := decode[T](string(b)); err != nil {
		return "", fmt.Errorf("the record could not be read again: %w", err)
	}
	return string(b), nil
}

// decode reads a record, of a newer version too.
func decode[T any](record string) (T, error) {
	var v T
	if err := replication.DecodeRecord([]byte(record), &v); err != nil {
		return v, damaged("read record", err)
	}
	inUTC(reflect.ValueOf(&v))
	return v, nil
}

// inUTC turns every time within a value that nobody shares yet to UTC.
func inUTC(v reflect.Value) {
	switch v.Kind() {
	case reflect.Pointer:
		if !v.IsNil() {
			inUTC(v.Elem())
		}
	case reflect.Slice:
		for i := range v.Len() {
			inUTC(v.Index(i))
		}
	case reflect.Map:
		for _, k := range v.MapKeys() { // values in a map can't be changed in place
			x := reflect.New(v.Type().Elem()).Elem()
			x.Set(v.MapIndex(k))
			inUTC(x)
			v.SetMapIndex(k, x)
		}
	case reflect.Struct:
		if t, ok := v.Addr().Interface().(*time.Time); ok {
			*t = t.UTC()
			return
		}
		for i := range v.NumField() {
			inUTC(v.Field(i))
		}
	}
}

// unsyncedRecord is the JSON of an unsynced object without its name, which the
// columns hold: the path in JSON can't name every object.
type unsyncedRecord struct {
	replication.Unsynced
	Ref *struct{} `json:"object,omitempty"` // hides the path
}

func micros(t time.Time) int64 { return t.UnixMicro() }

func fromMicros(us int64) time.Time { return time.UnixMicro(us).UTC() }

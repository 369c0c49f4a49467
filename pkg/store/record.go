package store

import (
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"time"
	"unicode/utf8"

	"chefsync/pkg/fault"
	"chefsync/pkg/replication"
)

// encodeRecord returns the JSON of a record. It decodes it again to be sure that it can be
// read: an unreadable record would stop its pair for good.
func encodeRecord[T any](v T) ([]byte, error) {
	data, err := json.Marshal(v)
	if err == nil {
		data, err = replication.AppendNewer(data, &v)
	}
	if err != nil {
		return nil, err
	}
	if _, err := decodeRecord[T](data); err != nil {
		return nil, fmt.Errorf("the record could not be read again: %w", err)
	}
	return data, nil
}

// decodeRecord decodes a record and keeps what a newer version added. Times are in UTC.
func decodeRecord[T any](data []byte) (v T, err error) {
	if err := replication.DecodeRecord(data, &v); err != nil {
		return v, damagedError(err)
	}
	setUTC(reflect.ValueOf(&v))
	return v, nil
}

// setUTC converts every time within a value to UTC, in place.
func setUTC(v reflect.Value) {
	switch v.Kind() {
	case reflect.Pointer:
		if !v.IsNil() {
			setUTC(v.Elem())
		}
	case reflect.Slice:
		switch v.Type().Elem().Kind() {
		case reflect.Struct, reflect.Pointer, reflect.Slice:
			for i := range v.Len() {
				setUTC(v.Index(i))
			}
		}
	case reflect.Struct:
		if t, ok := v.Addr().Interface().(*time.Time); ok {
			*t = t.UTC()
			return
		}
		for i := range v.NumField() {
			setUTC(v.Field(i))
		}
	}
}

// checkSchema rejects a record of a newer version.
func checkSchema(version, known int) error {
	if version > known {
		return fmt.Errorf("%w: the record has version %d, this program knows %d", replication.ErrSchema, version, known)
	}
	return nil
}

// damagedError returns the error of a record that can't be read. Such a record is never
// overwritten.
func damagedError(err error) error {
	return &fault.Error{Op: "read record", Class: fault.Local, Err: err,
		Hint: "the state is damaged: restore a copy; without it a full comparison starts over and loses nothing on the replica"}
}

// explainError adds an operation to an error, and a class and a hint if it has none. Errors
// with an operation stay as they are.
func explainError(op string, err error) error {
	var known *fault.Error
	var leased *replication.LeasedError
	switch {
	case err == nil:
		return nil
	case errors.As(err, &leased):
		return err
	case errors.Is(err, errInconsistent):
		return damagedError(fmt.Errorf("%s: records don't belong together: %w", op, err))
	case errors.As(err, &known):
		if known.Op != "" {
			return err
		}
		named := *known
		named.Op = op
		return &named
	case errors.Is(err, replication.ErrSchema):
		return &fault.Error{Op: op, Class: fault.Local, Err: err,
			Hint: "use the newer version of the program again; on one machine, another state file does too"}
	case errors.Is(err, ErrConflict):
		return &fault.Error{Op: op, Class: fault.Transient, Err: err, Hint: "others write the same records; it is tried again"}
	}
	return fmt.Errorf("%s: %w", op, err)
}

// maxText is how long, in bytes, the text of a failure is kept.
const maxText = 16 << 10

func truncateText(s string) string { return truncateBytes(s, maxText) }

func truncateBytes(s string, limit int) string {
	if len(s) > limit {
		return strings.ToValidUTF8(s[:limit], "") + "…"
	}
	return s
}

func truncateFailure(f *replication.Failure) *replication.Failure {
	if f == nil {
		return nil
	}
	clipped := *f
	clipped.Message, clipped.Hint = truncateText(f.Message), truncateText(f.Hint)
	return &clipped
}

// checkName rejects what can't be part of a key.
func checkName(what, s string) error {
	if s == "" || len(s) > maxName || !utf8.ValidString(s) {
		return fmt.Errorf("%q is not the name of a %s", s, what)
	}
	return nil
}

// maxName is how long, in bytes, a name may be that is part of a key.
const maxName = 900

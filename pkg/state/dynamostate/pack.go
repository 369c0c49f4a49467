package dynamostate

import (
	"bytes"
	"compress/flate"
	"compress/gzip"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"reflect"
	"time"

	"chefsync/pkg/replication"
)

// packed1 is the first byte of a packed record: JSON, deflated with dictionary.
const packed1 = 1

// maxUnpacked bounds what a record may unfold to, in bytes.
const maxUnpacked = 64 << 20

// dictionary has what records are mostly made of, the most frequent last. It
// belongs to packed1: another one needs another first byte.
const dictionary = `{"removed":[],"applied":[["data_bag","","",""],["cookbook","","1.0.0","` +
	`"]],"synced":[["role",""]],"unsynced":[{"object":["environment","",""],"class":"rejected","reason":"write /data/ on the replica: 413 Request Entity Too Large","hint":"","attempts":1,"first_seen":"` +
	`"inventory_blob":{"key":"state/","size":,"sum":"","unsynced_blob":,"garbage":[` +
	`{"run":"","pair":"/","trigger":"schedule","mode":"compare","mode":"changes","started":"","ended":"","from":,"to":,"counts":{"changes":0,"observed":0,"equal":0,"created":0,"updated":0,"deleted":0,"unsynced":0,"staged_bytes":0,"uploaded_bytes":0},"outcome":"running","outcome":"partial","outcome":"failed","outcome":"done","error":` +
	`{"stopped":true,"reason":"maintenance","since":"","allow_deletes":,"allowed_at":"","resync_at":"","retry_at":"` +
	`"hold":{"at":"","reason":"","deletes":,"sample":[["data_bag_item","",""],` +
	`"last_error":{"at":"","class":"transient","class":"denied","class":"unreachable","message":"read /organizations//updated_since on the primary: Get \"https://: dial tcp: connection refused context deadline exceeded 500 Internal Server Error 401 Unauthorized","hint":"check the network, the name and the port"},"failures":1,` +
	`"work":{"full":true,"deep":true,"reason":"no position yet: a full compare","started":"","upto":{"identity":"","seq":,"after":"/roles/","intent":[["role","",""]],"crashes":1},` +
	`"pending":,"retried_at":"","allowance_used":"","next_retry":"","feed":"journal","feed_note":"the primary serves updated_since",` +
	`{"status":"bootstrapping","status":"retrying","status":"blocked","status":"held","status":"syncing","status":"synced","since":"2026-01-01T00:00:00Z","feed":"updated_since","position":{"identity":"https://chef.example.com/organizations/ #","epoch":"","seq":1,"seen":"","marks":""},"last_attempt":"2026-11-22T10:00:00.000Z","last_success":"2026-11-22T","last_compare":"2026-11-22T","last_verified":"2026-11-22T","next_run":"2026-11-22T","objects":0,"unsynced":1,"identity_at":"2026-11-22T`

// pack writes a record, and makes sure that it can be read again: an unreadable
// record would stop its pair for good.
func pack[T any](v T) ([]byte, error) {
	plain, err := marshal(v)
	if err == nil {
		plain, err = replication.AppendNewer(plain, &v)
	}
	if err != nil {
		return nil, err
	}
	packed, err := deflate(plain)
	if err != nil {
		return nil, err
	}
	if _, err := unpack[T](packed); err != nil {
		return nil, fmt.Errorf("the record could not be read again: %w", err)
	}
	return packed, nil
}

func deflate(plain []byte) ([]byte, error) {
	var b bytes.Buffer
	b.WriteByte(packed1)
	w, err := flate.NewWriterDict(&b, flate.BestCompression, []byte(dictionary))
	if err != nil {
		return nil, err
	}
	if _, err := w.Write(plain); err != nil {
		return nil, err
	}
	err = w.Close()
	return b.Bytes(), err
}

// unpack reads what pack wrote. A format that a newer version may have written is
// ErrSchema, anything else that can't be read an error of class Local.
func unpack[T any](b []byte) (v T, err error) {
	if len(b) == 0 {
		return v, damaged(errors.New("the record is empty"))
	}
	if b[0] != packed1 {
		return v, fmt.Errorf("%w: a record of format %d", replication.ErrSchema, b[0])
	}
	r := flate.NewReaderDict(bytes.NewReader(b[1:]), []byte(dictionary))
	return unmarshal[T](r)
}

// zip writes the content of a blob: gzipped JSON, readable without this program.
func zip[T any](v T) ([]byte, error) {
	plain, err := marshal(v)
	if err != nil {
		return nil, err
	}
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	if _, err := w.Write(plain); err != nil {
		return nil, err
	}
	err = w.Close()
	return b.Bytes(), err
}

func unzip[T any](b []byte) (v T, err error) {
	r, err := gzip.NewReader(bytes.NewReader(b))
	if err != nil {
		return v, damaged(err)
	}
	return unmarshal[T](r)
}

func marshal(v any) ([]byte, error) {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		return nil, err
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n")), nil
}

// unmarshal reads one JSON value, of a newer version too.
func unmarshal[T any](r io.Reader) (v T, err error) {
	plain, err := io.ReadAll(io.LimitReader(r, maxUnpacked+1))
	if err == nil && len(plain) > maxUnpacked {
		err = errors.New("the record is too large")
	}
	if err == nil {
		err = replication.DecodeRecord(plain, &v)
	}
	if err != nil {
		return v, damaged(err)
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
		switch v.Type().Elem().Kind() {
		case reflect.Struct, reflect.Pointer, reflect.Slice:
			for i := range v.Len() {
				inUTC(v.Index(i))
			}
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

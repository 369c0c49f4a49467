package store

import (
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"chefsync/pkg/fault"
	"chefsync/pkg/replication"
)

// FuzzDecode: whatever a record holds, reading it gives an error that says what
// to do, or a value that is written and read again as it was.
func FuzzDecode(f *testing.F) {
	for _, seed := range []string{
		`{}`, `{"objects":`, `{"objects":1e99}`, `{"invented":1}`, `[]`, `null`, `{"since":"2026-11-22T10:00:00+01:00"}`,
		`{"position":{"identity":"p","seq":9007199254740993,"seen":[1,2]},"hold":{"sample":["/roles/web","/data/users/alice"]}}`,
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, record string) {
		p, err := decodeRecord[replication.Progress]([]byte(record))
		if err != nil {
			if !errors.Is(err, replication.ErrSchema) && (fault.ClassOf(err) != fault.Local || fault.HintOf(err) == "") {
				t.Errorf("%v says neither ErrSchema nor what to do", err)
			}
			return
		}
		written, err := encodeRecord(p)
		if err != nil {
			return // such as a year that JSON can't hold: refused, not written
		}
		again, err := decodeRecord[replication.Progress](written)
		if err != nil {
			t.Fatalf("written but unreadable: %s: %v", written, err)
		}
		if d := cmp.Diff(p, again, cmpopts.EquateEmpty()); d != "" {
			t.Errorf("changed (-before +after):\n%s", d)
		}
	})
}

package previous

import (
	"bytes"
	"cmp"
	"compress/flate"
	"compress/gzip"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"strconv"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"chefsync/pkg/object"
	"chefsync/pkg/replication"
)

type item = map[string]types.AttributeValue

// packed1 is the first byte of a packed record: JSON, deflated with dictionary.
const packed1 = 1

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

// unpack reads a record.
func unpack[T any](b []byte) (v T, err error) {
	if len(b) == 0 || b[0] != packed1 {
		return v, errors.New("a record has an unknown format")
	}
	return decode[T](flate.NewReaderDict(bytes.NewReader(b[1:]), []byte(dictionary)))
}

// unzip reads the content of a blob.
func unzip[T any](b []byte) (v T, err error) {
	r, err := gzip.NewReader(bytes.NewReader(b))
	if err != nil {
		return v, err
	}
	return decode[T](r)
}

func decode[T any](r io.Reader) (v T, err error) {
	plain, err := io.ReadAll(io.LimitReader(r, 64<<20))
	if err == nil {
		err = replication.DecodeRecord(plain, &v)
	}
	return v, err
}

// attributes reads the attributes of an item. One that isn't there is zero.
type attributes struct {
	it  item
	err error
}

func (a *attributes) str(name string) string {
	switch v := a.it[name].(type) {
	case nil:
	case *types.AttributeValueMemberS:
		return v.Value
	default:
		a.wrong(name)
	}
	return ""
}

// bin returns a binary attribute. One of a single zero byte counts as absent.
func (a *attributes) bin(name string) []byte {
	switch v := a.it[name].(type) {
	case nil:
	case *types.AttributeValueMemberB:
		if !bytes.Equal(v.Value, []byte{0}) {
			return v.Value
		}
	default:
		a.wrong(name)
	}
	return nil
}

func (a *attributes) num(name string) int64 {
	switch v := a.it[name].(type) {
	case nil:
	case *types.AttributeValueMemberN:
		if n, err := strconv.ParseInt(v.Value, 10, 64); err == nil {
			return n
		}
		a.wrong(name)
	default:
		a.wrong(name)
	}
	return 0
}

func (a *attributes) wrong(name string) {
	a.err = cmp.Or(a.err, fmt.Errorf("the attribute %s has another type than it should", name))
}

// ref is kind, name and sub.
type ref [3]string

func (w ref) object() object.Ref {
	return object.Ref{Kind: object.Kind(w[0]), Name: w[1], Sub: w[2]}
}

func objects(all []ref) (refs []object.Ref) {
	for _, w := range all {
		refs = append(refs, w.object())
	}
	return refs
}

type desired struct {
	replication.Desired
	RetryOnly     []ref `json:"retry_only,omitempty"`
	ResyncObjects []ref `json:"resync_objects,omitempty"`
}

type position struct {
	replication.Position
	Marks []byte `json:"marks,omitempty"`
	Seen  []byte `json:"seen,omitempty"`
}

func (w *position) position() (p *replication.Position, err error) {
	if w == nil {
		return nil, nil
	}
	p = &w.Position
	if p.Marks, err = unpackMarks(p.Seq, w.Marks); err != nil {
		return nil, err
	}
	p.Seen, err = unpackIDs(p.Seq, w.Seen)
	return p, err
}

type work struct {
	replication.Work
	Upto   *position `json:"upto,omitempty"`
	Intent []ref     `json:"intent,omitempty"`
}

type hold struct {
	replication.Hold
	Sample []ref `json:"sample,omitempty"`
}

type progress struct {
	replication.Progress
	Dirty    []ref     `json:"dirty,omitempty"`
	Position *position `json:"position,omitempty"`
	Work     *work     `json:"work,omitempty"`
	Hold     *hold     `json:"hold,omitempty"`
}

// detail is what of a large progress has an item of its own.
type detail struct {
	Dirty  []ref                `json:"dirty,omitempty"`
	Intent []ref                `json:"intent,omitempty"`
	Sample []ref                `json:"sample,omitempty"`
	Error  *replication.Failure `json:"last_error,omitempty"`
}

func (w progress) progress(d detail) (p replication.Progress, err error) {
	p = w.Progress
	p.Dirty = objects(append(w.Dirty, d.Dirty...))
	if d.Error != nil {
		p.LastError = d.Error
	}
	if p.Position, err = w.Position.position(); err != nil {
		return p, err
	}
	if w.Work != nil {
		p.Work = &w.Work.Work
		p.Work.Intent = objects(append(w.Work.Intent, d.Intent...))
		if p.Work.Upto, err = w.Work.Upto.position(); err != nil {
			return p, err
		}
	}
	if w.Hold != nil {
		p.Hold = &w.Hold.Hold
		p.Hold.Sample = objects(append(w.Hold.Sample, d.Sample...))
	}
	return p, nil
}

type unsynced struct {
	replication.Unsynced
	Ref ref `json:"object"`
}

// delta is what one commit changed.
type delta struct {
	Removed  []ref       `json:"removed,omitempty"`
	Applied  [][4]string `json:"applied,omitempty"`
	Synced   []ref       `json:"synced,omitempty"`
	Unsynced []unsynced  `json:"unsynced,omitempty"`
}

// base is both maps at a generation, each either here or in a blob.
type base struct {
	Inventory     [][4]string `json:"inventory,omitempty"`
	InventoryBlob *blobRef    `json:"inventory_blob,omitempty"`
	Unsynced      []unsynced  `json:"unsynced,omitempty"`
	UnsyncedBlob  *blobRef    `json:"unsynced_blob,omitempty"`
}

// blobRef points to a blob.
type blobRef struct {
	Key string `json:"key"`
	Sum []byte `json:"sum"` // SHA-256
}

var errIDs = errors.New("a list of change ids is damaged")

// unpackIDs reads ids that were written as runs of equal steps, beginning at base.
func unpackIDs(base int64, b []byte) (ids []int64, err error) {
	for id := base; len(b) > 0; {
		step, used := binary.Varint(b)
		if used <= 0 {
			return nil, errIDs
		}
		n, more := binary.Uvarint(b[used:])
		if more <= 0 || n == 0 || n > 1<<20-uint64(len(ids)) {
			return nil, errIDs
		}
		b = b[used+more:]
		for range n {
			id += step
			ids = append(ids, id)
		}
	}
	return ids, nil
}

// unpackMarks reads marks that were written as distances from base.
func unpackMarks(base int64, b []byte) (marks map[int64]string, err error) {
	for len(b) > 0 {
		distance, used := binary.Varint(b)
		if used <= 0 {
			return nil, errIDs
		}
		size, more := binary.Uvarint(b[used:])
		if more <= 0 || size>>1 > uint64(len(b)-used-more) {
			return nil, errIDs
		}
		text := b[used+more:][:size>>1]
		b = b[used+more+len(text):]
		if marks == nil {
			marks = map[int64]string{}
		}
		if size&1 == 1 {
			marks[base+distance] = hex.EncodeToString(text)
		} else {
			marks[base+distance] = string(text)
		}
	}
	return marks, nil
}

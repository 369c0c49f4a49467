package previous

import (
	"bytes"
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

// item is an item of the table.
type item map[string]types.AttributeValue

// errDamaged means that a record, or a blob that it names, can't be read.
var errDamaged = errors.New("a record of the previous version is damaged")

// packedMark is the first byte of a packed record: JSON, deflated with dictionary.
const packedMark = 1

const dictionary = `{"removed":[],"applied":[["data_bag","","",""],["cookbook","","1.0.0","` +
	`"]],"synced":[["role",""]],"unsynced":[{"object":["environment","",""],"class":"rejected",` +
	`"reason":"write /data/ on the replica: 413 Request Entity Too Large","hint":"","attempts":1,"first_seen":"` +
	`"inventory_blob":{"key":"state/","size":,"sum":"","unsynced_blob":,"garbage":[` +
	`{"run":"","pair":"/","trigger":"schedule","mode":"compare","mode":"changes","started":"","ended":"","from":,"to":,` +
	`"counts":{"changes":0,"observed":0,"equal":0,"created":0,"updated":0,"deleted":0,"unsynced":0,"staged_bytes":0,` +
	`"uploaded_bytes":0},"outcome":"running","outcome":"partial","outcome":"failed","outcome":"done","error":` +
	`{"stopped":true,"reason":"maintenance","since":"","allow_deletes":,"allowed_at":"","resync_at":"","retry_at":"` +
	`"hold":{"at":"","reason":"","deletes":,"sample":[["data_bag_item","",""],` +
	`"last_error":{"at":"","class":"transient","class":"denied","class":"unreachable",` +
	`"message":"read /organizations//updated_since on the primary: Get \"https://: dial tcp: connection refused context dea` +
	`dline exceeded 500 Internal Server Error 401 Unauthorized","hint":"check the network, the name and the port"},"failures":1,` +
	`"work":{"full":true,"deep":true,"reason":"no position yet: a full compare","started":"","upto":{"identity":"","seq":,` +
	`"after":"/roles/","intent":[["role","",""]],"crashes":1},` +
	`"pending":,"retried_at":"","allowance_used":"","next_retry":"","feed":"journal","feed_note":"the primary serves updated_since",` +
	`{"status":"bootstrapping","status":"retrying","status":"blocked","status":"held","status":"syncing","status":"synced",` +
	`"since":"2026-01-01T00:00:00Z","feed":"updated_since","position":{"identity":"https://chef.example.com/organizations/ #",` +
	`"epoch":"","seq":1,"seen":"","marks":""},"last_attempt":"2026-11-22T10:00:00.000Z","last_success":"2026-11-22T",` +
	`"last_compare":"2026-11-22T","last_verified":"2026-11-22T","next_run":"2026-11-22T","objects":0,"unsynced":1,"identity_at":"2026-11-22T`

// unpackRecord decodes a packed record.
func unpackRecord[T any](b []byte) (v T, err error) {
	if len(b) == 0 || b[0] != packedMark {
		return v, fmt.Errorf("%w: it has an unknown format", errDamaged)
	}
	return decodeJSON[T](flate.NewReaderDict(bytes.NewReader(b[1:]), []byte(dictionary)))
}

// unzipBlob decodes the content of a blob.
func unzipBlob[T any](b []byte) (v T, err error) {
	r, err := gzip.NewReader(bytes.NewReader(b))
	if err != nil {
		return v, fmt.Errorf("%w: %w", errDamaged, err)
	}
	return decodeJSON[T](r)
}

func decodeJSON[T any](r io.Reader) (v T, err error) {
	plain, err := io.ReadAll(io.LimitReader(r, 64<<20))
	if err == nil {
		err = replication.DecodeRecord(plain, &v)
	}
	if err != nil {
		return v, fmt.Errorf("%w: %w", errDamaged, err)
	}
	return v, nil
}

// stringAttr returns a text, "" for an absent attribute.
func (it item) stringAttr(name string) string {
	if v, ok := it[name].(*types.AttributeValueMemberS); ok {
		return v.Value
	}
	return ""
}

// binaryAttr returns bytes, nil for an absent attribute or a single zero byte.
func (it item) binaryAttr(name string) []byte {
	if v, ok := it[name].(*types.AttributeValueMemberB); ok && !bytes.Equal(v.Value, []byte{0}) {
		return v.Value
	}
	return nil
}

// numberAttr returns a number, 0 for an absent attribute.
func (it item) numberAttr(name string) int64 {
	n := int64(0)
	if v, ok := it[name].(*types.AttributeValueMemberN); ok {
		n, _ = strconv.ParseInt(v.Value, 10, 64) // only an int64 was written
	}
	return n
}

// packedRef is kind, name and sub.
type packedRef [3]string

func (w packedRef) toRef() object.Ref {
	return object.Ref{Kind: object.Kind(w[0]), Name: w[1], Sub: w[2]}
}

func toRefs(all []packedRef) (refs []object.Ref) {
	for _, w := range all {
		refs = append(refs, w.toRef())
	}
	return refs
}

type packedDesired struct {
	replication.Desired
	RetryOnly     []packedRef `json:"retry_only,omitempty"`
	ResyncObjects []packedRef `json:"resync_objects,omitempty"`
}

type packedPosition struct {
	replication.Position
	Marks []byte `json:"marks,omitempty"`
	Seen  []byte `json:"seen,omitempty"`
}

func (w *packedPosition) toPosition() (p *replication.Position, err error) {
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

type packedWork struct {
	replication.Work
	Upto   *packedPosition `json:"upto,omitempty"`
	Intent []packedRef     `json:"intent,omitempty"`
}

type packedHold struct {
	replication.Hold
	Sample []packedRef `json:"sample,omitempty"`
}

type packedProgress struct {
	replication.Progress
	Dirty    []packedRef     `json:"dirty,omitempty"`
	Position *packedPosition `json:"position,omitempty"`
	Work     *packedWork     `json:"work,omitempty"`
	Hold     *packedHold     `json:"hold,omitempty"`
}

// progressDetail is the part of a large progress in an item of its own.
type progressDetail struct {
	Dirty  []packedRef          `json:"dirty,omitempty"`
	Intent []packedRef          `json:"intent,omitempty"`
	Sample []packedRef          `json:"sample,omitempty"`
	Error  *replication.Failure `json:"last_error,omitempty"`
}

func (w packedProgress) toProgress(d progressDetail) (p replication.Progress, err error) {
	p = w.Progress
	p.Dirty = toRefs(append(w.Dirty, d.Dirty...))
	if d.Error != nil {
		p.LastError = d.Error
	}
	if p.Position, err = w.Position.toPosition(); err != nil {
		return p, err
	}
	if w.Work != nil {
		p.Work = &w.Work.Work
		p.Work.Intent = toRefs(append(w.Work.Intent, d.Intent...))
		if p.Work.Upto, err = w.Work.Upto.toPosition(); err != nil {
			return p, err
		}
	}
	if w.Hold != nil {
		p.Hold = &w.Hold.Hold
		p.Hold.Sample = toRefs(append(w.Hold.Sample, d.Sample...))
	}
	return p, nil
}

type packedUnsynced struct {
	replication.Unsynced
	Ref packedRef `json:"object"`
}

// ledgerDelta is what one commit changed in the ledger.
type ledgerDelta struct {
	Removed  []packedRef      `json:"removed,omitempty"`
	Applied  [][4]string      `json:"applied,omitempty"`
	Synced   []packedRef      `json:"synced,omitempty"`
	Unsynced []packedUnsynced `json:"unsynced,omitempty"`
}

// ledgerBase holds the inventory and the unsynced objects at a generation, each either here
// or in a blob.
type ledgerBase struct {
	Inventory     [][4]string      `json:"inventory,omitempty"`
	InventoryBlob *blobRef         `json:"inventory_blob,omitempty"`
	Unsynced      []packedUnsynced `json:"unsynced,omitempty"`
	UnsyncedBlob  *blobRef         `json:"unsynced_blob,omitempty"`
}

// blobRef points to a blob.
type blobRef struct {
	Key string `json:"key"`
	Sum []byte `json:"sum"` // SHA-256
}

// errIDs is the error of damaged change ids.
var errIDs = fmt.Errorf("%w: a list of change ids", errDamaged)

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

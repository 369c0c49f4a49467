package dynamostate

import (
	"crypto/sha256"
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"

	"chefsync/pkg/object"
	"chefsync/pkg/replication"
)

// The wire types are the records as they are stored. Each embeds the record, so
// that a field added to it is stored too, and replaces the fields that JSON
// would write at length or, for names such as "..", not readably.

// wireRef is kind, name and sub: a path can't name every object.
type wireRef [3]string

func toWire(r object.Ref) wireRef { return wireRef{string(r.Kind), r.Name, r.Sub} }

func (w wireRef) ref() object.Ref {
	return object.Ref{Kind: object.Kind(w[0]), Name: w[1], Sub: w[2]}
}

func toWires(refs []object.Ref) (all []wireRef, err error) {
	for _, r := range refs {
		if err := checkRef(r); err != nil {
			return nil, err
		}
		all = append(all, toWire(r))
	}
	return all, nil
}

func fromWires(all []wireRef) (refs []object.Ref) {
	for _, w := range all {
		refs = append(refs, w.ref())
	}
	return refs
}

// checkRef refuses what JSON can't give back unchanged. No name that a Chef
// Server accepts is refused (docs/chef-server-api.md §4).
func checkRef(r object.Ref) error {
	for _, s := range []string{string(r.Kind), r.Name, r.Sub} {
		if strings.ContainsRune(s, 0) || !utf8.ValidString(s) {
			return fmt.Errorf("%q is not the name of an object", r.Path())
		}
	}
	return nil
}

type wireDesired struct {
	replication.Desired
	RetryOnly     []wireRef `json:"retry_only,omitempty"`
	ResyncObjects []wireRef `json:"resync_objects,omitempty"`
}

func packDesired(d replication.Desired) ([]byte, error) {
	refs, err := toWires(d.RetryOnly)
	if err != nil {
		return nil, err
	}
	objects, err := toWires(d.ResyncObjects)
	if err != nil {
		return nil, err
	}
	return pack(wireDesired{Desired: d, RetryOnly: refs, ResyncObjects: objects})
}

// unpackDesired reads a wish; none is the zero wish.
func unpackDesired(b []byte) (replication.Desired, error) {
	if b == nil {
		return replication.Desired{}, nil
	}
	w, err := unpack[wireDesired](b)
	w.Desired.RetryOnly, w.Desired.ResyncObjects = fromWires(w.RetryOnly), fromWires(w.ResyncObjects)
	return w.Desired, err
}

type wirePosition struct {
	replication.Position
	Marks []byte `json:"marks,omitempty"`
	Seen  []byte `json:"seen,omitempty"`
}

func wirePos(p *replication.Position) *wirePosition {
	if p == nil {
		return nil
	}
	return &wirePosition{Position: *p, Marks: packMarks(p.Seq, p.Marks), Seen: packIDs(p.Seq, p.Seen)}
}

func (w *wirePosition) position() (p *replication.Position, err error) {
	if w == nil {
		return nil, nil
	}
	p = &w.Position
	if p.Marks, err = unpackMarks(p.Seq, w.Marks); err != nil {
		return nil, damaged(err)
	}
	if p.Seen, err = unpackIDs(p.Seq, w.Seen); err != nil {
		return nil, damaged(err)
	}
	return p, nil
}

type wireWork struct {
	replication.Work
	Upto   *wirePosition `json:"upto,omitempty"`
	Intent []wireRef     `json:"intent,omitempty"`
}

type wireHold struct {
	replication.Hold
	Sample []wireRef `json:"sample,omitempty"`
}

type wireProgress struct {
	replication.Progress
	Dirty    []wireRef     `json:"dirty,omitempty"`
	Position *wirePosition `json:"position,omitempty"`
	Work     *wireWork     `json:"work,omitempty"`
	Hold     *wireHold     `json:"hold,omitempty"`
}

// wireDetail is what of a progress goes to the detail item when it is large.
type wireDetail struct {
	Dirty  []wireRef            `json:"dirty,omitempty"`
	Intent []wireRef            `json:"intent,omitempty"`
	Sample []wireRef            `json:"sample,omitempty"`
	Error  *replication.Failure `json:"last_error,omitempty"`
}

func wireProg(p replication.Progress) (w wireProgress, err error) {
	w = wireProgress{Progress: p, Position: wirePos(p.Position)}
	if w.Dirty, err = toWires(p.Dirty); err != nil {
		return w, err
	}
	if p.Work != nil {
		w.Work = &wireWork{Work: *p.Work, Upto: wirePos(p.Work.Upto)}
		if w.Work.Intent, err = toWires(p.Work.Intent); err != nil {
			return w, err
		}
	}
	if p.Hold != nil {
		w.Hold = &wireHold{Hold: *p.Hold}
		if w.Hold.Sample, err = toWires(p.Hold.Sample); err != nil {
			return w, err
		}
	}
	return w, nil
}

// takeRefs moves the lists of objects to a detail.
func (w *wireProgress) takeRefs(d *wireDetail) {
	d.Dirty, w.Dirty = w.Dirty, nil
	if w.Work != nil {
		d.Intent, w.Work.Intent = w.Work.Intent, nil
	}
	if w.Hold != nil {
		d.Sample, w.Hold.Sample = w.Hold.Sample, nil
	}
}

func (w *wireProgress) takeError(d *wireDetail) { d.Error, w.LastError = w.LastError, nil }

func (w *wireProgress) put(d wireDetail) {
	if d.Dirty != nil {
		w.Dirty = d.Dirty
	}
	if w.Work != nil && d.Intent != nil {
		w.Work.Intent = d.Intent
	}
	if w.Hold != nil && d.Sample != nil {
		w.Hold.Sample = d.Sample
	}
	if d.Error != nil {
		w.LastError = d.Error
	}
}

func (w wireProgress) progress() (p replication.Progress, err error) {
	p = w.Progress
	p.Dirty = fromWires(w.Dirty)
	if p.Position, err = w.Position.position(); err != nil {
		return p, err
	}
	if w.Work != nil {
		p.Work = &w.Work.Work
		p.Work.Intent = fromWires(w.Work.Intent)
		if p.Work.Upto, err = w.Work.Upto.position(); err != nil {
			return p, err
		}
	}
	if w.Hold != nil {
		p.Hold = &w.Hold.Hold
		p.Hold.Sample = fromWires(w.Hold.Sample)
	}
	return p, nil
}

// packedProgress is a progress as items hold it. Detail is nil unless the progress
// is large.
type packedProgress struct {
	hot, detail, hash []byte
}

// packProgress keeps the progress within z.hot bytes if it can: first the lists
// of objects go to the detail, then, when it is far too long, the last error.
func packProgress(p replication.Progress, z sizes) (out packedProgress, err error) {
	if p.LastError != nil {
		clipped := clip(*p.LastError)
		p.LastError = &clipped
	}
	w, err := wireProg(p)
	if err != nil {
		return out, err
	}
	out.hash = none()
	var d wireDetail
	for _, take := range []func(*wireDetail){nil, w.takeRefs, w.takeError} {
		if take != nil {
			take(&d)
		}
		if out.hot, err = pack(w); err != nil {
			return out, err
		}
		if len(out.hot) <= z.hot || take != nil && len(out.hot) <= 2*z.hot {
			break
		}
	}
	if len(out.hot) > z.detail {
		return out, tooLarge("the progress", len(out.hot))
	}
	if d.Dirty == nil && d.Intent == nil && d.Sample == nil && d.Error == nil {
		return out, nil
	}
	if out.detail, err = pack(d); err != nil {
		return out, err
	}
	if len(out.detail) > z.detail {
		return out, tooLarge("the list of objects at work", len(out.detail))
	}
	sum := sha256.Sum256(out.detail)
	out.hash = sum[:12]
	return out, nil
}

func unpackProgress(hot, detail []byte) (p replication.Progress, err error) {
	if hot == nil {
		return p, nil
	}
	w, err := unpack[wireProgress](hot)
	if err != nil {
		return p, err
	}
	if detail != nil {
		d, err := unpack[wireDetail](detail)
		if err != nil {
			return p, err
		}
		w.put(d)
	}
	return w.progress()
}

// maxText is how long, in bytes, the text of a failure is kept.
const maxText = 16 << 10

func clip(f replication.Failure) replication.Failure {
	f.Message, f.Hint = clipText(f.Message), clipText(f.Hint)
	return f
}

func clipText(s string) string {
	if len(s) > maxText {
		return strings.ToValidUTF8(s[:maxText], "") + "…"
	}
	return s
}

type wireUnsynced struct {
	replication.Unsynced
	Ref wireRef `json:"object"`
}

// entry is an object and its fingerprint.
type entry [4]string

// wireDelta is what one commit changed.
type wireDelta struct {
	Removed  []wireRef      `json:"removed,omitempty"`
	Applied  []entry        `json:"applied,omitempty"`
	Synced   []wireRef      `json:"synced,omitempty"`
	Unsynced []wireUnsynced `json:"unsynced,omitempty"`
}

func (d wireDelta) empty() bool {
	return !d.touchesInventory() && !d.touchesUnsynced()
}

func (d wireDelta) touchesInventory() bool { return len(d.Removed)+len(d.Applied) > 0 }
func (d wireDelta) touchesUnsynced() bool  { return len(d.Synced)+len(d.Unsynced) > 0 }

func wireUpdate(u replication.Update) (d wireDelta, err error) {
	if d.Removed, err = toWires(u.Removed); err != nil {
		return d, err
	}
	if d.Synced, err = toWires(u.Synced); err != nil {
		return d, err
	}
	for r := range u.Applied {
		if err := checkRef(r); err != nil {
			return d, err
		}
	}
	d.Applied = entries(u.Applied)
	for _, x := range u.Unsynced {
		if err := checkRef(x.Ref); err != nil {
			return d, err
		}
		d.Unsynced = append(d.Unsynced, wireUnsynced{Unsynced: x, Ref: toWire(x.Ref)})
	}
	return d, nil
}

// entries lists an inventory in a fixed order, which packs well.
func entries(inventory map[object.Ref]string) []entry {
	all := make([]entry, 0, len(inventory))
	for r, fingerprint := range inventory {
		all = append(all, entry{string(r.Kind), r.Name, r.Sub, fingerprint})
	}
	slices.SortFunc(all, func(a, b entry) int { return slices.Compare(a[:], b[:]) })
	return all
}

// wireBase is both maps at a generation, each either here or in a blob.
type wireBase struct {
	Inventory     []entry        `json:"inventory,omitempty"`
	InventoryBlob *blobRef       `json:"inventory_blob,omitempty"`
	Unsynced      []wireUnsynced `json:"unsynced,omitempty"`
	UnsyncedBlob  *blobRef       `json:"unsynced_blob,omitempty"`
	// Garbage are keys of blobs that nothing refers to any more.
	Garbage []string `json:"garbage,omitempty"`
}

// blobRef points to a blob.
type blobRef struct {
	Key  string `json:"key"`
	Size int    `json:"size"`
	Sum  []byte `json:"sum"` // SHA-256
}

package dynamostate

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strings"
)

// fold is the maps of a pair written anew.
type fold struct {
	base     item
	noted    []byte   // the note of pending blobs, to be dropped once the base is there; nil if there is none
	leftover []string // sort keys of log items that the base replaces
}

// fold writes the maps as they are after a commit: to blobs what is large, and
// the rest to a base item that the commit will put. The keys of the blobs are
// noted before they are written, under the lease.
func (s *State) fold(ctx context.Context, c *commit, h hot) (*fold, error) {
	r, err := s.readLog(ctx, c.name, h.log, want{inventory: true, unsynced: true})
	if err != nil {
		return nil, err
	}
	r.apply(c.delta)
	b := &baseWriter{s: s, prefix: fmt.Sprintf("%s%010d-%s-", PairPrefix(c.name), h.log.gen+1, hex.EncodeToString(token(8)))}
	next, err := b.plan(r)
	if err != nil {
		return nil, err
	}
	next.Garbage = s.collect(ctx, r.base.Garbage)
	next.Garbage = append(next.Garbage, h.pending...)
	for _, old := range []*blobRef{r.base.InventoryBlob, r.base.UnsyncedBlob} {
		if old != nil && !next.refers(old.Key) {
			next.Garbage = append(next.Garbage, old.Key)
		}
	}
	noted, err := b.put(ctx, c, h)
	if err != nil {
		return nil, err
	}
	packed, err := pack(next)
	if err != nil {
		return nil, err
	}
	it := keyOf(pairPK(c.name), baseSK)
	it[attrSchema], it[attrGen], it[attrRecord] = num(schema()), num(h.log.gen+1), bin(packed)
	return &fold{base: it, noted: noted, leftover: r.items}, nil
}

// maxGarbage bounds the keys that are carried along while the blobs can't be
// removed.
const maxGarbage = 1000

// collect removes blobs that nothing refers to, and returns what is left.
func (s *State) collect(ctx context.Context, garbage []string) (left []string) {
	for i, key := range garbage {
		if err := s.blobs.Delete(ctx, key); err != nil {
			left = append(left, garbage[i:]...) // the next ones would fail too
			return left[max(0, len(left)-maxGarbage):]
		}
	}
	return nil
}

func (w wireBase) refers(key string) bool {
	return w.InventoryBlob != nil && w.InventoryBlob.Key == key || w.UnsyncedBlob != nil && w.UnsyncedBlob.Key == key
}

// baseWriter writes the blobs of a base.
type baseWriter struct {
	s      *State
	prefix string
	blobs  []blob
}

type blob struct {
	ref  blobRef
	data []byte
}

func (b *baseWriter) keys() (all []string) {
	for _, x := range b.blobs {
		all = append(all, x.ref.Key)
	}
	return all
}

// plan puts each map where it belongs. One that hasn't changed stays where it is.
func (b *baseWriter) plan(r *records) (w wireBase, err error) {
	if w.InventoryBlob = r.base.InventoryBlob; w.InventoryBlob == nil || r.staleInventory {
		w.Inventory, w.InventoryBlob, err = place(b, "inventory", entries(r.inventory))
		if err != nil {
			return w, err
		}
	}
	if w.UnsyncedBlob = r.base.UnsyncedBlob; w.UnsyncedBlob == nil || r.staleUnsynced {
		var list []wireUnsynced
		for _, x := range r.sorted() {
			list = append(list, wireUnsynced{Unsynced: x, Ref: toWire(x.Ref)})
		}
		w.Unsynced, w.UnsyncedBlob, err = place(b, "unsynced", list)
	}
	return w, err
}

// place returns a list as it is if it is small, else where its blob will be.
func place[T any](b *baseWriter, what string, list []T) ([]T, *blobRef, error) {
	small, err := b.s.small(list)
	if err != nil || small {
		return list, nil, err
	}
	data, err := zip(list)
	if err != nil {
		return nil, nil, err
	}
	sum := sha256.Sum256(data)
	ref := blobRef{Key: b.prefix + what + ".json.gz", Size: len(data), Sum: sum[:]}
	b.blobs = append(b.blobs, blob{ref, data})
	return nil, &ref, nil
}

// small tells whether a list has room in the base item.
func (s *State) small(list any) (bool, error) {
	plain, err := marshal(list)
	if err != nil || len(plain) > 16*s.sizes.inline { // nothing packs that well
		return false, err
	}
	packed, err := deflate(plain)
	return len(packed) <= s.sizes.inline, err
}

// put notes the keys of the blobs, beside those that an earlier fold left there,
// and writes the blobs. It returns the note, or nil when there is none.
func (b *baseWriter) put(ctx context.Context, c *commit, h hot) (noted []byte, err error) {
	if len(b.blobs) == 0 {
		return h.noted, nil
	}
	if noted, err = pack(append(b.keys(), h.pending...)); err != nil {
		return nil, err
	}
	note := change{
		set:       "SET w = :w",
		condition: ifHeld,
		values:    item{":w": bin(noted), ":f": num(c.fence), ":now": num(micros(c.now)), ":v": num(schema())},
	}
	note.after(h)
	note.expectNote(h.noted) // else it would hide that of another commit at the same time
	if _, err := b.s.update(ctx, c.name, note); err != nil {
		return nil, b.s.lostOrMoved(ctx, c, err)
	}
	for _, x := range b.blobs {
		if err := b.s.blobs.Put(ctx, x.ref.Key, x.data, [32]byte(x.ref.Sum)); err != nil {
			return nil, err
		}
	}
	return noted, nil
}

// PairPrefix is what the keys of all blobs of a pair begin with. It has only
// letters, digits, dashes, underscores, equals signs and slashes.
func PairPrefix(pair string) string {
	replica, org, _ := strings.Cut(pair, "/")
	return safe(replica) + "/" + safe(org) + "/"
}

// safe writes a name with nothing in it that an object store may mind.
func safe(name string) string {
	var b strings.Builder
	for _, c := range []byte(name) {
		switch {
		case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c >= '0' && c <= '9', c == '-', c == '_':
			b.WriteByte(c)
		default:
			fmt.Fprintf(&b, "=%02x", c)
		}
	}
	return b.String()
}

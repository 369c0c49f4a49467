package store

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"
	"unicode/utf8"

	"chefsync/pkg/feed/changelog"
)

// A scan state is one sequence of bytes, kept in parts: docs/decisions/0004-one-store.md
// says why it isn't one item for each object. Where parts end depends on the content
// alone, so that a change of one object changes one or two parts. A list names the parts
// of the present version.
const (
	partsSort  = "MEMORY"
	partPrefix = "PART#"
)

// partList lists the parts of a scan state in order.
type partList struct {
	Version int64     `json:"generation"`
	Parts   []partRef `json:"parts"`
}

type partRef struct {
	Sort string `json:"key"`
	Sum  string `json:"sum"` // of the content
}

// partContent is what a part holds. Text is smaller in JSON, and compresses better.
type partContent struct {
	Text  string `json:"text,omitempty"`
	Bytes []byte `json:"bytes,omitempty"`
}

// putPart returns the write that stores a part.
func putPart(source, sort string, bytes []byte) (Write, error) {
	c := partContent{Bytes: bytes}
	if utf8.Valid(bytes) {
		c = partContent{Text: string(bytes)}
	}
	return putRecord(Key{sourcePartition(source), sort}, c, time.Time{})
}

// Sizes of parts, in bytes.
const (
	minPart  = 2 << 10
	maxPart  = 64 << 10
	partMask = 4<<10 - 1 // a border every 4 KB on average, beyond the least size
)

// splitState splits a scan state into parts (content-defined chunking): a part ends where the
// rolling hash of the bytes before has its low bits zero.
func splitState(state []byte) (all [][]byte) {
	start, rolling := 0, uint32(0)
	for i, b := range state {
		rolling = rolling<<1 + uint32(b)*2654435761 // of the last 32 bytes
		if n := i + 1 - start; n >= minPart && rolling>>16&partMask == 0 || n >= maxPart {
			all, start = append(all, state[start:i+1]), i+1
		}
	}
	if start < len(state) || len(all) == 0 {
		all = append(all, state[start:])
	}
	return all
}

func partSortKey(version int64, i int) string {
	return fmt.Sprintf("%s%010d#%06d", partPrefix, version, i)
}

func (j ChangeLogs) readParts(ctx context.Context, source string) (list partList, err error) {
	it, err := j.s.kv.Get(ctx, Key{sourcePartition(source), partsSort})
	if err == nil && it.Version != "" {
		list, err = decodeRecord[partList](it.Data)
	}
	return list, err
}

// LoadScanState implements [changelog.ScanStateStore]. It reads again when a commit replaced parts meanwhile.
func (j ChangeLogs) LoadScanState(ctx context.Context, source string) (known changelog.ScanState, err error) {
	op := "read the scan state of " + source
	for attempt := range maxAttempts {
		if err = waitForAttempt(ctx, attempt); err != nil {
			break
		}
		if known, err = j.loadScanState(ctx, source); !errors.Is(err, errInconsistent) {
			break
		}
	}
	if err != nil {
		return changelog.ScanState{}, explainError(op, err)
	}
	return known, nil
}

func (j ChangeLogs) loadScanState(ctx context.Context, source string) (known changelog.ScanState, err error) {
	h, err := j.readSource(ctx, source)
	if err != nil {
		return known, err
	}
	known = h.scanState()
	if h.Version == 0 {
		return known, nil
	}
	if state, ok := j.s.scanStates.loadCopy(source, h.StateHash); ok {
		known.Blob = state
		return known, nil
	}
	items, err := j.s.kv.Query(ctx, Query{Partition: sourcePartition(source), From: partsSort, To: partPrefix + "\U0010FFFF"})
	if err != nil {
		return known, err
	}
	data := make(map[string][]byte, len(items))
	for _, it := range items {
		data[it.Sort] = it.Data
	}
	list, err := decodeRecord[partList](data[partsSort])
	if err != nil {
		return known, err
	}
	if list.Version != h.Version {
		return known, fmt.Errorf("%w: the state is of version %d instead of %d", errInconsistent, list.Version, h.Version)
	}
	known.Blob = []byte{}
	for _, p := range list.Parts {
		stored, there := data[p.Sort]
		if !there {
			return known, fmt.Errorf("%w: the part %s isn't there", errInconsistent, p.Sort)
		}
		c, err := decodeRecord[partContent](stored)
		if err != nil {
			return known, err
		}
		known.Blob = append(append(known.Blob, c.Text...), c.Bytes...)
	}
	if contentHash(known.Blob) != h.StateHash {
		return known, damagedError(errors.New("the state isn't the one that was written"))
	}
	j.s.scanStates.storeCopy(source, known.Blob)
	return known, nil
}

// contentHash returns a hash that identifies content.
func contentHash(content []byte) string {
	sum := sha256.Sum256(content)
	return hex.EncodeToString(sum[:12])
}

// maxCachedStates bounds the scan states in the cache, in bytes.
const maxCachedStates = 16 << 20

// scanStateCache holds the scan states that this process has read or written, so that a scan that
// finds no change reads none.
type scanStateCache struct {
	mu   sync.Mutex
	of   map[string][]byte
	size int
}

func (m *scanStateCache) loadCopy(source, sum string) ([]byte, bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	state, ok := m.of[source]
	return slices.Clone(state), ok && contentHash(state) == sum
}

func (m *scanStateCache) storeCopy(source string, state []byte) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.size += len(state) - len(m.of[source])
	if m.of == nil || m.size > maxCachedStates {
		m.of, m.size = map[string][]byte{}, len(state)
	}
	m.of[source] = slices.Clone(state)
}

// newParts splits a scan state into parts. It returns their list and the writes of those that
// aren't stored.
func newParts(source string, version int64, state []byte, stored []partRef) (list partList, writes []Write, err error) {
	have := map[string]string{} // sort key by sum
	for _, p := range stored {
		have[p.Sum] = p.Sort
	}
	list.Version = version
	for i, text := range splitState(state) {
		p := partRef{Sort: partSortKey(version, i), Sum: contentHash(text)}
		if sort, ok := have[p.Sum]; ok {
			p.Sort = sort
		} else {
			w, err := putPart(source, p.Sort, text)
			if err != nil {
				return list, nil, err
			}
			writes = append(writes, w)
			have[p.Sum] = p.Sort
		}
		list.Parts = append(list.Parts, p)
	}
	return list, writes, nil
}

// writeParts writes the parts of a scan state that the stored one doesn't have. It returns the
// write of the list, for the commit, and the parts that are unused after it.
func (j ChangeLogs) writeParts(ctx context.Context, source string, fence int64, now time.Time,
	step changelog.ScanUpdate) (list []Write, old []Item, err error) {
	before, err := j.readParts(ctx, source)
	if err != nil {
		return nil, nil, err
	}
	stored := before.Parts
	if before.Version != step.Version { // its head was lost, and keys come again
		stored = nil
	}
	next, writes, err := newParts(source, step.Version+1, step.Blob, stored)
	if err != nil {
		return nil, nil, err
	}
	for _, chunk := range splitWrites(writes) {
		if len(chunk) == 0 {
			break
		}
		if err := j.writeUnderLease(ctx, source, fence, now, step, chunk); err != nil {
			return nil, nil, err
		}
	}
	used := map[string]bool{}
	for _, p := range next.Parts {
		used[p.Sort] = true
	}
	for _, p := range before.Parts {
		if !used[p.Sort] {
			used[p.Sort] = true
			old = append(old, Item{Key: Key{sourcePartition(source), p.Sort}})
		}
	}
	w, err := putRecord(Key{sourcePartition(source), partsSort}, next, time.Time{})
	return []Write{w}, old, err
}

// writeUnderLease does writes in a transaction that depends on the lease and on the
// version of a step.
func (j ChangeLogs) writeUnderLease(ctx context.Context, source string, fence int64, now time.Time, step changelog.ScanUpdate, writes []Write) error {
	key, err := sourceKey(source)
	if err != nil {
		return err
	}
	return j.s.writeBeside(ctx, key, writes, func(it Item) error {
		h, err := decodeSource(it)
		if err != nil {
			return err
		}
		return h.checkStep(fence, now, step)
	})
}

package dynamostate

import (
	"encoding/binary"
	"encoding/hex"
	"errors"
	"maps"
	"slices"
)

// maxIDs bounds a list of ids that is read.
const maxIDs = 1 << 20

var errIDs = errors.New("a list of change ids is damaged")

// packIDs writes ids as runs of equal steps, beginning at base. Ids that follow
// one another, as change ids mostly do, take a few bytes however many they are.
func packIDs(base int64, ids []int64) (b []byte) {
	for prev, i := base, 0; i < len(ids); {
		step, n := ids[i]-prev, 1
		for i+n < len(ids) && ids[i+n]-ids[i+n-1] == step {
			n++
		}
		b = binary.AppendVarint(b, step)
		b = binary.AppendUvarint(b, uint64(n))
		i += n
		prev = ids[i-1]
	}
	return b
}

func unpackIDs(base int64, b []byte) (ids []int64, err error) {
	for id := base; len(b) > 0; {
		step, used := binary.Varint(b)
		if used <= 0 {
			return nil, errIDs
		}
		n, more := binary.Uvarint(b[used:])
		if more <= 0 || n == 0 || n > maxIDs-uint64(len(ids)) {
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

// packMarks writes marks as distances from base and raw bytes where they are
// hexadecimal.
func packMarks(base int64, marks map[int64]string) (b []byte) {
	for _, id := range slices.Sorted(maps.Keys(marks)) {
		text, kind := []byte(marks[id]), uint64(0)
		if raw, err := hex.DecodeString(marks[id]); err == nil && hex.EncodeToString(raw) == marks[id] {
			text, kind = raw, 1
		}
		b = binary.AppendVarint(b, id-base)
		b = binary.AppendUvarint(b, uint64(len(text))<<1|kind)
		b = append(b, text...)
	}
	return b
}

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

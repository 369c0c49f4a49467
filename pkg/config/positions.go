package config

import (
	"fmt"
	"slices"
	"strconv"
	"unicode/utf8"

	"github.com/pelletier/go-toml/v2/unstable"
)

// maxKeyDepth is how many parts of a dotted key are read. No known key has as many.
const maxKeyDepth = 16

// position is a position in a file; the zero position is unknown.
type position struct{ line, column int }

// keyPositions returns the position of each key of a valid TOML document. Keys are named
// as in messages: primary.url, replica[0].name, organization[1].kinds[0].
func keyPositions(data []byte) map[string]position {
	f := positionFinder{data: data, found: map[string]position{}, tables: map[string]int{}}
	for i, c := range data {
		if c == '\n' {
			f.newlines = append(f.newlines, i)
		}
	}
	var p unstable.Parser
	p.Reset(data)
	table := ""
	for p.NextExpression() {
		switch e := p.Expression(); e.Kind {
		case unstable.Table, unstable.ArrayTable:
			table = f.visitHeader(e)
		case unstable.KeyValue:
			f.visitKeyValue(table, e)
		}
	}
	return f.found
}

type positionFinder struct {
	data     []byte
	newlines []int
	found    map[string]position
	tables   map[string]int // number of elements of each array of tables
}

func (f *positionFinder) visitHeader(e *unstable.Node) string {
	path, depth := "", 0
	for it := e.Key(); it.Next() && depth < maxKeyDepth; depth++ {
		path = f.appendKey(path, it.Node())
		if it.IsLast() && e.Kind == unstable.ArrayTable {
			f.tables[path]++
		}
		if n := f.tables[path]; n > 0 {
			at := f.found[path]
			if it.IsLast() {
				at = f.positionOf(it.Node(), at)
			}
			path = indexKey(path, n-1)
			f.recordFirst(path, at)
		}
	}
	return path
}

func (f *positionFinder) visitKeyValue(path string, e *unstable.Node) {
	depth := 0
	for it := e.Key(); it.Next() && depth < maxKeyDepth; depth++ {
		path = f.appendKey(path, it.Node())
	}
	f.visitValue(path, e.Value())
}

func (f *positionFinder) visitValue(path string, v *unstable.Node) {
	switch v.Kind {
	case unstable.Array:
		i := 0
		for it := v.Children(); it.Next(); {
			n := it.Node()
			if n.Kind == unstable.Comment {
				continue
			}
			element := indexKey(path, i)
			f.recordFirst(element, f.positionOf(n, f.found[path]))
			f.visitValue(element, n)
			i++
		}
	case unstable.InlineTable:
		for it := v.Children(); it.Next(); {
			if n := it.Node(); n.Kind == unstable.KeyValue {
				f.visitKeyValue(path, n)
			}
		}
	}
}

// appendKey extends a path by a key and records the first position of the key.
func (f *positionFinder) appendKey(path string, n *unstable.Node) string {
	path = joinKey(path, string(n.Data))
	f.recordFirst(path, f.positionOf(n, position{}))
	return path
}

func (f *positionFinder) recordFirst(path string, at position) {
	if _, ok := f.found[path]; !ok {
		f.found[path] = at
	}
}

// positionOf returns the position of a node, or otherwise for nodes without one.
func (f *positionFinder) positionOf(n *unstable.Node, otherwise position) position {
	offset := int(n.Raw.Offset)
	if n.Raw.Length == 0 || offset > len(f.data) {
		return otherwise
	}
	line, _ := slices.BinarySearch(f.newlines, offset)
	start := 0
	if line > 0 {
		start = f.newlines[line-1] + 1
	}
	return position{line + 1, utf8.RuneCount(f.data[start:offset]) + 1}
}

func indexKey(path string, i int) string { return fmt.Sprintf("%s[%d]", path, i) }

func joinKey(path, key string) string {
	if !isBareKey(key) {
		key = strconv.Quote(key)
	}
	if path == "" {
		return key
	}
	return path + "." + key
}

// isBareKey reports whether a key needs no quotes in TOML.
func isBareKey(key string) bool {
	for i := range len(key) {
		if c := key[i]; !(c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '_' || c == '-') {
			return false
		}
	}
	return key != ""
}

package config

import (
	"fmt"
	"slices"
	"strconv"
	"unicode/utf8"

	"github.com/pelletier/go-toml/v2/unstable"
)

// maxKeyDepth is how many parts of a dotted key are looked at. No known key has
// as many.
const maxKeyDepth = 16

// place is where something stands in a file; the zero place is unknown.
type place struct{ line, column int }

// places finds where each key of a valid TOML document stands. Keys are named
// as in messages: primary.url, replica[0].name, organization[1].kinds[0].
func places(data []byte) map[string]place {
	f := finder{data: data, found: map[string]place{}, tables: map[string]int{}}
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
			table = f.header(e)
		case unstable.KeyValue:
			f.keyValue(table, e)
		}
	}
	return f.found
}

type finder struct {
	data     []byte
	newlines []int
	found    map[string]place
	tables   map[string]int // number of elements of each array of tables
}

func (f *finder) header(e *unstable.Node) string {
	path, depth := "", 0
	for it := e.Key(); it.Next() && depth < maxKeyDepth; depth++ {
		path = f.key(path, it.Node())
		if it.IsLast() && e.Kind == unstable.ArrayTable {
			f.tables[path]++
		}
		if n := f.tables[path]; n > 0 {
			at := f.found[path]
			if it.IsLast() {
				at = f.at(it.Node(), at)
			}
			path = index(path, n-1)
			f.note(path, at)
		}
	}
	return path
}

func (f *finder) keyValue(path string, e *unstable.Node) {
	depth := 0
	for it := e.Key(); it.Next() && depth < maxKeyDepth; depth++ {
		path = f.key(path, it.Node())
	}
	f.value(path, e.Value())
}

func (f *finder) value(path string, v *unstable.Node) {
	switch v.Kind {
	case unstable.Array:
		i := 0
		for it := v.Children(); it.Next(); {
			n := it.Node()
			if n.Kind == unstable.Comment {
				continue
			}
			element := index(path, i)
			f.note(element, f.at(n, f.found[path]))
			f.value(element, n)
			i++
		}
	case unstable.InlineTable:
		for it := v.Children(); it.Next(); {
			if n := it.Node(); n.Kind == unstable.KeyValue {
				f.keyValue(path, n)
			}
		}
	}
}

// key extends a path by a key and notes where the key stands first.
func (f *finder) key(path string, n *unstable.Node) string {
	path = join(path, string(n.Data))
	f.note(path, f.at(n, place{}))
	return path
}

func (f *finder) note(path string, at place) {
	if _, ok := f.found[path]; !ok {
		f.found[path] = at
	}
}

// at is the place of a node, or otherwise for kinds of nodes that don't know.
func (f *finder) at(n *unstable.Node, otherwise place) place {
	offset := int(n.Raw.Offset)
	if n.Raw.Length == 0 || offset > len(f.data) {
		return otherwise
	}
	line, _ := slices.BinarySearch(f.newlines, offset)
	start := 0
	if line > 0 {
		start = f.newlines[line-1] + 1
	}
	return place{line + 1, utf8.RuneCount(f.data[start:offset]) + 1}
}

func index(path string, i int) string { return fmt.Sprintf("%s[%d]", path, i) }

func join(path, key string) string {
	if !isBare(key) {
		key = strconv.Quote(key)
	}
	if path == "" {
		return key
	}
	return path + "." + key
}

// isBare tells whether a key needs no quotes in TOML.
func isBare(key string) bool {
	for i := range len(key) {
		if c := key[i]; !(c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '_' || c == '-') {
			return false
		}
	}
	return key != ""
}

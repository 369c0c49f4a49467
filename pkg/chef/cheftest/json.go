package cheftest

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"strconv"
	"unicode/utf8"
)

// The server keeps JSON as erchef does: key order, repeated keys and big
// integers stay, floats are formatted again (docs/chef-server-api.md §4.5, §13).

type member struct {
	key string
	val any
}

// object is a JSON object with its key order. Values are *object, []any,
// string, json.Number, bool and nil.
type object struct{ members []member }

// obj returns an object of alternating keys and values.
func obj(kv ...any) *object {
	o := &object{}
	for i := 0; i+1 < len(kv); i += 2 {
		o.members = append(o.members, member{kv[i].(string), kv[i+1]})
	}
	return o
}

func (o *object) get(key string) (any, bool) {
	for _, m := range o.members {
		if m.key == key {
			return m.val, true
		}
	}
	return nil, false
}

func (o *object) str(key string) string {
	v, _ := o.get(key)
	s, _ := v.(string)
	return s
}

func (o *object) has(key string) bool { _, ok := o.get(key); return ok }

func (o *object) set(key string, val any) *object {
	for i, m := range o.members {
		if m.key == key {
			o.members[i].val = val
			return o
		}
	}
	o.members = append(o.members, member{key, val})
	return o
}

func (o *object) del(key string) *object {
	kept := make([]member, 0, len(o.members))
	for _, m := range o.members {
		if m.key != key {
			kept = append(kept, m)
		}
	}
	o.members = kept
	return o
}

// clone returns a shallow copy.
func (o *object) clone() *object {
	return &object{append(make([]member, 0, len(o.members)+2), o.members...)}
}

// setDefaults sets missing keys.
func (o *object) setDefaults(kv ...any) {
	for i := 0; i+1 < len(kv); i += 2 {
		if !o.has(kv[i].(string)) {
			o.set(kv[i].(string), kv[i+1])
		}
	}
}

const maxDepth = 5000

var errJSON = errors.New("invalid JSON")

func decode(b []byte) (any, error) {
	if !utf8.Valid(b) || !json.Valid(b) {
		return nil, errJSON
	}
	dec := json.NewDecoder(bytes.NewReader(b))
	dec.UseNumber()
	v, err := decodeValue(dec, 0)
	if err != nil {
		return nil, err
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return nil, errJSON
	}
	return v, nil
}

func decodeValue(dec *json.Decoder, depth int) (any, error) {
	tok, err := dec.Token()
	if err != nil || depth > maxDepth {
		return nil, errJSON
	}
	switch t := tok.(type) {
	case json.Delim:
		if t == '{' {
			return decodeObject(dec, depth+1)
		}
		list := []any{}
		for dec.More() {
			v, err := decodeValue(dec, depth+1)
			if err != nil {
				return nil, err
			}
			list = append(list, v)
		}
		_, err := dec.Token()
		return list, err
	case json.Number:
		return renderNumber(t)
	}
	return tok, nil
}

func decodeObject(dec *json.Decoder, depth int) (any, error) {
	o := &object{}
	for dec.More() {
		k, err := dec.Token()
		if err != nil {
			return nil, errJSON
		}
		v, err := decodeValue(dec, depth)
		if err != nil {
			return nil, err
		}
		key, _ := k.(string)
		o.members = append(o.members, member{key, v})
	}
	_, err := dec.Token()
	return o, err
}

func encode(v any) []byte { return appendValue(make([]byte, 0, 256), v) }

func appendValue(b []byte, v any) []byte {
	switch t := v.(type) {
	case nil:
		return append(b, "null"...)
	case bool:
		return strconv.AppendBool(b, t)
	case string:
		return appendString(b, t)
	case json.Number:
		return append(b, t...)
	case int:
		return strconv.AppendInt(b, int64(t), 10)
	case int64:
		return strconv.AppendInt(b, t, 10)
	case json.RawMessage:
		return append(b, t...)
	case []string:
		return appendList(b, len(t), func(b []byte, i int) []byte { return appendString(b, t[i]) })
	case []any:
		return appendList(b, len(t), func(b []byte, i int) []byte { return appendValue(b, t[i]) })
	case *object:
		b = append(b, '{')
		for i, m := range t.members {
			if i > 0 {
				b = append(b, ',')
			}
			b = append(appendString(b, m.key), ':')
			b = appendValue(b, m.val)
		}
		return append(b, '}')
	}
	return append(b, "null"...)
}

func appendList(b []byte, n int, elem func([]byte, int) []byte) []byte {
	b = append(b, '[')
	for i := range n {
		if i > 0 {
			b = append(b, ',')
		}
		b = elem(b, i)
	}
	return append(b, ']')
}

func appendString(b []byte, s string) []byte {
	const hex = "0123456789ABCDEF"
	b = append(b, '"')
	for i := range len(s) {
		switch c := s[i]; {
		case c == '"' || c == '\\':
			b = append(b, '\\', c)
		case c == '\n':
			b = append(b, '\\', 'n')
		case c == '\r':
			b = append(b, '\\', 'r')
		case c == '\t':
			b = append(b, '\\', 't')
		case c == '\b':
			b = append(b, '\\', 'b')
		case c == '\f':
			b = append(b, '\\', 'f')
		case c < 0x20:
			b = append(b, '\\', 'u', '0', '0', hex[c>>4], hex[c&15])
		default:
			b = append(b, c)
		}
	}
	return append(b, '"')
}

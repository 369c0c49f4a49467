package chef

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"

	"chefsync/pkg/object/canonical"
)

// member is one key of a JSON object with its value as it was written.
type member struct {
	key   string
	value json.RawMessage
}

// members is a JSON object that keeps the order of keys and the text of values.
type members []member

// decodeMembers reads an object. Of a key that comes twice the last value is
// kept, in the place of the first.
func decodeMembers(b []byte) (m members, err error) {
	if err := checkJSON(b); err != nil {
		return nil, err
	}
	dec := json.NewDecoder(bytes.NewReader(b))
	if tok, err := dec.Token(); err != nil || tok != json.Delim('{') {
		return nil, errors.New("expected a JSON object")
	}
	at := map[json.Token]int{}
	for dec.More() {
		key, err := dec.Token()
		if err != nil {
			return nil, fmt.Errorf("read a JSON object: %w", err)
		}
		var value json.RawMessage
		if err := dec.Decode(&value); err != nil {
			return nil, fmt.Errorf("read a JSON object: %w", err)
		}
		if i, seen := at[key]; seen {
			m[i].value = value
			continue
		}
		at[key] = len(m)
		m = append(m, member{fmt.Sprint(key), value})
	}
	return m, nil
}

func (m members) getMember(key string) (json.RawMessage, bool) {
	for _, x := range m {
		if x.key == key {
			return x.value, true
		}
	}
	return nil, false
}

// getString returns the value of a key that holds a string.
func (m members) getString(key string) (string, bool) {
	raw, ok := m.getMember(key)
	if !ok {
		return "", false
	}
	var s *string
	if json.Unmarshal(raw, &s) != nil || s == nil {
		return "", false
	}
	return *s, true
}

func (m members) setMember(key string, value json.RawMessage) members {
	for i := range m {
		if m[i].key == key {
			m[i].value = value
			return m
		}
	}
	return append(m, member{key, value})
}

// filterKeys returns the members whose keys pass.
func (m members) filterKeys(pass func(key string) bool) members {
	var out members
	for _, x := range m {
		if pass(x.key) {
			out = append(out, x)
		}
	}
	return out
}

// encode writes the object in its order.
func (m members) encode() json.RawMessage {
	var b bytes.Buffer
	b.WriteByte('{')
	for i, x := range m {
		if i > 0 {
			b.WriteByte(',')
		}
		b.Write(encodeString(x.key))
		b.WriteByte(':')
		b.Write(x.value)
	}
	b.WriteByte('}')
	return b.Bytes()
}

// encodeArray writes raw values as an array.
func encodeArray(values []json.RawMessage) json.RawMessage {
	var b bytes.Buffer
	b.WriteByte('[')
	for i, v := range values {
		if i > 0 {
			b.WriteByte(',')
		}
		b.Write(v)
	}
	b.WriteByte(']')
	return b.Bytes()
}

// encodeString writes a JSON string without escaping <, > and &, which would
// grow bodies towards the server's limit (docs/chef-server-api.md §1.8).
func encodeString(s string) json.RawMessage { return canonical.AppendString(nil, s) }

package logstore

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
)

// Member is a member of a JSON object.
type Member struct {
	Key   string
	Value json.RawMessage
}

// NewMember returns a member with a value of text, numbers, or lists of them.
func NewMember(key string, value any) Member {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	_ = enc.Encode(value) // such values can't fail
	return Member{key, bytes.TrimSpace(b.Bytes())}
}

// DecodeMembers returns the members of a JSON object, in their order. What isn't valid JSON
// ends them.
func DecodeMembers(text []byte) (members []Member) {
	dec := json.NewDecoder(bytes.NewReader(text))
	if t, err := dec.Token(); err != nil || t != json.Delim('{') {
		return nil
	}
	for dec.More() {
		m := Member{}
		key, err := dec.Token()
		if err != nil || dec.Decode(&m.Value) != nil {
			return members
		}
		m.Key = fmt.Sprint(key)
		members = append(members, m)
	}
	return members
}

// EncodeMembers returns a JSON object with members in their order, nil without any.
func EncodeMembers(members []Member) json.RawMessage {
	if len(members) == 0 {
		return nil
	}
	parts := make([]string, len(members))
	for i, m := range members {
		parts[i] = string(NewMember("", m.Key).Value) + ":" + string(m.Value)
	}
	return json.RawMessage("{" + strings.Join(parts, ",") + "}")
}

// Attribute is one of the further attributes of a line. Values other than text are in JSON.
type Attribute struct{ Key, Value string }

// Attributes returns the further attributes of the line, in their order.
func (l Line) Attributes() (attrs []Attribute) {
	for _, m := range DecodeMembers(l.Attrs) {
		a := Attribute{m.Key, string(m.Value)}
		_ = json.Unmarshal(m.Value, &a.Value) // which only text does
		attrs = append(attrs, a)
	}
	return attrs
}

package logstore

import (
	"bytes"
	"encoding/json"
	"fmt"
)

// Attribute is one of the further attributes of a line. Values other than text are in JSON.
type Attribute struct{ Key, Value string }

// Attributes returns the further attributes of the line, in their order. What isn't valid
// JSON ends them.
func (l Line) Attributes() (attrs []Attribute) {
	dec := json.NewDecoder(bytes.NewReader(l.Attrs))
	dec.UseNumber()
	if t, err := dec.Token(); err != nil || t != json.Delim('{') {
		return nil
	}
	for dec.More() {
		key, err := dec.Token()
		if err != nil {
			return attrs
		}
		var value any
		if err := dec.Decode(&value); err != nil {
			return attrs
		}
		text, isText := value.(string)
		if !isText {
			b, _ := json.Marshal(value) // what was decoded encodes
			text = string(b)
		}
		attrs = append(attrs, Attribute{fmt.Sprint(key), text})
	}
	return attrs
}

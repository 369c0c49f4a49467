package replication

import (
	"bytes"
	"encoding/json"
	"maps"
	"reflect"
	"slices"
	"strings"
)

// NewerMembers are the members of a record that a newer version wrote and this one
// doesn't know, by name. States read them and write them back, so that a newer version
// that was rolled back finds them again; nobody else looks at them.
type NewerMembers map[string]json.RawMessage

// membersKeeper is a record that keeps the members that this version doesn't know.
type membersKeeper interface{ newerMembers() *NewerMembers }

func (p *Progress) newerMembers() *NewerMembers { return &p.Newer }
func (d *Desired) newerMembers() *NewerMembers  { return &d.Newer }

// DecodeRecord reads the JSON of a record into what into points to. Members that it
// doesn't know are no error: an older version reads the records of a newer one, as
// long as their version is the same (SchemaVersion). They are kept in a Progress and
// a Desired, or in what embeds one; in other records, and within others, they are as
// good as not written.
func DecodeRecord(record []byte, into any) error {
	if err := json.Unmarshal(record, into); err != nil {
		return err
	}
	k, ok := into.(membersKeeper)
	if !ok {
		return nil
	}
	var members NewerMembers
	if err := json.Unmarshal(record, &members); err != nil {
		return err
	}
	known := memberNames(reflect.TypeOf(into).Elem())
	maps.DeleteFunc(members, func(name string, _ json.RawMessage) bool { return known[strings.ToLower(name)] })
	if len(members) > 0 {
		*k.newerMembers() = members
	}
	return nil
}

// AppendNewer adds to the JSON of a record the members that it keeps for a newer
// version. Of is a pointer to the record.
func AppendNewer(record []byte, of any) ([]byte, error) {
	k, ok := of.(membersKeeper)
	if !ok || len(*k.newerMembers()) == 0 {
		return record, nil
	}
	out := bytes.TrimSuffix(record, []byte("}"))
	for _, name := range slices.Sorted(maps.Keys(*k.newerMembers())) {
		text, err := json.Marshal(name)
		if err != nil {
			return nil, err
		}
		if len(out) > 1 {
			out = append(out, ',')
		}
		out = append(append(append(out, text...), ':'), (*k.newerMembers())[name]...)
	}
	return append(out, '}'), nil
}

// memberNames are the names of the members of a struct's JSON, in lower case, as
// package json compares them.
func memberNames(t reflect.Type) map[string]bool {
	names := map[string]bool{}
	for _, f := range reflect.VisibleFields(t) {
		if f.Anonymous {
			continue // its fields are visible
		}
		name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		if name == "" {
			name = f.Name
		}
		names[strings.ToLower(name)] = true
	}
	return names
}

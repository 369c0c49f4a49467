package replication_test

import (
	"testing"

	"chefsync/pkg/replication"
)

// wire is a record as a state may store it.
type wire struct {
	replication.Progress
	Hold *struct {
		At int `json:"at"`
	} `json:"hold,omitempty"`
}

// TestMembersOfANewerVersionAreKept, of the record itself: those of a member go with it.
func TestMembersOfANewerVersionAreKept(t *testing.T) {
	for record, want := range map[string]string{
		`{}`:                                 `{"objects":0}`,
		`{"objects":3}`:                      `{"objects":3}`,
		`{"b":{"x": 1},"objects":3,"a":[1]}`: `{"objects":3,"a":[1],"b":{"x": 1}}`,
		`{"objects":3,"hold":{"at":1,"later":2},"progress":4}`: `{"objects":3,"hold":{"at":1},"progress":4}`,
		`{"OBJECTS":3,"a":null}`:                               `{"objects":3,"a":null}`,
	} {
		var w wire
		if err := replication.DecodeRecord([]byte(record), &w); err != nil {
			t.Errorf("%s: %v", record, err)
			continue
		}
		plain := `{"objects":0}`
		if w.Objects == 3 {
			plain = `{"objects":3}`
		}
		if w.Hold != nil {
			plain = `{"objects":3,"hold":{"at":1}}`
		}
		if got, err := replication.AppendNewer([]byte(plain), &w); err != nil || string(got) != want {
			t.Errorf("%s: written as %s, %v; want %s", record, got, err, want)
		}
	}
	for _, record := range []string{``, `{`, `{"objects":"3"}`, `[]`} {
		var w wire
		if err := replication.DecodeRecord([]byte(record), &w); err == nil {
			t.Errorf("%q was read", record)
		}
	}
}

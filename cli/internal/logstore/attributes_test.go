package logstore_test

import (
	"encoding/json"
	"testing"

	"github.com/google/go-cmp/cmp"

	"chefsync/cli/internal/logstore"
)

func TestAttributesKeepTheirOrderAndNumbers(t *testing.T) {
	line := logstore.Line{Attrs: json.RawMessage(`{"z":"text","a":9007199254740993,"yes":true,"none":null,"list":["x",1]}`)}
	want := []logstore.Attribute{{Key: "z", Value: "text"}, {Key: "a", Value: "9007199254740993"}, {Key: "yes", Value: "true"},
		{Key: "none", Value: "null"}, {Key: "list", Value: `["x",1]`}}
	if diff := cmp.Diff(want, line.Attributes()); diff != "" {
		t.Error(diff)
	}
	for _, odd := range []string{"", "null", "[1]", `"x"`, "{"} {
		if got := (logstore.Line{Attrs: json.RawMessage(odd)}).Attributes(); len(got) > 0 {
			t.Errorf("%q: %v", odd, got)
		}
	}
}

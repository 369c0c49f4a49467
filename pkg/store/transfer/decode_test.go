package transfer_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"chefsync/pkg/fault"
	"chefsync/pkg/replication"
	"chefsync/pkg/store"
	"chefsync/pkg/store/kvtest"
	"chefsync/pkg/store/transfer"
)

func TestWhatADocumentMustNotSay(t *testing.T) {
	good := encodeDocument(t, transfer.Document{Format: transfer.Format, Version: transfer.Version, Exported: noon(),
		Pairs: []transfer.Pair{knownPair(1)}})
	for name, c := range map[string]struct{ from, to, says, hint string }{
		"a newer version":        {`"version": 1`, `"version": 2`, "has version 2, this program knows 1", "newer chef-sync-ctl"},
		"no version":             {`"version": 1`, `"version": 0`, "no version 0", "state export"},
		"another format":         {`"format": "chef-sync-state"`, `"format": "else"`, `format is "else"`, "state export"},
		"an unknown field":       {`"exported":`, `"invented": 1, "exported":`, "invented", "that wrote it"},
		"an unknown field below": {`"attempts":`, `"invented": 1, "attempts":`, "invented", "that wrote it"},
		"half of it":             {`"inventory": {`, ``, "not one JSON object", "cut off"},
		"a path of nothing":      {`"/roles/r0"`, `"/nodes/r0"`, "/nodes/r0", ""},
		"a listing as an object": {`"/roles/r0": "fingerprint 0"`, `"/roles": "x"`, "can't be in an inventory", ""},
		"no fingerprint":         {`"fingerprint 0"`, `""`, "can't be in an inventory", ""},
		"no pair":                {`"pair": "eu/engineering",`, ``, "has no name", ""},
		"a pair of no replica":   {`"pair": "eu/engineering"`, `"pair": "engineering"`, "is not a pair", ""},
		"an object twice":        {`"object": "/cookbooks"`, `"object": "/roles/r1"`, "listed twice", ""},
	} {
		text := strings.Replace(good, c.from, c.to, 1)
		if text == good {
			t.Fatalf("%s: %s isn't in the document:\n%s", name, c.from, good)
		}
		_, err := transfer.Decode(strings.NewReader(text))
		if err == nil || !strings.Contains(err.Error(), c.says) || fault.HintOf(err) == "" || !strings.Contains(fault.HintOf(err), c.hint) {
			t.Errorf("%s: %v (%s); want it to say %q (%q)", name, err, fault.HintOf(err), c.says, c.hint)
		}
	}
	for _, text := range []string{"", "null", "[]", "{}", good + "{}", good[:len(good)/2]} {
		if _, err := transfer.Decode(strings.NewReader(text)); err == nil {
			t.Errorf("%.20q was read", text)
		}
	}
	twice := encodeDocument(t, transfer.Document{Format: transfer.Format, Version: transfer.Version,
		Pairs: []transfer.Pair{knownPair(1), knownPair(2)}})
	if _, err := transfer.Decode(strings.NewReader(twice)); err == nil || !strings.Contains(err.Error(), "twice") {
		t.Errorf("a pair twice: %v", err)
	}
}

// Whatever can be decoded can be imported and exported again, and says the same.
func FuzzDecode(f *testing.F) {
	f.Add(encodeDocument(f, transfer.Document{Format: transfer.Format, Version: transfer.Version, Exported: noon(),
		Pairs: []transfer.Pair{knownPair(3)}}))
	f.Add(`{"format":"chef-sync-state","version":1,"exported":"2026-01-02T12:00:00Z",` +
		`"pairs":[{"pair":"a/b","desired":{},"progress":{"objects":0},` +
		`"inventory":{"/data/a/..":"x"},"unsynced":[{"object":"/roles"}]}]}`)
	f.Fuzz(func(t *testing.T, text string) {
		d, err := transfer.Decode(strings.NewReader(text))
		if err != nil {
			return
		}
		again, err := transfer.Decode(strings.NewReader(encodeDocument(t, d)))
		if err != nil {
			t.Fatalf("what was written can't be read: %v", err)
		}
		if diff := cmp.Diff(encodeDocument(t, d), encodeDocument(t, again)); diff != "" {
			t.Fatal(diff)
		}
		s := store.New(&kvtest.Memory{})
		for _, p := range d.Pairs {
			if _, err := transfer.Import(t.Context(), s, p, importOptions()); err != nil {
				t.Fatalf("%v\n%s", err, text)
			}
			back, err := transfer.Export(t.Context(), s, []replication.PairID{p.ID}, noon())
			if err != nil {
				t.Fatal(err)
			}
			if r, err := transfer.Import(t.Context(), s, back.Pairs[0], importOptions()); err != nil || r.Outcome != transfer.Unchanged {
				t.Fatalf("%+v, %v", r, err)
			}
		}
	})
}

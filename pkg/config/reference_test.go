package config

import (
	"strings"
	"testing"
)

func TestReferenceHasEveryKey(t *testing.T) {
	tables, err := Reference()
	if err != nil {
		t.Fatal(err)
	}
	known := map[string]Key{}
	for _, table := range tables {
		for _, k := range table.Keys {
			known[joinKey(tablePath(table.Header), k.Name)] = k
			if k.Type == "" || k.About == "" {
				t.Errorf("%s %s: type %q, meaning %q", table.Header, k.Name, k.Type, k.About)
			}
		}
	}
	for at := range templateForms() {
		if _, ok := known[at]; !ok {
			t.Errorf("%s is missing", at)
		}
	}
	for _, s := range mustParse(t, Loader{}, Template()).Effective() {
		if _, ok := known[s.Key]; !ok {
			t.Errorf("config show has %s, the reference lacks it", s.Key)
		}
	}
	for at, want := range map[string]Key{
		"primary.connections": {Type: "integer from 1 to 256", Default: "10", Env: "CHEF_SYNC_PRIMARY_CONNECTIONS"},
		"replica[0].ca":       {Type: "reference"},
		"primary.url":         {Type: "URL", Required: true, Env: "CHEF_SYNC_PRIMARY_URL"},
		"journal.keys.NAME":   {Type: "reference"},
		"aws.tags.NAME":       {Type: "string"},
		"aws.timeout":         {Type: "duration", Default: `"10m"`},
	} {
		got := known[at]
		if got.Type != want.Type || got.Default != want.Default || got.Required != want.Required || got.Env != want.Env {
			t.Errorf("%s: %+v, want %+v", at, got, want)
		}
	}
	if _, ok := known["journal.keys.ec_sync_user"]; ok {
		t.Error("the name of a reader is shown as a key")
	}
	if len(tables) < 12 || !strings.HasPrefix(tables[0].About, "The server") {
		t.Errorf("%d tables, the first about %q", len(tables), tables[0].About)
	}
}

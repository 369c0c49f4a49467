package config

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

func TestEveryKeyOfTheChangeLog(t *testing.T) {
	c := mustParse(t, Loader{}, strings.Replace(minimalConfig, "[[replica]]",
		"feed_url = \"HTTP://Changes.example.com:9996/\"\n[[replica]]", 1)+`
[journal]
scan_every = "5m"
rotation = "12h"
keep = "7d"
listen = ":9996"
token = "env:TOKEN"
tls_cert = "tls/crt.pem"
tls_key = "/etc/tls.key"
readers = ["bob", "ec_sync_user"]
[journal.keys]
bob = "file:bob.pub"
"node.example.com" = "env:NODE"
`)
	want := ChangeLog{ScanEvery: 5 * time.Minute, Rotation: 12 * time.Hour, Keep: 7 * 24 * time.Hour, Listen: ":9996",
		Token:   KeyRef{Scheme: "env", Name: "TOKEN"},
		TLSCert: "/etc/chef-sync/tls/crt.pem", TLSKey: "/etc/tls.key", Readers: []string{"bob", "ec_sync_user"},
		Keys: map[string]KeyRef{"bob": {Scheme: "file", Name: "/etc/chef-sync/bob.pub"}, "node.example.com": {Scheme: "env", Name: "NODE"}}}
	if diff := cmp.Diff(want, c.ChangeLog, cmpopts.IgnoreUnexported(KeyRef{})); diff != "" {
		t.Error(diff)
	}
	if c.FeedURL != "http://changes.example.com:9996" {
		t.Errorf("feed_url %q", c.FeedURL)
	}
	shown := map[string]string{}
	for _, s := range c.Effective() {
		shown[s.Key] = s.Value
	}
	for key, value := range map[string]string{"journal.token": "env:TOKEN", "journal.keys.bob": "file:/etc/chef-sync/bob.pub",
		"journal.scan_every": "5m", "primary.feed_url": "http://changes.example.com:9996"} {
		if shown[key] != value {
			t.Errorf("%s is shown as %q, want %q", key, shown[key], value)
		}
	}
}

func TestProblemsOfTheChangeLog(t *testing.T) {
	for name, c := range map[string]struct{ text, says string }{
		"no port":               {`listen = "chef"`, "isn't an address to listen on"},
		"half of TLS":           {`tls_key = "k.pem"`, "journal.tls_key: has no effect without tls_cert; write tls_cert too"},
		"the token itself":      {`token = "s3cret"`, "journal.token: not a reference"},
		"a key itself":          {"[journal.keys]\nbob = \"-----BEGIN PUBLIC KEY-----\"", "journal.keys.bob: the key itself doesn't belong here"},
		"kept for no time":      {`keep = "1m"`, "too short: at least 1h"},
		"never scanned":         {`scan_every = "0"`, "too short"},
		"another's word":        {`retention = "1d"`, "it is called keep here"},
		"a feed that is no use": {"[log]\n", ""},
	} {
		text := minimalConfig + "[journal]\n" + c.text
		if c.says == "" {
			text = strings.Replace(minimalConfig, "[[replica]]", "feed = \"journal\"\nfeed_url = \"https://x\"\n[[replica]]", 1)
			c.says = `primary.feed_url: has no meaning with feed = "journal"`
		}
		_, err := Loader{}.Parse("f", []byte(text))
		if err == nil || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: %v, want %q", name, err, c.says)
		}
		if err != nil && strings.Contains(err.Error(), "s3cret") {
			t.Errorf("%s: the secret is shown: %v", name, err)
		}
	}
}

func TestWarningsOfTheChangeLog(t *testing.T) {
	for text, want := range map[string]string{
		`listen = ":9996"`:                                     "unencrypted",
		`listen = "chef.example.com:9996"`:                     "unencrypted",
		"listen = \":1\"\ntls_cert = \"/c\"\ntls_key = \"/k\"": "",
		`listen = "127.0.0.1:9996"`:                            "",
		`listen = "[::1]:9996"`:                                "",
		"listen = \"localhost:1\"\n[primary]":                  "journal.listen has no effect",
	} {
		text, feed := strings.TrimSuffix(text, "\n[primary]"), "auto"
		if strings.Contains(want, "no effect") {
			feed = "updated_since"
		}
		c := mustParse(t, Loader{}, strings.Replace(minimalConfig, "[[replica]]", "feed = \""+feed+"\"\n[[replica]]", 1)+"[journal]\n"+text)
		got := strings.Join(c.Warnings(), "\n")
		if want == "" && got != "" || !strings.Contains(got, want) {
			t.Errorf("%s: warnings %q, want %q", text, got, want)
		}
	}
}

package chef

import (
	"bytes"
	"context"
	"crypto/md5"
	"encoding/hex"
	"log/slog"
	"net/http"
	"strings"
	"testing"
	"time"
)

// withTenant adds headers of the configuration, one of which a request sets itself.
func withTenant(c *Config) {
	c.Header = http.Header{"Tenant-Id": {"tenant-1"}, "X-Ops-Userid": {"somebody"}}
}

func TestHeadersAreSentWithEveryRequestOfTheServer(t *testing.T) {
	s := answerAlways(erchefAnswer(200, `{}`))
	var log bytes.Buffer
	c := newTestClient(t, s, withTenant, func(c *Config) {
		c.Log = slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	})
	ctx := context.Background()
	if _, err := c.Org("acme").Do(ctx, "GET", "/roles", nil); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Org("acme").Do(ctx, "PUT", "/roles/web", []byte(`{}`)); err != nil {
		t.Fatal(err)
	}
	if e := c.ping(ctx); e != nil {
		t.Fatal(e)
	}
	if len(s.sent) < 3 {
		t.Fatalf("only %d requests", len(s.sent))
	}
	for _, x := range s.sent {
		if x.header.Get("Tenant-Id") != "tenant-1" || x.header.Get("X-Ops-UserId") != "chef-sync" {
			t.Errorf("%s %s: headers %v", x.method, x.uri, x.header)
		}
	}
	if !strings.Contains(log.String(), "chef request") || strings.Contains(log.String(), "tenant-1") {
		t.Errorf("log: %s", &log)
	}
}

// The signature stays valid without the header: it isn't among what is signed.
func TestHeadersAreNotSigned(t *testing.T) {
	now := time.Date(2026, 1, 1, 12, 0, 0, 0, time.UTC)
	sign := func(change ...func(*Config)) string {
		s := answerAlways(erchefAnswer(200, `{}`))
		change = append(change, func(c *Config) { c.Now = func() time.Time { return now } })
		if _, err := newTestClient(t, s, change...).Org("acme").Do(context.Background(), "GET", "/roles", nil); err != nil {
			t.Fatal(err)
		}
		return s.sent[0].header.Get("X-Ops-Authorization-1")
	}
	if with, without := sign(withTenant), sign(); with != without || with == "" {
		t.Errorf("signatures %q and %q", with, without)
	}
}

func TestHeadersAreSentWithFilesOfTheServerOnly(t *testing.T) {
	for url, want := range map[string]string{
		"https://chef.example.com/bookshelf/a?x=1":     "tenant-1",
		"https://chef.example.com:443/bookshelf/a?x=1": "tenant-1",
		"https://chef.example.com:8443/bookshelf/a":    "",
		"http://chef.example.com/bookshelf/a":          "",
		"https://files.example.com/bucket/a":           "",
	} {
		s := answerInOrder(cannedAnswer{status: 200, body: "abc"})
		c := newTestClient(t, s, withTenant, func(c *Config) { c.FileHosts = []string{"files.example.com"} })
		r, _, err := c.OpenFile(context.Background(), url)
		if err != nil {
			t.Fatal(err)
		}
		_ = r.Close()
		sum := md5.Sum([]byte("abc"))
		if err := c.UploadFile(context.Background(), url, hex.EncodeToString(sum[:]), contentOf("abc")); err != nil {
			t.Fatal(err)
		}
		for _, x := range s.sent {
			if got := x.header.Get("Tenant-Id"); got != want {
				t.Errorf("%s %s: Tenant-Id %q, want %q", x.method, url, got, want)
			}
		}
	}
}

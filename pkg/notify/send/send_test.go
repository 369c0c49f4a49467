package send_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"chefsync/pkg/notify"
	"chefsync/pkg/notify/send"
)

func message() notify.Message {
	return notify.Message{Version: 1, ID: "1", Source: "chef-sync", Instance: "vm", Event: "held", State: notify.StateFiring,
		Time: time.Date(2026, 11, 30, 12, 0, 0, 0, time.UTC), Title: "eu/acme is held", Text: "9 <deletions> & more", PairCount: 1,
		Items: []notify.Item{{Pair: "eu/acme", Status: "held", Reason: "9 <deletions> & more"}}}
}

// receiver is an HTTP server that keeps the last body and answers with a status.
type receiver struct {
	*httptest.Server
	status int
	body   []byte
	method string
}

func newReceiver(t *testing.T) *receiver {
	r := &receiver{status: 200}
	r.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		r.body, _ = io.ReadAll(q.Body)
		r.method = q.Method
		w.Header().Set("Location", q.URL.String())
		w.WriteHeader(r.status)
		_, _ = io.WriteString(w, q.URL.String())
	}))
	t.Cleanup(r.Close)
	return r
}

func resolve(text string) send.Resolve {
	return func(context.Context) (*url.URL, error) { return url.Parse(text) }
}

func TestJSONIsTheMessage(t *testing.T) {
	r := newReceiver(t)
	if err := send.JSON(send.NewClient(), resolve(r.URL+"/s3cret"))(t.Context(), message()); err != nil {
		t.Fatal(err)
	}
	want := `{"version":1,"id":"1","source":"chef-sync","instance":"vm","event":"held","state":"firing","time":"2026-11-30T12:00:00Z",` +
		`"title":"eu/acme is held","text":"9 \u003cdeletions\u003e \u0026 more","pair_count":1,` +
		`"items":[{"pair":"eu/acme","status":"held","reason":"9 \u003cdeletions\u003e \u0026 more"}]}`
	if string(r.body) != want || r.method != http.MethodPost {
		t.Errorf("%s %s\nwant\n%s", r.method, r.body, want)
	}
}

func TestSlackGetsTitleAndText(t *testing.T) {
	r := newReceiver(t)
	for state, color := range map[string]string{notify.StateFiring: "danger", notify.StateResolved: "good"} {
		m := message()
		m.State, m.Text = state, m.Text+strings.Repeat("ä", 3000)
		if err := send.Slack(send.NewClient(), resolve(r.URL))(t.Context(), m); err != nil {
			t.Fatal(err)
		}
		var got struct {
			Text        string
			Attachments []struct{ Color, Text string }
		}
		if err := json.Unmarshal(r.body, &got); err != nil {
			t.Fatal(err)
		}
		if got.Text != "*eu/acme is held* (chef-sync on vm)" || len(got.Attachments) != 1 || got.Attachments[0].Color != color ||
			!strings.HasPrefix(got.Attachments[0].Text, "9 &lt;deletions&gt; &amp; more") || len(got.Attachments[0].Text) > 3100 {
			t.Errorf("%s", r.body)
		}
	}
}

func TestPing(t *testing.T) {
	r := newReceiver(t)
	if err := send.Ping(t.Context(), send.NewClient(), resolve(r.URL)); err != nil || r.method != http.MethodGet {
		t.Errorf("%s, %v", r.method, err)
	}
}

// TestErrorsDoNotShowTheURL, whatever goes wrong.
func TestErrorsDoNotShowTheURL(t *testing.T) {
	r := newReceiver(t)
	closed := httptest.NewServer(http.NotFoundHandler())
	closed.Close()
	tls := httptest.NewTLSServer(http.NotFoundHandler())
	defer tls.Close()
	tls.Config.ErrorLog = nil
	for name, c := range map[string]struct {
		url    string
		status int
		says   string
	}{
		"refused":      {closed.URL + "/s3cret?token=s3cret", 0, "connection refused"},
		"no such host": {"http://nowhere.invalid/s3cret", 0, "nowhere.invalid: "},
		"not found":    {r.URL + "/s3cret", 404, ": status 404 Not Found"},
		"broken":       {r.URL + "/s3cret", 500, ": status 500 Internal Server Error"},
		"redirected":   {r.URL + "/s3cret", 307, "it redirects (307)"},
		"a user":       {strings.Replace(closed.URL, "//", "//me:s3cret@", 1), 0, "connection refused"},
		"not trusted":  {tls.URL + "/s3cret", 0, "certificate"},
	} {
		r.status = c.status
		for _, err := range []error{
			send.JSON(send.NewClient(), resolve(c.url))(t.Context(), message()),
			send.Ping(t.Context(), send.NewClient(), resolve(c.url)),
		} {
			if err == nil || !strings.Contains(err.Error(), c.says) || strings.Contains(err.Error(), "s3cret") {
				t.Errorf("%s: %v, want %q and no secret", name, err, c.says)
			}
		}
	}
	failing := errors.New("read env:HOOK: the environment variable isn't set")
	err := send.JSON(send.NewClient(), func(context.Context) (*url.URL, error) { return nil, failing })(t.Context(), message())
	if !errors.Is(err, failing) {
		t.Errorf("a URL that can't be read: %v", err)
	}
}

// script writes a program for the shell.
func script(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "page")
	if err := os.WriteFile(path, []byte("#!/bin/sh\n"+text), 0o755); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestAProgramReadsTheMessage(t *testing.T) {
	got := filepath.Join(t.TempDir(), "got")
	c := send.Command{Args: []string{script(t, `cat > "$1"`), got}, Timeout: time.Minute}
	if err := c.Send(t.Context(), message()); err != nil {
		t.Fatal(err)
	}
	data, err := os.ReadFile(got)
	var m notify.Message
	if err != nil || json.Unmarshal(data, &m) != nil || m.Title != "eu/acme is held" || m.Items[0].Pair != "eu/acme" {
		t.Errorf("%s, %v", data, err)
	}
}

func TestAProgramThatFails(t *testing.T) {
	var output bytes.Buffer
	for _, c := range []struct {
		text, says string
		timeout    time.Duration
	}{
		{"echo s3cret >&2; exit 3", "run page: exit status 3", time.Minute},
		{"sleep 1000 & sleep 1000", "run page: not finished after 100ms", 100 * time.Millisecond},
	} {
		err := send.Command{Args: []string{script(t, c.text)}, Timeout: c.timeout, Output: &output}.Send(t.Context(), message())
		if err == nil || err.Error() != c.says {
			t.Errorf("%v, want %q", err, c.says)
		}
	}
	if output.String() != "s3cret\n" {
		t.Errorf("output %q", output.String())
	}
	err := send.Command{Args: []string{"/nowhere/page"}, Timeout: time.Minute}.Send(t.Context(), message())
	if err == nil || !strings.HasPrefix(err.Error(), "run page: ") || !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a program that isn't there: %v", err)
	}
}

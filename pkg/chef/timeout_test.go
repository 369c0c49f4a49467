package chef

import (
	"bufio"
	"context"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// newPipeClient makes a client whose connections are served by serve, without a network.
func newPipeClient(t *testing.T, url string, serve func(net.Conn), change ...func(*Config)) *Client {
	t.Helper()
	cfg := Config{URL: url, Concurrency: 1, ConnectTimeout: 5 * time.Second}
	transport, err := newTransport(cfg, &fileHosts{})
	if err != nil {
		t.Fatal(err)
	}
	transport.Proxy = nil
	transport.DialContext = func(context.Context, string, string) (net.Conn, error) {
		ours, theirs := net.Pipe()
		go serve(theirs)
		return ours, nil
	}
	t.Cleanup(transport.CloseIdleConnections)
	return newTestClient(t, transport, append(change, singleAttempt, func(c *Config) { c.URL = url })...)
}

// afterRequest reads a request before it serves: a client drops a connection that
// answers what wasn't asked.
func afterRequest(t *testing.T, serve func(net.Conn)) func(net.Conn) {
	return func(c net.Conn) {
		if _, err := http.ReadRequest(bufio.NewReader(c)); err != nil {
			t.Error(err)
			return
		}
		serve(c)
	}
}

// blackHole takes all that is sent and never answers.
func blackHole(c net.Conn) { _, _ = io.Copy(io.Discard, c) }

func TestRequestToASilentServerEnds(t *testing.T) {
	for name, c := range map[string]struct {
		url, says string
		after     time.Duration
	}{
		"no TLS handshake": {"https://chef.example.com", "no TLS handshake within 5s", 5 * time.Second},
		"no answer":        {"http://chef.example.com", "no data for 30s", 30 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				start := time.Now()
				e := wantKind(t, getPath(newPipeClient(t, c.url, blackHole), "/roles"), KindUnreachable)
				if took := time.Since(start); took != c.after || e.Message != c.says {
					t.Errorf("%q after %v, want %q after %v", e.Message, took, c.says, c.after)
				}
			})
		})
	}
}

func TestRequestMayTakeLongWhileItMakesProgress(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		err := getPath(newPipeClient(t, "http://chef.example.com", afterRequest(t, func(c net.Conn) {
			_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\nX-Ops-Server-API-Version: "+erchefVersions+"\r\nContent-Length: 12\r\n\r\n")
			for range 12 {
				time.Sleep(20 * time.Second)
				_, _ = io.WriteString(c, "1")
			}
		})), "/roles")
		if err != nil || time.Since(start) != 4*time.Minute {
			t.Errorf("%v after %v, want an answer after 4m", err, time.Since(start))
		}
	})
}

func TestStalledAnswerEndsTheRequest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		err := getPath(newPipeClient(t, "http://chef.example.com", afterRequest(t, func(c net.Conn) {
			_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 12\r\n\r\n{")
		})), "/roles")
		if wantKind(t, err, KindUnreachable); time.Since(start) != 30*time.Second {
			t.Errorf("%v after %v, want 30s", err, time.Since(start))
		}
	})
}

// A server may look in its store for each file of a sandbox, and reads the whole
// manifest of a cookbook version, before it answers.
func TestExpensiveRequestsMayTakeLonger(t *testing.T) {
	for _, c := range []struct {
		method, path string
		want         time.Duration
	}{
		{"GET", "/roles/web", 30 * time.Second},
		{"GET", "/cookbooks/app/1.0.0", 30 * time.Second},
		{"PUT", "/roles/web", 30 * time.Second},
		{"PUT", "/cookbooks/app/1.0.0", 2 * time.Minute},
		{"PUT", "/cookbook_artifacts/app/abc", 2 * time.Minute},
		{"PUT", "/sandboxes/abc", 2 * time.Minute},
		{"POST", "/sandboxes", 2 * time.Minute},
	} {
		synctest.Test(t, func(t *testing.T) {
			f := &flakyTransport{}
			client := newTestClient(t, f, singleAttempt)
			if err := getPath(client, "/roles"); err != nil {
				t.Fatal(err)
			}
			f.setBehaviour(nil, anyPath)
			start := time.Now()
			_, err := client.Org("acme").Do(t.Context(), c.method, c.path, []byte(`{}`))
			if wantKind(t, err, KindUnreachable); time.Since(start) != c.want {
				t.Errorf("%s %s: %v after %v, want %v", c.method, c.path, err, time.Since(start), c.want)
			}
		})
	}
}

func TestABodyIsSentAgainOnAnotherConnection(t *testing.T) {
	req, err := http.NewRequest(http.MethodPut, "http://chef.example.com", strings.NewReader("{}"))
	if err != nil {
		t.Fatal(err)
	}
	_, w := newStallTimer(t.Context(), time.Hour)
	defer w.stop()
	w.watchRequestBody(req)
	for range 2 {
		body, err := req.GetBody()
		if err != nil {
			t.Fatal(err)
		}
		if text, err := io.ReadAll(body); err != nil || string(text) != "{}" {
			t.Errorf("body %q, %v", text, err)
		}
	}
}

// TestSlowContentIsNotTheServersFault: it may come from the primary while it is uploaded to a
// replica.
func TestSlowContentIsNotTheServersFault(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client := newPipeClient(t, "http://chef.example.com", func(c net.Conn) {
			r, err := http.ReadRequest(bufio.NewReader(c))
			if err != nil {
				t.Error(err)
				return
			}
			if body, err := io.ReadAll(r.Body); err != nil || string(body) != "abc" {
				t.Errorf("body %q, %v", body, err)
			}
			_, _ = io.WriteString(c, "HTTP/1.1 204 No Content\r\n\r\n")
		})
		content := io.MultiReader(strings.NewReader("a"), pauseReader{}, strings.NewReader("bc"))
		err := client.UploadFile(t.Context(), "http://chef.example.com/file", "900150983cd24fb0d6963f7d28e17f72",
			func() (io.ReadCloser, int64, error) { return io.NopCloser(content), 3, nil })
		if err != nil {
			t.Error(err)
		}
	})
}

// TestSlowReaderOfADownloadIsNotTheServersFault: it may upload what it reads to a replica.
func TestSlowReaderOfADownloadIsNotTheServersFault(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client := newPipeClient(t, "http://chef.example.com", afterRequest(t, func(c net.Conn) {
			_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n"+strings.Repeat("a", 100_000))
		}))
		content, _, err := client.OpenFile(t.Context(), "http://chef.example.com/file")
		if err != nil {
			t.Fatal(err)
		}
		defer content.Close()
		for range 2 {
			time.Sleep(5 * time.Minute)
			if _, err := io.CopyN(io.Discard, content, 50_000); err != nil {
				t.Fatal(err)
			}
		}
	})
}

// pauseReader has nothing, after five minutes.
type pauseReader struct{}

func (pauseReader) Read([]byte) (int, error) {
	time.Sleep(5 * time.Minute)
	return 0, io.EOF
}

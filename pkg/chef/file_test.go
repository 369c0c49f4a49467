package chef

import (
	"bytes"
	"context"
	"crypto/md5"
	"encoding/hex"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

const fileURL = "https://chef.example.com:8443/bookshelf/organization-0/checksum-1?X-Amz-Signature=secret%2F%7e&b=a%20b&a=1+2"

func TestDownloadsSendThePresignedURLUnchangedWithoutChefHeaders(t *testing.T) {
	s := answerInOrder(cannedAnswer{status: 200, body: "content"})
	r, size, err := newTestClient(t, s).OpenFile(context.Background(), fileURL)
	if err != nil {
		t.Fatal(err)
	}
	got, err := io.ReadAll(r)
	if err != nil || r.Close() != nil || string(got) != "content" || size != 7 {
		t.Errorf("content %q, size %d, error %v", got, size, err)
	}
	x := s.sent[0]
	if want := strings.TrimPrefix(fileURL, "https://chef.example.com:8443"); x.uri != want {
		t.Errorf("sent %s, want %s", x.uri, want)
	}
	for k := range x.header {
		if strings.HasPrefix(k, "X-") {
			t.Errorf("the header %s went to the file store", k)
		}
	}
	if x.header.Get("Accept") != "*/*" || x.header.Get("Accept-Encoding") != "identity" {
		t.Errorf("headers %v", x.header)
	}
}

func TestDownloadErrorsAreClassified(t *testing.T) {
	for name, c := range map[string]struct {
		answer   cannedAnswer
		want     Kind
		attempts int
	}{
		"expired": {cannedAnswer{status: 403, body: `<Error><Code>AccessDenied</Code><Message>Request has expired</Message></Error>`},
			KindExpired, 1},
		"lost":     {cannedAnswer{status: 404, body: `<Error><Code>NoSuchKey</Code></Error>`}, KindAbsent, 1},
		"busy":     {cannedAnswer{status: 503}, KindUnavailable, 3},
		"redirect": {cannedAnswer{status: 302}, KindForeign, 1},
		"network":  {cannedAnswer{err: io.EOF}, KindUnreachable, 3},
	} {
		s := answerInOrder(c.answer)
		_, _, err := newTestClient(t, s).OpenFile(context.Background(), fileURL)
		wantKind(t, err, c.want)
		if len(s.sent) != c.attempts || strings.Contains(err.Error(), "secret") {
			t.Errorf("%s: %d attempts, want %d; error %v", name, len(s.sent), c.attempts, err)
		}
	}
	for _, bad := range []string{"", "/bookshelf/x", "file:///etc/passwd", "https://"} {
		_, _, err := newTestClient(t, answerInOrder()).OpenFile(context.Background(), bad)
		wantKind(t, err, KindRequest)
	}
}

// TestRedirectOfAFileURL: a server behind a proxy that doesn't pass on the scheme gives out
// http:// (docs/chef-server-api.md §3.4), and its front end redirects that.
func TestRedirectOfAFileURL(t *testing.T) {
	s := answerInOrder(cannedAnswer{status: 301, header: map[string]string{"Location": "https://chef.example.com/bookshelf/x?secret=1"}})
	_, _, err := newTestClient(t, s).OpenFile(context.Background(), "http://chef.example.com/bookshelf/x?secret=1")
	e := wantKind(t, err, KindForeign)
	if e.Message != "a redirect to https://chef.example.com/bookshelf/x" || !strings.Contains(e.Hint, "X-Forwarded-Proto") {
		t.Errorf("message %q, hint %q", e.Message, e.Hint)
	}
}

func TestDownloadsAreNotDecompressed(t *testing.T) {
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Encoding", "gzip")
		_, _ = w.Write([]byte("\x1f\x8bstored"))
	}))
	defer srv.Close()
	r, _, err := newTestClient(t, nil, func(c *Config) { c.URL = srv.URL }).OpenFile(context.Background(), srv.URL+"/f")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = r.Close() }()
	if got, err := io.ReadAll(r); err != nil || string(got) != "\x1f\x8bstored" {
		t.Errorf("content %q, error %v", got, err)
	}
}

// stalledTransport gives one piece of content and then nothing until the request ends.
type stalledTransport struct{}

func (stalledTransport) RoundTrip(r *http.Request) (*http.Response, error) {
	pr, pw := io.Pipe()
	go func() {
		_, _ = pw.Write([]byte("begin"))
		<-r.Context().Done()
		_ = pw.CloseWithError(r.Context().Err())
	}()
	return &http.Response{StatusCode: 200, Header: http.Header{}, Body: pr, ContentLength: 100, Request: r}, nil
}

func TestStalledDownloadEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, _, err := newTestClient(t, stalledTransport{}).OpenFile(context.Background(), fileURL)
		if err != nil {
			t.Fatal(err)
		}
		start := time.Now()
		_, err = io.ReadAll(r)
		e := wantKind(t, err, KindUnreachable)
		if time.Since(start) != 90*time.Second || errors.Is(err, context.Canceled) || e.Message != "no data for 1m30s" {
			t.Errorf("error %v after %v", err, time.Since(start))
		}
		if err := r.Close(); err != nil {
			t.Error(err)
		}
	})
}

func TestUploadsHaveExactlyTheSignedHeaders(t *testing.T) {
	var seen *http.Request
	var body []byte
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		seen = r
		body, _ = io.ReadAll(r.Body)
		w.WriteHeader(http.StatusNoContent)
	}))
	defer srv.Close()
	c := newTestClient(t, nil, func(c *Config) { c.URL = srv.URL })
	for _, content := range []string{"abc", ""} {
		sum := md5.Sum([]byte(content))
		err := c.UploadFile(context.Background(), srv.URL+"/b/checksum?X-Amz-Signature=a%2Fb", hex.EncodeToString(sum[:]),
			contentOf(content))
		if err != nil {
			t.Fatal(err)
		}
		want := map[string]string{"Content-Type": "application/x-binary",
			"Content-Md5": map[string]string{"abc": "kAFQmDzST7DWlj99KOF/cg==", "": "1B2M2Y8AsgTpgAmY7PhCfg=="}[content]}
		for k, v := range want {
			if seen.Header.Get(k) != v {
				t.Errorf("%q: %s is %q, want %q", content, k, seen.Header.Get(k), v)
			}
		}
		if string(body) != content || seen.ContentLength != int64(len(content)) || len(seen.TransferEncoding) > 0 ||
			seen.RequestURI != "/b/checksum?X-Amz-Signature=a%2Fb" {
			t.Errorf("body %q, length %d, encoding %v, path %s", body, seen.ContentLength, seen.TransferEncoding, seen.RequestURI)
		}
		for k := range seen.Header {
			if strings.HasPrefix(k, "X-") {
				t.Errorf("the header %s went to the file store", k)
			}
		}
	}
}

func TestUploadsOpenTheContentForEachAttempt(t *testing.T) {
	s := answerInOrder(cannedAnswer{status: 500}, cannedAnswer{err: io.EOF}, cannedAnswer{status: 202})
	opened := 0
	err := newTestClient(t, s).UploadFile(context.Background(), fileURL, "900150983cd24fb0d6963f7d28e17f72",
		func() (io.ReadCloser, int64, error) {
			opened++
			return contentOf("abc")()
		})
	if err != nil || opened != 3 || s.sent[2].body != "abc" {
		t.Errorf("error %v, opened %d times, last body %q", err, opened, s.sent[2].body)
	}
}

func TestUploadErrorsOfTheContentAreReturnedAsTheyAre(t *testing.T) {
	broken := errors.New("disk broken")
	sum := "900150983cd24fb0d6963f7d28e17f72"
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { _, _ = io.Copy(io.Discard, r.Body) }))
	defer srv.Close()
	c := newTestClient(t, nil, func(c *Config) { c.URL = srv.URL })
	for name, open := range map[string]func() (io.ReadCloser, int64, error){
		"open": func() (io.ReadCloser, int64, error) { return nil, 0, broken },
		"read": func() (io.ReadCloser, int64, error) {
			return io.NopCloser(io.MultiReader(strings.NewReader("a"), failingReader{broken})), 3, nil
		},
	} {
		err := c.UploadFile(context.Background(), srv.URL, sum, open)
		if !errors.Is(err, broken) || KindOf(err) != "" {
			t.Errorf("%s: error %v, want the content's own", name, err)
		}
	}
	unknown := contentOfSize("abc", -1)
	if err := c.UploadFile(context.Background(), srv.URL, sum, unknown); err == nil || KindOf(err) != "" {
		t.Errorf("a size that isn't known: error %v", err)
	}
	for _, content := range []string{"ab", "abcd"} {
		err := c.UploadFile(context.Background(), srv.URL, sum, contentOfSize(content, 3))
		if !errors.Is(err, errWrongSize) {
			t.Errorf("%q with size 3: error %v", content, err)
		}
	}
}

type failingReader struct{ err error }

func (f failingReader) Read([]byte) (int, error) { return 0, f.err }

func TestLargeFilesAreStreamed(t *testing.T) {
	const size = 20 << 20
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		n, _ := io.Copy(io.Discard, r.Body)
		if n != size {
			w.WriteHeader(http.StatusBadRequest)
		}
	}))
	defer srv.Close()
	c := newTestClient(t, nil, func(c *Config) { c.URL = srv.URL })
	open := func() (io.ReadCloser, int64, error) {
		return io.NopCloser(io.LimitReader(zeroReader{}, size)), size, nil
	}
	if err := c.UploadFile(context.Background(), srv.URL, "8f4e33f3dc3e414ff94e5fb6905cba8c", open); err != nil {
		t.Error(err)
	}
}

type zeroReader struct{}

func (zeroReader) Read(p []byte) (int, error) { return copy(p, bytes.Repeat([]byte{0}, len(p))), nil }

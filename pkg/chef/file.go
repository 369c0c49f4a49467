package chef

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"strings"
)

// OpenFile streams a cookbook file from the presigned URL that a manifest gave.
// Size is -1 when the store doesn't say it. The bytes aren't verified: a store
// may cut a file short with status 200 (docs/chef-server-api.md §3.4). KindExpired
// asks for a fresh URL; KindAbsent says that the store has lost the content.
// The reader must be closed; a transfer that makes no progress ends with an error.
func (c *Client) OpenFile(ctx context.Context, fileURL string) (content io.ReadCloser, size int64, err error) {
	r, err := c.fileRequest(http.MethodGet, fileURL)
	if err != nil {
		return nil, 0, err
	}
	err = c.withRetries(ctx, r, func() (e *Error) {
		content, size, e = c.openFileOnce(ctx, r)
		return e
	})
	return content, size, err
}

func (c *Client) openFileOnce(ctx context.Context, r *request) (io.ReadCloser, int64, *Error) {
	resp, w, e := c.sendFile(ctx, r, nil)
	if e != nil {
		return nil, 0, e
	}
	if resp.StatusCode != http.StatusOK {
		e := c.fileError(ctx, r, resp)
		w.stop()
		return nil, 0, e
	}
	w.pause()
	return &fileReader{c: c, ctx: ctx, r: r, body: resp.Body, watch: w}, resp.ContentLength, nil
}

// sendFile sends a request to a file store, with the body of an upload, and returns the
// answer when it begins. The rest of a download has no place in the limiter: what reads it
// may wait for another server, and a replica that hangs must not keep others from the
// primary, nor itself from a place that it waits for.
func (c *Client) sendFile(ctx context.Context, r *request, body *uploadBody) (resp *http.Response, w *stallTimer, e *Error) {
	_, e = c.exchange(ctx, r, func() (*reply, *Error) {
		var watched context.Context
		watched, w = newStallTimer(ctx, c.stallTimeout(r))
		req := (&http.Request{Method: r.method, URL: r.url, Host: r.url.Host, Header: http.Header{}, Body: http.NoBody}).WithContext(watched)
		if body != nil {
			body.watch = w
			req.Body, req.ContentLength = body, r.size
		}
		c.addHeaders(req)
		maps.Copy(req.Header, r.header)
		var err error
		resp, err = c.http.Do(req) //nolint:bodyclose // the caller closes it
		if local := body.readError(); local != nil {
			if resp != nil {
				_ = resp.Body.Close()
			}
			w.stop()
			return nil, c.contentError(r, fmt.Errorf("read the content to upload: %w", local))
		}
		if err != nil {
			w.stop()
			return nil, c.requestError(ctx, r, w, err)
		}
		return &reply{status: resp.StatusCode, header: resp.Header}, nil
	})
	return resp, w, e
}

// fileRequest parses a presigned URL. The URL is sent as it is: re-encoding would break its
// signature. A file store gets no Chef header, no authentication, any content type and,
// since length and MD5 are those of the stored bytes, no compression
// (docs/chef-server-api.md §1.8, §3.4).
func (c *Client) fileRequest(method, fileURL string) (*request, error) {
	r := &request{method: method, path: "(file URL)", file: true,
		header: http.Header{"Accept": {"*/*"}, "Accept-Encoding": {"identity"}, "User-Agent": {"chef-sync"}}}
	u, err := url.Parse(fileURL)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
		return nil, c.newError(r, KindRequest, "the server gave a file URL that can't be read")
	}
	if !c.files.isAllowed(u.Hostname()) {
		return nil, c.fileHostError(r, u.Hostname(), "the server keeps files on "+u.Hostname())
	}
	raw, query, _ := strings.Cut(fileURL, "?")
	raw = strings.TrimPrefix(raw, fileURL[:strings.Index(fileURL, "//")+2])
	if i := strings.IndexByte(raw, '/'); i >= 0 && u.EscapedPath() != raw[i:] {
		u.Opaque = raw[i:]
	}
	u.RawQuery, u.User = query, nil
	r.url = u
	r.path = u.Scheme + "://" + u.Host + u.EscapedPath()
	return r, nil
}

// fileHostError says which line of the configuration allows a host.
func (c *Client) fileHostError(r *request, host, message string) *Error {
	e := c.newError(r, KindFileHost, message)
	e.Hint = fmt.Sprintf("if that is where this server keeps cookbook files, add to it in the configuration: file_hosts = [%q]",
		cleanText(host, maxText))
	return e
}

// fileError reads an answer that isn't a success. File stores answer in XML and
// never carry the Chef Server's header.
func (c *Client) fileError(ctx context.Context, r *request, resp *http.Response) *Error {
	body, err := readLimited(resp.Body, 64<<10)
	_ = resp.Body.Close()
	if err != nil && ctx.Err() != nil {
		return c.transportError(r, err, ctx.Err())
	}
	text, _ := errorText(body)
	switch {
	case !c.isOwnHost(r):
		// What answers there isn't the server: nothing of its words but a code is quoted.
		text = cmp.Or(storeCode(text), "refused by "+r.url.Hostname())
	case resp.StatusCode >= 300 && resp.StatusCode < 400:
		text = "a redirect to " + redirectTarget(resp.Header)
	}
	kind := KindForeign
	switch s := resp.StatusCode; {
	case s == http.StatusForbidden || s == http.StatusUnauthorized:
		kind = KindExpired
	case s == http.StatusNotFound || s == http.StatusGone:
		kind = KindAbsent
	case s == http.StatusRequestEntityTooLarge:
		kind = KindTooLarge
	case isTemporaryStatus(s) || strings.HasPrefix(text, "RequestTimeout"):
		kind = KindUnavailable
	case s >= 400:
		kind = KindInvalid
	}
	e := c.replyError(r, &reply{status: resp.StatusCode, header: resp.Header, body: body}, kind, text)
	switch kind {
	case KindForeign: // a redirect, or a success of another kind
		e.Hint = "the server gave this URL for a cookbook file: check bookshelf['external_url'] there, " +
			"and that the proxy in front of it passes on Host and X-Forwarded-Proto"
	case KindAbsent:
		e.Hint = "the server's file store has lost this content: upload the cookbook version again"
	case KindInvalid:
		e.Hint = "the file store refuses the content or its checksum; it will be sent again"
	}
	return e
}

// fileReader gives errors of a transfer a server and a kind.
type fileReader struct {
	c     *Client
	ctx   context.Context // of the caller, who reads until it ends
	r     *request
	body  io.ReadCloser
	watch *stallTimer
}

func (f *fileReader) Read(p []byte) (int, error) {
	f.watch.reset() // what reads may have to wait for another server, which has its own limit
	n, err := f.body.Read(p)
	f.watch.pause()
	if err != nil && err != io.EOF {
		return n, f.c.requestError(f.ctx, f.r, f.watch, err)
	}
	return n, err
}

func (f *fileReader) Close() error {
	err := f.body.Close()
	f.watch.stop()
	if err != nil {
		return fmt.Errorf("close a download: %w", err)
	}
	return nil
}

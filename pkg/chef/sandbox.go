package chef

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"
)

// SandboxChunk is how many checksums to put into one sandbox: servers take far
// more, but the check at commit is cheaper (docs/chef-server-api.md §3.5).
const SandboxChunk = 1000

// UploadTime is how long the upload URLs of a sandbox live, in seconds
// (docs/chef-server-api.md §3.5).
const UploadTime = 900

// Sandbox is an announced upload of content.
type Sandbox struct {
	ID      string
	Uploads []Upload // what the server lacks, in the order asked for
}

// Upload is content that the server lacks.
type Upload struct {
	Checksum string // lower-case hexadecimal MD5
	URL      string // presigned; lives UploadTime
}

// CreateSandbox announces the content that cookbook versions will need. At least
// one checksum is needed: a server refuses an empty sandbox.
func (o *Org) CreateSandbox(ctx context.Context, checksums []string) (*Sandbox, error) {
	r := &request{op: "create a sandbox", method: http.MethodPost, path: "/sandboxes"}
	sums := make([]string, len(checksums))
	for i, s := range checksums {
		if sums[i] = strings.ToLower(s); !validChecksum(sums[i]) {
			return nil, o.c.newError(r, KindRequest, fmt.Sprintf("%q isn't a checksum", cleanText(s, 40)))
		}
	}
	slices.Sort(sums)
	sums = slices.Compact(sums)
	if len(sums) == 0 {
		return nil, o.c.newError(r, KindRequest, "a sandbox without checksums")
	}
	var body bytes.Buffer
	body.WriteString(`{"checksums":{`)
	for i, s := range sums {
		if i > 0 {
			body.WriteByte(',')
		}
		fmt.Fprintf(&body, `"%s":null`, s)
	}
	body.WriteString(`}}`)
	r.body = body.Bytes()
	a, err := o.do(ctx, r)
	if err != nil {
		return nil, err
	}
	box, err := decodeSandbox(a.Body, sums)
	if err != nil {
		e := o.c.newError(r, KindForeign, err.Error())
		e.Status = a.Status
		return nil, e
	}
	return box, nil
}

func decodeSandbox(body []byte, sums []string) (*Sandbox, error) {
	var doc struct {
		ID        string `json:"sandbox_id"`
		Checksums map[string]struct {
			Needs *bool  `json:"needs_upload"`
			URL   string `json:"url"`
		} `json:"checksums"`
	}
	if json.Unmarshal(body, &doc) != nil || !ValidName(doc.ID) {
		return nil, errors.New("the answer isn't a sandbox")
	}
	box := &Sandbox{ID: doc.ID}
	for _, s := range sums {
		d, ok := doc.Checksums[s]
		if !ok || d.Needs == nil || *d.Needs && d.URL == "" {
			return nil, errors.New("the sandbox doesn't say whether to upload " + s)
		}
		if *d.Needs {
			box.Uploads = append(box.Uploads, Upload{Checksum: s, URL: d.URL})
		}
	}
	return box, nil
}

// UploadFile sends content to the presigned URL of a sandbox. Open is called
// for every attempt; size is the content's exact length. An error of open or of
// reading is returned as it is, not as an [*Error]. KindExpired asks for a new
// sandbox.
func (c *Client) UploadFile(ctx context.Context, fileURL, checksum string, size int64, open func() (io.ReadCloser, error)) error {
	u, r, err := c.fileRequest("upload", http.MethodPut, fileURL)
	if err != nil {
		return err
	}
	sum, err := hex.DecodeString(checksum)
	if err != nil || !validChecksum(checksum) || size < 0 {
		return c.newError(r, KindRequest, "an upload needs a checksum and a size")
	}
	var local error
	_, err = c.withRetries(ctx, r, func(ctx context.Context) (*Answer, *Error) {
		var e *Error
		e, local = c.uploadOnce(ctx, r, u, sum, size, open)
		return &Answer{}, e
	})
	if local != nil {
		return local
	}
	return err
}

// uploadOnce makes one attempt. With a local error, the first result is one that
// isn't retried.
func (c *Client) uploadOnce(ctx context.Context, r *request, u *url.URL, sum []byte, size int64,
	open func() (io.ReadCloser, error)) (*Error, error) {
	if e := c.checkBreaker(ctx, r); e != nil {
		return e, nil
	}
	watched, w := newStallTimer(ctx, c.stallTimeout(r))
	defer w.stop()
	body := &uploadBody{watch: w, left: size}
	req, err := http.NewRequestWithContext(watched, r.method, "/", http.NoBody)
	if err != nil {
		return c.newError(r, KindRequest, "the request can't be made"), nil
	}
	if size > 0 { // an empty file goes with http.NoBody, or Go would send it chunked
		if body.content, err = open(); err != nil {
			return c.newError(r, KindRequest, ""), fmt.Errorf("open the content to upload: %w", err)
		}
		req.Body, req.ContentLength = body, size
	}
	req.URL, req.Host = u, u.Host
	c.addHeaders(req)
	setFileHeaders(req.Header)
	req.Header.Set("Content-Type", "application/x-binary")
	req.Header.Set("Content-MD5", base64.StdEncoding.EncodeToString(sum))
	began := time.Now()
	resp, err := c.http.Do(req)
	if local := body.readError(); local != nil {
		if resp != nil {
			_ = resp.Body.Close()
		}
		return c.newError(r, KindRequest, ""), fmt.Errorf("read the content to upload: %w", local)
	}
	if err != nil {
		e := c.requestError(ctx, r, w, err)
		c.reportFile(r, began, e)
		return e, nil
	}
	c.reportFile(r, began, nil)
	if resp.StatusCode < 200 || resp.StatusCode > 299 {
		return c.fileError(ctx, r, resp), nil
	}
	_, _ = io.Copy(io.Discard, io.LimitReader(resp.Body, 64<<10)) // lets the connection be used again
	_ = resp.Body.Close()
	return nil, nil //nolint:nilnil // both results are errors
}

// CommitSandbox ends an upload. A store that is slow to show new content makes
// the server answer 503, 500 or, when old, 400: these are tried again. A
// committed sandbox is gone, so an absent one after a lost answer is success
// (docs/chef-server-api.md §3.5).
func (o *Org) CommitSandbox(ctx context.Context, id string) error {
	r := &request{op: "commit a sandbox", method: http.MethodPut, path: "/sandboxes/" + id, body: []byte(`{"is_completed":true}`)}
	if !ValidName(id) {
		return o.c.newError(r, KindRequest, "this isn't the id of a sandbox")
	}
	r.retryPolicy = func(e *Error, unsure bool) retryAction {
		switch {
		case e.Kind == KindAbsent && unsure:
			return treatAsSuccess
		case e.Kind.isTransient(), e.Status == http.StatusBadRequest && e.Kind != KindForeign:
			return retryRequest
		}
		return giveUp
	}
	_, err := o.do(ctx, r)
	return err
}

// ValidName reports whether s can stand in a path as one segment without encoding
// (docs/chef-server-api.md §4.7).
func ValidName(s string) bool {
	if s == "" || s == "." || s == ".." || len(s) > 255 {
		return false
	}
	for _, r := range s {
		ok := r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("_-.:", r)
		if !ok {
			return false
		}
	}
	return true
}

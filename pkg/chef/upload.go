package chef

import (
	"context"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"io"
	"net/http"
	"sync"
)

// UploadFile sends content to the presigned URL of a sandbox. Open is called for every
// attempt and returns the exact size, too. An error of open or of reading is returned as
// it is, not as an [*Error]. KindExpired asks for a new sandbox.
func (c *Client) UploadFile(ctx context.Context, fileURL, checksum string, open func() (io.ReadCloser, int64, error)) error {
	r, err := c.fileRequest(http.MethodPut, fileURL)
	if err != nil {
		return err
	}
	sum, err := hex.DecodeString(checksum)
	if err != nil || !validChecksum(checksum) {
		return c.newError(r, KindRequest, "an upload needs a checksum")
	}
	r.header.Set("Content-Type", "application/x-binary")
	r.header.Set("Content-MD5", base64.StdEncoding.EncodeToString(sum))
	err = c.withRetries(ctx, r, func() *Error { return c.uploadOnce(ctx, r, open) })
	var e *Error
	if errors.As(err, &e) && e.Kind == KindRequest && e.Err != nil {
		return e.Err // the content's own
	}
	return err
}

// contentError returns the error of an upload whose content can't be read.
func (c *Client) contentError(r *request, err error) *Error {
	e := c.newError(r, KindRequest, "")
	e.Err = err
	return e
}

// uploadOnce makes one attempt. It opens the content first: to open it may take a request
// to another server, for which this one must not wait.
func (c *Client) uploadOnce(ctx context.Context, r *request, open func() (io.ReadCloser, int64, error)) *Error {
	content, size, err := open()
	if err != nil {
		return c.contentError(r, err)
	}
	r.size = size
	body := &uploadBody{content: content, left: size}
	defer body.Close() // net/http closes it only if the request is sent
	switch {
	case size < 0:
		return c.contentError(r, errors.New("the size of the content to upload isn't known"))
	case size == 0:
		body = nil // or Go would send an empty file chunked
	}
	resp, w, e := c.sendFile(ctx, r, body)
	if e != nil {
		return e
	}
	defer w.stop()
	if resp.StatusCode < 200 || resp.StatusCode > 299 {
		return c.fileError(ctx, r, resp)
	}
	_, _ = io.Copy(io.Discard, io.LimitReader(resp.Body, 64<<10)) // lets the connection be used again
	_ = resp.Body.Close()
	return nil
}

// uploadBody is the body of an upload: it checks the length, keeps the
// content's own errors apart from the network's, and reports progress.
type uploadBody struct {
	content io.ReadCloser
	watch   *stallTimer

	mu     sync.Mutex
	left   int64
	closed bool
	err    error
}

var errWrongSize = errors.New("the content doesn't have the size that was given for it")

func (b *uploadBody) Read(p []byte) (int, error) {
	b.watch.pause() // the content may come from another server, which has its own limit
	n, err := b.content.Read(p)
	b.watch.reset()
	b.mu.Lock()
	defer b.mu.Unlock()
	b.left -= int64(n)
	if b.left < 0 || err == io.EOF && b.left > 0 {
		err = errWrongSize
	}
	// net/http closes the body when a response comes early: a read error after that
	// isn't the content's.
	if err != nil && err != io.EOF && !b.closed {
		b.err = err
	}
	return n, err
}

// Close closes the content, once.
func (b *uploadBody) Close() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.closed {
		return nil
	}
	b.closed = true
	return b.content.Close()
}

// readError returns the error of reading the content, or nil.
func (b *uploadBody) readError() error {
	if b == nil {
		return nil
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.err
}

package chef

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"time"
)

// How many times the response timeout requests may stand still that are much work
// for a server: it reads the whole manifest of a cookbook version, looks in its
// store for each file of a sandbox (chef-server-api.md §3.5, §9), or answers an
// upload after the last byte that the network still holds.
const (
	slowWrites = 4
	slowFiles  = 3
)

// patience is how long a request may make no progress.
func (c *Client) patience(r *request) time.Duration {
	path, _, _ := strings.Cut(r.path, "?")
	switch {
	case r.probe || r.op == negotiate:
		return min(c.response, probeTimeout)
	case r.file:
		return slowFiles * c.response
	case r.reads():
		return c.response
	case strings.Contains(path, "/sandboxes"), strings.Contains(path, "/cookbooks/"), strings.Contains(path, "/cookbook_artifacts/"):
		return slowWrites * c.response
	}
	return c.response
}

// watch cancels a request that makes no progress.
type watch struct {
	patience time.Duration
	cancel   context.CancelFunc
	timer    *time.Timer
	fired    atomic.Bool
}

func newWatch(ctx context.Context, patience time.Duration) (context.Context, *watch) {
	ctx, cancel := context.WithCancel(ctx)
	w := &watch{cancel: cancel, patience: patience}
	w.timer = time.AfterFunc(patience, func() {
		w.fired.Store(true)
		cancel()
	})
	return ctx, w
}

// touch notes progress.
func (w *watch) touch() { w.timer.Reset(w.patience) }

func (w *watch) stop() {
	w.timer.Stop()
	w.cancel()
}

// watchBody takes the reading of a request's body for progress.
func (w *watch) watchBody(req *http.Request) {
	if req.Body == nil || req.Body == http.NoBody {
		return
	}
	again := req.GetBody
	req.Body = watchedReader{req.Body, w}
	req.GetBody = func() (io.ReadCloser, error) {
		body, err := again()
		return watchedReader{body, w}, err
	}
}

// watchedReader takes each read for progress.
type watchedReader struct {
	io.ReadCloser
	watch *watch
}

func (r watchedReader) Read(p []byte) (int, error) {
	n, err := r.ReadCloser.Read(p)
	r.watch.touch()
	return n, err
}

// watchedError is transportError for a request that may have been canceled by its
// watch.
func (c *Client) watchedError(ctx context.Context, r *request, w *watch, err error) *Error {
	if ctx.Err() == nil && w.fired.Load() {
		err = fmt.Errorf("no data for %v", w.patience)
	}
	return c.transportError(r, err, ctx.Err())
}

// timeoutText says which time limit of ours ended a request, or "".
func (c *Client) timeoutText(err error) string {
	var timeout net.Error
	if !errors.As(err, &timeout) || !timeout.Timeout() {
		return ""
	}
	var op *net.OpError
	switch {
	case errors.As(err, &op) && op.Op == "dial":
		return fmt.Sprintf("no connection within %v", c.connect)
	case strings.Contains(timeout.Error(), "TLS handshake"):
		return fmt.Sprintf("no TLS handshake within %v", c.connect)
	}
	return "timed out"
}

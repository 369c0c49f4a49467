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

// How many times the response timeout requests may stall that are much work for a
// server: it reads the whole manifest of a cookbook version, looks in its
// store for each file of a sandbox (docs/chef-server-api.md §3.5, §9), or answers an
// upload after the last byte that the network still holds.
const (
	slowWriteFactor = 4
	fileFactor      = 3
)

// stallTimeout returns how long a request may make no progress.
func (c *Client) stallTimeout(r *request) time.Duration {
	path, _, _ := strings.Cut(r.path, "?")
	switch {
	case r.probe || r.op == negotiate:
		return min(c.cfg.ResponseTimeout, probeTimeout)
	case r.file:
		return fileFactor * c.cfg.ResponseTimeout
	case r.isRead():
		return c.cfg.ResponseTimeout
	case strings.Contains(path, "/sandboxes"), strings.Contains(path, "/cookbooks/"), strings.Contains(path, "/cookbook_artifacts/"):
		return slowWriteFactor * c.cfg.ResponseTimeout
	}
	return c.cfg.ResponseTimeout
}

// stallTimer cancels a request that makes no progress.
type stallTimer struct {
	timeout time.Duration
	cancel  context.CancelFunc
	timer   *time.Timer
	fired   atomic.Bool
}

func newStallTimer(ctx context.Context, patience time.Duration) (context.Context, *stallTimer) {
	ctx, cancel := context.WithCancel(ctx)
	w := &stallTimer{cancel: cancel, timeout: patience}
	w.timer = time.AfterFunc(patience, func() {
		w.fired.Store(true)
		cancel()
	})
	return ctx, w
}

// reset restarts the timer, after progress.
func (w *stallTimer) reset() { w.timer.Reset(w.timeout) }

// pause stops the timer until reset.
func (w *stallTimer) pause() { w.timer.Stop() }

func (w *stallTimer) stop() {
	w.timer.Stop()
	w.cancel()
}

// watchRequestBody counts reads of a request's body as progress.
func (w *stallTimer) watchRequestBody(req *http.Request) {
	if req.Body == nil || req.Body == http.NoBody {
		return
	}
	again := req.GetBody
	req.Body = progressReader{req.Body, w}
	req.GetBody = func() (io.ReadCloser, error) {
		body, err := again()
		return progressReader{body, w}, err
	}
}

// progressReader counts each read as progress.
type progressReader struct {
	io.ReadCloser
	watch *stallTimer
}

func (r progressReader) Read(p []byte) (int, error) {
	n, err := r.ReadCloser.Read(p)
	r.watch.reset()
	return n, err
}

// requestError is transportError for a request that its stall timer may have canceled.
func (c *Client) requestError(ctx context.Context, r *request, w *stallTimer, err error) *Error {
	if ctx.Err() == nil && w.fired.Load() {
		err = fmt.Errorf("no data for %v", w.timeout)
	}
	return c.transportError(r, err, ctx.Err())
}

// timeoutText returns which time limit of ours ended a request, or "".
func (c *Client) timeoutText(err error) string {
	var timeout net.Error
	if !errors.As(err, &timeout) || !timeout.Timeout() {
		return ""
	}
	var op *net.OpError
	switch {
	case errors.As(err, &op) && op.Op == "dial":
		return fmt.Sprintf("no connection within %v", c.cfg.ConnectTimeout)
	case strings.Contains(timeout.Error(), "TLS handshake"):
		return fmt.Sprintf("no TLS handshake within %v", c.cfg.ConnectTimeout)
	}
	return "timed out"
}

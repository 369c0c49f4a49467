package listener

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"syscall"
	"time"

	"chefsync/pkg/fault"
)

// How long a request may take, how long running ones may go on at the end, and when an
// address in use is tried again.
const (
	requestTimeout = time.Minute
	gracePeriod    = 5 * time.Second
	retryAfter     = 5 * time.Second
)

// Address is an address to serve on.
type Address struct {
	Address string
	Setting string // what names it, for messages
	// Kept keeps the address open after its listener is closed, and lets Listen wait
	// while another process uses it: a daemon that this one takes over from. Nil does
	// neither.
	Kept *Kept
	Log  *slog.Logger
}

// Check fails if the address can't be listened on, for another reason than that it is
// taken: a daemon waits for that.
func (a Address) Check() error {
	if a.Kept == nil {
		return nil // Listen will fail
	}
	a.Kept.mu.Lock()
	defer a.Kept.mu.Unlock()
	if a.Kept.tcp != nil && a.Kept.address == a.Address {
		return nil
	}
	l, err := net.Listen("tcp", a.Address)
	if errors.Is(err, syscall.EADDRINUSE) {
		return nil
	}
	if err != nil {
		return &fault.Error{Op: "listen on " + a.Address, Class: fault.Local, Hint: "correct " + a.Setting + " in the configuration", Err: err}
	}
	return l.Close()
}

// Listen opens the address. It returns nil, and no error, if ctx ends before the address is
// free.
func (a Address) Listen(ctx context.Context) (net.Listener, error) {
	open := func(address string) (net.Listener, error) { return net.Listen("tcp", address) }
	if a.Kept != nil {
		open = a.Kept.Listen
	}
	for warned := false; ; warned = true {
		l, err := open(a.Address)
		switch {
		case err == nil:
			return l, nil
		case a.Kept == nil || !errors.Is(err, syscall.EADDRINUSE):
			return nil, &fault.Error{Op: "listen on " + a.Address, Class: fault.Local,
				Hint: "stop the process that uses the address, or use another one: " + a.Setting, Err: err}
		case !warned:
			a.Log.Warn("another process uses the address; waiting for it", "address", a.Address, "setting", a.Setting)
		}
		select {
		case <-ctx.Done():
			return nil, nil //nolint:nilnil // as documented
		case <-time.After(retryAfter):
		}
	}
}

// Serve serves requests on a listener until ctx ends, and then lets requests end within a
// grace period.
func Serve(ctx context.Context, handler http.Handler, l net.Listener, log *slog.Logger) error {
	server := &http.Server{
		Handler: handler, ReadHeaderTimeout: 10 * time.Second, ReadTimeout: requestTimeout, WriteTimeout: requestTimeout, IdleTimeout: 2 * time.Minute,
		MaxHeaderBytes: 1 << 16, ErrorLog: slog.NewLogLogger(log.Handler(), slog.LevelDebug), // such as failed handshakes
	}
	closed := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		defer close(closed)
		ending, cancel := context.WithTimeout(context.WithoutCancel(ctx), gracePeriod)
		defer cancel()
		if server.Shutdown(ending) != nil {
			_ = server.Close() // its time is over
		}
	})
	err := server.Serve(l)
	if stop() {
		return fmt.Errorf("serve on %s: %w", l.Addr(), err) // it wasn't stopped
	}
	<-closed
	return nil
}

// Package changeserver receives pushes of the primary's data collector and serves
// updated_since, and scans the sources whose changes it serves.
package changeserver

import (
	"context"
	"crypto/tls"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"syscall"
	"time"

	"chefsync/cli/internal/app"
	"chefsync/cli/internal/listener"
	"chefsync/pkg/config"
	"chefsync/pkg/fault"
)

// Server serves the receiver of pushes and updated_since on this machine.
type Server struct {
	App     *app.App
	Address string
	// WaitForAddress waits while another process listens on the address: a daemon that
	// this one takes over from.
	WaitForAddress bool
	// Kept keeps the address open after the server has ended; nil keeps nothing.
	Kept *listener.Kept
}

// How long a request may take, how long running ones may go on at the end, and when an
// address in use is tried again.
const (
	requestTimeout   = time.Minute
	gracePeriod      = 5 * time.Second
	retryListenAfter = 5 * time.Second
)

// Serve serves until ctx ends.
func (s Server) Serve(ctx context.Context, changed func(source string)) error {
	handler, err := s.App.ChangesHandler(ctx, changed)
	if err != nil {
		return err
	}
	l, err := s.waitForListener(ctx)
	if err != nil || l == nil {
		return err
	}
	log := s.App.Log
	server := &http.Server{
		Handler: handler, ReadHeaderTimeout: 10 * time.Second, ReadTimeout: requestTimeout, WriteTimeout: requestTimeout, IdleTimeout: 2 * time.Minute,
		ErrorLog: slog.NewLogLogger(log.Handler(), slog.LevelDebug), // such as failed handshakes
	}
	log.Info("listening for pushes and updated_since requests", "address", l.Addr().String(), "tls", s.App.ChangeLog.TLSCert != "",
		"pushes", !s.App.ChangeLog.Token.IsZero())
	return listener.Serve(ctx, server, l, gracePeriod)
}

// Enabled reports whether a daemon serves changes.
func Enabled(a *app.App) bool { return a.ChangeLog.Listen != "" && a.Feed != config.FeedUpdatedSince }

// Check fails if nothing could be served.
func (s Server) Check(ctx context.Context) error {
	if _, err := s.App.ChangesHandler(ctx, func(string) {}); err != nil {
		return err
	}
	if _, err := s.tlsConfig(); err != nil {
		return err
	}
	return s.Kept.CheckAddress(s.Address, "listen under [journal]")
}

// openListener opens the address.
func (s Server) openListener() (net.Listener, error) {
	if s.Kept != nil {
		return s.Kept.Listen(s.Address)
	}
	return net.Listen("tcp", s.Address)
}

// waitForListener returns nil, and no error, if ctx ends before the address is free.
func (s Server) waitForListener(ctx context.Context) (net.Listener, error) {
	config, err := s.tlsConfig()
	if err != nil {
		return nil, err
	}
	for warned := false; ; warned = true {
		l, err := s.openListener()
		switch {
		case err == nil && config != nil:
			return tls.NewListener(l, config), nil
		case err == nil:
			return l, nil
		case !s.WaitForAddress || !errors.Is(err, syscall.EADDRINUSE):
			return nil, &fault.Error{Op: "listen on " + s.Address, Class: fault.Local,
				Hint: "stop the process that uses the address, or change listen under [journal]", Err: err}
		case !warned:
			s.App.Log.Warn("another process uses the address; waiting for it", "address", s.Address)
		}
		select {
		case <-ctx.Done():
			return nil, nil //nolint:nilnil // as documented
		case <-time.After(retryListenAfter):
		}
	}
}

// tlsConfig reads the certificate, and again for each connection, so that a renewed one
// is used; nil without one.
func (s Server) tlsConfig() (*tls.Config, error) {
	j := s.App.ChangeLog
	if j.TLSCert == "" {
		return nil, nil //nolint:nilnil // a server without TLS has no configuration of it
	}
	load := func(*tls.ClientHelloInfo) (*tls.Certificate, error) {
		cert, err := tls.LoadX509KeyPair(j.TLSCert, j.TLSKey)
		return &cert, err
	}
	if _, err := load(nil); err != nil {
		return nil, &fault.Error{Op: "load the certificate " + j.TLSCert, Class: fault.Local,
			Hint: "check tls_cert and tls_key under [journal] in the configuration", Err: err}
	}
	return &tls.Config{MinVersion: tls.VersionTLS12, GetCertificate: load, NextProtos: []string{"http/1.1"}}, nil
}

// Package changeserver receives pushes of the primary's data collector and serves
// updated_since, and scans the sources whose changes it serves.
package changeserver

import (
	"context"
	"crypto/tls"

	"chefsync/cli/internal/app"
	"chefsync/cli/internal/listener"
	"chefsync/pkg/config"
	"chefsync/pkg/fault"
)

// Server serves the receiver of pushes and updated_since on this machine.
type Server struct {
	App     *app.App
	Address string
	// Kept keeps the address open after the server has ended, and lets Serve wait for an
	// address that is taken; nil does neither.
	Kept *listener.Kept
}

func (s Server) address() listener.Address {
	return listener.Address{Address: s.Address, Setting: "listen under [journal]", Kept: s.Kept, Log: s.App.Log}
}

// Serve serves until ctx ends.
func (s Server) Serve(ctx context.Context, changed func(source string)) error {
	handler, err := s.App.ChangesHandler(ctx, changed)
	if err != nil {
		return err
	}
	secure, err := s.tlsConfig()
	if err != nil {
		return err
	}
	l, err := s.address().Listen(ctx)
	if err != nil || l == nil {
		return err
	}
	if secure != nil {
		l = tls.NewListener(l, secure)
	}
	s.App.Log.Info("listening for pushes and updated_since requests", "address", l.Addr().String(), "tls", s.App.ChangeLog.TLSCert != "",
		"pushes", !s.App.ChangeLog.Token.IsZero())
	return listener.Serve(ctx, handler, l, s.App.Log)
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
	return s.address().Check()
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

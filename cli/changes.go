package cli

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"slices"
	"syscall"
	"time"

	"chefsync/cli/internal/app"
	"chefsync/cli/internal/daemon"
	"chefsync/pkg/assembly"
	"chefsync/pkg/replication"
)

// sourcesOf are the sources that pairs read, to be scanned where the primary
// serves no feed. All sources are meant when pairs is nil.
func sourcesOf(a *app.App, pairs []app.Pair) []daemon.Source {
	ids := app.PairIDs(pairs)
	var sources []daemon.Source
	for _, s := range a.Sources() {
		if pairs != nil && !slices.ContainsFunc(s.Pairs, func(id replication.PairID) bool { return slices.Contains(ids, id) }) {
			continue
		}
		sources = append(sources, daemon.Source{
			Name: s.Org, Every: a.Journal.ScanEvery, Pairs: s.Pairs,
			Scan: func(ctx context.Context) (bool, error) { return scanSource(ctx, a, s.Org) },
		})
	}
	return sources
}

// scanSource scans a source organization whose changes are found by its journal.
func scanSource(ctx context.Context, a *app.App, org string) (changed bool, err error) {
	needed, err := a.NeedsJournal(ctx, org)
	if err != nil {
		if ctx.Err() == nil {
			a.Log.WarnContext(ctx, "can't tell whether the primary serves a feed", "source", org, "error", err.Error(), "hint", replication.HintOf(err))
			a.NoteScanFailed(ctx, org, err)
		}
		return false, err
	}
	if !needed {
		return false, nil
	}
	report, err := a.Scan(ctx, org)
	if assembly.ScannedElsewhere(err) {
		return true, nil // what it found is to be read too
	}
	return report.Begun || report.Changes > 0, err
}

// serving is how the receiver and updated_since are served on this machine.
type serving struct {
	app     *app.App
	address string
	// patient waits for an address that another process has, which may be the one
	// that this one stands in for.
	patient bool
	// kept keeps the address open after it is served; nil keeps nothing.
	kept *keptListener
}

// How long one request may take, and how long those at work may go on at the end.
const (
	requestTime = time.Minute
	serveGrace  = 5 * time.Second
	listenAgain = 5 * time.Second
)

// run serves until ctx ends.
func (s serving) run(ctx context.Context, changed func(source string)) error {
	handler, err := s.app.ChangesHandler(ctx, changed)
	if err != nil {
		return err
	}
	listener, err := s.listen(ctx)
	if err != nil || listener == nil {
		return err
	}
	log := s.app.Log
	server := &http.Server{
		Handler: handler, ReadHeaderTimeout: 10 * time.Second, ReadTimeout: requestTime, WriteTimeout: requestTime, IdleTimeout: 2 * time.Minute,
		ErrorLog: slog.NewLogLogger(log.Handler(), slog.LevelDebug), // strangers' broken handshakes and the like
	}
	log.Info("listening for pushes and for readers of updated_since", "address", listener.Addr().String(), "tls", s.app.Journal.TLSCert != "",
		"pushes", !s.app.Journal.Token.IsZero())
	closed := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		defer close(closed)
		grace, cancel := context.WithTimeout(context.WithoutCancel(ctx), serveGrace)
		defer cancel()
		if server.Shutdown(grace) != nil {
			_ = server.Close() // its time is over
		}
	})
	err = server.Serve(listener)
	if stop() {
		return fmt.Errorf("serve on %s: %w", s.address, err) // it ended by itself
	}
	<-closed
	return nil
}

// serves reports whether a daemon listens.
func serves(a *app.App) bool { return a.Journal.Listen != "" && a.Feed != feedUpdatedSince }

// usable fails if nothing could be served.
func (s serving) usable(ctx context.Context) error {
	if _, err := s.app.ChangesHandler(ctx, func(string) {}); err != nil {
		return err
	}
	if _, err := s.tls(); err != nil {
		return err
	}
	return s.kept.usable(s.address)
}

// open opens the address.
func (s serving) open() (net.Listener, error) {
	if s.kept != nil {
		return s.kept.listen(s.address)
	}
	return net.Listen("tcp", s.address)
}

// listen returns nil, and no error, if ctx ends before the address is free.
func (s serving) listen(ctx context.Context) (net.Listener, error) {
	config, err := s.tls()
	if err != nil {
		return nil, err
	}
	for said := false; ; said = true {
		listener, err := s.open()
		switch {
		case err == nil && config != nil:
			return tls.NewListener(listener, config), nil
		case err == nil:
			return listener, nil
		case !s.patient || !errors.Is(err, syscall.EADDRINUSE):
			return nil, &replication.Error{Op: "listen on " + s.address, Class: replication.Local,
				Hint: "end what has the address, or write another one as listen under [journal]", Err: err}
		case !said:
			s.app.Log.Warn("another process listens there; waiting for the address", "address", s.address)
		}
		select {
		case <-ctx.Done():
			return nil, nil
		case <-time.After(listenAgain):
		}
	}
}

// tls reads the certificate, and again for each connection, so that a renewed one
// is used; nil without one.
func (s serving) tls() (*tls.Config, error) {
	j := s.app.Journal
	if j.TLSCert == "" {
		return nil, nil
	}
	load := func(*tls.ClientHelloInfo) (*tls.Certificate, error) {
		cert, err := tls.LoadX509KeyPair(j.TLSCert, j.TLSKey)
		return &cert, err
	}
	if _, err := load(nil); err != nil {
		return nil, &replication.Error{Op: "load the certificate " + j.TLSCert, Class: replication.Local,
			Hint: "check tls_cert and tls_key under [journal] in the configuration", Err: err}
	}
	return &tls.Config{MinVersion: tls.VersionTLS12, GetCertificate: load, NextProtos: []string{"http/1.1"}}, nil
}

// Package statusserver serves the status of pairs over HTTP: health for probes, metrics
// for Prometheus, JSON for programs and pages for browsers. It only reads.
package statusserver

import (
	"context"
	"net"
	"net/http"
	"strings"
	"time"

	"chefsync/cli/internal/app"
	"chefsync/cli/internal/exit"
	"chefsync/cli/internal/listener"
	"chefsync/pkg/config"
	"chefsync/pkg/fault"
)

// Server serves the status of pairs on an address.
type Server struct {
	App     *app.App
	Pairs   []app.Pair
	Address string
	Token   config.KeyRef
	// Setting is what names the address, for messages.
	Setting string
	// Owner and Recorder are those of a daemon, whose process this is.
	Owner    string
	Recorder *Recorder
	// Kept keeps the address open after the server has ended, and lets Serve wait for
	// an address that is taken; nil does neither.
	Kept *listener.Kept
}

// minToken is the length of the shortest token, in bytes: nothing slows guesses.
const minToken = 16

// How often a page in a browser is updated.
const (
	localRefresh = 5 * time.Second
	stackRefresh = 20 * time.Second
)

// Check fails if nothing could be served.
func (s Server) Check(ctx context.Context) error {
	if _, err := s.newHandler(ctx); err != nil {
		return err
	}
	return s.address().Check()
}

func (s Server) address() listener.Address {
	return listener.Address{Address: s.Address, Setting: s.Setting, Kept: s.Kept, Log: s.App.Log}
}

// newHandler returns the handler, with the token as it is now.
func (s Server) newHandler(ctx context.Context) (http.Handler, error) {
	token, err := s.loadToken(ctx)
	if err != nil {
		return nil, err
	}
	local := config.IsLoopback(s.Address)
	if token == "" && !local {
		return nil, exit.Usagef("set a token, or use an address of this machine such as 127.0.0.1:9997",
			"%s can be reached from other machines, and no token is configured", s.Address)
	}
	o := Options{Reader: NewReader(s.App, s.Pairs), Recorder: s.Recorder, Owner: s.Owner, Token: token, LocalOnly: token == "", Now: s.App.Now,
		Refresh: localRefresh}
	if s.App.Stack != nil {
		o.Refresh = stackRefresh
	}
	return NewHandler(o), nil
}

func (s Server) loadToken(ctx context.Context) (string, error) {
	if s.Token.IsZero() {
		return "", nil
	}
	secret, err := s.Token.Resolve(ctx, s.App.Secrets())
	if err != nil {
		return "", &fault.Error{Op: "load the token of the status page", Class: fault.Local, Hint: "write at least 16 characters to " + s.Token.String(), Err: err}
	}
	token := strings.TrimSpace(string(secret.Reveal()))
	if len(token) < minToken {
		return "", exit.Usagef("openssl rand -hex 32", "the token %s has fewer than %d characters", s.Token, minToken)
	}
	return token, nil
}

// Serve serves until ctx ends. Ready is called with the address once it is open.
func (s Server) Serve(ctx context.Context, ready func(net.Addr)) error {
	handler, err := s.newHandler(ctx)
	if err != nil {
		return err
	}
	l, err := s.address().Listen(ctx)
	if err != nil || l == nil {
		return err
	}
	ready(l.Addr())
	return listener.Serve(ctx, handler, l, s.App.Log)
}

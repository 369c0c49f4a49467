package runner

import (
	"context"
	"net"

	"chefsync/cli/internal/listener"
	"chefsync/cli/internal/statusserver"
)

// statusOptions are what the status page of a daemon keeps when the configuration is
// reloaded.
type statusOptions struct {
	owner    string
	kept     *listener.Kept
	recorder *statusserver.Recorder
}

func (opts Options) statusServer(l *loaded) statusserver.Server {
	page := l.app.StatusPage
	return statusserver.Server{App: l.app, Pairs: l.pairs, Address: page.Listen, Token: page.Token, Setting: "listen under [status]",
		Owner: opts.status.owner, Recorder: opts.status.recorder, Kept: opts.status.kept}
}

// serveStatus serves the status of a configuration in the background, if it names an
// address, until ctx ends. The function that it returns waits for the end. Passes don't
// depend on it: an error is logged.
func (opts Options) serveStatus(ctx context.Context, l *loaded) (wait func()) {
	if l.app.StatusPage.Listen == "" {
		opts.status.kept.Close()
		return func() {}
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		err := opts.statusServer(l).Serve(ctx, func(address net.Addr) {
			l.app.Log.Info("serving the status", "url", "http://"+address.String(), "token", !l.app.StatusPage.Token.IsZero())
		})
		if err != nil {
			l.app.Log.Error("the status can't be served", "error", err.Error())
		}
	}()
	return func() { <-done }
}

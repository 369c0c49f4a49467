package runner

import (
	"context"
	"net"

	"chefsync/cli/internal/statusserver"
)

func (d *process) statusServer(l *loaded) statusserver.Server {
	page := l.app.StatusPage
	return statusserver.Server{App: l.app, Pairs: l.pairs, Address: page.Listen, Token: page.Token, Setting: "listen under [status]",
		Owner: d.record.Owner, Recorder: d.recorder, Kept: &d.status}
}

// serveStatus serves the status of a configuration in the background, if it names an
// address, until ctx ends. The function that it returns waits for the end. Passes don't
// depend on it: an error is logged.
func (d *process) serveStatus(ctx context.Context, l *loaded) (wait func()) {
	if l.app.StatusPage.Listen == "" {
		d.status.Close()
		return func() {}
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		err := d.statusServer(l).Serve(ctx, func(address net.Addr) {
			l.app.Log.Info("serving the status", "url", "http://"+address.String(), "token", !l.app.StatusPage.Token.IsZero())
		})
		if err != nil {
			l.app.Log.Error("the status can't be served", "error", err.Error())
		}
	}()
	return func() { <-done }
}

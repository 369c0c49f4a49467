package listener

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"time"
)

// Serve serves requests on a listener until ctx ends, and then lets requests end within a
// grace period.
func Serve(ctx context.Context, server *http.Server, l net.Listener, grace time.Duration) error {
	closed := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		defer close(closed)
		ending, cancel := context.WithTimeout(context.WithoutCancel(ctx), grace)
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

package scan_test

import (
	"context"
	"errors"
	"net/http"
	"testing"
	"time"

	"chefsync/pkg/chef/cheftest"
)

// TestAScanThatRunsOutOfItsTimeNotesWhatItFound about the kinds that were done.
// Else an organization that takes longer than a function may would never be
// replicated by its journal.
func TestAScanThatRunsOutOfItsTimeNotesWhatItFound(t *testing.T) {
	w := newWorld(t)
	w.begin()
	w.org.PutRole("web", `{}`)
	w.org.PutEnvironment("prod", `{}`)
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	hang := w.primary.Fault(cheftest.Fault{Path: "/environments", Do: func(*http.Request) { <-ctx.Done() }})
	if _, err := w.scanner().Scan(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Fatalf("%v, want the deadline", err)
	}
	w.wantRows("create /roles/web")
	hang.Remove()
	w.scanWants("create /environments/prod")
}

package statusserver

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"time"

	"chefsync/cli/internal/pairstatus"
	"chefsync/cli/internal/ui"
	"chefsync/pkg/health"
)

// healthTimeout is how long the store has to answer a health check.
const healthTimeout = 5 * time.Second

// healthHandler serves /healthz.
type healthHandler struct{ Options }

// ServeHTTP implements [http.Handler].
func (h *healthHandler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	ctx, cancel := context.WithTimeout(r.Context(), healthTimeout)
	defer cancel()
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	processes, err := h.Reader.Processes(ctx)
	healthy := true
	var text string
	switch {
	case err != nil: // its text may name what only readers with a token may know
		healthy, text = false, "the store doesn't answer"
	case h.Owner == "":
		text = "the store answers; " + describeScheduler(processes, h.Now())
	default:
		text = "ok"
		if !slices.ContainsFunc(processes.Running, func(p health.Process) bool { return p.Owner == h.Owner }) {
			healthy, text = false, "no recent heartbeat of the scheduler"
		}
	}
	if !healthy {
		w.WriteHeader(http.StatusServiceUnavailable)
	}
	fmt.Fprintln(w, text)
}

// describeScheduler says whether passes run, and when that was last seen.
func describeScheduler(p pairstatus.Processes, now time.Time) string {
	what := "daemon"
	if p.OnStack {
		what = "manager"
	}
	switch at := p.LastHeartbeat(); {
	case at.IsZero():
		return what + " never seen"
	case !schedulerRuns(p, now):
		return fmt.Sprintf("%s not running, last heartbeat %s", what, ui.Age(at, now))
	default:
		return fmt.Sprintf("%s running, last heartbeat %s", what, ui.Age(at, now))
	}
}

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

// serveHealth serves /healthz.
func (o Options) serveHealth(w http.ResponseWriter, r *http.Request) {
	ctx, cancel := context.WithTimeout(r.Context(), healthTimeout)
	defer cancel()
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	processes, err := o.Reader.Processes(ctx)
	var problem, text string
	switch {
	case err != nil: // its text may name what only readers with a token may know
		problem = "the store doesn't respond"
	case o.Owner == "":
		text = "the store responds; " + describeScheduler(processes, o.Now())
	default:
		problem, text = o.schedulerProblem(ctx, processes), "ok"
	}
	if problem != "" {
		w.WriteHeader(http.StatusServiceUnavailable)
		text = problem
	}
	fmt.Fprintln(w, text)
}

// startTime is how long after its start a daemon may have had no pass yet.
const startTime = 10 * time.Minute

// schedulerProblem returns why the scheduler of this process seems to hang, or "":
// its heartbeat is missing, or all pairs wait for a pass that was due.
func (o Options) schedulerProblem(ctx context.Context, processes pairstatus.Processes) string {
	i := slices.IndexFunc(processes.Running, func(p health.Process) bool { return p.Owner == o.Owner })
	if i < 0 {
		return "no recent heartbeat of the scheduler"
	}
	if o.Now().Sub(processes.Running[i].Started) < startTime {
		return ""
	}
	st, err := o.Reader.Status(ctx)
	if err != nil {
		return "the store doesn't respond"
	}
	if st.CheckPasses() == nil {
		return ""
	}
	return "no pass ran when it was due"
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

// schedulerRuns reports whether a process runs passes, and was seen lately.
func schedulerRuns(p pairstatus.Processes, now time.Time) bool {
	if p.OnStack && p.Manager == nil {
		return false
	}
	return p.DoPasses() && p.Problem(now) == ""
}

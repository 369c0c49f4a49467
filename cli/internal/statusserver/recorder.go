package statusserver

import (
	"context"
	"io"
	"net/http"
	"strconv"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"

	"chefsync/cli/internal/app"
	"chefsync/cli/internal/daemon"
	"chefsync/pkg/fault"
	"chefsync/pkg/replication"
)

// Recorder counts what this process does, and knows what its passes are doing. What the
// store records isn't counted again. It is safe for concurrent use.
type Recorder struct {
	now           func() time.Time
	registry      *prometheus.Registry // of all that is counted
	passes        *prometheus.CounterVec
	passSeconds   *prometheus.HistogramVec
	verifications *prometheus.CounterVec
	scans         *prometheus.CounterVec
	objects       *prometheus.CounterVec
	errors        *prometheus.CounterVec
	requests      *prometheus.CounterVec
	reqSeconds    *prometheus.HistogramVec
	sent          *prometheus.CounterVec
	received      *prometheus.CounterVec

	mu      sync.Mutex
	current map[replication.PairID]Activity
}

// Activity is what this process is doing for a pair.
type Activity struct {
	What        string // pass or verification
	Started     time.Time
	Phase       string // "" before the first sign of progress
	Done, Total int
	Bytes       int64  // of file content that was sent to the replica
	Object      string // the path of the object that came last
}

// NewRecorder returns a recorder that has counted nothing.
func NewRecorder(now func() time.Time) *Recorder {
	registry := prometheus.NewRegistry()
	counter := func(name, help string, labels ...string) *prometheus.CounterVec {
		return promauto.With(registry).NewCounterVec(prometheus.CounterOpts{Namespace: namespace, Name: name, Help: help}, labels)
	}
	histogram := func(name, help string, buckets []float64, labels ...string) *prometheus.HistogramVec {
		return promauto.With(registry).NewHistogramVec(prometheus.HistogramOpts{Namespace: namespace, Name: name, Help: help, Buckets: buckets}, labels)
	}
	return &Recorder{
		now: now, registry: registry, current: map[replication.PairID]Activity{},
		passes:        counter("passes_total", "Passes completed by this process, by outcome.", "replica", "organization", "outcome"),
		passSeconds:   histogram("pass_duration_seconds", "Duration of passes that had work.", prometheus.ExponentialBuckets(0.1, 4, 9), "replica"),
		verifications: counter("verifications_total", "Verifications completed by this process, by outcome.", "replica", "organization", "outcome"),
		scans:         counter("scans_total", "Completed scans of a source organization, by result: done or failed.", "source", "result"),
		objects: counter("objects_total", "Objects that passes handled, by action: created, updated, deleted or unsynced.",
			"replica", "organization", "action"),
		errors: counter("errors_total", "Errors that ended a pass or verification, by class.", "replica", "organization", "class"),
		requests: counter("requests_total", "Requests to a Chef Server or its file store, by status code; none if there was no response.",
			"server", "method", "code"),
		reqSeconds: histogram("request_duration_seconds", "Time from a request to the start of its response.", prometheus.DefBuckets, "server"),
		sent:       counter("sent_bytes_total", "Bytes in request bodies.", "server"),
		received:   counter("received_bytes_total", "Bytes in response bodies.", "server"),
	}
}

// ObserveApp counts the requests of an app and follows the progress of its engines. It is
// called before the app is used.
func (r *Recorder) ObserveApp(a *app.App) {
	a.OnProgress = r.recordProgress
	a.WrapTransport = func(server string, next http.RoundTripper) http.RoundTripper { return &transport{r, server, next} }
}

// ObserveDaemon counts what the jobs and sources of a daemon do. It is called before the
// daemon runs.
func (r *Recorder) ObserveDaemon(d *daemon.Daemon) {
	for i := range d.Jobs {
		job := &d.Jobs[i]
		id, pass, verify := job.ID, job.Pass, job.Verify
		job.Pass = func(ctx context.Context, o replication.PassOptions) (replication.Run, error) {
			began := r.begin(id, "pass")
			run, err := pass(ctx, o)
			r.endPass(id, began, run, err)
			return run, err
		}
		if verify == nil {
			continue
		}
		job.Verify = func(ctx context.Context, o replication.VerifyOptions) (replication.Report, error) {
			r.begin(id, "verification")
			report, err := verify(ctx, o)
			r.endVerification(id, report, err)
			return report, err
		}
	}
	for i := range d.Sources {
		source := &d.Sources[i]
		name, scan := source.Name, source.Scan
		source.Scan = func(ctx context.Context) (bool, error) {
			changed, err := scan(ctx)
			result := "done"
			if err != nil {
				result = "failed"
			}
			r.scans.WithLabelValues(name, result).Inc()
			return changed, err
		}
	}
}

func (r *Recorder) begin(id replication.PairID, what string) time.Time {
	r.mu.Lock()
	defer r.mu.Unlock()
	now := r.now()
	r.current[id] = Activity{What: what, Started: now}
	return now
}

func (r *Recorder) end(id replication.PairID) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.current, id)
}

func (r *Recorder) endPass(id replication.PairID, began time.Time, run replication.Run, err error) {
	r.end(id)
	r.passes.WithLabelValues(id.Replica, id.Org, string(run.Outcome)).Inc()
	if run.Mode != "" { // not a poll without news
		r.passSeconds.WithLabelValues(id.Replica).Observe(r.now().Sub(began).Seconds())
	}
	for action, n := range map[string]int{"created": run.Counts.Created, "updated": run.Counts.Updated, "deleted": run.Counts.Deleted,
		"unsynced": run.Counts.Unsynced} {
		if n > 0 {
			r.objects.WithLabelValues(id.Replica, id.Org, action).Add(float64(n))
		}
	}
	if run.Outcome == replication.OutcomeFailed {
		r.countError(id, err)
	}
}

func (r *Recorder) endVerification(id replication.PairID, report replication.Report, err error) {
	r.end(id)
	r.verifications.WithLabelValues(id.Replica, id.Org, string(report.Outcome)).Inc()
	if report.Outcome == replication.OutcomeFailed {
		r.countError(id, err)
	}
}

func (r *Recorder) countError(id replication.PairID, err error) {
	r.errors.WithLabelValues(id.Replica, id.Org, string(fault.ClassOf(err))).Inc()
}

// recordProgress follows the progress of an engine.
func (r *Recorder) recordProgress(e replication.ProgressEvent) {
	r.mu.Lock()
	defer r.mu.Unlock()
	a, running := r.current[e.Pair]
	if !running {
		return
	}
	a.Phase, a.Done, a.Total, a.Bytes, a.Object = string(e.Phase), e.Done, e.Total, e.Bytes, ""
	if e.Ref.Name != "" {
		a.Object = e.Ref.Path()
	}
	r.current[e.Pair] = a
}

// Activity returns what this process is doing for a pair.
func (r *Recorder) Activity(id replication.PairID) (a Activity, running bool) {
	if r == nil {
		return a, false
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	a, running = r.current[id]
	return a, running
}

// transport counts the requests of one server.
type transport struct {
	recorder *Recorder
	server   string
	next     http.RoundTripper
}

// RoundTrip implements [http.RoundTripper].
func (t *transport) RoundTrip(req *http.Request) (*http.Response, error) {
	r, began := t.recorder, time.Now()
	resp, err := t.next.RoundTrip(req)
	code := "none"
	if err == nil {
		code = strconv.Itoa(resp.StatusCode)
		r.reqSeconds.WithLabelValues(t.server).Observe(time.Since(began).Seconds())
		resp.Body = &countingBody{ReadCloser: resp.Body, count: r.received.WithLabelValues(t.server)}
		if req.ContentLength > 0 {
			r.sent.WithLabelValues(t.server).Add(float64(req.ContentLength))
		}
	}
	r.requests.WithLabelValues(t.server, req.Method, code).Inc()
	return resp, err
}

// countingBody counts the bytes that are read.
type countingBody struct {
	io.ReadCloser
	count prometheus.Counter
}

// Read implements [io.Reader].
func (b *countingBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	b.count.Add(float64(n))
	return n, err
}

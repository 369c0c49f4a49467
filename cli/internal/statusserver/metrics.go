package statusserver

import (
	"context"
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"chefsync/cli/internal/buildinfo"
	"chefsync/cli/internal/pairstatus"
	"chefsync/pkg/replication"
	"chefsync/pkg/status"
)

// namespace is the prefix of all metrics.
const namespace = "chef_sync"

// readTimeout is how long reading the store for one request may take.
const readTimeout = 30 * time.Second

// statusValues are the statuses of a pair, each a series of chef_sync_pair_status.
func statusValues() []replication.Status {
	return []replication.Status{replication.Bootstrapping, replication.Synced, replication.Syncing, replication.Retrying, status.Drifted,
		status.Stale, status.Unreachable, replication.Blocked, replication.Held, replication.Stopped}
}

// newMetricsHandler returns the handler of /metrics. The recorder may be nil.
func newMetricsHandler(reader Reader, recorder *Recorder, now func() time.Time) http.Handler {
	registry := prometheus.NewRegistry()
	registry.MustRegister(newStoreCollector(reader, now), newBuildInfo(), collectors.NewGoCollector(),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	if recorder != nil {
		registry.MustRegister(recorder.collectors()...)
	}
	return promhttp.HandlerFor(registry, promhttp.HandlerOpts{MaxRequestsInFlight: 4})
}

func newBuildInfo() prometheus.Collector {
	info := buildinfo.Read()
	g := prometheus.NewGauge(prometheus.GaugeOpts{Namespace: namespace, Name: "build_info",
		Help:        "Always 1; the labels describe the build.",
		ConstLabels: prometheus.Labels{"version": info.Version, "revision": info.Revision, "goversion": info.Go}})
	g.Set(1)
	return g
}

// storeCollector makes metrics of what the store records, at each scrape.
type storeCollector struct {
	reader Reader
	now    func() time.Time

	storeUp, unreadable, running, heartbeat, outdated *prometheus.Desc
	pairStatus                                        *prometheus.Desc
	pair                                              []pairMetric
	serverUp, latency, checked, answered, breaker     *prometheus.Desc
}

// pairMetric is one metric of each pair; value returns false where there is none.
type pairMetric struct {
	desc  *prometheus.Desc
	value func(pairstatus.PairRow) (float64, bool)
}

func newStoreCollector(reader Reader, now func() time.Time) *storeCollector {
	desc := func(name, help string, labels ...string) *prometheus.Desc {
		return prometheus.NewDesc(prometheus.BuildFQName(namespace, "", name), help, labels, nil)
	}
	return &storeCollector{
		reader: reader, now: now, pair: newPairMetrics(desc),
		storeUp:    desc("store_up", "Whether the store responds."),
		unreadable: desc("unreadable_pairs", "Pairs whose records can't be read; they have no other metrics."),
		running:    desc("scheduler_running", "Whether a daemon is running, or on a stack, its manager."),
		heartbeat:  desc("scheduler_last_heartbeat_timestamp_seconds", "Newest heartbeat of a daemon, or newest run of the manager of a stack."),
		outdated:   desc("configuration_outdated", "Whether the configuration file is newer than the configuration in effect in the daemon on this machine."),
		pairStatus: desc("pair_status", "1 for the current status of the pair, 0 for all others.", "replica", "organization", "status"),
		serverUp:   desc("server_up", "Whether the server responds; missing if it wasn't checked recently.", "server"),
		latency:    desc("server_latency_seconds", "Time the server took for its latest response.", "server"),
		checked:    desc("server_last_check_timestamp_seconds", "Time of the latest completed request to the server, whatever its result.", "server"),
		answered:   desc("server_last_answer_timestamp_seconds", "Time of the latest request that the server answered.", "server"),
		breaker:    desc("server_breaker_open", "Whether this process sends the server no requests because it is down.", "server"),
	}
}

// newPairMetrics returns the metrics of each pair that are one number.
func newPairMetrics(desc func(name, help string, labels ...string) *prometheus.Desc) []pairMetric {
	count := func(n func(pairstatus.PairRow) int) func(pairstatus.PairRow) (float64, bool) {
		return func(r pairstatus.PairRow) (float64, bool) { return float64(n(r)), true }
	}
	timestamp := func(t func(pairstatus.PairRow) time.Time) func(pairstatus.PairRow) (float64, bool) {
		return func(r pairstatus.PairRow) (float64, bool) { return unixSeconds(t(r)), !t(r).IsZero() }
	}
	metric := func(name, help string, value func(pairstatus.PairRow) (float64, bool)) pairMetric {
		return pairMetric{desc("pair_"+name, help, "replica", "organization"), value}
	}
	return []pairMetric{
		metric("lag_seconds", "Time since the source was last read completely with everything applied; missing before the first success.",
			func(r pairstatus.PairRow) (float64, bool) {
				if r.LagSeconds == nil {
					return 0, false
				}
				return float64(*r.LagSeconds), true
			}),
		metric("last_success_timestamp_seconds", "Time of the last pass that applied all known changes.",
			timestamp(func(r pairstatus.PairRow) time.Time { return r.LastSuccess })),
		metric("last_attempt_timestamp_seconds", "Time of the last pass, whatever its outcome.", timestamp(func(r pairstatus.PairRow) time.Time { return r.LastAttempt })),
		metric("last_verification_timestamp_seconds", "Time of the last comparison that read both sides.",
			timestamp(func(r pairstatus.PairRow) time.Time { return r.LastCheck })),
		metric("objects", "Objects that replication keeps on the replica.", count(func(r pairstatus.PairRow) int { return r.Objects })),
		metric("pending_objects", "Objects known to wait for a pass.", count(func(r pairstatus.PairRow) int { return r.Pending })),
		metric("unsynced_objects", "Objects that could not be replicated.", count(func(r pairstatus.PairRow) int { return r.Unsynced })),
		metric("held_deletions", "Deletions that wait for approval.", count(countHeld)),
		metric("drifted_objects", "Objects that others changed on the replica, as far as known, and that are not repaired.", count(countDrifted)),
		metric("damaged_files", "Cookbook files of the replica that are damaged or missing.", count(func(r pairstatus.PairRow) int { return r.DamagedFiles })),
		metric("consecutive_failures", "Consecutive failed passes.", count(func(r pairstatus.PairRow) int { return r.Failures })),
	}
}

// Describe implements [prometheus.Collector].
func (c *storeCollector) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{c.storeUp, c.unreadable, c.running, c.heartbeat, c.outdated, c.pairStatus, c.serverUp, c.latency, c.checked,
		c.answered, c.breaker} {
		ch <- d
	}
	for _, m := range c.pair {
		ch <- m.desc
	}
}

// Collect implements [prometheus.Collector]. A store that doesn't answer is a metric, too.
func (c *storeCollector) Collect(ch chan<- prometheus.Metric) {
	ctx, cancel := context.WithTimeout(context.Background(), readTimeout)
	defer cancel()
	gauge := func(d *prometheus.Desc, v float64, labels ...string) {
		ch <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, labels...)
	}
	st, err := c.reader.Status(ctx)
	gauge(c.storeUp, oneIf(err == nil))
	if err != nil {
		return
	}
	gauge(c.unreadable, float64(len(st.Unreadable)))
	gauge(c.running, oneIf(schedulerRuns(st.Processes, c.now())))
	gauge(c.outdated, oneIf(!st.Processes.ConfigChanged.IsZero()))
	if at := st.Processes.LastHeartbeat(); !at.IsZero() {
		gauge(c.heartbeat, unixSeconds(at))
	}
	for _, p := range st.Pairs {
		replica, org := p.Pair.Replica, p.Pair.Org
		for _, s := range statusValues() {
			gauge(c.pairStatus, oneIf(s == p.Status), replica, org, string(s))
		}
		for _, m := range c.pair {
			if v, ok := m.value(p); ok {
				gauge(m.desc, v, replica, org)
			}
		}
	}
	c.collectServers(st, gauge)
}

func (c *storeCollector) collectServers(st Status, gauge func(*prometheus.Desc, float64, ...string)) {
	open := c.reader.OpenBreakers()
	for _, s := range st.Servers {
		if s.Status != pairstatus.ServerUnknown {
			gauge(c.serverUp, oneIf(s.Status == pairstatus.ServerUp), s.Name)
		}
		if s.LatencyMS != nil {
			gauge(c.latency, float64(*s.LatencyMS)/1000, s.Name)
		}
		if !s.LastCheck.IsZero() {
			gauge(c.checked, unixSeconds(s.LastCheck), s.Name)
		}
		if !s.LastAnswer.IsZero() {
			gauge(c.answered, unixSeconds(s.LastAnswer), s.Name)
		}
		if isOpen, known := open[s.URL]; known {
			gauge(c.breaker, oneIf(isOpen), s.Name)
		}
	}
}

// countDrifted returns how many objects are known to differ because others changed them.
func countDrifted(r pairstatus.PairRow) int {
	if r.Drift == nil {
		return 0
	}
	return r.Drift.Left()
}

func oneIf(yes bool) float64 {
	if yes {
		return 1
	}
	return 0
}

func unixSeconds(t time.Time) float64 { return float64(t.UnixMilli()) / 1000 }

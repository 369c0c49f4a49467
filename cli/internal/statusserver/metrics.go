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
	"chefsync/pkg/status"
)

// namespace is the prefix of all metrics.
const namespace = "chef_sync"

// readTimeout is how long reading the store for one request may take.
const readTimeout = 30 * time.Second

// newMetricsHandler returns the handler of /metrics. The recorder may be nil.
func newMetricsHandler(reader Reader, recorder *Recorder, now func() time.Time) http.Handler {
	registry := prometheus.NewRegistry()
	registry.MustRegister(storeCollector{reader, now}, newBuildInfo(), collectors.NewGoCollector(),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	gatherers := prometheus.Gatherers{registry}
	if recorder != nil {
		gatherers = append(gatherers, recorder.registry)
	}
	return promhttp.HandlerFor(gatherers, promhttp.HandlerOpts{MaxRequestsInFlight: 4})
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
}

// Describe implements [prometheus.Collector]. Which metrics there are depends on the records.
func (storeCollector) Describe(chan<- *prometheus.Desc) {}

// Collect implements [prometheus.Collector]. A store that doesn't answer is a metric, too.
func (c storeCollector) Collect(ch chan<- prometheus.Metric) {
	ctx, cancel := context.WithTimeout(context.Background(), readTimeout)
	defer cancel()
	gauge := func(name, help string, labels ...string) func(v float64, values ...string) {
		desc := prometheus.NewDesc(prometheus.BuildFQName(namespace, "", name), help, labels, nil)
		return func(v float64, values ...string) {
			ch <- prometheus.MustNewConstMetric(desc, prometheus.GaugeValue, v, values...)
		}
	}
	st, err := c.reader.Status(ctx)
	gauge("store_up", "Whether the store responds.")(oneIf(err == nil))
	if err != nil {
		return
	}
	gauge("unreadable_pairs", "Pairs whose records can't be read; they have no other metrics.")(float64(len(st.Unreadable)))
	gauge("scheduler_running", "Whether a daemon is running, or on a stack, its manager.")(oneIf(schedulerRuns(st.Processes, c.now())))
	gauge("configuration_outdated", "Whether the configuration file has changed since a daemon on this machine read it.")(
		oneIf(!st.Processes.ConfigChanged.IsZero()))
	if at := st.Processes.LastHeartbeat(); !at.IsZero() {
		gauge("scheduler_last_heartbeat_timestamp_seconds", "Newest heartbeat of a daemon, or newest run of the manager of a stack.")(unixSeconds(at))
	}
	collectPairs(st.Pairs, gauge)
	collectServers(st.Servers, c.reader.OpenBreakers(), gauge)
}

// newGauge returns what adds a value of a metric, with the values of its labels.
type newGauge func(name, help string, labels ...string) func(v float64, values ...string)

func collectPairs(pairs []pairstatus.PairRow, gauge newGauge) {
	current := gauge("pair_status", "1 for the current status of the pair, 0 for all others.", "replica", "organization", "status")
	for _, r := range pairs {
		for _, s := range status.Statuses() {
			current(oneIf(s == r.Status), r.Pair.Replica, r.Pair.Org, string(s))
		}
	}
	metric := func(name, help string, value func(pairstatus.PairRow) (v float64, known bool)) {
		add := gauge("pair_"+name, help, "replica", "organization")
		for _, r := range pairs {
			if v, known := value(r); known {
				add(v, r.Pair.Replica, r.Pair.Org)
			}
		}
	}
	count := func(name, help string, n func(pairstatus.PairRow) int) {
		metric(name, help, func(r pairstatus.PairRow) (float64, bool) { return float64(n(r)), true })
	}
	timestamp := func(name, help string, t func(pairstatus.PairRow) time.Time) {
		metric(name, help, func(r pairstatus.PairRow) (float64, bool) { return unixSeconds(t(r)), !t(r).IsZero() })
	}
	metric("lag_seconds", "Time since the source was last read completely with everything applied; missing before the first success.",
		func(r pairstatus.PairRow) (float64, bool) {
			if r.LagSeconds == nil {
				return 0, false
			}
			return float64(*r.LagSeconds), true
		})
	timestamp("last_success_timestamp_seconds", "Time of the last pass that applied all known changes.",
		func(r pairstatus.PairRow) time.Time { return r.LastSuccess })
	timestamp("last_attempt_timestamp_seconds", "Time of the last pass, whatever its outcome.",
		func(r pairstatus.PairRow) time.Time { return r.LastAttempt })
	timestamp("last_verification_timestamp_seconds", "Time of the last comparison that read both sides.",
		func(r pairstatus.PairRow) time.Time { return r.LastCheck })
	count("objects", "Objects that replication keeps on the replica.", func(r pairstatus.PairRow) int { return r.Objects })
	count("pending_objects", "Objects known to wait for a pass.", func(r pairstatus.PairRow) int { return r.Pending })
	count("unsynced_objects", "Objects that could not be replicated.", func(r pairstatus.PairRow) int { return r.Unsynced })
	count("held_deletions", "Deletions that wait for approval.", countHeld)
	count("drifted_objects", "Objects that others changed on the replica, as far as known, and that are not repaired.", countDrifted)
	count("damaged_files", "Cookbook files of the replica that are damaged or missing.", func(r pairstatus.PairRow) int { return r.DamagedFiles })
	count("consecutive_failures", "Consecutive failed passes.", func(r pairstatus.PairRow) int { return r.Failures })
}

func collectServers(servers []pairstatus.ServerRow, open map[string]bool, gauge newGauge) {
	up := gauge("server_up", "Whether the server responds; missing if it wasn't checked recently.", "server")
	latency := gauge("server_latency_seconds", "Time the server took for its latest response.", "server")
	checked := gauge("server_last_check_timestamp_seconds", "Time of the latest completed request to the server, whatever its result.", "server")
	answered := gauge("server_last_answer_timestamp_seconds", "Time of the latest request that the server answered.", "server")
	breaker := gauge("server_breaker_open", "Whether this process sends the server no requests because it is down.", "server")
	for _, s := range servers {
		if s.Status != pairstatus.ServerUnknown {
			up(oneIf(s.Status == pairstatus.ServerUp), s.Name)
		}
		if s.LatencyMS != nil {
			latency(float64(*s.LatencyMS)/1000, s.Name)
		}
		if !s.LastCheck.IsZero() {
			checked(unixSeconds(s.LastCheck), s.Name)
		}
		if !s.LastAnswer.IsZero() {
			answered(unixSeconds(s.LastAnswer), s.Name)
		}
		if isOpen, known := open[s.URL]; known {
			breaker(oneIf(isOpen), s.Name)
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

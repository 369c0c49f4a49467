package manager

import (
	"maps"
	"slices"
	"strings"
	"time"

	"chefsync/functions/internal/metrics"
	"chefsync/pkg/cloud"
	"chefsync/pkg/config"
	"chefsync/pkg/feed/changelog"
	"chefsync/pkg/health"
	"chefsync/pkg/replication"
	"chefsync/pkg/status"
)

// How the manager assesses pairs.
const (
	assessEvery = cloud.ManagerEvery
	// repeatEvery is how often a finding is logged again.
	repeatEvery = time.Hour
	// minOverdue is the shortest time without a success that counts as overdue.
	minOverdue = 10 * time.Minute
	// maxVerifications bounds the verifications that one run of the manager starts: each
	// reads two organizations completely.
	maxVerifications = 10
)

// finding is a state of a pair, source or server that its operator should know of.
type finding struct {
	message string
	since   time.Time // when it began
	attrs   []any     // for the log, the first is what it is about
}

// assessment is the result of assessPairs.
type assessment struct {
	findings    []finding
	verify      []replication.PairID // whose verification is due
	counts      map[string]int
	successAge  time.Duration // the longest time since the last success of a pair
	goodPassAge time.Duration // the longest time since the last good pass of a pair
	goodScanAge time.Duration // the longest time since a source that is scanned was read completely
	pending     int
	unsynced    int
	reports     map[replication.PairID]status.Report
}

// lastScans are the last scans by source organization, of sources that pairs follow by
// scans.
type lastScans map[string]changelog.LastScan

// assessPairs assesses all configured pairs by their records and the servers that are
// down, and their sources by the last scans. It is pure.
func assessPairs(pairs []config.PairConfig, records map[replication.PairID]replication.PairState, scans lastScans, down []health.Server,
	tolerance status.Tolerance, now time.Time,
) assessment {
	a := assessment{counts: map[string]int{"Pairs": len(pairs)}, reports: map[replication.PairID]status.Report{}}
	for _, p := range pairs {
		f := status.Facts{State: records[p.ID], Pair: p.Pair, Now: now, Tolerance: tolerance, Stack: true, Down: downServersOf(down, p)}
		if last, ok := scans[p.SourceOrg]; ok && followsScans(f.State) {
			f.Scan = &last
			f.State = status.AsOfScan(f.State, last)
		}
		a.addPair(p, f, now)
	}
	for _, org := range slices.Sorted(maps.Keys(scans)) {
		a.addSource(org, scans[org], tolerance, now)
	}
	for _, server := range down {
		a.addDownServer(server, now)
	}
	a.verify = selectVerifications(a.verify, now)
	return a
}

// findingsOf returns a function that adds findings about what an attribute of the log names.
func (a *assessment) findingsOf(kind, name string) func(message string, since time.Time, attrs ...any) {
	return func(message string, since time.Time, attrs ...any) {
		a.findings = append(a.findings, finding{message, since, append([]any{kind, name}, attrs...)})
	}
}

// addSource assesses how long ago a source was read completely.
func (a *assessment) addSource(org string, last changelog.LastScan, tolerance status.Tolerance, now time.Time) {
	since := last.BehindSince()
	if since.IsZero() {
		return // nothing is known; its pairs have an age
	}
	age := now.Sub(since)
	a.goodScanAge = max(a.goodScanAge, age)
	find := a.findingsOf("source", org)
	switch {
	case last.Failures > 0:
		find("the primary can't be scanned for changes", last.FailingSince, "read_up_to", since, "failures", last.Failures, "error", last.Error, "hint", last.Hint)
	case len(last.Unread) > 0:
		u := last.Unread[0]
		find("scans can't read all of the primary", u.Failing, "kind", u.Kind.ConfigName(), "read_up_to", u.Since,
			"kinds", len(last.Unread), "error", u.Error, "hint", u.Hint)
	case age > tolerance.Scan+2*last.Ended.Sub(last.Good):
		find("the primary is no longer scanned; is the function changes failing?", last.Ended.Add(tolerance.Scan), "last_scan", last.Ended)
	}
}

// selectVerifications returns the part of the due verifications that this run of the
// manager starts. Each run selects others, so that those which never end, and stay
// due, don't keep the rest waiting.
func selectVerifications(due []replication.PairID, now time.Time) []replication.PairID {
	if len(due) <= maxVerifications {
		return due
	}
	first := int(now.Unix()/int64(assessEvery.Seconds())) * maxVerifications % len(due)
	return slices.Concat(due[first:], due[:first])[:maxVerifications]
}

// addPair assesses a pair.
func (a *assessment) addPair(p config.PairConfig, f status.Facts, now time.Time) {
	st, g := f.State, f.State.Progress
	recorded, evaluated := st.Status(), status.Evaluate(f)
	a.counts[statusMetric(evaluated.Status)]++
	a.reports[p.ID] = evaluated
	if recorded == replication.Stopped {
		return // as its operator asked
	}
	a.pending += g.Pending
	a.unsynced += g.Unsynced
	find := a.findingsOf("pair", p.ID.String())
	if g.Unsynced > 0 {
		find("the pair has unsynced objects", g.Since, "unsynced", g.Unsynced)
	}
	if l := st.Lease; l.Owner != "" && !l.HeldAt(now) {
		find("a pass died and left its lease; the next pass takes it over", l.Expires, "owner", l.Owner)
	}
	if d := g.Drift; d != nil && d.Left() > 0 {
		find("what others changed on the replica was not repaired", d.At, "objects", d.Left())
	}
	if n := g.Files.Left(); n > 0 {
		find("cookbook files of the replica are damaged and were not repaired", g.Files.Started, "files", n)
	}
	switch recorded {
	case replication.Held:
		find("the pair is held; an operator must decide", g.Since, "reason", holdReason(g))
	case replication.Blocked:
		find("the pair is blocked; an operator must act", g.Since, "error", lastError(g))
	}
	a.addAge(p, g, now, evaluated.Status == status.Stale, find)
	unsynced := recorded == replication.Retrying && g.LastError == nil // an unsynced object doesn't keep the others from being verified
	verifiable := recorded == replication.Synced || recorded == replication.Held || unsynced
	due := g.VerifyDue(p.VerifyEvery, now) || g.FilesDue(p.FilesEvery, now)
	if verifiable && due && !g.Checking.UnderWay(now) && !st.Lease.HeldAt(now) {
		a.verify = append(a.verify, p.ID)
	}
}

// addAge assesses the time since the last success of a pair, or since the beginning if
// there was none. The record of a pair that no pass has worked on has no time.
func (a *assessment) addAge(p config.PairConfig, g replication.Progress, now time.Time, stale bool, find func(string, time.Time, ...any)) {
	last := g.LastSuccess
	if last.IsZero() {
		last = workStarted(g)
	}
	if last.IsZero() {
		find("the pair has never had a pass; is the function sync failing?", now)
		return
	}
	age := now.Sub(last)
	a.successAge = max(a.successAge, age)
	a.goodPassAge = max(a.goodPassAge, now.Sub(lastGoodPass(g, last)))
	// Without a feed, a success comes with each compare only.
	every := p.Interval
	if g.Position == nil {
		every = max(every, p.CompareEvery)
	}
	if limit := max(3*every, minOverdue); age > limit {
		if !stale {
			a.counts["Overdue"]++
		}
		find("the pair is overdue", last.Add(limit), "last_success", last, "status", string(g.Status))
	}
}

// workStarted returns when the work on a pair without a success began. A failure changes
// the status, but not the comparison that the next pass continues.
func workStarted(g replication.Progress) time.Time {
	if w := g.Work; w != nil && w.Started.Before(g.Since) {
		return w.Started
	}
	return g.Since
}

// shouldLog reports whether a finding is to be logged now: when it is new, and then once
// an hour.
func (f finding) shouldLog(now time.Time) bool {
	age := max(now.Sub(f.since), 0)
	return age < assessEvery || age%repeatEvery < assessEvery
}

// statusMetric returns the name of the metric that counts the pairs of a status: its own
// name, unless an older metric counts them.
func statusMetric(s replication.Status) string {
	switch s {
	case status.Unreachable:
		s = replication.Retrying
	case status.Stale:
		return "Overdue"
	}
	return strings.ToUpper(string(s[:1])) + string(s[1:])
}

func holdReason(g replication.Progress) string {
	if g.Hold == nil {
		return ""
	}
	return g.Hold.Summary()
}

func lastError(g replication.Progress) string {
	if g.LastError == nil {
		return ""
	}
	return g.LastError.Message
}

// metricValues returns the metrics that the alarms of the stack watch. All are written
// every time, zeros too, so that an alarm ends.
func (a assessment) metricValues() map[string]metrics.Value {
	values := map[string]metrics.Value{
		cloud.MetricOldestGoodPassAge: {Number: a.goodPassAge.Seconds(), Unit: metrics.Seconds},
		cloud.MetricOldestGoodScanAge: {Number: a.goodScanAge.Seconds(), Unit: metrics.Seconds},
		"OldestSuccessAge":            {Number: a.successAge.Seconds(), Unit: metrics.Seconds},
		"Unsynced":                    {Number: float64(a.unsynced), Unit: metrics.Count},
		"Pending":                     {Number: float64(a.pending), Unit: metrics.Count},
	}
	// An alarm watches one metric.
	values["Waiting"] = metrics.Value{Number: float64(a.counts["Held"] + a.counts["Blocked"]), Unit: metrics.Count}
	for _, name := range []string{"Pairs", "Synced", "Overdue", "Held", "Blocked", "Retrying", "Stopped"} {
		values[name] = metrics.Value{Number: float64(a.counts[name]), Unit: metrics.Count}
	}
	return values
}

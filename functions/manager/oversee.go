package manager

import (
	"maps"
	"slices"
	"time"

	"chefsync/functions/internal/metrics"
	"chefsync/pkg/cloud"
	"chefsync/pkg/config"
	"chefsync/pkg/feed/journal"
	"chefsync/pkg/health"
	"chefsync/pkg/replication"
	"chefsync/pkg/status"
)

// How the manager assesses pairs.
const (
	period = cloud.ManagerEvery
	// remind is how often it says again what it has said.
	remind = time.Hour
	// overdueBy is the least time without a success that counts as overdue.
	overdueBy = 10 * time.Minute
	// verifyAtOnce bounds the verifications that one turn starts: each reads two
	// organizations whole.
	verifyAtOnce = 10
)

// finding is something about a pair that its operator should know.
type finding struct {
	pair    replication.PairID
	source  string // instead of a pair, for what concerns all pairs of a source organization
	message string
	since   time.Time // when it began
	attrs   []any     // for the log
}

// overview is what a look at all pairs gives.
type overview struct {
	findings []finding
	verify   []replication.PairID // whose verification is due
	counts   map[string]int
	oldest   time.Duration // since the last success of the pair that has none for the longest
	goodPass time.Duration // since the last good pass of the pair that has none for the longest
	unread   time.Duration // since the source whose scans read it whole for the longest ago was read
	pending  int
	unsynced int
}

// scans are the newest scans of the source organizations that pairs read by scanning.
type scans map[string]journal.LastScan

// oversee assesses all configured pairs by their records and by the servers that are
// down, and their sources by the newest scans. It is pure.
func oversee(pairs []config.PairConfig, records map[replication.PairID]replication.PairState, scanned scans, down []health.Server,
	patience status.Tolerance, now time.Time,
) overview {
	o := overview{counts: map[string]int{"Pairs": len(pairs)}}
	for _, p := range pairs {
		f := status.Facts{State: records[p.ID], Pair: p.Pair, Now: now, Tolerance: patience, Stack: true, Down: downOf(down, p)}
		if last, ok := scanned[p.SourceOrg]; ok && readsScans(f.State) {
			f.Scan = &last
			f.State = status.AsOfScan(f.State, last)
		}
		o.pair(p, f, now)
	}
	for _, org := range slices.Sorted(maps.Keys(scanned)) {
		o.source(org, scanned[org], patience, now)
	}
	for _, server := range down {
		o.down(server, now)
	}
	o.verify = turn(o.verify, now)
	return o
}

// source looks at how long ago a source was read whole.
func (o *overview) source(org string, last journal.LastScan, patience status.Tolerance, now time.Time) {
	since := last.BehindSince()
	if since.IsZero() {
		return // nothing is known; the age of its pairs tells
	}
	age := now.Sub(since)
	o.unread = max(o.unread, age)
	find := func(message string, since time.Time, attrs ...any) {
		o.findings = append(o.findings, finding{source: org, message: message, since: since, attrs: attrs})
	}
	switch {
	case last.Failures > 0:
		find("the primary can't be scanned for changes", last.FailingSince, "read_up_to", since, "failures", last.Failures, "error", last.Error, "hint", last.Hint)
	case len(last.Unread) > 0:
		u := last.Unread[0]
		find("scans can't read all of the primary", u.Failing, "kind", u.Kind.ConfigName(), "read_up_to", u.Since,
			"kinds", len(last.Unread), "error", u.Error, "hint", u.Hint)
	case age > patience.Scan+2*last.Ended.Sub(last.Good):
		find("the primary is not scanned any more: does the function changes fail?", last.Ended.Add(patience.Scan), "last_scan", last.Ended)
	}
}

// turn is a turn's share of the verifications that are due: each turn another, so
// that those which never end, and stay due, don't keep the rest waiting.
func turn(due []replication.PairID, now time.Time) []replication.PairID {
	if len(due) <= verifyAtOnce {
		return due
	}
	first := int(now.Unix()/int64(period.Seconds())) * verifyAtOnce % len(due)
	return slices.Concat(due[first:], due[:first])[:verifyAtOnce]
}

func (o *overview) pair(p config.PairConfig, f status.Facts, now time.Time) {
	st, g := f.State, f.State.Progress
	recorded, made := st.Status(), status.Evaluate(f)
	o.counts[metricOf(made.Status)]++
	o.pending += g.Pending
	o.unsynced += g.Unsynced
	find := func(message string, since time.Time, attrs ...any) {
		o.findings = append(o.findings, finding{pair: p.ID, message: message, since: since, attrs: attrs})
	}
	if g.Unsynced > 0 {
		find("the pair has unsynced objects", g.Since, "unsynced", g.Unsynced)
	}
	if l := st.Lease; l.Owner != "" && !l.HeldAt(now) {
		find("a pass died and left its lease; the next pass takes it over", l.Expires, "owner", l.Owner)
	}
	if made.Has(status.CauseDrift) {
		find("what others changed on the replica was not repaired", g.Drift.At, "objects", g.Drift.Left())
	}
	switch recorded {
	case replication.Stopped:
		return // as its operator wants it
	case replication.Held:
		find("the pair is held; a person must decide", g.Since, "reason", reason(g))
	case replication.Blocked:
		find("the pair is blocked; it needs a person", g.Since, "error", lastError(g))
	}
	o.age(p, g, now, made.Status == status.Stale, find)
	unsynced := recorded == replication.Retrying && g.LastError == nil // one object keeps no other from being verified
	verifiable := recorded == replication.Synced || recorded == replication.Held || unsynced
	due := g.VerifyDue(p.VerifyEvery, now) || g.FilesDue(p.FilesEvery, now)
	if verifiable && due && !g.Checking.UnderWay(now) && !st.Lease.HeldAt(now) {
		o.verify = append(o.verify, p.ID)
	}
}

// age looks at how long the last success is ago, or the beginning where there was
// none. A pair never worked on has no age: its record tells no time.
func (o *overview) age(p config.PairConfig, g replication.Progress, now time.Time, counted bool, find func(string, time.Time, ...any)) {
	last := g.LastSuccess
	if last.IsZero() {
		last = begun(g)
	}
	if last.IsZero() {
		find("the pair was never worked on: does the function sync fail?", now)
		return
	}
	age := now.Sub(last)
	o.oldest = max(o.oldest, age)
	o.goodPass = max(o.goodPass, now.Sub(lastGoodPass(g, last)))
	// Without a feed, a success comes with each compare only.
	every := p.Interval
	if g.Position == nil {
		every = max(every, p.CompareEvery)
	}
	if limit := max(3*every, overdueBy); age > limit {
		if !counted {
			o.counts["Overdue"]++
		}
		find("the pair is overdue", last.Add(limit), "last_success", last, "status", string(g.Status))
	}
}

// begun is when work on a pair without a success began. A failure changes the
// status, but not the compare that the next pass goes on with.
func begun(g replication.Progress) time.Time {
	if w := g.Work; w != nil && w.Started.Before(g.Since) {
		return w.Started
	}
	return g.Since
}

// due tells whether a finding is to be said now: when it is news, and then once
// an hour.
func (f finding) due(now time.Time) bool {
	age := max(now.Sub(f.since), 0)
	return age < period || age%remind < period
}

func metricOf(s replication.Status) string {
	switch s {
	case replication.Bootstrapping:
		return "Bootstrapping"
	case replication.Synced:
		return "Synced"
	case replication.Syncing:
		return "Syncing"
	case replication.Retrying, status.Unreachable:
		return "Retrying"
	case status.Stale:
		return "Overdue"
	case status.Drifted:
		return "Drifted"
	case replication.Blocked:
		return "Blocked"
	case replication.Held:
		return "Held"
	}
	return "Stopped"
}

func reason(g replication.Progress) string {
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

// metrics are what the alarms of the stack look at. All are written each time,
// zeros too: an alarm must see them end.
func (o overview) metrics() map[string]metrics.Value {
	values := map[string]metrics.Value{
		cloud.MetricOldestGoodPassAge: {Number: o.goodPass.Seconds(), Unit: metrics.Seconds},
		cloud.MetricOldestGoodScanAge: {Number: o.unread.Seconds(), Unit: metrics.Seconds},
		"OldestSuccessAge":            {Number: o.oldest.Seconds(), Unit: metrics.Seconds},
		"Unsynced":                    {Number: float64(o.unsynced), Unit: metrics.Count},
		"Pending":                     {Number: float64(o.pending), Unit: metrics.Count},
	}
	// What an alarm is to look at must be one metric.
	values["Waiting"] = metrics.Value{Number: float64(o.counts["Held"] + o.counts["Blocked"]), Unit: metrics.Count}
	for _, name := range []string{"Pairs", "Synced", "Overdue", "Held", "Blocked", "Retrying", "Stopped"} {
		values[name] = metrics.Value{Number: float64(o.counts[name]), Unit: metrics.Count}
	}
	return values
}

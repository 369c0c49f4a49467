package manager

import (
	"hash/fnv"
	"slices"
	"time"

	"chefsync/pkg/assembly"
	"chefsync/pkg/cloud"
	"chefsync/pkg/config"
	"chefsync/pkg/feed"
	"chefsync/pkg/feed/changelog"
	"chefsync/pkg/replication"
)

const (
	// idleEvery is how often a pair without news is polled: a pass also checks whether the
	// servers are still the same.
	idleEvery = time.Hour
	// slack is how much earlier than due something may begin: the manager runs once a
	// minute, give or take some seconds.
	slack = cloud.DispatchEvery / 2
)

// facts are what one run of the manager has read.
type facts struct {
	records map[replication.PairID]replication.PairState
	unread  map[replication.PairID]error  // pairs whose records can't be read
	scans   map[string]changelog.LastScan // by source organization
	// complete is whether all of the scans could be read.
	complete bool
	every    time.Duration // between two scans of a source
	now      time.Time
}

// readable returns the pairs without those whose records can't be read. A pass of such a pair
// would fail, and nothing can be said of it.
func (f facts) readable(pairs []config.PairConfig) []config.PairConfig {
	return slices.DeleteFunc(slices.Clone(pairs), func(p config.PairConfig) bool { return f.unread[p.ID] != nil })
}

// syncDue returns the events for the pairs that need a pass now. It is pure: an event
// that is lost, or that a pass couldn't finish, is due again in the next run.
func (f facts) syncDue(pairs []config.PairConfig) []cloud.SyncEvent {
	var due []cloud.SyncEvent
	for _, p := range pairs {
		st := f.records[p.ID]
		switch {
		case st.Desired.Stopped || st.Lease.HeldAt(f.now):
		case st.Desired.RequestedAt().After(st.Progress.LastAttempt):
			due = append(due, cloud.SyncEvent{Pair: p.ID, Trigger: replication.TriggerOperator})
		case f.passDue(p, st):
			due = append(due, cloud.SyncEvent{Pair: p.ID, Trigger: cloud.TriggerSchedule})
		}
	}
	return due
}

// passDue reports whether a pair needs a pass that no operator asked for.
func (f facts) passDue(p config.PairConfig, st replication.PairState) bool {
	g, scan := st.Progress, f.scans[p.SourceOrg]
	switch {
	case g.Failures > 0:
		return !f.now.Before(g.NextTry(f.now, p.Interval))
	case p.WorkRecorded(st, f.now):
		return true
	case scan.Epoch != "" && (g.Feed == changelog.Name || g.Position == nil):
		return !scan.AppliedBy(g) || f.compareDue(g, scan) || f.timeSince(g.LastAttempt) >= max(idleEvery, p.Interval)
	}
	if g.Position != nil && recordedLate(p.Interval) {
		return f.dueByClock(p.ID.String(), p.Interval)
	}
	return !f.now.Add(slack).Before(g.NextTry(f.now, max(p.Interval, p.CompareEvery)))
}

// compareDue reports whether a pair is to compare the snapshot of its source with its
// ledger once more. The number of scans since the last comparison isn't recorded every
// time, so it is estimated from the time that has passed.
func (f facts) compareDue(g replication.Progress, scan changelog.LastScan) bool {
	mark := g.Position.Snapshot
	scans := int64((f.timeSince(g.LastAttempt) + slack) / max(f.every, cloud.DispatchEvery))
	return mark.Due(scan.Generation, mark.Scans+scans)
}

// scanDue returns the events for the source organizations to scan now. A source whose
// pairs all follow the served feed is left out; of the others, the scanner finds out
// whether they need scans.
func (f facts) scanDue(sources []assembly.Source) []cloud.ChangesEvent {
	var due []cloud.ChangesEvent
	for _, s := range sources {
		if !f.followsServedFeed(s) && f.sourceDue(s.Org) {
			due = append(due, cloud.ChangesEvent{Source: s.Org, Trigger: cloud.TriggerSchedule})
		}
	}
	return due
}

// sourceDue reports whether the interval of a source has passed.
func (f facts) sourceDue(org string) bool {
	if recordedLate(f.every) {
		return f.dueByClock(org, f.every)
	}
	last := f.scans[org]
	began := last.Good
	if last.Failures > 0 {
		began = last.Ended
	}
	return f.timeSince(began)+slack >= f.every
}

// followsServedFeed reports whether all pairs of a source follow the feed that the
// primary serves.
func (f facts) followsServedFeed(s assembly.Source) bool {
	for _, id := range s.Pairs {
		if f.records[id].Progress.Feed != feed.Name {
			return false
		}
	}
	return len(s.Pairs) > 0
}

// longAgo is longer than any interval, and can be added to.
const longAgo = 100 * 365 * 24 * time.Hour

// timeSince returns how long ago t was: at most longAgo, which is also the result for a
// zero time. A time in the future was recorded by a wrong clock, and counts as long ago.
func (f facts) timeSince(t time.Time) time.Duration {
	if age := f.now.Sub(t); age >= -cloud.RecordEvery {
		return min(age, longAgo)
	}
	return longAgo
}

// recordedLate reports whether polls or scans of an interval happen more often than they
// are recorded: one without news is recorded once per cloud.NoteEvery.
func recordedLate(interval time.Duration) bool { return interval < cloud.RecordEvery+slack }

// dueByClock reports whether something is due now by the clock alone. The name spreads
// what has the same interval.
func (f facts) dueByClock(name string, interval time.Duration) bool {
	runs := max(int64(interval/cloud.DispatchEvery), 1)
	h := fnv.New32a()
	_, _ = h.Write([]byte(name)) // never fails
	return (f.now.Unix()/int64(cloud.DispatchEvery.Seconds())+int64(h.Sum32()))%runs == 0
}

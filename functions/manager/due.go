package manager

import (
	"hash/fnv"
	"time"

	"chefsync/pkg/assembly"
	"chefsync/pkg/cloud"
	"chefsync/pkg/config"
	"chefsync/pkg/feed/journal"
	"chefsync/pkg/replication"
)

const (
	// idleEvery is how often a pair is polled whose source has nothing new: passes
	// look now and then whether the servers are still the same.
	idleEvery = time.Hour
	// slack is how much earlier than due something may begin. Turns come a minute
	// apart, give or take some seconds.
	slack = cloud.DispatchEvery / 2
	// servedFeed is the feed of a pair whose primary serves its changes itself.
	servedFeed = "updated_since"
)

// facts are what one turn has read.
type facts struct {
	records map[replication.PairID]replication.PairState
	scans   map[string]journal.LastScan // by source organization
	every   time.Duration               // between two scans of a source
	now     time.Time
}

// syncDue returns the events for the pairs that need a pass now. It is pure: an event
// that is lost, or that a pass couldn't finish, is due again at the next turn.
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

// passDue reports whether a pair needs a pass that nobody asked for.
func (f facts) passDue(p config.PairConfig, st replication.PairState) bool {
	g, scan := st.Progress, f.scans[p.SourceOrg]
	switch {
	case g.Failures > 0:
		return !f.now.Before(g.NextTry(f.now, p.Interval))
	case p.WorkRecorded(st, f.now):
		return true
	case scan.Epoch != "" && (g.Feed == journal.Name || g.Position == nil):
		return !scan.AppliedBy(g) || f.compareDue(g, scan) || f.since(g.LastAttempt) >= max(idleEvery, p.Interval)
	}
	if g.Position != nil && recordedLate(p.Interval) {
		return f.turnOf(p.ID.String(), p.Interval)
	}
	return !f.now.Add(slack).Before(g.NextTry(f.now, max(p.Interval, p.CompareEvery)))
}

// compareDue reports whether a pair is to compare the snapshot of its source with its
// ledger once more. How many scans have begun since isn't recorded each time, so it is
// told by the clock; the pass knows it.
func (f facts) compareDue(g replication.Progress, scan journal.LastScan) bool {
	mark := g.Position.Snapshot
	scans := int64((f.since(g.LastAttempt) + slack) / max(f.every, cloud.DispatchEvery))
	return mark.Due(scan.Generation, mark.Scans+scans)
}

// scanDue returns the events for the source organizations to scan now. Whether the
// primary needs scans is the scanner's to find out, unless all pairs follow a feed
// that it serves.
func (f facts) scanDue(sources []assembly.Source) []cloud.ChangesEvent {
	var due []cloud.ChangesEvent
	for _, s := range sources {
		if !f.served(s) && f.sourceDue(s.Org) {
			due = append(due, cloud.ChangesEvent{Source: s.Org, Trigger: cloud.TriggerSchedule})
		}
	}
	return due
}

// sourceDue reports whether the interval of a source has passed.
func (f facts) sourceDue(org string) bool {
	if recordedLate(f.every) {
		return f.turnOf(org, f.every)
	}
	last := f.scans[org]
	began := last.Good
	if last.Failures > 0 {
		began = last.Ended
	}
	return f.since(began)+slack >= f.every
}

// served reports whether all pairs of a source follow a feed that the primary serves.
func (f facts) served(s assembly.Source) bool {
	for _, id := range s.Pairs {
		if f.records[id].Progress.Feed != servedFeed {
			return false
		}
	}
	return len(s.Pairs) > 0
}

// longAgo is longer than any interval, and can be added to.
const longAgo = 100 * 365 * 24 * time.Hour

// since is how long ago something was: at most longAgo, also for what never was. What
// lies ahead is of a clock that was wrong, and counts as long ago.
func (f facts) since(t time.Time) time.Duration {
	if age := f.now.Sub(t); age >= -cloud.NoteEvery {
		return min(age, longAgo)
	}
	return longAgo
}

// recordedLate reports whether polls or scans of an interval come more often than they
// are recorded: the record of one without news stands for those of cloud.NoteEvery.
func recordedLate(interval time.Duration) bool { return interval < cloud.NoteEvery+slack }

// turnOf reports whether something has its turn now, by the clock alone. The name
// spreads what has the same interval.
func (f facts) turnOf(name string, interval time.Duration) bool {
	turns := max(int64(interval/cloud.DispatchEvery), 1)
	h := fnv.New32a()
	_, _ = h.Write([]byte(name)) // never fails
	return (f.now.Unix()/int64(cloud.DispatchEvery.Seconds())+int64(h.Sum32()))%turns == 0
}

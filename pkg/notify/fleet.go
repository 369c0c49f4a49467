// Package notify decides what an operator is notified of and when. What is true is derived from
// the statuses of pairs and the records of servers; only what was told is recorded. Each
// channel is told once that a condition began, and once that it ended, however often the
// process restarts.
package notify

import (
	"cmp"
	"time"

	"chefsync/pkg/health"
	"chefsync/pkg/replication"
	"chefsync/pkg/status"
)

// Kind is what a condition is about.
type Kind string

// The kinds.
const (
	KindServer Kind = "server"
	KindPair   Kind = "pair"
)

// Condition is a status of a server or a pair that an operator is told of.
type Condition struct {
	Kind   Kind
	Name   string // of the server, or REPLICA/ORG
	Status replication.Status
}

// compare orders conditions by kind, status and name, the worst status first.
func (c Condition) compare(d Condition) int {
	return cmp.Or(-cmp.Compare(c.Kind, d.Kind), status.Rank(c.Status)-status.Rank(d.Status), cmp.Compare(c.Name, d.Name))
}

// isReported reports whether an operator is told of a status. That a pair merely retries
// isn't worth a message.
func isReported(s replication.Status) bool {
	switch s {
	case replication.Blocked, replication.Held, status.Unreachable, status.Stale, status.Drifted:
		return true
	}
	return false
}

// Fleet is what is known of the configured servers and pairs at one time.
type Fleet struct {
	Servers []Server
	Pairs   []Pair
}

// Server is a server that pairs use.
type Server struct {
	Name   string
	Pairs  []replication.PairID // that use it and aren't stopped
	Record *health.Server       // nil if it isn't known whether the server answers
}

// Pair is a pair with its status.
type Pair struct {
	ID     replication.PairID
	Report *status.Report // nil if it isn't known
	// Elsewhere is whether another process knows the pair, and tells of it.
	Elsewhere bool
}

// finding is what is known of a condition that is true.
type finding struct {
	text, hint string
	since      time.Time
}

// truth is whether a condition is true.
type truth int

const (
	no truth = iota
	yes
	unknown
)

// view answers questions about a fleet.
type view struct {
	findings map[Condition]finding
	servers  map[string]Server
	pairs    map[string]Pair
	covered  map[string]bool // pairs that use a server that is down
}

func (f Fleet) view() *view {
	v := &view{findings: map[Condition]finding{}, servers: map[string]Server{}, pairs: map[string]Pair{}, covered: map[string]bool{}}
	for _, s := range f.Servers {
		v.servers[s.Name] = s
		if r := s.Record; r != nil && r.Down() && len(s.Pairs) > 0 {
			v.findings[Condition{KindServer, s.Name, status.Unreachable}] = finding{r.Error, r.Hint, r.DownSince}
			v.cover(s)
		}
	}
	for _, p := range f.Pairs {
		v.pairs[p.ID.String()] = p
		v.addPair(p)
	}
	return v
}

// cover marks the pairs of a server that is down.
func (v *view) cover(s Server) {
	for _, id := range s.Pairs {
		v.covered[id.String()] = true
	}
}

// coverUnknown marks the pairs of servers that were down when that was last known.
func (v *view) coverUnknown(s State) {
	for _, g := range s.Conditions {
		for _, name := range g.Names {
			if server := v.servers[name]; g.Kind == KindServer && g.Active && server.Record == nil {
				v.cover(server)
			}
		}
	}
}

// addPair adds the findings of a pair. A stopped pair has none: its operator stopped it.
func (v *view) addPair(p Pair) {
	if p.Report == nil || p.Report.Status == replication.Stopped {
		return
	}
	add := func(s replication.Status, f finding) {
		c := Condition{KindPair, p.ID.String(), s}
		if _, known := v.findings[c]; !known && isReported(s) {
			v.findings[c] = f
		}
	}
	for _, r := range p.Report.Reasons { // the worst first
		add(r.Status, finding{r.Text, r.Hint, r.Since})
	}
	add(p.Report.Status, finding{}) // recorded without a reason
}

// truthOf returns whether a condition is true. While a server is down, it alone is told:
// its pairs can't be reached and become stale because of it, and what else ended for them
// isn't known.
func (v *view) truthOf(c Condition) truth {
	_, found := v.findings[c]
	if c.Kind == KindServer {
		s, configured := v.servers[c.Name]
		return truthIf(found, configured && s.Record == nil)
	}
	p, configured := v.pairs[c.Name]
	if v.covered[c.Name] {
		consequence := c.Status == status.Unreachable || c.Status == status.Stale
		return truthIf(found && !consequence, true)
	}
	return truthIf(found, configured && p.Report == nil)
}

func truthIf(found, isUnknown bool) truth {
	switch {
	case found:
		return yes
	case isUnknown:
		return unknown
	}
	return no
}

// Package assembly wires a configuration, the clients of its Chef Servers, feeds and a
// backend into engines, scanners and the handler that serves a change log. The command
// line and the functions share it; one machine and AWS differ in the Backend alone.
package assembly

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"path"
	"strings"
	"sync"
	"time"

	"chefsync/pkg/chef"
	"chefsync/pkg/config"
	"chefsync/pkg/endpoint"
	"chefsync/pkg/feed/changelog"
	"chefsync/pkg/health"
	"chefsync/pkg/replication"
)

// Backend is the storage of replication and of its secrets. Its methods open what they
// return at the first call, return the same value every time, and are safe for
// concurrent use.
type Backend interface {
	State(ctx context.Context) (replication.State, error)
	Stage(ctx context.Context) (replication.Stage, error)
	ChangeLogs(ctx context.Context) (changelog.ScanStore, error)
	// Health returns the store of the last observations of servers and processes.
	Health(ctx context.Context) (health.Store, error)
	// Secrets returns the resolvers of references other than file and env, by scheme.
	Secrets() map[string]config.Resolver
}

// Options are the parts of a Fleet. Config and Backend are required.
type Options struct {
	*config.Config
	Backend
	Log *slog.Logger     // default: nothing is logged
	Now func() time.Time // default time.Now
	// Owner names this process in leases. It must differ between processes.
	// Default: NewOwner.
	Owner string
	// OwnerDied reports whether the process of an owner is known to be dead, so that
	// its leases are taken over at once. It may be nil. The function OwnerDied is for a
	// backend of one machine.
	OwnerDied func(owner string) bool
	// RecordEvery is the least time between the records of scans and polls without
	// changes, where each write costs money; 0 records every one.
	RecordEvery time.Duration
}

// Fleet is the servers and pairs of a configuration. It is safe for concurrent use.
type Fleet struct {
	Options
	// OnProgress is called with the progress of all engines, and WrapTransport wraps the
	// transport of each client. Both may be nil, and are set before the first use.
	OnProgress    func(replication.ProgressEvent)
	WrapTransport func(server string, next http.RoundTripper) http.RoundTripper

	mu         sync.Mutex
	clients    map[string]*chef.Client
	feedProbes map[string]*feedProbe     // by source organization
	scanners   map[string]*sourceScanner // likewise

	breakersMu sync.Mutex
	breakers   map[string]*chef.Breaker // by the URL of a server
}

// New returns a fleet. It opens and sends nothing.
func New(o Options) *Fleet {
	f := &Fleet{Options: o, clients: map[string]*chef.Client{}, breakers: map[string]*chef.Breaker{}, feedProbes: map[string]*feedProbe{},
		scanners: map[string]*sourceScanner{}}
	if f.Log == nil {
		f.Log = slog.New(slog.DiscardHandler)
	}
	if f.Now == nil {
		f.Now = time.Now
	}
	if f.Owner == "" {
		f.Owner = NewOwner()
	}
	return f
}

// UnknownPairError is the error of an argument that names no pair.
type UnknownPairError struct {
	Name  string
	Known []replication.PairID
}

// Error implements error.
func (e *UnknownPairError) Error() string { return fmt.Sprintf("no pair matches %q", e.Name) }

// Select returns the pairs that names select: an organization selects all its pairs,
// REPLICA/ORG one, REPLICA/ all of a replica, a pattern of [path.Match] such as eu/* or
// */team-07 those that it matches, and no name all. The error is an *UnknownPairError.
func (f *Fleet) Select(names ...string) ([]config.PairConfig, error) {
	all := f.Pairs()
	if len(names) == 0 {
		return all, nil
	}
	var chosen []config.PairConfig
	seen := map[replication.PairID]bool{}
	for _, name := range names {
		found := false
		for _, p := range all {
			if name != p.SourceOrg && !matchesPair(name, p.ID) {
				continue
			}
			found = true
			if !seen[p.ID] {
				seen[p.ID] = true
				chosen = append(chosen, p)
			}
		}
		if !found {
			unknown := &UnknownPairError{Name: name}
			for _, p := range all {
				unknown.Known = append(unknown.Known, p.ID)
			}
			return nil, unknown
		}
	}
	return chosen, nil
}

// matchesPair reports whether a name or pattern selects a pair: with a slash by its
// replica and organization, else by its organization.
func matchesPair(pattern string, id replication.PairID) bool {
	name := id.Org
	if replica, org, hasReplica := strings.Cut(pattern, "/"); hasReplica {
		name = id.String()
		if org == "" {
			pattern = replica + "/*"
		}
	}
	ok, err := path.Match(pattern, name)
	return err == nil && ok || pattern == name
}

// Fail records why the engine of a pair can't be made, for the status of the pair.
func (f *Fleet) Fail(ctx context.Context, p config.PairConfig, o replication.PassOptions, cause error) (replication.Run, error) {
	state, err := f.State(ctx)
	if err != nil {
		return replication.Run{Pair: p.ID, Trigger: o.Trigger, Outcome: replication.OutcomeFailed}, errors.Join(cause, err)
	}
	e := &replication.Engine{Pair: p.Pair, State: state, Log: f.Log, Now: f.Now, OwnerDied: f.OwnerDied}
	return e.Fail(ctx, o, cause)
}

// PairState returns the record of a pair.
func (f *Fleet) PairState(ctx context.Context, id replication.PairID) (replication.PairState, error) {
	state, err := f.State(ctx)
	if err != nil {
		return replication.PairState{}, err
	}
	return state.Pair(ctx, id)
}

// Engine returns the engine of a pair.
func (f *Fleet) Engine(ctx context.Context, p config.PairConfig) (*replication.Engine, error) {
	state, err := f.State(ctx)
	if err != nil {
		return nil, err
	}
	files, err := f.Stage(ctx)
	if err != nil {
		return nil, err
	}
	primary, err := f.Client(ctx, f.Primary)
	if err != nil {
		return nil, err
	}
	replica, err := f.Client(ctx, p.Replica)
	if err != nil {
		return nil, err
	}
	source := primary.Org(p.SourceOrg)
	feed, err := f.newChangeFeed(ctx, p.SourceOrg, p.Space)
	if err != nil {
		return nil, err
	}
	return &replication.Engine{
		Pair: p.Pair, Feed: feed, Source: endpoint.NewSource(source, f.Log),
		Target: endpoint.NewTarget(replica.Org(p.ID.Org), endpoint.TargetOptions{Log: f.Log}),
		Stage:  files, State: state, Log: f.Log, Now: f.Now, Owner: f.Owner, OwnerDied: f.OwnerDied, Observe: f.OnProgress,
		Tuning: replication.Tuning{RecordPollsEvery: f.RecordEvery},
	}, nil
}

// Package assembly joins a configuration, the clients of its Chef Servers, feeds
// and a backend into engines, scanners and what is served of a journal. It is the wiring that the command line and the
// functions have in common: what differs between one machine and AWS is the
// Backend alone.
package assembly

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"path"
	"strings"
	"sync"
	"time"

	"chefsync/pkg/chef"
	"chefsync/pkg/config"
	"chefsync/pkg/endpoint"
	"chefsync/pkg/feed/journal"
	"chefsync/pkg/health"
	"chefsync/pkg/replication"
)

// Backend is what replication keeps, and where secrets are kept. Nothing is
// opened before it is asked for; each method returns the same thing every time
// and may be called concurrently.
type Backend interface {
	State(ctx context.Context) (replication.State, error)
	Stage(ctx context.Context) (replication.Stage, error)
	Journals(ctx context.Context) (journal.ScanStore, error)
	// Health keeps what was last seen of servers and processes.
	Health(ctx context.Context) (health.Store, error)
	// Secrets resolves references of schemes other than file and env.
	Secrets() map[string]config.Resolver
}

// Options say what a Fleet is made of. Config and Backend are needed.
type Options struct {
	Config  *config.Config
	Backend Backend
	Log     *slog.Logger     // default: nothing is logged
	Now     func() time.Time // default time.Now
	// Owner names this process in leases. It must differ between processes.
	// Default: NewOwner.
	Owner string
	// OwnerDied reports whether the process of an owner is known to be dead, so that
	// its leases are taken over at once; nil knows nothing. The function OwnerDied is
	// for a backend of one machine.
	OwnerDied func(owner string) bool
	// NoteEvery is how long the record of a scan or of a poll that found nothing
	// stands for those after it, where each write costs money; 0 records every one.
	NoteEvery time.Duration
}

// Fleet is the servers and pairs of a configuration, ready for work. It is safe
// for concurrent use.
type Fleet struct {
	*config.Config
	Backend
	Log *slog.Logger
	Now func() time.Time

	owner     string
	ownerDied func(owner string) bool
	noteEvery time.Duration
	mu        sync.Mutex
	clients   map[string]*chef.Client
	choices   map[string]*choice   // by source organization
	scanning  map[string]*scanning // likewise

	breakersMu sync.Mutex
	breakers   map[string]*chef.Breaker // by the URL of a server
}

// New makes a fleet. It opens and sends nothing.
func New(o Options) *Fleet {
	f := &Fleet{Config: o.Config, Backend: o.Backend, Log: o.Log, Now: o.Now, owner: o.Owner, ownerDied: o.OwnerDied, noteEvery: o.NoteEvery,
		clients: map[string]*chef.Client{}, breakers: map[string]*chef.Breaker{}, choices: map[string]*choice{}, scanning: map[string]*scanning{}}
	if f.Log == nil {
		f.Log = slog.New(slog.DiscardHandler)
	}
	if f.Now == nil {
		f.Now = time.Now
	}
	if f.owner == "" {
		f.owner = NewOwner()
	}
	return f
}

// UnknownPairError says that an argument names no pair.
type UnknownPairError struct {
	Name  string
	Known []replication.PairID
}

// Error names what was asked for.
func (e *UnknownPairError) Error() string { return fmt.Sprintf("no pair matches %q", e.Name) }

// Select finds the pairs that names mean: an organization means all its pairs,
// REPLICA/ORG one, a pattern of [path.Match] such as eu/* or */team-07 those that
// it matches, no name all. It fails with *UnknownPairError.
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
			if name != p.SourceOrg && !matches(name, p.ID) {
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

// matches reports whether a name or pattern means a pair: with a slash by its
// replica and organization, else by its organization.
func matches(pattern string, id replication.PairID) bool {
	name := id.Org
	if strings.Contains(pattern, "/") {
		name = id.String()
	}
	ok, err := path.Match(pattern, name)
	return err == nil && ok || pattern == name
}

// Fail records that the engine of a pair can't be wired, so that the pair's status
// says why.
func (f *Fleet) Fail(ctx context.Context, p config.PairConfig, o replication.PassOptions, cause error) (replication.Run, error) {
	state, err := f.State(ctx)
	if err != nil {
		return replication.Run{Pair: p.ID, Trigger: o.Trigger, Outcome: replication.OutcomeFailed}, errors.Join(cause, err)
	}
	e := &replication.Engine{Pair: p.Pair, State: state, Log: f.Log, Now: f.Now, OwnerDied: f.ownerDied}
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

// Engine wires the engine of a pair.
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
	feed, err := f.feed(ctx, p.SourceOrg, p.Space)
	if err != nil {
		return nil, err
	}
	return &replication.Engine{
		Pair: p.Pair, Feed: feed, Source: endpoint.NewSource(source, f.Log),
		Target: endpoint.NewTarget(replica.Org(p.ID.Org), endpoint.TargetOptions{Log: f.Log}),
		Stage:  files, State: state, Log: f.Log, Now: f.Now, Owner: f.owner, OwnerDied: f.ownerDied,
		Tuning: replication.Tuning{RecordPollsEvery: f.noteEvery},
	}, nil
}

// Package app wires the program: configuration, Chef Server clients, endpoints,
// state, stage and engine. Commands ask it for what they need; nothing is
// opened before that.
package app

import (
	"context"
	"crypto/rand"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"sync"
	"time"

	"chefsync/cli/internal/exit"
	"chefsync/pkg/chef"
	"chefsync/pkg/endpoint"
	"chefsync/pkg/replication"
	"chefsync/pkg/stage"
	"chefsync/pkg/state"
)

// Options say how to open an App.
type Options struct {
	ConfigPath  string // "" means the usual places
	ChefProfile string // of ~/.chef/credentials
	Env         func(string) (string, bool)
	Now         func() time.Time
	Log         LogOptions
}

// App is the program with its configuration.
type App struct {
	*Settings
	Log *slog.Logger
	Now func() time.Time

	owner string

	mu      sync.Mutex
	clients map[string]*chef.Client
	state   *state.SQLite
	stage   *stage.Dir
	logs    *state.LogHandler
}

// Open reads the configuration.
func Open(_ context.Context, o Options) (*App, error) {
	settings, err := load(o)
	if err != nil {
		return nil, err
	}
	return &App{
		Settings: settings, Log: slog.New(o.Log.handler(settings.LogLevel)), Now: o.Now,
		owner: newOwner(), clients: map[string]*chef.Client{},
	}, nil
}

// newOwner names this process in leases, for people and apart from all others.
func newOwner() string {
	host, err := os.Hostname()
	if err != nil {
		host = "unknown"
	}
	return fmt.Sprintf("%s:%d:%s", host, os.Getpid(), strings.ToLower(rand.Text()[:6]))
}

// Close writes what is left of the log and closes the state.
func (a *App) Close() error {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.logs != nil {
		_ = a.logs.Close() // it has warned by itself
	}
	if a.state == nil {
		return nil
	}
	return a.state.Close()
}

// Select finds the pairs that arguments name: an organization means all its
// pairs, REPLICA/ORG one, no argument all.
func (a *App) Select(args ...string) ([]Pair, error) {
	if len(args) == 0 {
		return a.Pairs(), nil
	}
	var chosen []Pair
	seen := map[replication.PairID]bool{}
	for _, arg := range args {
		found := false
		for _, p := range a.Pairs() {
			if arg != p.ID.Org && arg != p.ID.String() && arg != p.SourceOrg {
				continue
			}
			found = true
			if !seen[p.ID] {
				seen[p.ID] = true
				chosen = append(chosen, p)
			}
		}
		if !found {
			return nil, a.noPair(arg)
		}
	}
	return chosen, nil
}

func (a *App) noPair(arg string) error {
	var names []string
	for _, p := range a.Pairs() {
		names = append(names, p.ID.String())
	}
	return exit.With(exit.NotFound, fmt.Errorf("no pair matches %q", arg), "one of: "+strings.Join(names, ", "))
}

// State opens the state, at the first call.
func (a *App) State(ctx context.Context) (replication.State, error) { return a.Logs(ctx) }

// Logs opens the state with its log.
func (a *App) Logs(ctx context.Context) (*state.SQLite, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.state != nil {
		return a.state, nil
	}
	s, err := state.OpenSQLite(ctx, a.StatePath)
	if err != nil {
		return nil, err
	}
	a.state = s
	return s, nil
}

func (a *App) openStage() (*stage.Dir, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.stage != nil {
		return a.stage, nil
	}
	s, err := stage.OpenDir(a.StagePath)
	if err != nil {
		return nil, err
	}
	a.stage = s
	return s, nil
}

// Client is the client of a server, one for all pairs that use it.
func (a *App) Client(ctx context.Context, s Server) (*chef.Client, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if c := a.clients[s.Name]; c != nil {
		return c, nil
	}
	c, err := a.newClient(ctx, s)
	if err != nil {
		return nil, err
	}
	a.clients[s.Name] = c
	return c, nil
}

// Forget drops the clients, so that the next pass reads the keys again: a key
// that a server refuses may have been replaced.
func (a *App) Forget() {
	a.mu.Lock()
	defer a.mu.Unlock()
	clear(a.clients)
}

// Engine wires the engine of a pair.
func (a *App) Engine(ctx context.Context, p Pair) (*replication.Engine, error) {
	st, err := a.State(ctx)
	if err != nil {
		return nil, err
	}
	files, err := a.openStage()
	if err != nil {
		return nil, err
	}
	primary, err := a.Client(ctx, a.Primary)
	if err != nil {
		return nil, err
	}
	replica, err := a.Client(ctx, p.Replica)
	if err != nil {
		return nil, err
	}
	source := primary.Org(p.SourceOrg)
	return &replication.Engine{
		Pair: p.Pair, Feed: a.feed(source), Source: endpoint.NewSource(source, a.Log), Target: endpoint.NewTarget(replica.Org(p.ID.Org), endpoint.TargetOptions{Log: a.Log}),
		Stage: files, State: st, Log: a.Log, Now: a.Now, Owner: a.owner,
	}, nil
}

// stageAge is how long content that nobody asked for stays staged.
const stageAge = 7 * 24 * time.Hour

// SweepStage removes staged content that is old.
func (a *App) SweepStage(ctx context.Context) error {
	s, err := a.openStage()
	if err != nil {
		return err
	}
	_, err = s.Sweep(ctx, stageAge)
	return err
}

package app

import (
	"context"
	"errors"
	"sync"

	"chefsync/pkg/config"
	"chefsync/pkg/feed/changelog"
	"chefsync/pkg/health"
	"chefsync/pkg/notify"
	"chefsync/pkg/replication"
	"chefsync/pkg/stage"
	"chefsync/pkg/store/sqlite"
)

// localBackend is the backend of one machine: a SQLite file and a folder, opened at
// first use.
type localBackend struct {
	statePath, stagePath string
	stageSize            int64 // as in config.Config
	secrets              map[string]config.Resolver

	mu    sync.Mutex
	state *sqlite.State
	stage *stage.Dir
}

func (f *localBackend) openState(ctx context.Context) (*sqlite.State, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.state != nil {
		return f.state, nil
	}
	s, err := sqlite.OpenState(ctx, f.statePath)
	if err != nil {
		return nil, err
	}
	f.state = s
	return s, nil
}

func (f *localBackend) openStage() (*stage.Dir, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.stage != nil {
		return f.stage, nil
	}
	s, err := stage.OpenDir(f.stagePath, stage.Options{Limit: f.stageSize})
	if err != nil {
		return nil, err
	}
	f.stage = s
	return s, nil
}

// checkPresent fails once the state's file isn't the one that was opened.
func (f *localBackend) checkPresent() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.state == nil {
		return nil
	}
	return f.state.Present()
}

func (f *localBackend) closeState() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.state == nil {
		return nil
	}
	return f.state.Close()
}

// State implements assembly.Backend.
func (f *localBackend) State(ctx context.Context) (replication.State, error) {
	s, err := f.openState(ctx)
	if err != nil {
		return nil, err // not a nil *State in an interface
	}
	return s, nil
}

// Stage implements assembly.Backend.
func (f *localBackend) Stage(context.Context) (replication.Stage, error) {
	s, err := f.openStage()
	if err != nil {
		return nil, err
	}
	return s, nil
}

// ChangeLogs implements assembly.Backend.
func (f *localBackend) ChangeLogs(ctx context.Context) (changelog.ScanStore, error) {
	s, err := f.openState(ctx)
	if err != nil {
		return nil, err
	}
	return s.ChangeLogs(), nil
}

// Health implements assembly.Backend.
func (f *localBackend) Health(ctx context.Context) (health.Store, error) {
	s, err := f.openState(ctx)
	if err != nil {
		return nil, err
	}
	return s.Health(), nil
}

// Notified returns the record of what operators were told, on this machine.
func (a *App) Notified(ctx context.Context) (notify.Store, error) {
	if a.files == nil {
		return nil, errors.New("on a stack, its manager records notifications")
	}
	s, err := a.files.openState(ctx)
	if err != nil {
		return nil, err
	}
	return s.Notified(), nil
}

// Secrets implements assembly.Backend: also on one machine, keys may be kept in
// AWS.
func (f *localBackend) Secrets() map[string]config.Resolver { return f.secrets }

package app

import (
	"context"
	"errors"
	"sync"

	"chefsync/pkg/config"
	"chefsync/pkg/notify"
	"chefsync/pkg/replication"
	"chefsync/pkg/stage"
	"chefsync/pkg/store"
	"chefsync/pkg/store/sqlite"
)

// localBackend is the backend of one machine: a SQLite file and a folder, opened at
// first use.
type localBackend struct {
	*store.Opener
	statePath, stagePath string
	stageSize            int64 // as in config.Config
	secrets              map[string]config.Resolver

	mu    sync.Mutex
	state *sqlite.State
	stage *stage.Dir
}

func newLocalBackend(c *config.Config, secrets map[string]config.Resolver) *localBackend {
	f := &localBackend{statePath: c.StatePath, stagePath: c.StagePath, stageSize: c.StageSize, secrets: secrets}
	f.Opener = store.NewOpener(f.openState)
	return f
}

func (f *localBackend) openState(ctx context.Context) (*store.Store, error) {
	s, err := sqlite.OpenState(ctx, f.statePath)
	if err != nil {
		return nil, err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.state = s
	return s.Store, nil
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

// Stage implements assembly.Backend.
func (f *localBackend) Stage(context.Context) (replication.Stage, error) {
	s, err := f.openStage()
	if err != nil {
		return nil, err
	}
	return s, nil
}

// Notified returns the record of what operators were told, on this machine.
func (a *App) Notified(ctx context.Context) (notify.Store, error) {
	if a.files == nil {
		return nil, errors.New("on a stack, its manager records notifications")
	}
	return a.files.Notified(ctx)
}

// Secrets implements assembly.Backend: also on one machine, keys may be kept in
// AWS.
func (f *localBackend) Secrets() map[string]config.Resolver { return f.secrets }

package store

import (
	"context"
	"sync"

	"chefsync/pkg/feed/changelog"
	"chefsync/pkg/health"
	"chefsync/pkg/notify"
	"chefsync/pkg/replication"
)

// Opener opens a store when its records are first asked for, and again if that failed. It
// is safe for concurrent use.
type Opener struct {
	open func(context.Context) (*Store, error)

	mu    sync.Mutex
	store *Store
}

// NewOpener returns an opener that calls open.
func NewOpener(open func(context.Context) (*Store, error)) *Opener { return &Opener{open: open} }

func (o *Opener) opened(ctx context.Context) (*Store, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.store != nil {
		return o.store, nil
	}
	s, err := o.open(ctx)
	if err == nil {
		o.store = s
	}
	return s, err
}

// State returns the records of pairs.
func (o *Opener) State(ctx context.Context) (replication.State, error) {
	s, err := o.opened(ctx)
	if err != nil {
		return nil, err // not a nil *Store in an interface
	}
	return s, nil
}

// ChangeLogs returns the change logs and snapshots of sources.
func (o *Opener) ChangeLogs(ctx context.Context) (changelog.ScanStore, error) {
	s, err := o.opened(ctx)
	return s.ChangeLogs(), err
}

// Health returns what was last seen of servers and processes.
func (o *Opener) Health(ctx context.Context) (health.Store, error) {
	s, err := o.opened(ctx)
	return s.Health(), err
}

// Notified returns what operators were told.
func (o *Opener) Notified(ctx context.Context) (notify.Store, error) {
	s, err := o.opened(ctx)
	return s.Notified(), err
}

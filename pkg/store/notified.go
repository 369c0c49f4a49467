package store

import (
	"context"
	"errors"
	"time"

	"chefsync/pkg/notify"
)

// notifiedKey returns the key of the record of what operators were told.
func notifiedKey() Key { return Key{"NOTIFY", "STATE"} }

// Notified keeps what operators were told. Each operation is one request to the KV.
type Notified struct{ s *Store }

var _ notify.Store = Notified{}

// Notified returns the record of what operators were told.
func (s *Store) Notified() Notified { return Notified{s} }

// LoadNotified implements [notify.Store].
func (n Notified) LoadNotified(ctx context.Context) (notify.State, string, error) {
	const op = "read what was notified"
	it, err := n.s.kv.Get(ctx, notifiedKey())
	if err != nil || it.Version == "" {
		return notify.State{}, "", explainError(op, err)
	}
	state, err := decodeRecord[notify.State](it.Data)
	return state, it.Version, explainError(op, err)
}

// SaveNotified implements [notify.Store].
func (n Notified) SaveNotified(ctx context.Context, state notify.State, version string) (string, error) {
	w, err := putRecord(notifiedKey(), state, time.Time{})
	if err == nil {
		w.Item.Version = version
		version, err = n.s.kv.Transact(ctx, Replace(w.Item))
	}
	if errors.Is(err, ErrConflict) {
		return "", notify.ErrConflict
	}
	return version, explainError("save what was notified", err)
}

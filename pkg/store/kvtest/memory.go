// Package kvtest has the suite that every [store.KV] passes, and one in memory.
package kvtest

import (
	"bytes"
	"context"
	"slices"
	"strings"
	"sync"

	"chefsync/pkg/store"
)

// Memory is a [store.KV] in memory. The zero Memory is empty and ready.
type Memory struct {
	mu    sync.Mutex
	items map[string]map[string]store.Item // by partition and sort key

	// Before, if set, is called before each operation, with its name and the number of
	// writes that it has, or 1; an error that it returns is the result.
	Before func(op string, n int) error
}

var _ store.KV = (*Memory)(nil)

func (m *Memory) beforeOp(ctx context.Context, op string, n int) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if m.Before != nil {
		return m.Before(op, n)
	}
	return nil
}

func cloneItem(it store.Item) store.Item {
	it.Data = bytes.Clone(it.Data)
	return it
}

// Get implements [store.KV].
func (m *Memory) Get(ctx context.Context, k store.Key) (store.Item, error) {
	if err := m.beforeOp(ctx, "Get", 1); err != nil {
		return store.Item{}, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	it, ok := m.items[k.Partition][k.Sort]
	if !ok {
		return store.Item{Key: k}, nil
	}
	return cloneItem(it), nil
}

// Query implements [store.KV].
func (m *Memory) Query(ctx context.Context, q store.Query) (items []store.Item, err error) {
	if err := m.beforeOp(ctx, "Query", 1); err != nil {
		return nil, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	for sort, it := range m.items[q.Partition] {
		if q.From <= sort && sort <= q.To {
			items = append(items, cloneItem(it))
		}
	}
	slices.SortFunc(items, func(a, b store.Item) int { return strings.Compare(a.Sort, b.Sort) })
	if q.Reverse {
		slices.Reverse(items)
	}
	if q.Limit > 0 {
		items = items[:min(q.Limit, len(items))]
	}
	return items, nil
}

// Transact implements [store.KV].
func (m *Memory) Transact(ctx context.Context, writes ...store.Write) (string, error) {
	if err := m.beforeOp(ctx, "Transact", len(writes)); err != nil {
		return "", err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, w := range writes {
		if w.Conditional && m.items[w.Item.Partition][w.Item.Sort].Version != w.Item.Version {
			return "", store.ErrConflict
		}
	}
	version := store.NewVersion()
	for _, w := range writes {
		switch w.Op {
		case store.OpPut:
			it := cloneItem(w.Item)
			it.Version = version
			if m.items == nil {
				m.items = map[string]map[string]store.Item{}
			}
			if m.items[it.Partition] == nil {
				m.items[it.Partition] = map[string]store.Item{}
			}
			m.items[it.Partition][it.Sort] = it
		case store.OpDelete:
			delete(m.items[w.Item.Partition], w.Item.Sort)
		}
	}
	return version, nil
}

package serve

import (
	"cmp"
	"context"
	"crypto/rsa"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"time"

	"chefsync/pkg/chef"
)

// Principal is a user or API client as the primary knows it.
type Principal struct {
	Name   string
	Client bool // an API client of the organization; else a user
	Member bool // belongs to the organization
	Key    *rsa.PublicKey
}

// Principals finds who a name belongs to: none, one, or a user and a client.
type Principals interface {
	// Principals looks a name up. Again asks for a fresh look, since a key may
	// have been changed.
	Principals(ctx context.Context, organization, name string, again bool) ([]Principal, error)
}

// Keys are configured principals: public keys by name. They are members of every
// organization.
type Keys map[string]*rsa.PublicKey

// Principals implements Principals.
func (k Keys) Principals(_ context.Context, _, name string, _ bool) ([]Principal, error) {
	if key := k[name]; key != nil {
		return []Principal{{Name: name, Client: true, Member: true, Key: key}}, nil
	}
	return nil, nil
}

// Limits of the cache of what a primary said.
const (
	keepKnown   = 5 * time.Minute
	keepUnknown = 30 * time.Second
	askAgain    = 10 * time.Second // no fresh look sooner than this
	maxCached   = 10_000
	maxLookups  = 4 // at once: anybody can ask for any name
)

// Primary are the principals of a primary, asked for as anybody may
// (chef-server-api.md §7.4), and kept for some minutes.
type Primary struct {
	client *chef.Client
	now    func() time.Time
	slots  chan struct{}

	mu    sync.Mutex
	cache map[[2]string]cached
}

type cached struct {
	found []Principal
	at    time.Time
}

// NewPrimary makes Principals of a primary. Now may be nil.
func NewPrimary(client *chef.Client, now func() time.Time) *Primary {
	if now == nil {
		now = time.Now
	}
	return &Primary{client: client, now: now, slots: make(chan struct{}, maxLookups), cache: map[[2]string]cached{}}
}

// Principals implements Principals.
func (p *Primary) Principals(ctx context.Context, organization, name string, again bool) ([]Principal, error) {
	if !chef.ValidName(name) {
		return nil, nil
	}
	key := [2]string{organization, name}
	if c, ok := p.cached(key, again); ok {
		return c, nil
	}
	select {
	case p.slots <- struct{}{}:
		defer func() { <-p.slots }()
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	if c, ok := p.cached(key, again); ok {
		return c, nil // somebody else asked meanwhile
	}
	found, err := p.ask(ctx, organization, name)
	if err != nil {
		return nil, err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.cache) >= maxCached {
		clear(p.cache)
	}
	p.cache[key] = cached{found, p.now()}
	return found, nil
}

func (p *Primary) cached(key [2]string, again bool) ([]Principal, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	c, ok := p.cache[key]
	keep := keepKnown
	switch {
	case again:
		keep = askAgain
	case len(c.found) == 0:
		keep = keepUnknown
	}
	return c.found, ok && p.now().Sub(c.at) < keep
}

// ask reads a principal from the primary: a list from API version 1 on, one
// object before.
func (p *Primary) ask(ctx context.Context, organization, name string) ([]Principal, error) {
	a, err := p.client.Org(organization).Do(ctx, http.MethodGet, "/principals/"+name, nil)
	switch kind := chef.KindOf(err); {
	case kind == chef.KindAbsent || kind == chef.KindOrgMissing:
		return nil, nil
	case err != nil:
		return nil, fmt.Errorf("look up who signed: %w", err)
	}
	type entry struct {
		Name   string `json:"name"`
		Type   string `json:"type"`
		Key    string `json:"public_key"`
		Member bool   `json:"org_member"`
	}
	var doc struct {
		entry
		Principals *[]entry `json:"principals"`
	}
	if json.Unmarshal(a.Body, &doc) != nil || doc.Principals == nil && doc.Name == "" {
		return nil, errors.New("look up who signed: the answer names no principal")
	}
	entries := []entry{doc.entry}
	if doc.Principals != nil {
		entries = *doc.Principals
	}
	var found []Principal
	for _, e := range entries {
		key, err := chef.ParsePublicKey([]byte(e.Key))
		if err != nil || cmp.Or(e.Name, name) != name {
			continue // without a usable key nobody can sign
		}
		// A server without organizations has no members, or no others.
		found = append(found, Principal{Name: name, Client: e.Type == "client", Member: e.Member || p.client.Orgless(), Key: key})
	}
	return found, nil
}

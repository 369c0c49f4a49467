package serve

import (
	"cmp"
	"context"
	"crypto/rsa"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"sync"
	"time"

	"golang.org/x/sync/singleflight"

	"chefsync/pkg/chef"
)

// Principal is a user or API client as the primary knows it.
type Principal struct {
	Name   string
	Client bool // an API client of the organization; else a user
	Member bool // belongs to the organization
	Key    *rsa.PublicKey
}

// Principals finds the signer of a request.
type Principals interface {
	// Signer returns the principal of a name for which signed returns true, that is the
	// owner of the key. It returns nil if there is none; known reports whether the name
	// exists. A *BusyError asks the reader to try again later.
	Signer(ctx context.Context, organization, name string, signed func(Principal) bool) (who *Principal, known bool, err error)
}

// BusyError is returned when a name can't be looked up now.
type BusyError struct{ RetryAfter time.Duration }

func (e *BusyError) Error() string {
	return fmt.Sprintf("too many names are looked up; ask again after %s", e.RetryAfter)
}

// Keys are configured principals: public keys by name. They are members of every
// organization.
type Keys map[string]*rsa.PublicKey

// Signer implements Principals.
func (k Keys) Signer(_ context.Context, _, name string, signed func(Principal) bool) (*Principal, bool, error) {
	key := k[name]
	if key == nil {
		return nil, false, nil
	}
	return findSigner([]Principal{{Name: name, Client: true, Member: true, Key: key}}, signed), true, nil
}

// findSigner returns the principal that signed, or nil.
func findSigner(found []Principal, signed func(Principal) bool) *Principal {
	for _, p := range found {
		if signed(p) {
			return &p
		}
	}
	return nil
}

// Limits of look-ups on a primary, and of their cache.
const (
	knownTTL       = 5 * time.Minute
	unknownTTL     = 30 * time.Second
	lookupInterval = 10 * time.Second // between look-ups of a name, and after one that failed
	lookupTimeout  = 30 * time.Second // of one look-up
	maxCached      = 10_000
	maxLookups     = 4 // at once

	// Any client can claim any name, so look-ups for signatures of unknown keys have a
	// budget: lookupBurst at once, and then one per lookupEvery.
	lookupBurst = 5
	lookupEvery = time.Second
)

// Primary looks principals up on a primary, as any client may
// (docs/chef-server-api.md §7.4), and kept for some minutes.
//
// A made-up name costs one look-up, within the budget; requests beyond it get a
// *BusyError. A signature with a key that the name had, in any organization, doesn't
// need the budget.
type Primary struct {
	client  func(context.Context) (*chef.Client, error)
	now     func() time.Time
	slots   chan struct{}
	lookups singleflight.Group

	mu       sync.Mutex
	cache    map[[2]string]cacheEntry
	proven   map[string]Principal // the last signer by name, in any organization
	budget   lookupBudget
	failedAt time.Time
}

type cacheEntry struct {
	found []Principal
	at    time.Time
}

// NewPrimary returns the Principals of a primary. Client returns the client for
// look-ups; now may be nil.
func NewPrimary(client func(context.Context) (*chef.Client, error), now func() time.Time) *Primary {
	if now == nil {
		now = time.Now
	}
	return &Primary{client: client, now: now, slots: make(chan struct{}, maxLookups), cache: map[[2]string]cacheEntry{},
		proven: map[string]Principal{}, budget: lookupBudget{left: lookupBurst, at: now()}}
}

// Signer implements Principals. A name or key that is new since it was last looked
// up is looked up once more.
func (p *Primary) Signer(ctx context.Context, organization, name string, signed func(Principal) bool) (*Principal, bool, error) {
	if !chef.ValidName(name) {
		return nil, false, nil
	}
	key := [2]string{organization, name}
	p.mu.Lock()
	c, cached := p.cache[key]
	before, proven := p.proven[name]
	p.mu.Unlock()
	who := findSigner(c.found, signed)
	if !cached || p.now().Sub(c.at) >= c.validFor(who != nil) {
		found, err := p.lookUpName(ctx, key, who != nil || proven && signed(before))
		if err != nil {
			return nil, false, err
		}
		c.found, who = found, findSigner(found, signed)
	}
	if who != nil {
		p.recordProven(*who)
	}
	return who, len(c.found) > 0, nil
}

// recordProven records a signer, whose key is one of the primary.
func (p *Primary) recordProven(who Principal) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.proven) >= maxCached {
		clear(p.proven)
	}
	p.proven[who.Name] = who
}

// validFor returns how long an entry is valid, depending on whether one of its
// principals signed the request.
func (c cacheEntry) validFor(signed bool) time.Duration {
	switch {
	case signed:
		return knownTTL
	case len(c.found) == 0:
		return unknownTTL
	}
	return lookupInterval // the key may be a new one
}

// lookUpName asks the primary for a name if the budget allows it, or waits for a request
// that does. Proven is whether the request is signed with a key that the name had: it
// needs no budget. A look-up goes on when its request is canceled: others may wait for it,
// and to cancel it would look as if the primary had failed.
func (p *Primary) lookUpName(ctx context.Context, key [2]string, proven bool) ([]Principal, error) {
	found, err, _ := p.lookups.Do(fmt.Sprintf("%q %v", key, proven), func() (any, error) {
		if !proven {
			if after := p.takeBudget(); after > 0 {
				return nil, &BusyError{RetryAfter: after}
			}
		}
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), lookupTimeout)
		defer cancel()
		found, err := p.fetchPrincipals(ctx, key[0], key[1])
		p.recordLookup(key, found, err)
		return found, err
	})
	principals, _ := found.([]Principal) // nil with an error
	return principals, err
}

// takeBudget returns how long a look-up must wait; zero means that it may begin.
func (p *Primary) takeBudget() time.Duration {
	p.mu.Lock()
	defer p.mu.Unlock()
	now := p.now()
	if since := now.Sub(p.failedAt); !p.failedAt.IsZero() && since >= 0 && since < lookupInterval {
		return lookupInterval - since
	}
	return p.budget.takeToken(now)
}

// recordLookup caches the answer of a look-up.
func (p *Primary) recordLookup(key [2]string, found []Principal, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	now := p.now()
	if err != nil {
		p.failedAt = now
		return
	}
	p.failedAt = time.Time{}
	if len(p.cache) >= maxCached {
		maps.DeleteFunc(p.cache, func(_ [2]string, c cacheEntry) bool { return len(c.found) == 0 || now.Sub(c.at) >= knownTTL })
	}
	if len(p.cache) >= maxCached {
		clear(p.cache)
	}
	p.cache[key] = cacheEntry{found, now}
}

// lookupBudget is a token bucket.
type lookupBudget struct {
	left int
	at   time.Time // since when the next one is due
}

// takeToken takes a token, or returns how long there is none.
func (b *lookupBudget) takeToken(now time.Time) time.Duration {
	since := now.Sub(b.at)
	if since < 0 { // the clock was set back
		b.at, since = now, 0
	}
	if due := int(min(since/lookupEvery, lookupBurst)); b.left+due >= lookupBurst {
		b.left, b.at = lookupBurst, now
	} else {
		b.left, b.at = b.left+due, b.at.Add(time.Duration(due)*lookupEvery)
	}
	if b.left == 0 {
		return lookupEvery - now.Sub(b.at)
	}
	b.left--
	return 0
}

// fetchPrincipals reads the principals of a name from the primary: a list from API
// version 1 on, one object before.
func (p *Primary) fetchPrincipals(ctx context.Context, organization, name string) ([]Principal, error) {
	select {
	case p.slots <- struct{}{}:
		defer func() { <-p.slots }()
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	client, err := p.client(ctx)
	if err != nil {
		return nil, err
	}
	a, err := client.Org(organization).Do(ctx, http.MethodGet, "/principals/"+name, nil)
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
			continue // without a usable key it can't have signed
		}
		// A server without organizations has no members, or no others.
		found = append(found, Principal{Name: name, Client: e.Type == "client", Member: e.Member || client.Orgless(), Key: key})
	}
	return found, nil
}

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

	"chefsync/pkg/chef"
)

// Principal is a user or API client as the primary knows it.
type Principal struct {
	Name   string
	Client bool // an API client of the organization; else a user
	Member bool // belongs to the organization
	Key    *rsa.PublicKey
}

// Principals finds who signed a request.
type Principals interface {
	// Signer returns the principal of a name for which signed returns true: who has
	// the key. It returns nil if none has; known reports whether the name belongs to
	// anybody. A *BusyError asks the reader to come again.
	Signer(ctx context.Context, organization, name string, signed func(Principal) bool) (who *Principal, known bool, err error)
}

// BusyError means that a name can't be looked up now.
type BusyError struct{ After time.Duration }

func (e *BusyError) Error() string {
	return fmt.Sprintf("too many names are looked up; ask again after %s", e.After)
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
	return signer([]Principal{{Name: name, Client: true, Member: true, Key: key}}, signed), true, nil
}

// signer returns the one who signed, or nil.
func signer(found []Principal, signed func(Principal) bool) *Principal {
	for _, p := range found {
		if signed(p) {
			return &p
		}
	}
	return nil
}

// Limits of what a primary is asked, and of the cache of what it said.
const (
	keepKnown   = 5 * time.Minute
	keepUnknown = 30 * time.Second
	askAgain    = 10 * time.Second // no look-up of a name sooner than this, nor after one that failed
	maxCached   = 10_000
	maxLookups  = 4 // at once

	// Anybody can claim any name, so look-ups for signatures that no known key made
	// have a budget: so many at once, and then one in so long.
	lookupBurst = 5
	lookupEvery = time.Second
)

// Primary are the principals of a primary, asked for as anybody may
// (docs/chef-server-api.md §7.4), and kept for some minutes.
//
// A made-up name costs a look-up once, as long as the budget lasts; what is beyond
// it is told to come again. Who signs with a key that was the name's, in any
// organization, doesn't need the budget.
type Primary struct {
	client func(context.Context) (*chef.Client, error)
	now    func() time.Time
	slots  chan struct{}

	mu       sync.Mutex
	cache    map[[2]string]cached
	proven   map[string]Principal  // who last signed by a name, in any organization
	lookups  map[[2]string]*lookup // under way
	budget   budget
	failedAt time.Time
}

type cached struct {
	found []Principal
	at    time.Time
}

// lookup is a request to the primary; others who need its answer wait for it.
type lookup struct {
	done  chan struct{}
	found []Principal
	err   error
}

// NewPrimary makes Principals of a primary. Client returns the client to ask with;
// now may be nil.
func NewPrimary(client func(context.Context) (*chef.Client, error), now func() time.Time) *Primary {
	if now == nil {
		now = time.Now
	}
	return &Primary{client: client, now: now, slots: make(chan struct{}, maxLookups), cache: map[[2]string]cached{}, proven: map[string]Principal{}, lookups: map[[2]string]*lookup{},
		budget: budget{left: lookupBurst, at: now()}}
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
	who := signer(c.found, signed)
	if !cached || p.now().Sub(c.at) >= c.keep(who != nil) {
		found, err := p.lookUp(ctx, key, who != nil || proven && signed(before))
		if err != nil {
			return nil, false, err
		}
		c.found, who = found, signer(found, signed)
	}
	if who != nil {
		p.prove(*who)
	}
	return who, len(c.found) > 0, nil
}

// prove remembers who signed. Only who has a key on the primary gets here.
func (p *Primary) prove(who Principal) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.proven) >= maxCached {
		clear(p.proven)
	}
	p.proven[who.Name] = who
}

// keep is how long an answer counts, for a request that one of those found signed
// or not.
func (c cached) keep(signed bool) time.Duration {
	switch {
	case signed:
		return keepKnown
	case len(c.found) == 0:
		return keepUnknown
	}
	return askAgain // the key may be a new one
}

// lookUp asks the primary for a name, or waits for somebody who does. Proven is
// whether the request is signed with a key that was the name's.
func (p *Primary) lookUp(ctx context.Context, key [2]string, proven bool) ([]Principal, error) {
	l, mine, err := p.begin(key, proven)
	if err != nil {
		return nil, err
	}
	if mine {
		l.found, l.err = p.ask(ctx, key[0], key[1])
		p.end(key, l)
	}
	select {
	case <-l.done:
		return l.found, l.err
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// begin returns the look-up of a name that is under way, or a new one if the budget
// allows it.
func (p *Primary) begin(key [2]string, proven bool) (l *lookup, mine bool, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if l := p.lookups[key]; l != nil {
		return l, false, nil
	}
	if now := p.now(); !proven {
		if since := now.Sub(p.failedAt); !p.failedAt.IsZero() && since >= 0 && since < askAgain {
			return nil, false, &BusyError{After: askAgain - since}
		}
		if after := p.budget.take(now); after > 0 {
			return nil, false, &BusyError{After: after}
		}
	}
	l = &lookup{done: make(chan struct{})}
	p.lookups[key] = l
	return l, true, nil
}

// end keeps the answer of a look-up.
func (p *Primary) end(key [2]string, l *lookup) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.lookups, key)
	close(l.done)
	now := p.now()
	if l.err != nil {
		p.failedAt = now
		return
	}
	p.failedAt = time.Time{}
	if len(p.cache) >= maxCached {
		maps.DeleteFunc(p.cache, func(_ [2]string, c cached) bool { return len(c.found) == 0 || now.Sub(c.at) >= keepKnown })
	}
	if len(p.cache) >= maxCached {
		clear(p.cache)
	}
	p.cache[key] = cached{l.found, now}
}

// budget is a token bucket.
type budget struct {
	left int
	at   time.Time // since when the next one is due
}

// take takes one, or returns how long there is none.
func (b *budget) take(now time.Time) time.Duration {
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

// ask reads a principal from the primary: a list from API version 1 on, one
// object before.
func (p *Primary) ask(ctx context.Context, organization, name string) ([]Principal, error) {
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
			continue // without a usable key nobody can sign
		}
		// A server without organizations has no members, or no others.
		found = append(found, Principal{Name: name, Client: e.Type == "client", Member: e.Member || client.Orgless(), Key: key})
	}
	return found, nil
}

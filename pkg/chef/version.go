package chef

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"sync"
)

// negotiate is the operation that asks a server for its versions.
const negotiate = "negotiate"

// negotiation is what a client has learnt of its server.
type negotiation struct {
	mu        sync.Mutex
	limit     int // highest API version to speak
	version   int
	settled   bool // version comes from the server
	proto     protocol
	confirmed bool // the server accepted a signature of proto

	probing chan struct{} // holds one value while somebody probes
}

func newNegotiation(limit int) *negotiation {
	return &negotiation{limit: limit, version: limit, proto: protocol13, probing: make(chan struct{}, 1)}
}

func (n *negotiation) current() (version int, settled bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.version, n.settled
}

func (n *negotiation) settle(version int) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.version, n.settled = version, true
}

func (n *negotiation) protocol() (p protocol, confirmed bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.proto, n.confirmed
}

func (n *negotiation) confirm(p protocol) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.proto, n.confirmed = p, true
}

// versionRange is what a server says of its API versions, in the header of each
// answer (as strings) and in the body of a 406 (as numbers).
type versionRange struct {
	min, max int
	ok       bool
}

func rangeOf(p *reply) versionRange {
	var doc struct {
		Min json.RawMessage `json:"min_version"`
		Max json.RawMessage `json:"max_version"`
	}
	src := []byte(p.header.Get("X-Ops-Server-API-Version"))
	if len(src) == 0 && p.status == http.StatusNotAcceptable {
		src = p.body
	}
	if checkJSON(src) != nil || json.Unmarshal(src, &doc) != nil {
		return versionRange{}
	}
	lo, okMin := looseInt(doc.Min)
	hi, okMax := looseInt(doc.Max)
	return versionRange{min: lo, max: hi, ok: okMin && okMax && lo <= hi}
}

// looseInt reads 2 and "2".
func looseInt(raw json.RawMessage) (int, bool) {
	s := string(raw)
	if len(s) >= 2 && s[0] == '"' {
		s = s[1 : len(s)-1]
	}
	n, err := strconv.Atoi(s)
	return n, err == nil && n >= 0 && n < 1000
}

// learn takes the version range of an answer. It returns the version to speak
// from now on and whether the answer told one.
func (c *Client) learn(p *reply) (version int, told bool, err error) {
	r := rangeOf(p)
	if !r.ok {
		return p.version, false, nil
	}
	n := c.state
	if r.min > n.limit {
		return 0, true, fmt.Errorf("the server speaks API versions %d to %d, this program at most %d", r.min, r.max, n.limit)
	}
	version = min(r.max, n.limit)
	n.settle(version)
	return version, true, nil
}

// APIVersion is the Chef Server API version in use: the lower of ours and the
// server's highest. It asks the server once. The form of a cookbook manifest
// depends on it.
func (c *Client) APIVersion(ctx context.Context) (int, error) {
	if v, settled := c.state.current(); settled {
		return v, nil
	}
	if err := c.probe(ctx); err != nil {
		return 0, err
	}
	v, _ := c.state.current()
	return v, nil
}

// probe asks the server for its versions, from the highest down: some servers
// leave the header out when asked at a version above their own
// (chef-server-api.md §13). Any answer with the header will do, even a refusal.
func (c *Client) probe(ctx context.Context) error {
	r := &request{op: negotiate, method: http.MethodGet, path: "/server_api_version", url: c.base}
	select {
	case c.state.probing <- struct{}{}:
		defer func() { <-c.state.probing }()
	case <-ctx.Done():
		return c.transportError(r, ctx.Err(), ctx.Err())
	}
	if _, settled := c.state.current(); settled {
		return nil
	}
	var last *Error
	for v := c.state.limit; v >= 0; v-- {
		p, err := c.persist(ctx, r, v)
		if err != nil {
			return err
		}
		_, told, err := c.learn(p)
		if err != nil {
			e := c.fail(r, p, KindVersion, err.Error())
			return e
		}
		if told {
			return nil
		}
		last = c.judge(r, p)
		if last == nil {
			last = c.fail(r, p, KindForeign, "the answer doesn't name its API versions")
		}
	}
	return last
}

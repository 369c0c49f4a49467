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

// maxAPIVersion is the highest Chef Server API version that this package knows.
const maxAPIVersion = 2

// negotiation holds the API version and signing protocol that a server accepts, and what it
// says of its license.
type negotiation struct {
	mu             sync.Mutex
	version        int
	versionKnown   bool // version comes from the server
	proto          protocol
	protoConfirmed bool // the server accepted a signature of proto

	licenseWarning string // of the newest answer

	probing chan struct{} // holds one value while a request negotiates
}

func newNegotiation() *negotiation {
	return &negotiation{version: maxAPIVersion, proto: protocol13, probing: make(chan struct{}, 1)}
}

func (n *negotiation) currentVersion() (version int, known bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.version, n.versionKnown
}

func (n *negotiation) setVersion(version int) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.version, n.versionKnown = version, true
}

func (n *negotiation) currentProtocol() (p protocol, confirmed bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.proto, n.protoConfirmed
}

func (n *negotiation) confirmProtocol(p protocol) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.proto, n.protoConfirmed = p, true
}

// readVersionRange returns the range of API versions that a server names in the header of
// each answer (as strings) and in the body of a 406 (as numbers).
func readVersionRange(p *reply) (lowest, highest int, ok bool) {
	var doc struct { // a json.Number may be written as a string
		Min json.Number `json:"min_version"`
		Max json.Number `json:"max_version"`
	}
	src := []byte(p.header.Get("X-Ops-Server-API-Version"))
	if len(src) == 0 && p.status == http.StatusNotAcceptable {
		src = p.body
	}
	if checkJSON(src) != nil || json.Unmarshal(src, &doc) != nil {
		return 0, 0, false
	}
	lowest, errMin := strconv.Atoi(doc.Min.String())
	highest, errMax := strconv.Atoi(doc.Max.String())
	return lowest, highest, errMin == nil && errMax == nil && lowest >= 0 && lowest <= highest
}

// observeVersion records the version range of an answer. It returns the version to
// use from now on and whether the answer named one.
func (c *Client) observeVersion(p *reply) (version int, named bool, err error) {
	lowest, highest, ok := readVersionRange(p)
	if !ok {
		return p.version, false, nil
	}
	if lowest > maxAPIVersion {
		return 0, true, fmt.Errorf("the server supports API versions %d to %d, this program at most %d", lowest, highest, maxAPIVersion)
	}
	version = min(highest, maxAPIVersion)
	c.state.setVersion(version)
	return version, true, nil
}

// APIVersion returns the Chef Server API version in use: the lower of ours and the
// server's highest. It asks the server once. The form of a cookbook manifest
// depends on it.
func (c *Client) APIVersion(ctx context.Context) (int, error) {
	if v, known := c.state.currentVersion(); known {
		return v, nil
	}
	if err := c.negotiateVersion(ctx); err != nil {
		return 0, err
	}
	v, _ := c.state.currentVersion()
	return v, nil
}

// negotiateVersion asks the server for its versions, from the highest down: some servers
// leave the header out when asked at a version above their own
// (docs/chef-server-api.md §13). Any answer with the header will do, even a refusal.
func (c *Client) negotiateVersion(ctx context.Context) error {
	r := &request{op: negotiate, method: http.MethodGet, path: "/server_api_version", url: c.base}
	select {
	case c.state.probing <- struct{}{}:
		defer func() { <-c.state.probing }()
	case <-ctx.Done():
		return c.transportError(r, ctx.Err(), ctx.Err())
	}
	if _, known := c.state.currentVersion(); known {
		return nil
	}
	var last *Error
	for v := maxAPIVersion; v >= 0; v-- {
		p, err := c.sendAtVersion(ctx, r, v)
		if err != nil {
			return err
		}
		_, named, err := c.observeVersion(p)
		if err != nil {
			e := c.replyError(r, p, KindVersion, err.Error())
			return e
		}
		if named {
			return nil
		}
		last = c.classifyReply(r, p)
		if last != nil && last.Kind.isRefusalOfUs() {
			return last
		}
		if last == nil {
			last = c.replyError(r, p, KindForeign, "the answer doesn't name its API versions")
		}
	}
	return last
}

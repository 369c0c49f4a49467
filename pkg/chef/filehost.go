package chef

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"sync"
	"syscall"
)

// fileHosts decides which hosts a client asks for cookbook files. The URLs come from
// the server, in a manifest or a sandbox: without a limit, a compromised or foreign
// server could make this machine send requests into its own network, with cookbook
// content.
type fileHosts struct {
	own   string   // the server's own host, without a port
	named []string // hosts of the configuration, "*.example.com" for all below

	mu      sync.Mutex
	proxies map[string]bool // addresses of HTTP proxies in use
}

func newFileHosts(base *url.URL, named []string) *fileHosts {
	h := &fileHosts{own: normalizeHost(base.Hostname()), proxies: map[string]bool{}}
	for _, n := range named {
		h.named = append(h.named, normalizeHost(n))
	}
	return h
}

func normalizeHost(s string) string { return strings.TrimSuffix(strings.ToLower(s), ".") }

// isAllowed reports whether files may be requested from a host.
func (h *fileHosts) isAllowed(host string) bool {
	host = normalizeHost(host)
	return host == h.own || slices.ContainsFunc(h.named, func(n string) bool {
		domain, wild := strings.CutPrefix(n, "*")
		return n == host || wild && strings.HasPrefix(domain, ".") && strings.HasSuffix(host, domain)
	})
}

// isInternal reports whether an address is one that only this machine or its link
// reaches, such as the metadata service of a cloud.
func isInternal(a netip.Addr) bool {
	a = a.Unmap()
	return a.IsLoopback() || a.IsLinkLocalUnicast() || a.IsUnspecified() || a.IsMulticast() ||
		a == netip.AddrFrom16([16]byte{0xfd, 0x00, 0x0e, 0xc2, 14: 0x02, 15: 0x54})
}

// errInternal is the reason why a connection is refused.
var errInternal = errors.New("the name leads to an address of this machine or its link")

// mayBeInternal reports whether a connection to host may lead to an internal address: the
// server itself, a host that the configuration names as such, or a proxy.
func (h *fileHosts) mayBeInternal(host, address string) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.proxies[address] {
		return true
	}
	host = normalizeHost(host)
	_, err := netip.ParseAddr(host)
	literal := err == nil || host == "localhost"
	return host == h.own || literal && slices.Contains(h.named, host)
}

// guardDialer wraps a dialer so that a name that isn't trusted never leads to an
// internal address, whatever it resolves to.
func (h *fileHosts) guardDialer(d net.Dialer) func(ctx context.Context, network, address string) (net.Conn, error) {
	return func(ctx context.Context, network, address string) (net.Conn, error) {
		host, _, err := net.SplitHostPort(address)
		if err != nil {
			return nil, err
		}
		guarded := d
		if !h.mayBeInternal(host, address) {
			guarded.Control = refuseInternal
		}
		return guarded.DialContext(ctx, network, address)
	}
}

func refuseInternal(_, address string, _ syscall.RawConn) error {
	to, err := netip.ParseAddrPort(address)
	if err != nil {
		return fmt.Errorf("read the address %q: %w", address, err)
	}
	if isInternal(to.Addr()) {
		return errInternal
	}
	return nil
}

// recordProxy wraps the choice of a proxy and records its address, which may be
// internal: the environment of this process names it.
func (h *fileHosts) recordProxy(choose func(*http.Request) (*url.URL, error)) func(*http.Request) (*url.URL, error) {
	return func(q *http.Request) (*url.URL, error) {
		u, err := choose(q)
		if u != nil {
			h.mu.Lock()
			defer h.mu.Unlock()
			h.proxies[net.JoinHostPort(u.Hostname(), portOf(u))] = true
		}
		return u, err
	}
}

// storeCode is the error code that a file store begins its answer with, such as
// AccessDenied, or "".
func storeCode(text string) string {
	code, _, _ := strings.Cut(text, ":")
	if len(code) > 40 || strings.ContainsFunc(code, func(r rune) bool { return (r < 'A' || r > 'Z') && (r < 'a' || r > 'z') }) {
		return ""
	}
	return code
}

func portOf(u *url.URL) string {
	switch {
	case u.Port() != "":
		return u.Port()
	case u.Scheme == "https":
		return "443"
	case strings.HasPrefix(u.Scheme, "socks5"):
		return "1080"
	}
	return "80"
}

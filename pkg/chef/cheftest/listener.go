package cheftest

import (
	"net"
	"sync"
)

// listener can refuse connections and yet keep its address.
type listener struct {
	net.Listener

	mu       sync.Mutex
	open     map[*connection]struct{}
	refusing bool
}

// connection is a connection that its listener can close.
type connection struct {
	net.Conn
	from *listener
}

// Close implements net.Conn.
func (c *connection) Close() error {
	c.from.mu.Lock()
	delete(c.from.open, c)
	c.from.mu.Unlock()
	return c.Conn.Close()
}

// refuseAll closes all connections, and each new one.
func (l *listener) refuseAll() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.refusing = true
	for c := range l.open {
		_ = c.Conn.Close()
	}
}

// Accept implements net.Listener.
func (l *listener) Accept() (net.Conn, error) {
	for {
		conn, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		if c := l.register(conn); c != nil {
			return c, nil
		}
	}
}

// register returns a connection to serve, or nil if it was refused.
func (l *listener) register(conn net.Conn) net.Conn {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.refusing {
		if c, ok := conn.(*net.TCPConn); ok {
			_ = c.SetLinger(0) // a reset, not an orderly end
		}
		_ = conn.Close()
		return nil
	}
	c := &connection{conn, l}
	if l.open == nil {
		l.open = map[*connection]struct{}{}
	}
	l.open[c] = struct{}{}
	return c
}

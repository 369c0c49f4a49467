// Package listener serves HTTP on an address that stays open while a daemon reloads its
// configuration.
package listener

import (
	"net"
	"sync"
)

// Kept keeps an address open while the daemon reloads its configuration:
// whoever connects meanwhile waits until it accepts again.
type Kept struct {
	mu      sync.Mutex
	address string
	tcp     *net.TCPListener
}

// Listen returns a listener on the address. Closing it leaves the address open.
func (k *Kept) Listen(address string) (net.Listener, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.tcp != nil && k.address != address {
		_ = k.tcp.Close()
		k.tcp = nil
	}
	if k.tcp == nil {
		l, err := net.Listen("tcp", address)
		if err != nil {
			return nil, err
		}
		k.address, k.tcp = address, l.(*net.TCPListener)
	}
	// A duplicate of the socket, which is closed by itself.
	file, err := k.tcp.File()
	if err != nil {
		return nil, err
	}
	defer file.Close()
	return net.FileListener(file)
}

// Close closes the address.
func (k *Kept) Close() {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.tcp != nil {
		_ = k.tcp.Close()
		k.tcp = nil
	}
}

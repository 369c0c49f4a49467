package goiarditest

import (
	"net"
	"strconv"
	"testing"
)

func TestAFreeAddressIsNoneThatTheSystemHandsOut(t *testing.T) {
	given := map[string]bool{}
	for range 50 {
		address := FreeAddress(t)
		if given[address] {
			t.Errorf("%s was given twice", address)
		}
		given[address] = true
		if c, err := net.ListenPacket("udp", address); err == nil {
			_ = c.Close()
			t.Errorf("%s isn't reserved: another process could be given it", address)
		}
		l, err := net.Listen("tcp", address)
		if err != nil {
			t.Fatal(err)
		}
		_ = l.Close()
		_, port, _ := net.SplitHostPort(address)
		if n, err := strconv.Atoi(port); err != nil || n < 1024 || n >= 32768 {
			t.Errorf("port %s is privileged, or anybody may be given it", port)
		}
	}
}

package goiarditest

import (
	"net"
	"strconv"
	"testing"
)

func TestAFreeAddressIsNoneThatTheSystemHandsOut(t *testing.T) {
	for range 50 {
		address := FreeAddress(t)
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

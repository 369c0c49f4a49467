package listener

import (
	"errors"
	"fmt"
	"io"
	"net"
	"testing"
)

// While a daemon reloads, its address is open: who connects in between is answered
// by the listener that comes next.
func TestAnAddressStaysOpenBetweenTwoListeners(t *testing.T) {
	k := &Kept{}
	defer k.Close()
	const address = "127.0.0.1:0"
	first, err := k.Listen(address)
	if err != nil {
		t.Fatal(err)
	}
	accepting := make(chan error)
	go func() { _, err := first.Accept(); accepting <- err }()
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}
	if err := <-accepting; !errors.Is(err, net.ErrClosed) {
		t.Errorf("Accept of the closed listener: %v", err)
	}
	between, err := net.Dial("tcp", first.Addr().String())
	if err != nil {
		t.Fatalf("between two listeners: %v", err)
	}
	defer between.Close()
	second, err := k.Listen(address)
	if err != nil {
		t.Fatal(err)
	}
	defer second.Close()
	if second.Addr().String() != first.Addr().String() {
		t.Errorf("addresses %s and %s", first.Addr(), second.Addr())
	}
	conn, err := second.Accept()
	if err != nil {
		t.Fatal(err)
	}
	fmt.Fprint(conn, "hello")
	conn.Close()
	if got, err := io.ReadAll(between); err != nil || string(got) != "hello" {
		t.Errorf("%q, %v", got, err)
	}
}

func TestAnAddressThatCannotBeListenedOnIsRefusedBeforehand(t *testing.T) {
	k := &Kept{}
	defer k.Close()
	first, err := k.Listen("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	first.Close()
	if err := (Address{Address: "127.0.0.1:0", Kept: k}).Check(); err != nil {
		t.Error(err)
	}
	second, err := k.Listen("localhost:0")
	if err != nil {
		t.Fatal(err)
	}
	defer second.Close()
	if err := (Address{Address: "192.0.2.1:1", Kept: k}).Check(); err == nil {
		t.Error("an address of another machine is usable")
	}
	if err := (Address{Address: second.Addr().String(), Kept: k}).Check(); err != nil {
		t.Errorf("an address that is taken: %v; the daemon waits for it", err)
	}
}

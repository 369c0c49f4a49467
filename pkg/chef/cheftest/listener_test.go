package cheftest_test

import (
	"net"
	"net/http"
	"strings"
	"testing"

	"chefsync/pkg/chef/cheftest"
)

// An address that is given up may be another server's a moment later, which would
// then answer the clients of this one.
func TestStoppedServerRefusesConnectionsAndKeepsItsAddress(t *testing.T) {
	s := cheftest.Start(t)
	client := &http.Client{Transport: &http.Transport{}}
	t.Cleanup(client.CloseIdleConnections)
	get := func() error {
		a, err := client.Get(s.URL + "/_status")
		if err == nil {
			_ = a.Body.Close()
		}
		return err
	}
	if err := get(); err != nil {
		t.Fatal(err)
	}
	s.Stop()
	for range 3 {
		if err := get(); err == nil {
			t.Error("a stopped server answers")
		}
	}
	address := strings.TrimPrefix(s.URL, "http://")
	if l, err := net.Listen("tcp", address); err == nil {
		_ = l.Close()
		t.Errorf("%s is free while the server is only stopped", address)
	}
	s.Close()
	l, err := net.Listen("tcp", address)
	if err != nil {
		t.Fatalf("the address of a closed server: %v", err)
	}
	_ = l.Close()
}

// Package goiarditest runs a real server, goiardi, for tests. Goiardi verifies
// signatures and differs from the Chef Infra Server in ways that a client must handle:
// no organizations, API version 1 at most, an empty 200 on unknown paths
// (docs/chef-server-api.md §13).
package goiarditest

import (
	"context"
	"crypto/rsa"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"syscall"
	"testing"
	"time"

	"chefsync/pkg/chef"
)

// Variable is the environment variable that enables tests with goiardi. If
// it is set and the program is missing, these tests fail.
const Variable = "CHEFSYNC_GOIARDI"

// freezeSeconds is how often the server writes its data to disk.
const freezeSeconds = 1

// AdminUser is the user of AdminKey.
const AdminUser = "admin"

// Server is a running goiardi with data on disk, so that it can be stopped and
// started again.
type Server struct {
	URL      string
	AdminKey *rsa.PrivateKey

	t       testing.TB
	dir     string
	address string
	cmd     *exec.Cmd
	done    chan struct{} // closed when the process has ended
}

// Require skips a test if [Variable] isn't set.
func Require(t testing.TB) {
	t.Helper()
	if os.Getenv(Variable) == "" {
		t.Skipf("SKIPPED: set %s=1 to run tests against a live goiardi", Variable)
	}
}

// Start runs a server until the test ends. It skips the test like [Require].
func Start(t testing.TB) *Server {
	t.Helper()
	Require(t)
	s := &Server{t: t, dir: t.TempDir(), address: FreeAddress(t)}
	s.URL = "http://" + s.address
	if err := os.MkdirAll(filepath.Join(s.dir, "conf"), 0o700); err != nil {
		t.Fatal(err)
	}
	s.startProcess()
	t.Cleanup(s.Kill)
	// A clean stop writes the administrator to disk: a server that is killed
	// before would come back with another key.
	s.Restart()
	pem, err := os.ReadFile(filepath.Join(s.dir, "conf", "admin.pem"))
	if err != nil {
		t.Fatal(err)
	}
	if s.AdminKey, err = chef.ParseKey(pem); err != nil {
		t.Fatal(err)
	}
	return s
}

// Config returns the configuration of a client of the administrator, to be changed as
// needed before [chef.New].
func (s *Server) Config() chef.Config {
	return chef.Config{Name: "goiardi", URL: s.URL, Orgless: true, User: AdminUser, Key: s.AdminKey,
		Retry: chef.RetryPolicy{Base: 10 * time.Millisecond, Max: 100 * time.Millisecond}}
}

// Client returns a client of the administrator.
func (s *Server) Client() *chef.Client {
	s.t.Helper()
	c, err := chef.New(s.Config())
	if err != nil {
		s.t.Fatal(err)
	}
	return c
}

// FileStore returns the folder with the content of cookbook files, named by checksum.
func (s *Server) FileStore() string { return filepath.Join(s.dir, "lfs") }

// Stop terminates the server, which writes its data.
func (s *Server) Stop() { s.stopWith(syscall.SIGTERM) }

// Kill kills the server. Writes since it last wrote its data, up to a second, are lost:
// after a restart its content is older than before.
func (s *Server) Kill() { s.stopWith(syscall.SIGKILL) }

// Restart starts a stopped server again, with the data on its disk and at the
// same URL. A running one is stopped first.
func (s *Server) Restart() {
	s.t.Helper()
	s.Stop()
	s.startProcess()
}

func (s *Server) stopWith(sig syscall.Signal) {
	if s.cmd == nil {
		return
	}
	_ = s.cmd.Process.Signal(sig) // it may have ended already
	select {
	case <-s.done:
	case <-time.After(20 * time.Second):
		_ = s.cmd.Process.Kill()
		<-s.done
	}
	s.cmd = nil
}

func (s *Server) startProcess() {
	s.t.Helper()
	path := func(name string) string { return filepath.Join(s.dir, name) }
	log, err := os.OpenFile(path("log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		s.t.Fatal(err)
	}
	defer func() { _ = log.Close() }()
	// -A: verify signatures. -H is the host in the URLs it hands out.
	host, port, err := net.SplitHostPort(s.address)
	if err != nil {
		s.t.Fatal(err)
	}
	cmd := exec.Command("goiardi", "-I", host, "-H", host, "-P", port, "-A", "--log-events",
		"--conf-root="+path("conf"), "-D", path("data.bin"), "-i", path("index.bin"), "-F", strconv.Itoa(freezeSeconds),
		"--local-filestore-dir="+path("lfs"))
	cmd.Stdout, cmd.Stderr = log, log
	if err := os.MkdirAll(path("lfs"), 0o700); err != nil {
		s.t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		s.t.Fatalf("start goiardi: %v", err)
	}
	done := make(chan struct{})
	go func() {
		_ = cmd.Wait() // how it ended doesn't matter
		close(done)
	}()
	s.cmd, s.done = cmd, done
	if err := s.waitReady(); err != nil {
		s.Kill()
		text, _ := os.ReadFile(path("log"))
		s.t.Fatalf("goiardi didn't become ready: %v\n%s", err, text)
	}
}

// waitReady waits until the server answers and its administrator's key is written.
func (s *Server) waitReady() error {
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case <-s.done:
			return fmt.Errorf("the process ended")
		case <-ctx.Done():
			return ctx.Err()
		case <-tick.C:
		}
		if st, err := os.Stat(filepath.Join(s.dir, "conf", "admin.pem")); err != nil || st.Size() == 0 {
			continue
		}
		conn, err := net.DialTimeout("tcp", s.address, time.Second)
		if err != nil {
			continue
		}
		return conn.Close()
	}
}

// Systems assign ports from 32768 (Linux) or 49152 upwards to listeners on any port,
// and to connections.
const firstPort, endPort = 10_000, 30_000

// FreeAddress returns an address of this machine that no server listens on, for a
// program that the test starts and restarts. No other caller gets it before the test
// ends, in this process or another, and the system doesn't assign it.
func FreeAddress(t testing.TB) string {
	t.Helper()
	for range 100 {
		address := net.JoinHostPort("127.0.0.1", strconv.Itoa(firstPort+rand.IntN(endPort-firstPort)))
		// The port for datagrams is what reserves the one for connections.
		reserved, err := net.ListenPacket("udp", address)
		if err != nil {
			continue
		}
		l, err := net.Listen("tcp", address)
		if err != nil {
			_ = reserved.Close()
			continue
		}
		_ = l.Close()
		t.Cleanup(func() { _ = reserved.Close() })
		return address
	}
	t.Fatal("there is no free port")
	return ""
}

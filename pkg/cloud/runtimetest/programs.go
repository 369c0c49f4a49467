package runtimetest

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"sync"
	"testing"
)

// Programs builds the programs of functions, each once per test binary. The zero value
// is ready to use; TestMain must call [Programs.Main].
type Programs struct {
	mu    sync.Mutex
	dir   string
	built map[string]func() (string, error)
}

// Main runs the tests, removes the programs, and returns the exit code.
func (p *Programs) Main(m interface{ Run() int }) int {
	dir, err := os.MkdirTemp("", "runtimetest-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 2
	}
	defer func() { _ = os.RemoveAll(dir) }()
	p.dir = dir
	return m.Run()
}

// Build builds a main package as a deployment does, for the architecture of this machine,
// and returns the path of the program.
func (p *Programs) Build(t testing.TB, pkg string) string {
	t.Helper()
	if p.dir == "" {
		t.Fatal("Programs.Build: TestMain must run the tests by Programs.Main")
	}
	p.mu.Lock()
	build, known := p.built[pkg]
	if !known {
		if p.built == nil {
			p.built = map[string]func() (string, error){}
		}
		path := filepath.Join(p.dir, strconv.Itoa(len(p.built)), "bootstrap")
		build = sync.OnceValues(func() (string, error) { return path, buildProgram(path, pkg) })
		p.built[pkg] = build
	}
	p.mu.Unlock()
	path, err := build()
	if err != nil {
		t.Fatal(err)
	}
	return path
}

// buildProgram builds a package with the flags of a deployment.
func buildProgram(path, pkg string) error {
	cmd := exec.Command("go", "build", "-trimpath", "-buildvcs=false", "-tags", "lambda.norpc", "-ldflags=-s -w", "-o", path, pkg)
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("go build %s: %w\n%s", pkg, err, out)
	}
	return nil
}

package cli

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"chefsync/cli/internal/cmdline"
	"chefsync/cli/internal/ui"
	"chefsync/pkg/chef/cheftest"
)

// console is a configuration with two replicas, and a terminal of 80 columns.
type console struct {
	primary, eu, us *cheftest.Server
	config          string
	stdout, stderr  bytes.Buffer
}

func newConsole(t *testing.T) *console {
	dir := t.TempDir()
	c := &console{primary: cheftest.Start(t, cheftest.Options{UpdatedSince: true}), eu: cheftest.Start(t), us: cheftest.Start(t),
		config: filepath.Join(dir, "chef-sync.toml")}
	for name, s := range map[string]*cheftest.Server{"primary": c.primary, "eu": c.eu, "us": c.us} {
		key := s.AddUser("sync")
		s.AddOrg("acme").Associate("sync")
		if err := os.WriteFile(filepath.Join(dir, name+".pem"), cheftest.PrivatePEM(key), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	more := fmt.Sprintf("[[replica]]\nname = \"us\"\nurl = %q\nuser = \"sync\"\nkey = \"file:us.pem\"\n", c.us.URL)
	text := strings.Replace(fmt.Sprintf(pairConfig, c.primary.URL, c.eu.URL, "acme"), "[[organization]]", more+"[[organization]]", 1)
	if err := os.WriteFile(c.config, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return c
}

// run runs a command line on the terminal.
func (c *console) run(ctx context.Context, args ...string) int {
	c.stdout.Reset()
	c.stderr.Reset()
	return executeArgs(ctx, append(args, "-c", c.config, "--color", "never"), cmdline.Streams{
		In: strings.NewReader(""), Out: &c.stdout, Err: &c.stderr, OutTTY: true, ErrTTY: true, Now: time.Now,
		OutSize: func() ui.Size { return ui.Size{Columns: 80, Lines: 24} }, ErrWidth: func() int { return 80 },
		LookupEnv: func(string) (string, bool) { return "", false },
	})
}

// lines returns what stays on the screen of what was written.
func lines(b *bytes.Buffer) []string {
	var shown []string
	for line := range strings.Lines(b.String()) {
		parts := strings.Split(strings.TrimSuffix(line, "\n"), "\r\x1b[K")
		if last := parts[len(parts)-1]; last != "" {
			shown = append(shown, last)
		}
	}
	return shown
}

func TestOnATerminalAFailureIsToldOnce(t *testing.T) {
	c := newConsole(t)
	c.primary.Org("acme").PutRole("web", `{}`)
	c.us.Fault(cheftest.Fault{Status: http.StatusUnauthorized})
	if code := c.run(t.Context(), "run", "--once"); code == 0 {
		t.Errorf("exit code 0\n%s", c.stderr.String())
	}
	shown := lines(&c.stderr)
	if len(shown) == 0 || !strings.HasPrefix(shown[0], "Error: ") || strings.Count(strings.Join(shown, "\n"), "(401)") != 1 {
		t.Errorf("stderr shows %q", shown)
	}
	if strings.Contains(c.stdout.String(), "(401)") {
		t.Errorf("the reason is in the table too:\n%s", c.stdout.String())
	}
	if c.run(t.Context(), "runs", "us/acme"); !strings.Contains(c.stdout.String(), "(401)") {
		t.Errorf("runs doesn't say why:\n%s", c.stdout.String())
	}
}

func TestAnInterruptionDoesNotCountPairsThatNeverBegan(t *testing.T) {
	c := newConsole(t)
	for i := range 30 {
		c.primary.Org("acme").PutRole(fmt.Sprintf("r%d", i), `{}`)
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	for _, s := range []*cheftest.Server{c.eu, c.us} {
		s.Fault(cheftest.Fault{Method: http.MethodPost, Path: "/roles", Nth: 5, Times: 1, Do: func(*http.Request) { cancel() }})
	}
	if code := c.run(ctx, "run", "--once"); code != 130 {
		t.Errorf("exit code %d, want 130", code)
	}
	if got := lines(&c.stderr); len(got) != 1 || got[0] != "Error: stopped: 0 of 2 pairs done; run again to go on" {
		t.Errorf("stderr shows %q", got)
	}
}

func TestOnATerminalTheDaemonLogsReadably(t *testing.T) {
	c := newConsole(t)
	c.primary.Org("acme").PutRole("web", `{}`)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	c.us.Fault(cheftest.Fault{Method: http.MethodPost, Path: "/roles", Do: func(*http.Request) { cancel() }})
	if code := c.run(ctx, "run"); code != 0 {
		t.Fatalf("exit code %d\n%s", code, c.stderr.String())
	}
	form := regexp.MustCompile(`^(\d\d:\d\d:\d\d  [ !✗] |  )\S`)
	shown := lines(&c.stderr)
	for _, line := range shown {
		if !form.MatchString(line) || len([]rune(line)) > 80 {
			t.Errorf("a line of another form: %q", line)
		}
	}
	for _, want := range []string{"started  2 pairs, parallel=4", "us/acme  created /roles/web  new on the primary"} {
		if !strings.Contains(strings.Join(shown, "\n"), want) {
			t.Errorf("%q is missing in\n%s", want, strings.Join(shown, "\n"))
		}
	}
}

func TestProgressOfACommandIsGoneAtItsEnd(t *testing.T) {
	c := newConsole(t)
	c.primary.Org("acme").PutRole("web", `{}`)
	for _, args := range [][]string{{"run", "--once"}, {"verify", "acme"}, {"plan", "acme", "--full"}} {
		if code := c.run(t.Context(), args...); code != 0 {
			t.Fatalf("%v: exit code %d\n%s", args, code, c.stderr.String())
		}
		if got := lines(&c.stderr); len(got) > 0 {
			t.Errorf("%v leaves %q", args, got)
		}
		if !strings.Contains(c.stderr.String(), "2 pairs, ") {
			t.Errorf("%v showed no progress: %q", args, c.stderr.String())
		}
	}
}

package cli

import (
	"bytes"
	"context"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"chefsync/cli/internal/cmdline"
	"chefsync/pkg/config"
	"chefsync/pkg/fileowner"
)

// initSession is a folder without a configuration, and a terminal.
type initSession struct {
	t      *testing.T
	config string
	env    map[string]string
	stderr bytes.Buffer
}

func newInitSession(t *testing.T) *initSession {
	return &initSession{t: t, config: filepath.Join(t.TempDir(), "chef-sync.toml"), env: map[string]string{"CHEF_CREDENTIALS_FILE": "/nowhere"}}
}

// writeCredentials writes Chef's own credentials file with one profile.
func (s *initSession) writeCredentials() {
	file := filepath.Join(s.t.TempDir(), "credentials")
	text := "[default]\nclient_name = \"alice\"\nclient_key = \"/keys/alice.pem\"\nchef_server_url = \"https://chef.example.com/organizations/engineering\"\n"
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		s.t.Fatal(err)
	}
	s.env["CHEF_CREDENTIALS_FILE"] = file
}

func (s *initSession) run(ctx context.Context, in io.Reader, tty bool, args ...string) int {
	s.stderr.Reset()
	return executeArgs(ctx, append([]string{"init", "-c", s.config, "--color", "never"}, args...), cmdline.Streams{
		In: in, InTTY: tty, Out: io.Discard, OutTTY: tty, Err: &s.stderr, ErrTTY: tty, Now: time.Now,
		LookupEnv: func(name string) (string, bool) { v, ok := s.env[name]; return v, ok },
	})
}

func (s *initSession) written() string {
	text, err := os.ReadFile(s.config)
	if err != nil {
		return ""
	}
	return string(text)
}

func TestInitAsksOnATerminal(t *testing.T) {
	s := newInitSession(t)
	answers := []string{
		"chef.example.com", "https://chef.example.com/organizations/sales", // the first isn't a URL
		"", "", "sales, engineering",
		"primary", "eu", "https://chef.example.com", "https://eu.example.com", // neither of the first ones can be
		"us", "https://us.example.com", "",
	}
	if code := s.run(t.Context(), strings.NewReader(strings.Join(answers, "\n")+"\n"), true); code != 0 {
		t.Fatalf("exit code %d\n%s", code, s.stderr.String())
	}
	c, err := config.Loader{}.Parse(s.config, []byte(s.written()))
	if err != nil {
		t.Fatalf("%v\n%s", err, s.written())
	}
	if len(c.Pairs()) != 4 || c.Primary.URL != "https://chef.example.com" || c.Primary.User != "ec_sync_user" ||
		c.Primary.Key.Name != filepath.Join(filepath.Dir(s.config), "keys/primary.pem") || c.Replicas[1].URL != "https://us.example.com" {
		t.Errorf("written:\n%s", s.written())
	}
	for _, want := range []string{
		"URL of the primary, which is read:   not the URL of a server\nURL of the primary",
		"Organizations to replicate, with commas between them [sales]: ",
		"would be mistaken for the primary",
		"URL of eu:   is the primary itself",
		"next: chef-sync-ctl prepare-org --all",
	} {
		if !strings.Contains(s.stderr.String(), want) {
			t.Errorf("%q is missing in\n%s", want, s.stderr.String())
		}
	}
}

func TestInitTakesDefaultsFromCredentials(t *testing.T) {
	s := newInitSession(t)
	s.writeCredentials()
	if code := s.run(t.Context(), strings.NewReader("\nalice\n\n\n\nhttps://eu.example.com\n\n"), true); code != 0 {
		t.Fatalf("exit code %d\n%s", code, s.stderr.String())
	}
	c, err := config.Loader{}.Parse(s.config, []byte(s.written()))
	if err != nil {
		t.Fatal(err)
	}
	if c.Primary.User != "alice" || c.Primary.Key.Name != "/keys/alice.pem" || c.Organizations[0].SourceOrg != "engineering" || c.Replicas[0].Name != "eu" {
		t.Errorf("written:\n%s", s.written())
	}
	if want := "prepare-org creates a new one, or alice of "; !strings.Contains(s.stderr.String(), want) {
		t.Errorf("%q is missing in\n%s", want, s.stderr.String())
	}
}

func TestInitDoesNotAskWithoutATerminal(t *testing.T) {
	s := newInitSession(t)
	if code := s.run(t.Context(), iotest.ErrReader(io.ErrUnexpectedEOF), false); code != 0 || s.written() != config.Template() {
		t.Errorf("exit code %d, written:\n%s", code, s.written())
	}
	if strings.Contains(s.stderr.String(), "URL of the primary") {
		t.Errorf("it asked: %s", s.stderr.String())
	}
	s = newInitSession(t)
	if code := s.run(t.Context(), strings.NewReader(""), true, "--sample"); code != 0 || s.written() != config.Template() {
		t.Errorf("--sample: exit code %d, written:\n%s", code, s.written())
	}
	if code := s.run(t.Context(), strings.NewReader(""), true); code != 2 || !strings.Contains(s.stderr.String(), "already exists") ||
		strings.Contains(s.stderr.String(), "URL of the primary") {
		t.Errorf("with a file: exit code %d\n%s", code, s.stderr.String())
	}
}

func TestInitWritesNothingWithoutAllAnswers(t *testing.T) {
	s := newInitSession(t)
	if code := s.run(t.Context(), strings.NewReader("https://chef.example.com\n"), true); code != 1 || s.written() != "" {
		t.Errorf("exit code %d, written %q", code, s.written())
	}
	ctx, cancel := context.WithCancel(t.Context())
	in, out := io.Pipe() // nobody answers
	defer func() { _ = out.Close() }()
	cancel()
	if code := s.run(ctx, in, true); code != 130 || s.written() != "" || !strings.Contains(s.stderr.String(), "nothing was written") {
		t.Errorf("exit code %d, stderr %s", code, s.stderr.String())
	}
}

// TestInitAsRoot: the configuration belongs to the owner of its folder, such as the user of
// the service.
func TestInitAsRoot(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("SKIPPED: needs root")
	}
	s := newInitSession(t)
	if err := os.Chown(filepath.Dir(s.config), 54321, 54321); err != nil {
		t.Fatal(err)
	}
	if code := s.run(t.Context(), strings.NewReader(""), false, "--sample"); code != 0 {
		t.Fatalf("exit code %d, stderr %s", code, s.stderr.String())
	}
	if owner := fileowner.OtherUser(s.config); owner != "user 54321" {
		t.Errorf("the configuration belongs to %q, want user 54321", owner)
	}
}

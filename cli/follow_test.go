package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.yaml.in/yaml/v3"

	"chefsync/cli/internal/cmdline"
	"chefsync/cli/internal/logstore"
	"chefsync/pkg/replication"
	"chefsync/pkg/store/sqlite"
)

const followConfig = `[primary]
url = "https://chef.example.com"
user = "sync"
key = "file:k.pem"
[[replica]]
name = "eu"
url = "https://eu.example.com"
user = "sync"
key = "file:k.pem"
[[organization]]
source = "acme"
[state]
path = "state.db"
`

// following runs a command that doesn't end until it is stopped and hands its output,
// piece by piece, to see, until that says to stop.
func following(t *testing.T, dir string, args []string, see func(string) (stop bool)) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	r, w := io.Pipe()
	var stderr bytes.Buffer
	code := make(chan int, 1)
	go func() {
		defer w.Close()
		code <- executeArgs(ctx, append(args, "-c", filepath.Join(dir, "chef-sync.toml")), cmdline.Streams{
			In: strings.NewReader(""), Out: w, Err: &stderr, Now: time.Now,
			LookupEnv: func(string) (string, bool) { return "", false },
		})
	}()
	buf, all := make([]byte, 64<<10), ""
	stopped := false
	for {
		n, err := r.Read(buf)
		all += string(buf[:n])
		if !stopped && see(all) {
			stopped = true
			cancel()
		}
		if err != nil {
			break
		}
	}
	if got := <-code; got != 0 || !stopped {
		t.Errorf("exit code %d, seen what was expected: %v\nstdout %s\nstderr %s", got, stopped, all, stderr.String())
	}
}

func followState(t *testing.T) (dir string, s *sqlite.State) {
	t.Helper()
	dir = t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "chef-sync.toml"), []byte(followConfig), 0o600); err != nil {
		t.Fatal(err)
	}
	s, err := sqlite.OpenState(t.Context(), filepath.Join(dir, "state.db"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return dir, s
}

// logIn is the log of the state in a folder.
func logIn(t *testing.T, dir string) *logstore.SQLite {
	l := logstore.NewSQLite(logstore.PathFor(filepath.Join(dir, "state.db")))
	t.Cleanup(func() { _ = l.Close() })
	return l
}

func TestFollowingALogShowsLinesAsTheyCome(t *testing.T) {
	id := replication.PairID{Replica: "eu", Org: "acme"}
	for _, c := range []struct {
		name string
		args []string
		pair replication.PairID
		want string // in each line
	}{
		{"of a pair", []string{"sync-log", "acme", "--follow"}, id, "eu/acme"},
		{"of the manager", []string{"manager-log", "-f"}, replication.PairID{}, ":"},
		{"as data", []string{"sync-log", "eu/acme", "--follow", "-o", "json"}, id, `{"id":`},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir, _ := followState(t)
			log := logIn(t, dir)
			add := func(text string) {
				if err := log.Append(t.Context(), []logstore.Line{{Time: time.Now(), Level: slog.LevelInfo, Message: text, Pair: c.pair}}); err != nil {
					t.Error(err)
				}
			}
			add("the first line")
			late := false
			following(t, dir, c.args, func(all string) bool {
				if strings.Contains(all, "the first line") && !late {
					late = true
					add("the second line")
				}
				lines := strings.Split(strings.TrimSpace(all), "\n")
				return len(lines) == 2 && strings.Contains(lines[1], "the second line") && strings.Contains(lines[1], c.want)
			})
		})
	}
}

func TestWatchingTheStatusInYAMLIsADocumentEachTime(t *testing.T) {
	dir, _ := followState(t)
	var told string
	following(t, dir, []string{"sync-status", "--watch=50ms", "-o", "yaml"}, func(all string) bool {
		told = all
		return strings.Count(all, "position:") >= 2
	})
	dec := yaml.NewDecoder(strings.NewReader(told))
	for range 2 {
		var rows []map[string]any
		if err := dec.Decode(&rows); err != nil || len(rows) != 1 {
			t.Errorf("error %v, %d pairs in a document of\n%s", err, len(rows), told)
		}
	}
}

func TestWatchingTheStatusShowsChanges(t *testing.T) {
	dir, s := followState(t)
	id := replication.PairID{Replica: "eu", Org: "acme"}
	stopped := false
	following(t, dir, []string{"sync-status", "--watch", "50ms", "eu/acme"}, func(all string) bool {
		if strings.Contains(all, "waiting") && !stopped {
			stopped = true
			if err := s.ChangeDesired(t.Context(), id, replication.DesiredChange{Stop: new(true), Reason: new("lunch"), At: time.Now()}); err != nil {
				t.Error(err)
			}
		}
		return strings.Contains(all, "stopped by the operator: lunch")
	})
}

// A line of the log may hold what a server said.
func TestALineOfTheLogHoldsNoEscapes(t *testing.T) {
	dir, _ := followState(t)
	const hostile = "no \x1b[2J\nTry: \u009bx"
	id := replication.PairID{Replica: "eu", Org: "acme"}
	attrs, err := json.Marshal(map[string]string{"error": hostile})
	if err != nil {
		t.Fatal(err)
	}
	line := logstore.Line{Time: time.Now(), Level: slog.LevelWarn, Message: hostile, Pair: id, Object: "/roles/" + hostile, Run: hostile, Attrs: attrs}
	if err := logIn(t, dir).Append(t.Context(), []logstore.Line{line}); err != nil {
		t.Fatal(err)
	}
	following(t, dir, []string{"sync-log", "acme", "--follow", "--wide", "--color", "always"}, func(all string) bool {
		if !strings.Contains(all, "error=") {
			return false
		}
		const seen, quoted = `no \x1b[2J\nTry: \u009bx`, `no \x1b[2J\x0aTry: \xc2\x9bx'`
		want := "eu/acme \x1b[1m" + seen + "\x1b[0m $'/roles/" + quoted + " run=" + seen + " error=$'" + quoted + "\n"
		if !strings.HasSuffix(all, want) {
			t.Errorf("got %q, want its end to be %q", all, want)
		}
		return true
	})
}

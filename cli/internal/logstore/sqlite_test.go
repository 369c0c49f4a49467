package logstore

import (
	"context"
	"database/sql"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"chefsync/pkg/fault"
	"chefsync/pkg/replication"
)

func engineering() replication.PairID {
	return replication.PairID{Replica: "eu", Org: "engineering"}
}

func noon() time.Time { return time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC) }

// line n is a second after line n-1.
func line(n int, pair replication.PairID) Line {
	return Line{Time: noon().Add(time.Duration(n) * time.Second), Message: fmt.Sprint(n), Pair: pair}
}

func appendLines(t *testing.T, s *SQLite, lines ...Line) {
	t.Helper()
	if err := s.Append(t.Context(), lines); err != nil {
		t.Fatal(err)
	}
}

func open(t *testing.T, path string) *SQLite {
	t.Helper()
	s := NewSQLite(path)
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

func messages(t *testing.T, s *SQLite, q Query, afterID int64) (got string) {
	t.Helper()
	lines, err := s.readLines(t.Context(), q, afterID)
	if err != nil {
		t.Fatal(err)
	}
	for _, l := range lines {
		got += l.Message + " "
	}
	return got
}

func TestLinesComeBackWhole(t *testing.T) {
	path := filepath.Join(t.TempDir(), "state.db")
	want := Line{
		ID: 1, Time: noon().Add(1234 * time.Microsecond), Level: slog.LevelWarn, Message: "ünïcode \"x\" <&>\nsecond line", Pair: engineering(),
		Run: "r1", Object: "/roles/web", Attrs: []byte(`{"seq":9007199254740993,"outcome":"<ok>"}`),
	}
	s := open(t, path)
	appendLines(t, s, want, Line{Time: noon(), Message: "cut\x00here"})
	got, err := open(t, path).readLines(t.Context(), Query{}, 0) // as another process
	if err != nil {
		t.Fatal(err)
	}
	second := Line{ID: 2, Time: noon(), Message: "cut\uFFFDhere"}
	if d := cmp.Diff([]Line{want, second}, got); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
}

func TestQueries(t *testing.T) {
	s := open(t, filepath.Join(t.TempDir(), "state.db"))
	other := replication.PairID{Replica: "us", Org: "engineering"}
	lines := []Line{line(1, engineering()), line(2, other), line(3, replication.PairID{}), line(4, engineering()), line(5, engineering())}
	lines[3].Level, lines[3].Object, lines[3].Run = slog.LevelError, "/roles/web", "r1"
	appendLines(t, s, lines...)
	warn := slog.LevelWarn
	for name, c := range map[string]struct {
		q     Query
		after int64
		want  string
	}{
		"everything":                   {Query{}, 0, "1 2 3 4 5 "},
		"one pair":                     {Query{Pairs: []replication.PairID{engineering()}}, 0, "1 4 5 "},
		"two pairs":                    {Query{Pairs: []replication.PairID{engineering(), other}}, 0, "1 2 4 5 "},
		"the manager":                  {Query{Manager: true}, 0, "3 "},
		"since":                        {Query{Since: noon().Add(3 * time.Second)}, 0, "3 4 5 "},
		"the newest":                   {Query{Limit: 2}, 0, "4 5 "},
		"what follows":                 {Query{}, 2, "3 4 5 "},
		"a level":                      {Query{Level: &warn}, 0, "4 "},
		"an object":                    {Query{Object: "/roles/web"}, 0, "4 "},
		"a run of a pair":              {Query{Pairs: []replication.PairID{engineering()}, Run: "r1"}, 0, "4 "},
		"a run of another pair":        {Query{Pairs: []replication.PairID{other}, Run: "r1"}, 0, ""},
		"nothing follows the last one": {Query{}, 5, ""},
	} {
		if got := messages(t, s, c.q, c.after); got != c.want {
			t.Errorf("%s: %q, want %q", name, got, c.want)
		}
	}
}

func TestTheLogKeepsTheNewestLines(t *testing.T) {
	s := open(t, filepath.Join(t.TempDir(), "log.db"))
	s.keepLines, s.keepAge = 3, time.Hour
	for n := range 5 {
		appendLines(t, s, line(n, engineering()))
	}
	if got := messages(t, s, Query{}, 0); got != "2 3 4 " {
		t.Errorf("kept %q, want the newest three", got)
	}
	late := line(6, engineering())
	late.Time = late.Time.Add(time.Hour - 2*time.Second) // an hour after line 4
	appendLines(t, s, late)
	if got := messages(t, s, Query{}, 0); got != "4 6 " {
		t.Errorf("kept %q, want those of the last hour", got)
	}
	appendLines(t, s, line(7, engineering()), line(8, engineering()), line(9, engineering()))
	if got := messages(t, s, Query{}, 4); got != "7 8 9 " {
		t.Errorf("a follower got %q, want lines under new ids", got)
	}
}

func TestADamagedLogIsReportedUntilItIsRemoved(t *testing.T) {
	path := filepath.Join(t.TempDir(), "log.db")
	if err := os.WriteFile(path, []byte("this is no database, whatever its name says"), 0o600); err != nil {
		t.Fatal(err)
	}
	s := open(t, path)
	if err := s.Append(t.Context(), []Line{line(1, engineering())}); fault.ClassOf(err) != fault.Local {
		t.Errorf("Append: %v, want an error of class local", err)
	}
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	appendLines(t, s, line(1, engineering())) // without a restart
}

// Files of other programs and of later versions stay as they are.
func TestFilesThatAreNoLogOfThisVersionAreRefused(t *testing.T) {
	for name, c := range map[string]struct {
		statements string
		refused    bool
	}{
		"another program's": {"CREATE TABLE t (x)", true},
		"a later version's": {fmt.Sprintf("PRAGMA application_id=%d; PRAGMA user_version=%d",
			fileFormat().ApplicationID, 2<<16|2), true},
		"a later version's that we can use too": {fmt.Sprintf("PRAGMA application_id=%d; PRAGMA user_version=%d; %s",
			fileFormat().ApplicationID, 1<<16|2, schema), false},
	} {
		path := filepath.Join(t.TempDir(), "log.db")
		db, err := sql.Open("sqlite", path)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := db.Exec(c.statements); err != nil {
			t.Fatal(err)
		}
		if err := db.Close(); err != nil {
			t.Fatal(err)
		}
		if err := open(t, path).Append(t.Context(), []Line{line(1, engineering())}); (err != nil) != c.refused {
			t.Errorf("%s: %v, refused should be %v", name, err, c.refused)
		}
	}
}

func TestPathsWithOddCharacters(t *testing.T) {
	for _, name := range []string{"a b.db", "50%.db", "what?.db", "a#b.db", "x%41.db", "ünï.db", "a&b=c.db", "no extension", "'quoted'.db"} {
		path := PathFor(filepath.Join(t.TempDir(), "new folder", name))
		appendLines(t, open(t, path), line(1, engineering()))
		info, err := os.Stat(path)
		if err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%s: %v, %v; want a file of mode 0600 under this name", path, info, err)
		}
	}
}

func TestManyProcessesAppendAtOnce(t *testing.T) {
	path := filepath.Join(t.TempDir(), "log.db")
	var group sync.WaitGroup
	for n := range 8 {
		group.Go(func() {
			s := NewSQLite(path)
			if err := s.Append(context.Background(), []Line{line(n, engineering())}); err != nil {
				t.Error(err)
			}
			if err := s.Close(); err != nil {
				t.Error(err)
			}
		})
	}
	group.Wait()
	if lines, err := open(t, path).readLines(t.Context(), Query{}, 0); err != nil || len(lines) != 8 {
		t.Errorf("%d lines, %v", len(lines), err)
	}
}

package state_test

import (
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"chefsync/pkg/replication"
	"chefsync/pkg/state"
)

func engineering() replication.PairID {
	return replication.PairID{Replica: "eu", Org: "engineering"}
}

func noon() time.Time { return time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC) }

// line n is a second after line n-1.
func line(n int, pair replication.PairID) state.LogLine {
	return state.LogLine{Time: noon().Add(time.Duration(n) * time.Second), Message: fmt.Sprint(n), Pair: pair}
}

func appendLines(t *testing.T, s *state.SQLite, lines ...state.LogLine) {
	t.Helper()
	if err := s.AppendLogs(t.Context(), lines); err != nil {
		t.Fatal(err)
	}
}

func messages(t *testing.T, s *state.SQLite, q state.LogQuery) (got string) {
	t.Helper()
	lines, err := s.Logs(t.Context(), q)
	if err != nil {
		t.Fatal(err)
	}
	for _, l := range lines {
		got += l.Message + " "
	}
	return got
}

func TestLogLinesComeBackWhole(t *testing.T) {
	path := filepath.Join(t.TempDir(), "state.db")
	want := state.LogLine{
		ID: 1, Time: noon().Add(1234 * time.Microsecond), Level: slog.LevelWarn, Message: "ünïcode \"x\" <&>\nsecond line", Pair: engineering(),
		Run: "r1", Object: "/roles/web", Attrs: []byte(`{"seq":9007199254740993,"outcome":"<ok>"}`),
	}
	s := open(t, path)
	appendLines(t, s, want, state.LogLine{Time: noon(), Message: "cut\x00here"})
	got, err := open(t, path).Logs(t.Context(), state.LogQuery{}) // as another process
	if err != nil {
		t.Fatal(err)
	}
	second := state.LogLine{ID: 2, Time: noon(), Message: "cut\uFFFDhere"}
	if d := cmp.Diff([]state.LogLine{want, second}, got); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
}

func TestLogQueries(t *testing.T) {
	s := open(t, filepath.Join(t.TempDir(), "state.db"))
	other := replication.PairID{Replica: "us", Org: "engineering"}
	lines := []state.LogLine{line(1, engineering()), line(2, other), line(3, replication.PairID{}), line(4, engineering()), line(5, engineering())}
	lines[3].Level, lines[3].Object, lines[3].Run = slog.LevelError, "/roles/web", "r1"
	appendLines(t, s, lines...)
	warn := slog.LevelWarn
	for name, c := range map[string]struct {
		q    state.LogQuery
		want string
	}{
		"everything":                   {state.LogQuery{}, "1 2 3 4 5 "},
		"one pair":                     {state.LogQuery{Pair: engineering()}, "1 4 5 "},
		"the manager":                  {state.LogQuery{Manager: true}, "3 "},
		"since":                        {state.LogQuery{Since: noon().Add(3 * time.Second)}, "3 4 5 "},
		"the newest":                   {state.LogQuery{Limit: 2}, "4 5 "},
		"what follows":                 {state.LogQuery{AfterID: 2}, "3 4 5 "},
		"the first of what follows":    {state.LogQuery{AfterID: 1, Limit: 2}, "2 3 "},
		"a level":                      {state.LogQuery{Level: &warn}, "4 "},
		"an object":                    {state.LogQuery{Object: "/roles/web"}, "4 "},
		"a run of a pair":              {state.LogQuery{Pair: engineering(), Run: "r1"}, "4 "},
		"a run of another pair":        {state.LogQuery{Pair: other, Run: "r1"}, ""},
		"nothing follows the last one": {state.LogQuery{AfterID: 5}, ""},
	} {
		if got := messages(t, s, c.q); got != c.want {
			t.Errorf("%s: %q, want %q", name, got, c.want)
		}
	}
}

func TestLogKeepsTheNewestLines(t *testing.T) {
	s := open(t, filepath.Join(t.TempDir(), "state.db"), state.WithLogs(3, time.Hour))
	for n := range 5 {
		appendLines(t, s, line(n, engineering()))
	}
	if got := messages(t, s, state.LogQuery{}); got != "2 3 4 " {
		t.Errorf("kept %q, want the newest three", got)
	}
	late := line(6, engineering())
	late.Time = late.Time.Add(time.Hour - 2*time.Second) // an hour after line 4
	appendLines(t, s, late)
	if got := messages(t, s, state.LogQuery{}); got != "4 6 " {
		t.Errorf("kept %q, want those of the last hour", got)
	}
	appendLines(t, s, line(7, engineering()), line(8, engineering()), line(9, engineering()))
	if got := messages(t, s, state.LogQuery{AfterID: 4}); got != "7 8 9 " {
		t.Errorf("a follower got %q, want lines under new ids", got)
	}
}

func TestADamagedLogLeavesTheStateAlone(t *testing.T) {
	path := filepath.Join(t.TempDir(), "state.db")
	if err := os.WriteFile(state.LogPath(path), []byte("this is no database, whatever its name says"), 0o600); err != nil {
		t.Fatal(err)
	}
	s := open(t, path)
	if err := s.AppendLogs(t.Context(), []state.LogLine{line(1, engineering())}); replication.ClassOf(err) != replication.Local {
		t.Errorf("AppendLogs: %v, want an error of class local", err)
	}
	if err := s.Note(t.Context(), engineering(), 0, noon(), replication.Progress{}); err != nil {
		t.Errorf("the state fails with its log: %v", err)
	}
	if err := os.Remove(state.LogPath(path)); err != nil {
		t.Fatal(err)
	}
	appendLines(t, s, line(1, engineering())) // mended without a restart
}

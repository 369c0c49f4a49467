package logstore

import (
	"path/filepath"
	"testing"

	"chefsync/pkg/replication"
)

// A reader shows each line of its pairs once, also where a limit left out older ones.
func TestAReaderShowsALineOnce(t *testing.T) {
	path := filepath.Join(t.TempDir(), "state.db")
	a, b := engineering(), replication.PairID{Replica: "eu", Org: "b"}
	log := open(t, path)
	appendLines(t, log, line(1, a), line(2, b), line(3, a))
	reader := open(t, path).NewReader(Query{Pairs: []replication.PairID{a, b}, Limit: 2}) // of another process
	for _, want := range []string{"2 3 ", "4 5 6 ", ""} {
		lines, err := reader.Lines(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		got := ""
		for _, l := range lines {
			got += l.Message + " "
		}
		if got != want {
			t.Errorf("the lines %q, want %q", got, want)
		}
		if want == "2 3 " {
			appendLines(t, log, line(4, b), line(5, a), line(6, b), line(7, replication.PairID{}))
		}
	}
}

package logstore

import (
	"context"
	"testing"

	"chefsync/pkg/replication"
)

// A line of the first pair is written after its query and before that of the
// second one, whose line is newer.
func TestALineWrittenBetweenTwoQueriesIsShownNextTime(t *testing.T) {
	a, b := replication.PairID{Replica: "eu", Org: "a"}, replication.PairID{Replica: "eu", Org: "b"}
	var kept []Line
	l := &fileReader{read: func(_ context.Context, q Query, afterID int64) (got []Line, err error) {
		for _, line := range kept {
			if line.Pair == q.Pair && line.ID > afterID {
				got = append(got, line)
			}
		}
		if len(kept) == 0 {
			kept = []Line{{ID: 1, Pair: a}, {ID: 2, Pair: b}}
		}
		return got, nil
	}}
	var seen []int64
	for range 3 {
		lines, err := l.Lines(t.Context(), Query{Pair: a}, Query{Pair: b})
		if err != nil {
			t.Fatal(err)
		}
		for _, line := range lines {
			seen = append(seen, line.ID)
		}
	}
	if len(seen) != 2 || seen[0]+seen[1] != 3 {
		t.Errorf("saw the lines %v, want 1 and 2 once each", seen)
	}
}

package replication

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

// changeRow is a row as a feed shows it.
func changeRow(id int64, path string) Change { return Change{ID: id, Action: "update", Path: path} }

func rowsWith(ids ...int64) Rows {
	var r Rows
	for _, id := range ids {
		r.Changes = append(r.Changes, changeRow(id, fmt.Sprintf("/roles/r%d", id)))
	}
	return r
}

func idsOf(changes []Change) (ids []int64) {
	for _, c := range changes {
		ids = append(ids, c.ID)
	}
	return ids
}

// reached is the position after a first answer with these rows.
func reached(t *testing.T, overlap int64, ids ...int64) Position {
	t.Helper()
	_, pos, err := Continue(Position{}, rowsWith(ids...), overlap)
	if err != nil {
		t.Fatal(err)
	}
	return pos
}

func TestContinueFindsFreshRows(t *testing.T) {
	tests := []struct {
		name    string
		pos     Position
		answer  Rows
		fresh   []int64
		seq     int64
		overlap int64
	}{
		{"a feed without rows", Position{}, Rows{}, nil, 0, 10},
		{"the first rows", Position{}, rowsWith(1, 2, 3), []int64{1, 2, 3}, 3, 10},
		{"nothing new", reached(t, 10, 1, 2, 3), rowsWith(1, 2, 3), nil, 3, 10},
		{"new rows above", reached(t, 10, 1, 2, 3), rowsWith(1, 2, 3, 4, 9), []int64{4, 9}, 9, 10},
		{"a row that became visible late", reached(t, 10, 1, 3), rowsWith(1, 2, 3), []int64{2}, 3, 10},
		{"late and new together", reached(t, 10, 1, 3), rowsWith(1, 2, 3, 5), []int64{2, 5}, 5, 10},
		{"rows below the overlap are not looked at", reached(t, 2, 1, 5), rowsWith(2, 3, 4, 5), []int64{4}, 5, 2},
		{"handled rows that the feed dropped", reached(t, 10, 1, 2, 3), rowsWith(3, 4), []int64{4}, 4, 10},
		{"ids beyond what fits a double", reached(t, 10, 1<<62), rowsWith(1<<62, 1<<62+1), []int64{1<<62 + 1}, 1<<62 + 1, 10},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			fresh, next, err := Continue(tt.pos, tt.answer, tt.overlap)
			if err != nil || !slices.Equal(idsOf(fresh), tt.fresh) || next.Seq != tt.seq {
				t.Errorf("fresh %v, seq %d, %v; want %v, %d", idsOf(fresh), next.Seq, err, tt.fresh, tt.seq)
			}
		})
	}
}

func TestContinueNoticesAnotherFeed(t *testing.T) {
	pos := reached(t, 10, 1, 2, 3)
	tests := map[string]Rows{
		"empty":                             {},
		"begun again with fewer rows":       rowsWith(1, 2),
		"without the row of the position":   rowsWith(1, 2, 4, 5),
		"the rows after us were dropped":    rowsWith(8, 9),
		"another path under the same id":    {Changes: []Change{changeRow(1, "/roles/r1"), changeRow(2, "/roles/r2"), changeRow(3, "/roles/x")}},
		"another path, and grown beyond us": {Changes: []Change{changeRow(3, "/roles/x"), changeRow(4, "/roles/y")}},
	}
	for name, answer := range tests {
		t.Run(name, func(t *testing.T) {
			fresh, next, err := Continue(pos, answer, 10)
			if !errors.Is(err, ErrPositionLost) || len(fresh) != 0 || next.Seq != pos.Seq {
				t.Errorf("fresh %v, seq %d, %v; want ErrPositionLost and the old position", fresh, next.Seq, err)
			}
		})
	}
}

func TestPositionStaysSmall(t *testing.T) {
	const overlap = 100
	pos := Position{}
	for id := int64(1); id <= 5000; id += 50 {
		rows := Rows{}
		for i := max(1, pos.Seq-overlap+1); i < id+50; i++ {
			rows.Changes = append(rows.Changes, changeRow(i, "/roles/a"))
		}
		_, next, err := Continue(pos, rows, overlap)
		if err != nil {
			t.Fatal(err)
		}
		pos = next
	}
	if pos.Seq != 5000 || len(pos.Seen) != overlap || !slices.IsSorted(pos.Seen) {
		t.Errorf("seq %d with %d ids seen, want 5000 and exactly the %d of the overlap", pos.Seq, len(pos.Seen), overlap)
	}
	if text, err := json.Marshal(pos); err != nil || len(text) > 2048 {
		t.Errorf("the position takes %d bytes (%v), want it small", len(text), err)
	}
}

func TestContinueLeavesTheOldPositionAlone(t *testing.T) {
	pos := reached(t, 10, 1, 3)
	before, err := json.Marshal(pos)
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := Continue(pos, rowsWith(1, 2, 3, 4, 5), 10); err != nil {
		t.Fatal(err)
	}
	if after, err := json.Marshal(pos); err != nil || string(after) != string(before) {
		t.Errorf("the old position became %s (%v), was %s: a pass that fails needs it again", after, err, before)
	}
}

// simulatedFeed gives ids in order and shows the rows in any order.
type simulatedFeed struct {
	last   int64
	shown  map[int64]bool
	hidden []int64
}

// answer is what the feed shows after an id. A loose feed shows more than it is
// asked for: that it doesn't was never promised.
func (f *simulatedFeed) answer(after int64, loose bool) Rows {
	var ids []int64
	for id := range maps.Keys(f.shown) {
		if loose || id > after {
			ids = append(ids, id)
		}
	}
	slices.Sort(ids)
	return rowsWith(ids...)
}

func (f *simulatedFeed) show(i int) {
	f.shown[f.hidden[i]] = true
	f.hidden = slices.Delete(f.hidden, i, i+1)
}

// Whatever becomes visible late, as long as it does within the overlap, is
// handled once, and never twice: a database may show a row after one with a higher
// id.
func TestNoRowIsLostNorHandledTwice(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		overlap := rapid.Int64Range(1, 12).Draw(t, "overlap")
		feed := simulatedFeed{shown: map[int64]bool{}}
		pos, handled := Position{}, map[int64]int{}
		poll := func() {
			rows := feed.answer(max(0, pos.Seq-overlap), rapid.Bool().Draw(t, "loose"))
			fresh, next, err := Continue(pos, rows, overlap)
			if err != nil {
				t.Fatalf("poll of the same feed: %v", err)
			}
			if next.Seq < pos.Seq {
				t.Fatalf("the position went back from %d to %d", pos.Seq, next.Seq)
			}
			for _, c := range fresh {
				handled[c.ID]++
			}
			if rapid.IntRange(0, 4).Draw(t, "crash") == 0 {
				for _, c := range fresh {
					handled[c.ID]-- // the pass died: nothing was recorded
				}
				return
			}
			pos = stored(t, next)
		}
		t.Repeat(map[string]func(*rapid.T){
			"give an id": func(t *rapid.T) {
				feed.last += rapid.Int64Range(1, 3).Draw(t, "step") // gaps never fill
				feed.hidden = append(feed.hidden, feed.last)
				for len(feed.hidden) > 0 && feed.hidden[0] <= feed.last-overlap {
					feed.show(0) // nothing stays hidden for longer than the overlap
				}
			},
			"show a row": func(t *rapid.T) {
				if len(feed.hidden) > 0 {
					feed.show(rapid.IntRange(0, len(feed.hidden)-1).Draw(t, "which"))
				}
			},
			"poll": func(*rapid.T) { poll() },
			"": func(t *rapid.T) {
				for id, n := range handled {
					if n > 1 {
						t.Fatalf("row %d was handled %d times", id, n)
					}
				}
			},
		})
		for len(feed.hidden) > 0 {
			feed.show(0)
		}
		fresh, _, err := Continue(pos, feed.answer(max(0, pos.Seq-overlap), false), overlap)
		if err != nil {
			t.Fatal(err)
		}
		for _, c := range fresh {
			handled[c.ID]++
		}
		for id := range feed.shown {
			if handled[id] != 1 {
				t.Fatalf("row %d was handled %d times, want once", id, handled[id])
			}
		}
	})
}

// stored is a position as the state returns it.
func stored(t *rapid.T, p Position) (q Position) {
	text, err := json.Marshal(p)
	if err == nil {
		err = json.Unmarshal(text, &q)
	}
	if err != nil {
		t.Fatal(err)
	}
	return q
}

// A feed that begins again with other rows is noticed at once, whether it has
// fewer rows or more by then.
func TestEveryResetIsNoticed(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		overlap := rapid.Int64Range(1, 12).Draw(t, "overlap")
		before := rapid.Int64Range(1, 40).Draw(t, "rows before")
		after := rapid.Int64Range(0, 80).Draw(t, "rows after")
		var old, again Rows
		for id := range before {
			old.Changes = append(old.Changes, changeRow(id+1, fmt.Sprintf("/roles/old%d", id)))
		}
		_, pos, err := Continue(Position{}, old, overlap)
		if err != nil {
			t.Fatal(err)
		}
		for id := max(0, pos.Seq-overlap); id < after; id++ {
			again.Changes = append(again.Changes, changeRow(id+1, fmt.Sprintf("/roles/new%d", id)))
		}
		if _, _, err := Continue(stored(t, pos), again, overlap); !errors.Is(err, ErrPositionLost) {
			t.Fatalf("position %d of a feed that was begun again: %v, want ErrPositionLost", pos.Seq, err)
		}
	})
}

func TestAFeedThatKnowsItsBoundsIsBelieved(t *testing.T) {
	bounded := func(oldest, newest int64, ids ...int64) Rows {
		r := rowsWith(ids...)
		r.Epoch, r.Oldest, r.Newest = "e", oldest, newest
		return r
	}
	_, pos, err := Continue(Position{Epoch: "e"}, bounded(1, 5, 1, 2, 3, 4, 5), 10)
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		rows Rows
		lost bool
	}{
		"all rows expired, none missed": {bounded(6, 5), false},
		"the next row is there":         {bounded(6, 6, 6), false},
		"a row was missed":              {bounded(7, 7, 7), true},
		"the feed went back":            {bounded(1, 4, 1, 2, 3, 4), true},
		"another epoch":                 {Rows{Epoch: "f", Oldest: 1, Newest: 9}, true},
	} {
		if _, _, err := Continue(pos, c.rows, 10); errors.Is(err, ErrPositionLost) != c.lost {
			t.Errorf("%s: %v, want lost = %v", name, err, c.lost)
		}
	}
}

// A position that is taken while all rows have expired is behind them: rows that
// come and expire before the next poll are missed, not overlooked.
func TestAPositionTakenOfExpiredRowsIsBehindThem(t *testing.T) {
	_, pos, err := Continue(Position{Epoch: "e"}, Rows{Epoch: "e", Oldest: 51, Newest: 50}, 10)
	if err != nil || pos.Seq != 50 {
		t.Fatalf("position %d, %v; want 50", pos.Seq, err)
	}
	if _, _, err := Continue(pos, Rows{Epoch: "e", Oldest: 51, Newest: 50}, 10); err != nil {
		t.Errorf("nothing new: %v", err)
	}
	if _, _, err := Continue(pos, Rows{Epoch: "e", Oldest: 61, Newest: 60}, 10); !errors.Is(err, ErrPositionLost) {
		t.Errorf("rows 51 to 60 came and expired: %v, want ErrPositionLost", err)
	}
}

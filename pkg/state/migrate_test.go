package state

import (
	"errors"
	"path/filepath"
	"testing"
	"time"

	"chefsync/pkg/feed/journal"
	"chefsync/pkg/replication"
)

// TestAnOlderFileIsBroughtUp: a file of the version before journals keeps its
// pairs, and then holds journals too. The program of that version can still use it.
func TestAnOlderFileIsBroughtUp(t *testing.T) {
	ctx, path := t.Context(), filepath.Join(t.TempDir(), "state.db")
	old := stateFormat()
	old.versions = old.versions[:1]
	db, err := openFile(ctx, path, old)
	if err != nil {
		t.Fatal(err)
	}
	before := &SQLite{path: path, write: db, read: db, keep: keep{runs: 1}}
	id := replication.PairID{Replica: "eu", Org: "engineering"}
	if err := before.Note(ctx, id, 0, time.Unix(1, 0), replication.Progress{Objects: 7}); err != nil {
		t.Fatal(err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	for range 2 { // brought up, and opened again as it then is
		s, err := OpenSQLite(ctx, path)
		if err != nil {
			t.Fatal(err)
		}
		if st, err := s.Pair(ctx, id); err != nil || st.Progress.Objects != 7 {
			t.Errorf("the pair: %+v, %v", st.Progress, err)
		}
		if _, err := s.Journals().Append(ctx, "s", time.Unix(1, 0), []journal.Entry{{Action: "update", Path: "/roles/a"}}); !errors.Is(err, journal.ErrNoJournal) {
			t.Errorf("a journal: %v, want ErrNoJournal", err)
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
	// A program of the version before that is installed again works on.
	if before.write, err = openFile(ctx, path, old); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = before.write.Close() }()
	before.read = before.write
	if st, err := before.Pair(ctx, id); err != nil || st.Progress.Objects != 7 {
		t.Errorf("the pair, by a program that was rolled back: %+v, %v", st.Progress, err)
	}
	if err := before.Note(ctx, id, 0, time.Unix(2, 0), replication.Progress{Objects: 8}); err != nil {
		t.Error(err)
	}
}

// TestJournalsOfANewerVersion are neither read nor written.
func TestJournalsOfANewerVersion(t *testing.T) {
	ctx := t.Context()
	s, err := OpenSQLite(ctx, filepath.Join(t.TempDir(), "state.db"))
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	j, now := s.Journals(), time.Unix(100, 0)
	lease, err := j.Acquire(ctx, "s", "me", now, time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := j.Commit(ctx, "s", lease.Lease.Fence, now, journal.Step{Begin: "e"}); err != nil {
		t.Fatal(err)
	}
	if _, err := s.write.Exec("UPDATE journals SET schema = 99"); err != nil {
		t.Fatal(err)
	}
	_, headErr := j.Head(ctx, "s")
	_, rowsErr := j.Rows(ctx, "s", 0, 1)
	_, recallErr := j.Recall(ctx, "s")
	_, takeErr := j.Acquire(ctx, "s", "me", now, time.Hour)
	_, trimErr := j.Trim(ctx, "s", now.Add(time.Hour), 1)
	_, appendErr := j.Append(ctx, "s", now, []journal.Entry{{Action: "update", Path: "/roles/a"}})
	_, commitErr := j.Commit(ctx, "s", lease.Lease.Fence, now, journal.Step{})
	for op, err := range map[string]error{"Head": headErr, "Rows": rowsErr, "Recall": recallErr, "Acquire": takeErr, "Trim": trimErr, "Append": appendErr, "Commit": commitErr} {
		if !errors.Is(err, replication.ErrSchema) || replication.HintOf(err) == "" {
			t.Errorf("%s: %v (hint %q), want ErrSchema with a hint", op, err, replication.HintOf(err))
		}
	}
}

package state_test

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"chefsync/pkg/object"
	"chefsync/pkg/replication"
	"chefsync/pkg/state"
)

// raw runs statements on a file as another program would.
func raw(t *testing.T, path string, statements ...string) {
	t.Helper()
	db, err := sql.Open("sqlite", path)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	for _, s := range statements {
		if _, err := db.Exec(s); err != nil {
			t.Fatalf("%s: %v", s, err)
		}
	}
}

func hash(t *testing.T, path string) [sha256.Size]byte {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return sha256.Sum256(b)
}

// TestFilesThatAreRefused: nothing is changed in a file that isn't ours or is
// too new, and the error says what to do.
func TestFilesThatAreRefused(t *testing.T) {
	for name, c := range map[string]struct {
		make func(path string)
		is   error
		says string
	}{
		"a newer version": {func(path string) {
			s, err := state.OpenSQLite(t.Context(), path)
			if err != nil {
				t.Fatal(err)
			}
			_ = s.Close()
			raw(t, path, "PRAGMA user_version=99")
		}, replication.ErrSchema, "newer version"},
		"written by a newer version that this one can't follow": {func(path string) {
			s := open(t, path)
			_ = s.Close()
			raw(t, path, fmt.Sprintf("PRAGMA user_version=%d", 98<<16|99))
		}, replication.ErrSchema, "newer version"},
		"text": {func(path string) {
			_ = os.WriteFile(path, []byte(strings.Repeat("this is no database\n", 100)), 0o600)
		}, nil, "not a database"},
		"a database of another program": {func(path string) {
			raw(t, path, "CREATE TABLE notes (x)")
		}, nil, "another program"},
		"an empty database of another program": {func(path string) {
			raw(t, path, "PRAGMA application_id=7")
		}, nil, "another program"},
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "state.db")
			c.make(path)
			before := hash(t, path)
			s, err := state.OpenSQLite(t.Context(), path)
			if err == nil {
				_ = s.Close()
				t.Fatal("opened")
			}
			if c.is != nil && !errors.Is(err, c.is) {
				t.Errorf("%v, want %v", err, c.is)
			}
			if replication.ClassOf(err) != replication.Local || replication.HintOf(err) == "" {
				t.Errorf("class %q, hint %q: want local and a hint", replication.ClassOf(err), replication.HintOf(err))
			}
			if !strings.Contains(err.Error(), c.says) || !strings.Contains(err.Error(), path) {
				t.Errorf("%q doesn't say %q and which file", err, c.says)
			}
			if hash(t, path) != before {
				t.Error("the file was changed")
			}
		})
	}
}

func TestAFolderIsNoStateFile(t *testing.T) {
	if _, err := state.OpenSQLite(t.Context(), t.TempDir()); replication.ClassOf(err) != replication.Local {
		t.Errorf("%v, want an error of class local", err)
	}
}

// TestAFileOfANewerVersion that only has more tables is worked on and left at its
// version, so that a program can be rolled back.
func TestAFileOfANewerVersion(t *testing.T) {
	path := filepath.Join(t.TempDir(), "state.db")
	s := open(t, path)
	if err := s.Note(t.Context(), engineering(), 0, noon(), replication.Progress{Objects: 3}); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	newer := 1<<16 | 99
	raw(t, path, "CREATE TABLE later (x)", fmt.Sprintf("PRAGMA user_version=%d", newer))
	s = open(t, path)
	if err := s.Direct(t.Context(), engineering(), replication.Directive{Reason: new(string), At: noon()}); err != nil {
		t.Fatal(err)
	}
	if st, err := s.Pair(t.Context(), engineering()); err != nil || st.Progress.Objects != 3 {
		t.Errorf("%+v, %v", st, err)
	}
	db, err := sql.Open("sqlite", path)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	var version int
	if err := db.QueryRow("PRAGMA user_version").Scan(&version); err != nil || version != newer {
		t.Errorf("version %d, %v; want %d left", version, err, newer)
	}
}

// TestRecordsOfANewerVersion: a record of another version, in a file that this program
// can read, is neither read in part nor overwritten.
func TestRecordsOfANewerVersion(t *testing.T) {
	path := filepath.Join(t.TempDir(), "state.db")
	s := open(t, path)
	id := engineering()
	if err := s.Note(t.Context(), id, 0, noon(), replication.Progress{Objects: 3}); err != nil {
		t.Fatal(err)
	}
	raw(t, path, "UPDATE pairs SET schema = 99")
	errs := map[string]error{"Direct": s.Direct(t.Context(), id, replication.Directive{})}
	_, errs["Pair"] = s.Pair(t.Context(), id)
	_, errs["Pairs"] = s.Pairs(t.Context())
	_, errs["Acquire"] = s.Acquire(t.Context(), id, "me", noon(), 1)
	_, errs["Inventory"] = s.Inventory(t.Context(), id)
	_, errs["Unsynced"] = s.Unsynced(t.Context(), id)
	_, errs["Runs"] = s.Runs(t.Context(), id, 1)
	errs["Note"] = s.Note(t.Context(), id, 0, noon(), replication.Progress{})
	errs["Commit"] = s.Commit(t.Context(), id, 0, noon(), replication.Update{})
	for op, err := range errs {
		if !errors.Is(err, replication.ErrSchema) || replication.HintOf(err) == "" {
			t.Errorf("%s: %v (hint %q), want ErrSchema with a hint", op, err, replication.HintOf(err))
		}
	}
}

// TestFieldsOfANewerVersion: a program that was rolled back reads what the newer one
// wrote, works on, and leaves to it what only it knows.
func TestFieldsOfANewerVersion(t *testing.T) {
	path := filepath.Join(t.TempDir(), "state.db")
	s := open(t, path)
	id, ctx := engineering(), t.Context()
	st, err := s.Acquire(ctx, id, "newer", noon(), time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	role := object.Ref{Kind: object.Role, Name: "web"}
	if err := s.Commit(ctx, id, st.Lease.Fence, noon(), replication.Update{
		Progress: replication.Progress{Objects: 3, Position: &replication.Position{Seq: 7}},
		Unsynced: []replication.Unsynced{{Ref: role, Reason: "too large"}}, Run: &replication.Run{ID: "r1", Pair: id},
	}); err != nil {
		t.Fatal(err)
	}
	for _, change := range []string{
		`UPDATE pairs SET progress = json_set(progress, '$.later', json('{"a": ["<&>", 9007199254740993]}'), '$.position.later', 1, '$.Seen_Later', 2)`,
		`UPDATE pairs SET desired = json_set(desired, '$.later', 1)`,
		`UPDATE unsynced SET record = json_set(record, '$.later', 1)`,
		`UPDATE runs SET record = json_set(record, '$.later', 1)`,
	} {
		raw(t, path, change)
	}
	unsynced, unsyncedErr := s.Unsynced(ctx, id)
	runs, runsErr := s.Runs(ctx, id, 10)
	if st, err = s.Acquire(ctx, id, "newer", noon(), time.Minute); err != nil || len(unsynced) != 1 || unsynced[0].Reason != "too large" || len(runs) != 1 {
		t.Fatalf("%v, %v, %v; unsynced %+v, runs %+v", err, unsyncedErr, runsErr, unsynced, runs)
	}
	if st.Progress.Objects != 3 || st.Progress.Position.Seq != 7 {
		t.Errorf("read %+v", st.Progress)
	}
	st.Progress.Objects = 4
	if err := s.Commit(ctx, id, st.Lease.Fence, noon(), replication.Update{Progress: st.Progress}); err != nil {
		t.Fatal(err)
	}
	if err := s.Direct(ctx, id, replication.Directive{Stop: new(bool), At: noon()}); err != nil {
		t.Fatal(err)
	}
	const kept = `SELECT count(*) FROM pairs WHERE progress ->> '$.later' = '{"a":["<&>",9007199254740993]}' AND progress ->> '$.Seen_Later' = 2
		AND progress ->> '$.objects' = 4 AND desired ->> '$.later' = 1`
	db, err := sql.Open("sqlite", path)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	var n int
	if err := db.QueryRow(kept).Scan(&n); err != nil || n != 1 {
		t.Errorf("what only the newer version knows is lost: %d records, %v", n, err)
	}
}

func TestADamagedRecordIsNotOverwritten(t *testing.T) {
	path := filepath.Join(t.TempDir(), "state.db")
	s := open(t, path)
	if err := s.Note(t.Context(), engineering(), 0, noon(), replication.Progress{}); err != nil {
		t.Fatal(err)
	}
	raw(t, path, `UPDATE pairs SET progress = '{"objects":'`)
	_, err := s.Acquire(t.Context(), engineering(), "me", noon(), 1)
	if replication.ClassOf(err) != replication.Local || replication.HintOf(err) == "" {
		t.Errorf("%v, want an error of class local with a hint", err)
	}
}

// TestUnreadableRecordsAreNotWritten: what could not be read again would stop
// its pair for good.
func TestUnreadableRecordsAreNotWritten(t *testing.T) {
	s := open(t, filepath.Join(t.TempDir(), "state.db"))
	p := replication.Progress{Hold: &replication.Hold{Sample: []object.Ref{{Kind: "invented"}}}}
	if err := s.Note(t.Context(), engineering(), 0, noon(), p); err == nil {
		t.Error("written")
	}
	st, err := s.Pair(t.Context(), engineering())
	if err != nil || st.Progress.Hold != nil {
		t.Errorf("%+v, %v", st, err)
	}
}

func TestRunsAreTrimmed(t *testing.T) {
	s := open(t, filepath.Join(t.TempDir(), "state.db"), state.WithRuns(3))
	for _, id := range []replication.PairID{engineering(), {Replica: "us", Org: "engineering"}} {
		st, err := s.Acquire(t.Context(), id, "me", noon(), 1e9)
		if err != nil {
			t.Fatal(err)
		}
		for n := range 5 {
			u := replication.Update{Run: &replication.Run{ID: fmt.Sprint(n), Pair: id}}
			if err := s.Commit(t.Context(), id, st.Lease.Fence, noon(), u); err != nil {
				t.Fatal(err)
			}
		}
	}
	runs, err := s.Runs(t.Context(), engineering(), 100)
	if err != nil || len(runs) != 3 || runs[0].ID != "4" || runs[2].ID != "2" {
		t.Errorf("%d runs, want the newest three: %+v, %v", len(runs), runs, err)
	}
}

func TestPathsWithOddCharacters(t *testing.T) {
	for _, name := range []string{"a b.db", "50%.db", "what?.db", "a#b.db", "x%41.db", "ünï.db", "a&b=c.db", "no extension", "'quoted'.db"} {
		path := filepath.Join(t.TempDir(), "new folder", name)
		s := open(t, path)
		if err := s.Note(t.Context(), engineering(), 0, noon(), replication.Progress{Objects: 5}); err != nil {
			t.Fatal(err)
		}
		info, err := os.Stat(path)
		if err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%s: %v, %v; want a file of mode 0600 under this name", path, info, err)
		}
	}
}

func TestManyOpenAtOnce(t *testing.T) {
	path := filepath.Join(t.TempDir(), "state.db")
	var wg sync.WaitGroup
	for n := range 8 {
		wg.Go(func() {
			s, err := state.OpenSQLite(context.Background(), path)
			if err != nil {
				t.Error(err)
				return
			}
			id := replication.PairID{Replica: "eu", Org: fmt.Sprint(n)}
			if err := s.Note(context.Background(), id, 0, noon(), replication.Progress{}); err != nil {
				t.Error(err)
			}
			if err := s.Close(); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	pairs, err := open(t, path).Pairs(t.Context())
	if err != nil || len(pairs) != 8 {
		t.Errorf("%d pairs, %v; want 8", len(pairs), err)
	}
}

package sqlite_test

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

	"chefsync/pkg/fault"
	"chefsync/pkg/replication"
	"chefsync/pkg/store/sqlite"
)

// runStatements runs statements on a file, as another program would.
func runStatements(t *testing.T, path string, statements ...string) {
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

func hashFile(t *testing.T, path string) [sha256.Size]byte {
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
			s, err := sqlite.OpenState(t.Context(), path)
			if err != nil {
				t.Fatal(err)
			}
			_ = s.Close()
			runStatements(t, path, "PRAGMA user_version=99")
		}, replication.ErrSchema, "newer version"},
		"written by a newer version that this one can't follow": {func(path string) {
			s := openState(t, path)
			_ = s.Close()
			runStatements(t, path, fmt.Sprintf("PRAGMA user_version=%d", 98<<16|99))
		}, replication.ErrSchema, "newer version"},
		"text": {func(path string) {
			_ = os.WriteFile(path, []byte(strings.Repeat("this is no database\n", 100)), 0o600)
		}, nil, "not a database"},
		"a database of another program": {func(path string) {
			runStatements(t, path, "CREATE TABLE notes (x)")
		}, nil, "another program"},
		"an empty database of another program": {func(path string) {
			runStatements(t, path, "PRAGMA application_id=7")
		}, nil, "another program"},
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "state.db")
			c.make(path)
			before := hashFile(t, path)
			s, err := sqlite.OpenState(t.Context(), path)
			if err == nil {
				_ = s.Close()
				t.Fatal("opened")
			}
			if c.is != nil && !errors.Is(err, c.is) {
				t.Errorf("%v, want %v", err, c.is)
			}
			if fault.ClassOf(err) != fault.Local || fault.HintOf(err) == "" {
				t.Errorf("class %q, hint %q: want local and a hint", fault.ClassOf(err), fault.HintOf(err))
			}
			if !strings.Contains(err.Error(), c.says) || !strings.Contains(err.Error(), path) {
				t.Errorf("%q doesn't say %q and which file", err, c.says)
			}
			if hashFile(t, path) != before {
				t.Error("the file was changed")
			}
		})
	}
}

func TestAFolderIsNoStateFile(t *testing.T) {
	if _, err := sqlite.OpenState(t.Context(), t.TempDir()); fault.ClassOf(err) != fault.Local {
		t.Errorf("%v, want an error of class local", err)
	}
}

// TestAFileOfANewerVersion that only has more tables is worked on and left at its
// version, so that a program can be rolled back.
func TestAFileOfANewerVersion(t *testing.T) {
	path := filepath.Join(t.TempDir(), "state.db")
	s := openState(t, path)
	if err := s.SaveProgress(t.Context(), engineeringPair(), 0, noon(), replication.Progress{Objects: 3}); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	newer := 5<<16 | 99
	runStatements(t, path, "CREATE TABLE later (x)", fmt.Sprintf("PRAGMA user_version=%d", newer))
	s = openState(t, path)
	if err := s.ChangeDesired(t.Context(), engineeringPair(), replication.DesiredChange{Reason: new(string), At: noon()}); err != nil {
		t.Fatal(err)
	}
	if st, err := s.Pair(t.Context(), engineeringPair()); err != nil || st.Progress.Objects != 3 {
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

func TestPathsWithOddCharacters(t *testing.T) {
	for _, name := range []string{"a b.db", "50%.db", "what?.db", "a#b.db", "x%41.db", "ünï.db", "a&b=c.db", "no extension", "'quoted'.db"} {
		path := filepath.Join(t.TempDir(), "new folder", name)
		s := openState(t, path)
		if err := s.SaveProgress(t.Context(), engineeringPair(), 0, noon(), replication.Progress{Objects: 5}); err != nil {
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
			s, err := sqlite.OpenState(context.Background(), path)
			if err != nil {
				t.Error(err)
				return
			}
			id := replication.PairID{Replica: "eu", Org: fmt.Sprint(n)}
			if err := s.SaveProgress(context.Background(), id, 0, noon(), replication.Progress{}); err != nil {
				t.Error(err)
			}
			if err := s.Close(); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	pairs, err := openState(t, path).Pairs(t.Context())
	if err != nil || len(pairs) != 8 {
		t.Errorf("%d pairs, %v; want 8", len(pairs), err)
	}
}

package fileowner

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestCreate: for every user, files are new, their modes are those that were asked for,
// and errors name the path.
func TestCreate(t *testing.T) {
	folder := filepath.Join(t.TempDir(), "a", "b")
	path := filepath.Join(folder, "file")
	if _, err := Create(path, 0o600); !errors.Is(err, fs.ErrNotExist) || !strings.Contains(err.Error(), folder) {
		t.Errorf("in a folder that doesn't exist: %v", err)
	}
	for range 2 {
		if err := MkdirAll(folder, 0o700); err != nil {
			t.Fatal(err)
		}
	}
	f, err := Create(path, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	if _, err = f.WriteString("content"); errors.Join(err, f.Close()) != nil {
		t.Fatal(err)
	}
	if f.Name() != path {
		t.Errorf("the name is %s, want %s", f.Name(), path)
	}
	if _, err := Create(path, 0o600); !errors.Is(err, fs.ErrExist) || !strings.Contains(err.Error(), path) {
		t.Errorf("a file that exists: %v", err)
	}
	if err := MkdirAll(filepath.Join(path, "below"), 0o700); err == nil || !strings.Contains(err.Error(), path) {
		t.Errorf("below a file: %v", err)
	}
	if content, err := os.ReadFile(path); err != nil || string(content) != "content" {
		t.Errorf("the file holds %q, %v", content, err)
	}
	if _, err := Create(folder+string(filepath.Separator), 0o600); err == nil {
		t.Error("a folder was created as a file")
	}

	first, second := createTemp(t, folder), createTemp(t, folder)
	if first == second || !strings.HasPrefix(filepath.Base(first), "x.") {
		t.Errorf("temporary files %s and %s", first, second)
	}
	if other := OtherUser(path); other != "" {
		t.Errorf("a file of this user belongs to %q", other)
	}
	if other := OtherUser(filepath.Join(folder, "none")); other != "" {
		t.Errorf("a file that doesn't exist belongs to %q", other)
	}
}

func createTemp(t *testing.T, folder string) string {
	t.Helper()
	f, err := CreateTemp(folder, "x.")
	if err != nil {
		t.Fatal(err)
	}
	_ = f.Close()
	return f.Name()
}

// TestRelativePaths are in the current folder.
func TestRelativePaths(t *testing.T) {
	dir := t.TempDir()
	t.Chdir(dir)
	if err := MkdirAll(filepath.Join("a", "b"), 0o700); err != nil {
		t.Fatal(err)
	}
	f, err := Create("file", 0o600)
	if err != nil {
		t.Fatal(err)
	}
	_ = f.Close()
	for _, name := range []string{"a/b", "file"} {
		if _, err := os.Lstat(filepath.Join(dir, name)); err != nil {
			t.Error(err)
		}
	}
}

//go:build unix

package fileowner

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"
)

const (
	serviceUID = 54321
	serviceGID = 54322
)

// serviceFolder returns a folder of another user, for tests that root alone can run.
func serviceFolder(t *testing.T) string {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("SKIPPED: needs root")
	}
	dir := filepath.Join(t.TempDir(), "service")
	if err := errors.Join(os.Mkdir(dir, 0o750), os.Chown(dir, serviceUID, serviceGID)); err != nil {
		t.Fatal(err)
	}
	return dir
}

// wantOwner checks the owner, the group and the mode of a file, without following links.
func wantOwner(t *testing.T, path string, uid, gid int, mode fs.FileMode) {
	t.Helper()
	info, err := os.Lstat(path)
	if err != nil {
		t.Error(err)
		return
	}
	gotUID, gotGID := owner(info)
	got, want := fmt.Sprintf("%d:%d %s", gotUID, gotGID, info.Mode().Perm()), fmt.Sprintf("%d:%d %s", uid, gid, mode)
	if got != want {
		t.Errorf("%s is %s, want %s", path, got, want)
	}
}

// TestRootGivesWhatItCreates to the owner and group of the folder, on each level.
func TestRootGivesWhatItCreates(t *testing.T) {
	dir := serviceFolder(t)
	folder := filepath.Join(dir, "a", "b", "c")
	if err := MkdirAll(folder, 0o700); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(folder, "file")
	f, err := Create(path, 0o640)
	if err != nil {
		t.Fatal(err)
	}
	_ = f.Close()
	for _, name := range []string{"a", "a/b", "a/b/c"} {
		wantOwner(t, filepath.Join(dir, name), serviceUID, serviceGID, 0o700)
	}
	wantOwner(t, path, serviceUID, serviceGID, 0o640)
	wantOwner(t, createTemp(t, folder), serviceUID, serviceGID, 0o600)
	if other := OtherUser(path); other != "user 54321" {
		t.Errorf("the file belongs to %q", other)
	}
}

// TestRootKeepsWhatExists: only new files and folders change their owner.
func TestRootKeepsWhatExists(t *testing.T) {
	dir := serviceFolder(t)
	kept := filepath.Join(dir, "kept")
	if err := os.Mkdir(kept, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := MkdirAll(filepath.Join(kept, "new"), 0o700); err != nil {
		t.Fatal(err)
	}
	wantOwner(t, kept, 0, 0, 0o700)
	wantOwner(t, filepath.Join(kept, "new"), 0, 0, 0o700)
}

// TestFoldersOfRoot: nothing changes there, whatever their group.
func TestFoldersOfRoot(t *testing.T) {
	dir := serviceFolder(t)
	if err := os.Chown(dir, 0, serviceGID); err != nil {
		t.Fatal(err)
	}
	if err := MkdirAll(filepath.Join(dir, "a"), 0o700); err != nil {
		t.Fatal(err)
	}
	wantOwner(t, filepath.Join(dir, "a"), 0, 0, 0o700)
	wantOwner(t, createTemp(t, dir), 0, 0, 0o600)
}

// TestLinks: a link in the place of a new file or folder isn't followed, and what a link
// to a folder leads to belongs to the owner of that folder, not to the one of the link.
func TestLinks(t *testing.T) {
	dir := serviceFolder(t)
	rootFolder := t.TempDir()
	rootFile := filepath.Join(rootFolder, "file")
	if err := os.WriteFile(rootFile, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	link := func(name, to string) string {
		path := filepath.Join(dir, name)
		if err := errors.Join(os.Symlink(to, path), os.Lchown(path, serviceUID, serviceGID)); err != nil {
			t.Fatal(err)
		}
		return path
	}

	for _, to := range []string{rootFile, filepath.Join(rootFolder, "none")} {
		if _, err := Create(link("link to "+filepath.Base(to), to), 0o600); !errors.Is(err, fs.ErrExist) {
			t.Errorf("%v, want that it exists", err)
		}
	}
	if err := MkdirAll(link("link to no folder", filepath.Join(rootFolder, "none")), 0o700); err == nil {
		t.Error("a folder was created through a link")
	}
	wantOwner(t, createTemp(t, link("link to folder", rootFolder)), 0, 0, 0o600)
	wantOwner(t, rootFile, 0, 0, 0o600)
	wantOwner(t, rootFolder, 0, 0, 0o755)

	folder, err := openFolder(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer folder.Close()
	if f, err := openIn(folder, "link to folder", "x", unix.O_RDONLY|unix.O_DIRECTORY, 0); err == nil {
		_ = f.Close()
		t.Error("a link in the place of a new folder was followed")
	}
}

// TestFoldersThatAreReplaced by a link, after they were opened, get what is created, and
// the folder that the link leads to gets nothing.
func TestFoldersThatAreReplaced(t *testing.T) {
	dir := serviceFolder(t)
	rootFolder := t.TempDir()
	folder, err := openFolder(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer folder.Close()
	if err := errors.Join(os.Rename(dir, dir+" moved"), os.Symlink(rootFolder, dir)); err != nil {
		t.Fatal(err)
	}
	for name, create := range map[string]func(*os.File, string, fs.FileMode) (*os.File, error){"a file": createIn, "a folder": mkdirIn} {
		f, err := create(folder, filepath.Join(dir, name), 0o700)
		if err != nil {
			t.Fatal(err)
		}
		_ = f.Close()
		wantOwner(t, filepath.Join(dir+" moved", name), serviceUID, serviceGID, 0o700)
	}
	if entries, err := os.ReadDir(rootFolder); err != nil || len(entries) > 0 {
		t.Errorf("the other folder has %v, %v", entries, err)
	}
}

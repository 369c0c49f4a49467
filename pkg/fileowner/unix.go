//go:build unix

package fileowner

import (
	"errors"
	"io/fs"
	"os"
	"os/user"
	"path/filepath"
	"strconv"
	"syscall"

	"golang.org/x/sys/unix"
)

func create(path string, mode fs.FileMode) (*os.File, error) {
	if os.Geteuid() != 0 {
		return os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, mode)
	}
	folder, err := openFolder(filepath.Dir(path))
	if err != nil {
		return nil, err
	}
	defer folder.Close()
	return createIn(folder, path, mode)
}

// createIn creates the file of a path in its folder. The folder is open: its owner could
// replace it by a link meanwhile, and be given a file in a folder of another user.
func createIn(folder *os.File, path string, mode fs.FileMode) (*os.File, error) {
	_, name := filepath.Split(path)
	f, err := openIn(folder, name, path, unix.O_WRONLY|unix.O_CREAT|unix.O_EXCL, mode)
	if err != nil {
		return nil, err
	}
	if err := giveToOwnerOf(folder, f); err != nil {
		return nil, errors.Join(err, f.Close(), unix.Unlinkat(int(folder.Fd()), name, 0))
	}
	return f, nil
}

func mkdirAll(path string, mode fs.FileMode) error {
	if os.Geteuid() != 0 {
		return os.MkdirAll(path, mode)
	}
	folder, err := openOrMakeFolder(filepath.Clean(path), mode)
	if err != nil {
		return err
	}
	return folder.Close()
}

// openOrMakeFolder opens a folder, after it created those that are missing.
func openOrMakeFolder(path string, mode fs.FileMode) (*os.File, error) {
	folder, err := openFolder(path)
	above := filepath.Dir(path)
	if !errors.Is(err, fs.ErrNotExist) || above == path {
		return folder, err
	}
	parent, err := openOrMakeFolder(above, mode)
	if err != nil {
		return nil, err
	}
	defer parent.Close()
	return mkdirIn(parent, path, mode)
}

// mkdirIn creates the folder of a path in the open folder above it, and opens it.
func mkdirIn(parent *os.File, path string, mode fs.FileMode) (*os.File, error) {
	name := filepath.Base(path)
	err := withoutEINTR(func() error { return unix.Mkdirat(int(parent.Fd()), name, uint32(mode.Perm())) })
	if errors.Is(err, fs.ErrExist) {
		return openFolder(path) // another process was faster
	}
	if err != nil {
		return nil, &fs.PathError{Op: "mkdir", Path: path, Err: err}
	}
	folder, err := openIn(parent, name, path, unix.O_RDONLY|unix.O_DIRECTORY, 0)
	if err != nil {
		return nil, err
	}
	if err := giveToOwnerOf(parent, folder); err != nil {
		return nil, errors.Join(err, folder.Close(), unix.Unlinkat(int(parent.Fd()), name, unix.AT_REMOVEDIR))
	}
	return folder, nil
}

// openFolder opens a folder that an operator named, perhaps by a link.
func openFolder(path string) (*os.File, error) {
	return os.OpenFile(path, os.O_RDONLY|unix.O_DIRECTORY, 0)
}

// openIn opens a file in an open folder, and follows no link. Errors name its path.
func openIn(folder *os.File, name, path string, flags int, mode fs.FileMode) (*os.File, error) {
	var fd int
	err := withoutEINTR(func() (err error) {
		fd, err = unix.Openat(int(folder.Fd()), name, flags|unix.O_NOFOLLOW|unix.O_CLOEXEC, uint32(mode.Perm()))
		return err
	})
	if err != nil {
		return nil, &fs.PathError{Op: "open", Path: path, Err: err}
	}
	return os.NewFile(uintptr(fd), path), nil
}

// giveToOwnerOf gives a file that root created in a folder to the folder's owner and group.
// In a folder of root's, it stays as it is.
func giveToOwnerOf(folder, f *os.File) error {
	to, err := folder.Stat()
	if err != nil {
		return err
	}
	from, err := f.Stat()
	if err != nil {
		return err
	}
	uid, gid := owner(to)
	fileUID, fileGID := owner(from)
	if uid == 0 || uid == fileUID && gid == fileGID { // some file systems have one owner for all
		return nil
	}
	return f.Chown(uid, gid)
}

func owner(info fs.FileInfo) (uid, gid int) {
	stat := info.Sys().(*syscall.Stat_t)
	return int(stat.Uid), int(stat.Gid)
}

// withoutEINTR calls f until no signal interrupts it.
func withoutEINTR(f func() error) error {
	for {
		if err := f(); !errors.Is(err, unix.EINTR) {
			return err
		}
	}
}

func otherUser(path string) string {
	info, err := os.Stat(path)
	if err != nil {
		return ""
	}
	uid, _ := owner(info)
	if uid == os.Geteuid() {
		return ""
	}
	if u, err := user.LookupId(strconv.Itoa(uid)); err == nil {
		return u.Username
	}
	return "user " + strconv.Itoa(uid)
}

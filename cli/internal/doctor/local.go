package doctor

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"

	"chefsync/pkg/config"
	"chefsync/pkg/fault"
)

// CheckKeyFiles warns of private keys that others may read.
func CheckKeyFiles(l *List, references map[string]string) {
	for _, who := range slices.Sorted(maps.Keys(references)) {
		path, isFile := strings.CutPrefix(references[who], "file:")
		if !isFile {
			continue
		}
		info, err := os.Stat(path)
		switch {
		case errors.Is(err, fs.ErrPermission):
			l.Fail("key of "+who, "let the user of this process read it, or run the command as the user of the service",
				&fault.Error{Op: "look at " + path, Class: fault.Denied, Err: pathErrorCause(err)})
		case err != nil:
			l.Fail("key of "+who, "chef-sync-ctl prepare-org creates it", &fault.Error{Op: "look at " + path, Class: fault.Denied,
				Err: pathErrorCause(err)})
		case config.ReadableByOthers(runtime.GOOS, info.Mode()):
			l.Warn("key of "+who, "chmod 600 "+path, "%s can be read by other users (%s)", path, info.Mode().Perm())
		default:
			l.OK("key of "+who, "%s", path)
		}
	}
}

// CheckFolder checks that files can be made in a folder, and how much room it has. Full is
// what a full disk means.
func CheckFolder(l *List, what, dir string, full State) {
	existing := dir
	for {
		_, err := os.Stat(existing)
		if err == nil {
			break
		}
		if parent := filepath.Dir(existing); os.IsNotExist(err) && parent != existing {
			existing = parent
			continue
		}
		l.Fail(what, "", err)
		return
	}
	f, err := os.CreateTemp(existing, ".chef-sync-doctor-*")
	if err != nil {
		l.Fail(what, "give the user of this process write permission", &fault.Error{Op: "write to " + existing, Class: fault.Local,
			Err: pathErrorCause(err)})
		return
	}
	_ = f.Close()
	_ = os.Remove(f.Name())
	free, err := freeSpace(existing)
	if err != nil {
		l.OK(what, "%s can be written", dir)
		return
	}
	CheckSpace(l, what, dir, free, full)
}

// The room that a folder of the state or of the stage should have, and without which its
// disk counts as full.
const (
	lowSpace  = 1 << 30
	fullSpace = 1 << 20
)

// CheckSpace checks how much room a folder has, in bytes.
func CheckSpace(l *List, what, dir string, free int64, full State) {
	const hint = "free some space, or configure a path on another disk"
	switch {
	case free < fullSpace && full == Fail: // an empty file could be made nevertheless
		l.Fail(what, hint, &fault.Error{Op: "write to " + dir, Class: fault.Local, Err: fmt.Errorf("the disk is full: %d KiB free", free>>10)})
	case free < lowSpace:
		l.Warn(what, hint, "%s has %d MiB free", dir, free>>20)
	default:
		l.OK(what, "%s can be written, %d GiB free", dir, free>>30)
	}
}

func pathErrorCause(err error) error {
	var e *fs.PathError
	if errors.As(err, &e) {
		return e.Err
	}
	return err
}

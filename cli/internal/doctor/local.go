package doctor

import (
	"errors"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

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
		case err != nil:
			l.Fail("key of "+who, "chef-sync-ctl prepare-org creates it", &fault.Error{Op: "look at " + path, Class: fault.Denied,
				Err: pathErrorCause(err)})
		case info.Mode().Perm()&0o077 != 0:
			l.Warn("key of "+who, "chmod 600 "+path, "%s can be read by other users (%s)", path, info.Mode().Perm())
		default:
			l.OK("key of "+who, "%s", path)
		}
	}
}

// lowSpace is how much room the state and the stage should have.
const lowSpace = 1 << 30

// CheckFolder checks that files can be made in a folder, and how much room it has.
func CheckFolder(l *List, what, dir string) {
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
	switch {
	case err != nil:
		l.OK(what, "%s can be written", dir)
	case free < lowSpace:
		l.Warn(what, "free some space, or configure a path on another disk", "%s has %d MiB free", dir, free>>20)
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

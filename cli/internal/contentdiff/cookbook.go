package contentdiff

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	"github.com/rogpeppe/go-internal/diff"

	"chefsync/cli/internal/ui"
	"chefsync/pkg/object"
)

// File is a file of a cookbook version that differs.
type File struct {
	Letter string `json:"letter"` // A, D or M, as of objects
	Path   string `json:"path"`

	replica, primary string // checksums, "" where the file isn't there
}

// Files returns the files that differ between two cookbook versions; the zero Object stands
// for a side that doesn't have it. Other objects have none.
func Files(replica, primary object.Object) []File {
	old, now := checksums(replica), checksums(primary)
	all := maps.Clone(old)
	maps.Copy(all, now)
	var list []File
	for _, path := range slices.Sorted(maps.Keys(all)) {
		f := File{Letter: "M", Path: path, replica: old[path], primary: now[path]}
		switch {
		case f.replica == f.primary:
			continue
		case f.replica == "":
			f.Letter = "A"
		case f.primary == "":
			f.Letter = "D"
		}
		list = append(list, f)
	}
	return list
}

// checksums returns the checksums of files by path.
func checksums(o object.Object) map[string]string {
	found := map[string]string{}
	for _, f := range o.Files {
		found[f.Path] = strings.ToLower(f.Checksum)
	}
	return found
}

// Side is a cookbook version on a server.
type Side struct {
	Object object.Object
	Server interface {
		Open(ctx context.Context, obj object.Object, file object.File) (content io.ReadCloser, size int64, err error)
	}
}

// CompareFiles returns the unified differences of files of a cookbook version. A file
// whose content can't be shown is named with the reason.
func CompareFiles(ctx context.Context, replica, primary Side, files []File) string {
	var out strings.Builder
	for _, f := range files {
		before, err := replica.readFile(ctx, f.replica)
		if err == nil {
			var after []byte
			if after, err = primary.readFile(ctx, f.primary); err == nil {
				out.WriteString(compareContent(primary.Object.Ref, f.Path, before, after))
			}
		}
		if err != nil {
			fmt.Fprintf(&out, "%s is not shown: %s\n", ui.Safe(f.Path), ui.Safe(err.Error()))
		}
	}
	return out.String()
}

// maxShownFile is the size up to which the lines of a file are compared.
const maxShownFile = 1 << 20

// readFile reads a file of a cookbook version; without a checksum there is none.
func (s Side) readFile(ctx context.Context, checksum string) ([]byte, error) {
	if checksum == "" {
		return nil, nil
	}
	i := slices.IndexFunc(s.Object.Files, func(f object.File) bool { return strings.EqualFold(f.Checksum, checksum) })
	if i < 0 {
		return nil, errors.New("the manifest has no such file")
	}
	content, _, err := s.Server.Open(ctx, s.Object, s.Object.Files[i])
	if err != nil {
		return nil, err
	}
	defer content.Close()
	b, err := io.ReadAll(io.LimitReader(content, maxShownFile+1))
	if err == nil && len(b) > maxShownFile {
		err = fmt.Errorf("it is larger than %s", ui.Bytes(maxShownFile))
	}
	return b, err
}

func compareContent(ref object.Ref, path string, replica, primary []byte) string {
	if bytes.IndexByte(replica, 0) >= 0 || bytes.IndexByte(primary, 0) >= 0 {
		return fmt.Sprintf("binary files differ: %s\n", ui.Safe(path))
	}
	name := string(ui.Safe(ref.Path() + "/" + path))
	return string(diff.Diff("replica"+name, replica, "primary"+name, primary))
}

// CountLines says how many lines a unified difference adds and removes.
func CountLines(unified string) string {
	added, removed, head := 0, 0, 0 // head counts the lines that are left of a file's head
	for line := range strings.Lines(unified) {
		switch {
		case strings.HasPrefix(line, "diff "):
			head = 2
		case head > 0:
			head--
		case strings.HasPrefix(line, "+"):
			added++
		case strings.HasPrefix(line, "-"):
			removed++
		}
	}
	return fmt.Sprintf("%s added, %d removed", ui.Plural(added, "line"), removed)
}

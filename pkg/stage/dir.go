package stage

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"chefsync/pkg/fault"
	"chefsync/pkg/fileowner"
	"chefsync/pkg/replication"
	"chefsync/pkg/stage/content"
)

// incoming is the folder of a space for files that are being written. It is on the
// file system of the space, so that a rename is atomic.
const incoming = ".incoming"

// unfinishedAge is the age from which an unfinished file is taken for that of a
// writer that was killed. No file takes that long.
const unfinishedAge = 24 * time.Hour

// lastUsePrecision is how precisely the last use of a file is recorded: files that
// are read often aren't touched each time.
const lastUsePrecision = time.Minute

// Dir is a [replication.Stage] in a folder: the content of a key is the file
// SPACE/ab/abcdef…, named by its MD5. A file appears there whole or not at all,
// by a rename. All content is verified again while it is read.
//
// The modification time of a file is its last use. The least recently used files are
// removed when content beyond [Options.Limit] is put, when the disk is full, and by
// [Dir.Sweep].
type Dir struct {
	path       string
	now        func() time.Time
	createFile func(dir, prefix string) (tempFile, error)
	limit      int64 // 0: none
	usage      usage
}

var _ replication.Stage = (*Dir)(nil)

// tempFile is the part of [os.File] that writing needs.
type tempFile interface {
	io.WriteCloser
	Name() string
	Sync() error
}

// Options are the settings of a [Dir].
type Options struct {
	// Limit is the most bytes of content that are kept. 0 is no limit; below 0, it is
	// a tenth of the disk, from 1 GiB to 20 GiB. Content that is larger than the limit
	// itself isn't staged: [replication.ErrStageFull].
	Limit int64
	Now   func() time.Time // default time.Now
}

// OpenDir opens a stage in a folder. It creates the folder, for its owner only, and
// removes unfinished files that are older than a day. Errors have class
// [fault.Local].
func OpenDir(path string, o Options) (*Dir, error) {
	d := &Dir{path: path, now: o.Now, limit: o.Limit}
	d.createFile = func(dir, prefix string) (tempFile, error) { return fileowner.CreateTemp(dir, prefix) }
	if d.now == nil {
		d.now = time.Now
	}
	if err := fileowner.MkdirAll(path, 0o700); err != nil {
		return nil, localError("open stage", err)
	}
	if d.limit < 0 {
		d.limit = defaultLimit(diskSize(path))
	}
	if err := d.sweepUnfinished(context.Background()); err != nil {
		return nil, err
	}
	return d, nil
}

// contentPath returns the folder of a key's space and the path of its content.
func (d *Dir) contentPath(key replication.StageKey) (space, file string, err error) {
	if err := key.Check(); err != nil {
		return "", "", err
	}
	space = filepath.Join(d.path, key.Space)
	return space, filepath.Join(space, key.Checksum[:2], key.Checksum), nil
}

// Put implements [replication.Stage]. It writes a temporary file, syncs and renames
// it; existing content is replaced. An error of the content's reader is returned as
// it is. When the disk is full, it removes the least recently used content; what was
// read of the new content by then is lost, so the caller must put it again.
func (d *Dir) Put(ctx context.Context, key replication.StageKey, r io.Reader, size int64) error {
	space, file, err := d.contentPath(key)
	if err != nil {
		return err
	}
	if err := d.makeRoom(ctx, key, size); err != nil {
		return err
	}
	f, err := d.createTemp(space, file, key)
	if isFull(err) && d.evictHalf(ctx) {
		f, err = d.createTemp(space, file, key)
	}
	if err != nil {
		return err
	}
	n, err := writeContent(key, f, content.NewSource(ctx, key, r, size))
	if err = errors.Join(err, closeFile(key, f)); err == nil {
		err = d.publishFile(key, f.Name(), file)
	}
	if err != nil {
		_ = os.Remove(f.Name()) // if it can't be removed now, a sweep removes it
		if isFull(err) {
			d.evictHalf(ctx)
		}
		return err
	}
	return d.recordPut(ctx, n)
}

// createTemp creates the folders of a key and a temporary file.
func (d *Dir) createTemp(space, file string, key replication.StageKey) (tempFile, error) {
	for _, folder := range []string{filepath.Join(space, incoming), filepath.Dir(file)} {
		if err := fileowner.MkdirAll(folder, 0o700); err != nil {
			return nil, localError("stage "+key.Checksum, err)
		}
	}
	f, err := d.createFile(filepath.Join(space, incoming), key.Checksum+".")
	if err != nil {
		return nil, localError("stage "+key.Checksum, err)
	}
	return f, nil
}

func closeFile(key replication.StageKey, f io.Closer) error {
	if err := f.Close(); err != nil {
		return localError("stage "+key.Checksum, err)
	}
	return nil
}

// publishFile renames a complete file to its final name and sets its last use.
func (d *Dir) publishFile(key replication.StageKey, from, to string) error {
	now := d.now()
	if err := os.Chtimes(from, now, now); err != nil {
		return localError("stage "+key.Checksum, err)
	}
	if err := os.Rename(from, to); err != nil {
		return localError("stage "+key.Checksum, err)
	}
	return nil
}

// writeContent writes content to a file and syncs it. It returns the number of bytes.
func writeContent(key replication.StageKey, f tempFile, from *content.Source) (int64, error) {
	n, err := io.Copy(f, from)
	if from.Err() != nil {
		return n, from.Err()
	}
	if err == nil {
		err = f.Sync()
	}
	if err != nil {
		return n, localError("stage "+key.Checksum, err)
	}
	return n, nil
}

// Open implements [replication.Stage]. The reader withholds the last bytes of
// damaged content, so that a caller that counts bytes doesn't take it for complete,
// and removes it from the stage.
func (d *Dir) Open(ctx context.Context, key replication.StageKey) (io.ReadCloser, int64, error) {
	_, path, err := d.contentPath(key)
	if err != nil {
		return nil, 0, err
	}
	if err := ctx.Err(); err != nil {
		return nil, 0, err
	}
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, 0, fmt.Errorf("%s: %w", key.Checksum, replication.ErrNotStaged)
	}
	if err != nil {
		return nil, 0, localError("read staged "+key.Checksum, err)
	}
	info, err := f.Stat()
	if err != nil {
		return nil, 0, errors.Join(localError("read staged "+key.Checksum, err), f.Close())
	}
	if now := d.now(); now.Sub(info.ModTime()) > lastUsePrecision {
		_ = os.Chtimes(path, now, now) // a read-only stage still serves
	}
	return content.NewReader(ctx, content.Stored{Key: key, Body: f, Size: info.Size(),
		Discard: func() { removeUnlessReplaced(path, f) },
		Explain: func(err error) error { return localError("read staged "+key.Checksum, err) },
	}), info.Size(), nil
}

// removeUnlessReplaced removes an open file, unless another one has taken its place.
func removeUnlessReplaced(path string, f *os.File) {
	ours, err1 := f.Stat()
	there, err2 := os.Stat(path)
	if err1 == nil && err2 == nil && os.SameFile(ours, there) {
		_ = os.Remove(path) // if it stays, the next reader detects it again
	}
}

// Remove implements [replication.Stage].
func (d *Dir) Remove(_ context.Context, key replication.StageKey) error {
	_, path, err := d.contentPath(key)
	if err != nil {
		return err
	}
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return localError("remove staged "+key.Checksum, err)
	}
	return nil
}

// localError returns an error of class Local with a hint.
func localError(op string, err error) error {
	hint := "check the stage folder, its permissions and its disk"
	if errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) {
		hint = "the disk of the stage is full: free some space, or point the stage to another disk; nothing is lost"
		err = fmt.Errorf("%w: %w", replication.ErrStageFull, err)
	}
	return &fault.Error{Op: op, Class: fault.Local, Hint: hint, Err: err}
}

func isFull(err error) bool { return errors.Is(err, replication.ErrStageFull) }

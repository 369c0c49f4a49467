package stage

import (
	"context"
	"crypto/md5"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"chefsync/pkg/fault"
	"chefsync/pkg/replication"
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
// [Dir.Sweep] and [Dir.ShrinkToLimit].
type Dir struct {
	path       string
	now        func() time.Time
	createFile func(dir, pattern string) (tempFile, error)
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
	d.createFile = func(dir, pattern string) (tempFile, error) { return os.CreateTemp(dir, pattern) }
	if d.now == nil {
		d.now = time.Now
	}
	if err := os.MkdirAll(path, 0o700); err != nil {
		return nil, localError("open stage", err)
	}
	if d.limit < 0 {
		d.limit = defaultLimit(diskSize(path))
	}
	if _, err := d.sweepUnfinished(context.Background()); err != nil {
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
func (d *Dir) Put(ctx context.Context, key replication.StageKey, content io.Reader, size int64) error {
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
	n, err := writeContent(ctx, f, key, content, size)
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
		if err := os.MkdirAll(folder, 0o700); err != nil {
			return nil, localError("stage "+key.Checksum, err)
		}
	}
	f, err := d.createFile(filepath.Join(space, incoming), key.Checksum+".*")
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

// writeContent writes content to a file, verifies and syncs it. It returns the number
// of bytes.
func writeContent(ctx context.Context, f tempFile, key replication.StageKey, content io.Reader, size int64) (int64, error) {
	sum := md5.New()
	from := &contextReader{ctx: ctx, r: content}
	if size >= 0 { // one byte more shows that it is too long
		from.r = io.LimitReader(content, size+1)
	}
	n, err := io.CopyBuffer(io.MultiWriter(onlyWriter{f}, sum), from, make([]byte, 128<<10))
	switch {
	case from.err != nil:
		return n, fmt.Errorf("stage %s: %w", key.Checksum, from.err)
	case err != nil:
		return n, localError("stage "+key.Checksum, err)
	case size >= 0 && n != size:
		return n, mismatchError(key, fmt.Sprintf("not the %d bytes that were announced", size))
	case hex.EncodeToString(sum.Sum(nil)) != key.Checksum:
		return n, mismatchError(key, fmt.Sprintf("another MD5 over %d bytes", n))
	}
	if err := f.Sync(); err != nil {
		return n, localError("stage "+key.Checksum, err)
	}
	return n, nil
}

// onlyWriter hides the other methods of a file, which would take over the copy.
type onlyWriter struct{ io.Writer }

// contextReader stops when a context ends, and keeps the error of its source, to
// distinguish it from one of the disk.
type contextReader struct {
	ctx context.Context
	r   io.Reader
	err error
}

func (r *contextReader) Read(p []byte) (int, error) {
	if err := r.ctx.Err(); err != nil {
		r.err = err
		return 0, err
	}
	n, err := r.r.Read(p)
	if err != nil && err != io.EOF {
		r.err = err
	}
	return n, err
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
	return &verifyingReader{ctx: ctx, key: key, f: f, path: path, left: info.Size(), sum: md5.New()}, info.Size(), nil
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

func mismatchError(key replication.StageKey, how string) error {
	return &fault.Error{Op: "stage " + key.Checksum, Class: fault.Rejected,
		Err: fmt.Errorf("%w: %s", replication.ErrContentMismatch, how)}
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

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

	"chefsync/pkg/replication"
)

// incoming is the folder within a space where files grow until they are whole.
// It is on the file system of the space, so that a rename is atomic.
const incoming = ".incoming"

// leftoverAge is how old an unfinished file must be to be taken for that of a
// writer that was killed. No file takes that long.
const leftoverAge = 24 * time.Hour

// usedStep is how exactly the last use of a file is known: files that are read
// often aren't touched each time.
const usedStep = time.Minute

// Dir is a [replication.Stage] in a folder: the content of a key is the file
// SPACE/ab/abcdef…, named by its MD5. A file appears there whole or not at all,
// by a rename. Every content is checked again while it is read.
//
// The modification time of a file is its last use. What was used longest ago is
// dropped when content beyond the limit of [WithLimit] is put, or the disk is full,
// and by [Dir.Sweep] and [Dir.Shrink].
type Dir struct {
	path   string
	now    func() time.Time
	create func(dir, pattern string) (temporary, error)
	limit  int64 // 0: none
	room   room
}

var _ replication.Stage = (*Dir)(nil)

// temporary is the part of [os.File] that writing needs.
type temporary interface {
	io.WriteCloser
	Name() string
	Sync() error
}

// Option changes a [Dir].
type Option func(*Dir)

// WithClock makes a [Dir] tell the time by now instead of [time.Now].
func WithClock(now func() time.Time) Option { return func(d *Dir) { d.now = now } }

// WithLimit sets how many bytes of content stay. 0 is no limit; below 0, it is a
// tenth of the disk, from 1 GiB to 20 GiB. Content that is larger than the limit
// itself isn't staged: [replication.ErrStageFull].
func WithLimit(bytes int64) Option { return func(d *Dir) { d.limit = bytes } }

// OpenDir opens a stage in a folder, which it creates, for its owner only, and
// removes what killed writers left there more than a day ago. Errors have class
// [replication.Local].
func OpenDir(path string, options ...Option) (*Dir, error) {
	d := &Dir{path: path, now: time.Now, create: func(dir, pattern string) (temporary, error) { return os.CreateTemp(dir, pattern) }}
	for _, o := range options {
		o(d)
	}
	if err := os.MkdirAll(path, 0o700); err != nil {
		return nil, local("open stage", err)
	}
	if d.limit < 0 {
		d.limit = defaultLimit(diskSize(path))
	}
	if _, err := d.sweepLeftovers(context.Background()); err != nil {
		return nil, err
	}
	return d, nil
}

// file is where the content of a key is.
func (d *Dir) file(key replication.StageKey) (space, file string, err error) {
	if err := key.Check(); err != nil {
		return "", "", err
	}
	space = filepath.Join(d.path, key.Space)
	return space, filepath.Join(space, key.Checksum[:2], key.Checksum), nil
}

// Put implements [replication.Stage]. It writes a file beside, waits for the
// disk, and renames it; content that is there already is replaced. An error of
// the content's reader comes back as it is. A full disk makes it drop what was used
// longest ago; what was read of the content by then is lost, so it is the caller's
// to put it again.
func (d *Dir) Put(ctx context.Context, key replication.StageKey, content io.Reader, size int64) error {
	space, file, err := d.file(key)
	if err != nil {
		return err
	}
	if err := d.makeRoom(ctx, key, size); err != nil {
		return err
	}
	f, err := d.begin(space, file, key)
	if isFull(err) && d.evict(ctx) {
		f, err = d.begin(space, file, key)
	}
	if err != nil {
		return err
	}
	n, err := fill(ctx, f, key, content, size)
	if err = errors.Join(err, closed(key, f)); err == nil {
		err = d.publish(key, f.Name(), file)
	}
	if err != nil {
		_ = os.Remove(f.Name()) // what can't be removed now, a sweep removes
		if isFull(err) {
			d.evict(ctx)
		}
		return err
	}
	return d.added(ctx, n)
}

// begin makes the folders of a key and a file that grows there.
func (d *Dir) begin(space, file string, key replication.StageKey) (temporary, error) {
	for _, folder := range []string{filepath.Join(space, incoming), filepath.Dir(file)} {
		if err := os.MkdirAll(folder, 0o700); err != nil {
			return nil, local("stage "+key.Checksum, err)
		}
	}
	f, err := d.create(filepath.Join(space, incoming), key.Checksum+".*")
	if err != nil {
		return nil, local("stage "+key.Checksum, err)
	}
	return f, nil
}

func closed(key replication.StageKey, f io.Closer) error {
	if err := f.Close(); err != nil {
		return local("stage "+key.Checksum, err)
	}
	return nil
}

// publish gives a whole file its name, and its clock's time as the last use.
func (d *Dir) publish(key replication.StageKey, from, to string) error {
	now := d.now()
	if err := os.Chtimes(from, now, now); err != nil {
		return local("stage "+key.Checksum, err)
	}
	if err := os.Rename(from, to); err != nil {
		return local("stage "+key.Checksum, err)
	}
	return nil
}

// fill writes content to a file, checks it and waits for the disk. It returns the
// number of bytes.
func fill(ctx context.Context, f temporary, key replication.StageKey, content io.Reader, size int64) (int64, error) {
	sum := md5.New()
	from := &reader{ctx: ctx, r: content}
	if size >= 0 { // one byte more shows that it is too long
		from.r = io.LimitReader(content, size+1)
	}
	n, err := io.CopyBuffer(io.MultiWriter(onlyWriter{f}, sum), from, make([]byte, 128<<10))
	switch {
	case from.err != nil:
		return n, fmt.Errorf("stage %s: %w", key.Checksum, from.err)
	case err != nil:
		return n, local("stage "+key.Checksum, err)
	case size >= 0 && n != size:
		return n, mismatch(key, fmt.Sprintf("not the %d bytes that were announced", size))
	case hex.EncodeToString(sum.Sum(nil)) != key.Checksum:
		return n, mismatch(key, fmt.Sprintf("another MD5 over %d bytes", n))
	}
	if err := f.Sync(); err != nil {
		return n, local("stage "+key.Checksum, err)
	}
	return n, nil
}

// onlyWriter hides the other methods of a file, which would take over the copy.
type onlyWriter struct{ io.Writer }

// reader stops when a context ends, and remembers the error of its source, to
// tell it from one of the disk.
type reader struct {
	ctx context.Context
	r   io.Reader
	err error
}

func (r *reader) Read(p []byte) (int, error) {
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
// content that turns out to be wrong, so that nobody who counts bytes takes it
// for whole, and removes it from the stage.
func (d *Dir) Open(ctx context.Context, key replication.StageKey) (io.ReadCloser, int64, error) {
	_, path, err := d.file(key)
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
		return nil, 0, local("read staged "+key.Checksum, err)
	}
	info, err := f.Stat()
	if err != nil {
		return nil, 0, errors.Join(local("read staged "+key.Checksum, err), f.Close())
	}
	if now := d.now(); now.Sub(info.ModTime()) > usedStep {
		_ = os.Chtimes(path, now, now) // a read-only stage still serves
	}
	return &verified{ctx: ctx, key: key, f: f, path: path, left: info.Size(), sum: md5.New()}, info.Size(), nil
}

// Remove implements [replication.Stage].
func (d *Dir) Remove(_ context.Context, key replication.StageKey) error {
	_, path, err := d.file(key)
	if err != nil {
		return err
	}
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return local("remove staged "+key.Checksum, err)
	}
	return nil
}

func mismatch(key replication.StageKey, how string) error {
	return &replication.Error{Op: "stage " + key.Checksum, Class: replication.Rejected, Err: fmt.Errorf("%w: %s", replication.ErrContentMismatch, how)}
}

// local says that this machine is the trouble.
func local(op string, err error) error {
	hint := "check the stage folder, its permissions and its disk"
	if errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) {
		hint = "the disk of the stage is full: free some space, or point the stage to another disk; nothing is lost"
		err = fmt.Errorf("%w: %w", replication.ErrStageFull, err)
	}
	return &replication.Error{Op: op, Class: replication.Local, Hint: hint, Err: err}
}

func isFull(err error) bool { return errors.Is(err, replication.ErrStageFull) }

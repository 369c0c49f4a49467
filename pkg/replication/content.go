package replication

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"sync/atomic"

	"chefsync/pkg/fault"
	"chefsync/pkg/object"
)

// staged reads file content through the stage: from it when it is there, else
// from the primary into it, so that the primary serves each file once for all
// replicas and nothing unverified reaches one.
type staged struct {
	stage  Stage
	source Source
	space  string
	obj    object.Object
	flight *flights
	bytes  *atomic.Int64            // read from the primary
	full   func(object.File, error) // called for a file that the stage has no room for
}

// fileStager gives access to the content of the primary's files through the stage.
type fileStager struct {
	*Engine
	flights          flights
	staged, uploaded atomic.Int64 // bytes
	passedBy         atomic.Int64 // files that the stage had no room for
}

// stagedFiles opens files of a version of the primary.
func (f *fileStager) stagedFiles(obj object.Object) *staged {
	return &staged{f.Stage, f.Source, f.Pair.Space, obj, &f.flights, &f.staged, f.stageFull}
}

// contentOf opens them to be uploaded.
func (f *fileStager) contentOf(obj object.Object) Content {
	return tally{f.stagedFiles(obj), &f.uploaded}
}

// flights lets one goroutine at a time stage a checksum.
type flights struct {
	mu   sync.Mutex
	busy map[string]chan struct{}
}

func (f *flights) joinFlight(ctx context.Context, key string) (leave func(), err error) {
	for {
		f.mu.Lock()
		ch, taken := f.busy[key]
		if !taken {
			if f.busy == nil {
				f.busy = map[string]chan struct{}{}
			}
			mine := make(chan struct{})
			f.busy[key] = mine
			f.mu.Unlock()
			return func() {
				f.mu.Lock()
				delete(f.busy, key)
				f.mu.Unlock()
				close(mine)
			}, nil
		}
		f.mu.Unlock()
		select {
		case <-ch:
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
	}
}

// errChanged says that the object changed on the primary while its files were
// being copied: it has to be read again.
var errChanged = errors.New("the object changed on the primary while it was copied")

// Open implements Content.
func (s *staged) Open(ctx context.Context, file object.File) (io.ReadCloser, int64, error) {
	key := StageKey{Space: s.space, Checksum: file.Checksum}
	leave, err := s.flight.joinFlight(ctx, s.space+"/"+file.Checksum)
	if err != nil {
		return nil, 0, err
	}
	defer leave()
	content, size, err := s.stage.Open(ctx, key)
	if !errors.Is(err, ErrNotStaged) {
		return content, size, err
	}
	err = s.fetchFile(ctx, key, file)
	if errors.Is(err, ErrStageFull) {
		s.full(file, err)
		return s.streamFile(ctx, key, file)
	}
	if err != nil {
		return nil, 0, err
	}
	content, size, err = s.stage.Open(ctx, key)
	if errors.Is(err, ErrNotStaged) { // another process needed the room
		s.full(file, fmt.Errorf("%w: the file was removed right after it was staged", ErrStageFull))
		return s.streamFile(ctx, key, file)
	}
	if err != nil {
		return nil, 0, fmt.Errorf("open what was just staged: %w", err)
	}
	return content, size, nil
}

// fetchFile stages one file from the primary. Wrong bytes are asked for once more:
// a cut transfer can be repeated, a damaged file can't. So is a file that there was no room
// for: the stage may have made some.
func (s *staged) fetchFile(ctx context.Context, key StageKey, file object.File) error {
	var err error
	for range 2 {
		if err = s.fetchOnce(ctx, key, file); err == nil || !errors.Is(err, ErrContentMismatch) && !errors.Is(err, ErrStageFull) {
			return err
		}
	}
	if errors.Is(err, ErrStageFull) {
		return err
	}
	return s.damagedError(file, err)
}

// damagedError says that the primary's file is wrong.
func (s *staged) damagedError(file object.File, err error) error {
	return &fault.Error{Op: "copy file " + file.Path + " of", Object: s.obj.Ref, Server: "the primary", Class: fault.Rejected,
		Hint: "the primary holds damaged content for this file; upload the cookbook version to it again", Err: err}
}

func (s *staged) fetchOnce(ctx context.Context, key StageKey, file object.File) error {
	content, size, err := s.source.Open(ctx, s.obj, file)
	if err != nil {
		return s.goneError(err)
	}
	defer content.Close()
	counted := &counter{r: content}
	err = s.stage.Put(ctx, key, counted, size)
	s.bytes.Add(counted.n)
	// A transfer that broke shows itself as an error of the reader, which the
	// stage passes on; the fault is the primary's, not the stage's.
	if err != nil && counted.err != nil && !isCanceled(err) {
		return s.interruptedError(file, counted.err)
	}
	return err
}

// interruptedError says that a transfer from the primary ended early.
func (s *staged) interruptedError(file object.File, err error) error {
	return &fault.Error{Op: "copy file " + file.Path + " of", Object: s.obj.Ref, Server: "the primary", Class: fault.Transient,
		Hint: "the transfer was interrupted; it is retried automatically", Err: err}
}

// counter counts what is read and keeps the reader's own error.
type counter struct {
	r   io.Reader
	n   int64
	err error
}

func (c *counter) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	c.n += int64(n)
	if err != nil && err != io.EOF {
		c.err = err
	}
	return n, err
}

// tally counts the bytes that the replica was sent.
type tally struct {
	Content
	bytes *atomic.Int64
}

// Open implements Content.
func (t tally) Open(ctx context.Context, file object.File) (io.ReadCloser, int64, error) {
	rc, size, err := t.Content.Open(ctx, file)
	if err == nil {
		t.bytes.Add(size)
	}
	return rc, size, err
}

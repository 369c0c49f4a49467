// Package content verifies the content of cookbook files by its MD5, on its way into a
// stage ([Source]) and out of it ([NewReader]).
package content

import (
	"context"
	"crypto/md5"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"

	"chefsync/pkg/fault"
	"chefsync/pkg/replication"
)

// Source reads content that is to be staged, and ends with io.EOF only if its MD5 is
// right. If the length is known, the bytes that complete it are returned only then, so
// that what announced the length stays incomplete.
type Source struct {
	ctx  context.Context
	key  replication.StageKey
	r    io.Reader
	left int64 // below 0: unknown
	read int64
	sum  hash.Hash
	err  error
}

// NewSource returns a reader of content. A size below 0 isn't known.
func NewSource(ctx context.Context, key replication.StageKey, r io.Reader, size int64) *Source {
	return &Source{ctx: ctx, key: key, r: r, left: size, sum: md5.New()}
}

// Err returns why the content couldn't be read or isn't the right one, nil if neither is
// so. It tells an error of the source from one of the stage.
func (s *Source) Err() error {
	switch {
	case s.err == nil, errors.Is(s.err, io.EOF):
		return nil
	case errors.Is(s.err, replication.ErrContentMismatch):
		return s.err
	}
	return fmt.Errorf("stage %s: %w", s.key.Checksum, s.err)
}

// Read implements io.Reader.
func (s *Source) Read(p []byte) (int, error) {
	if s.err == nil {
		s.err = s.ctx.Err()
	}
	if s.err == nil && s.left == 0 {
		s.err = s.expectEnd()
	}
	if s.err != nil || len(p) == 0 {
		return 0, s.err
	}
	known := s.left >= 0
	if known && int64(len(p)) > s.left {
		p = p[:s.left]
	}
	n, err := s.r.Read(p)
	s.sum.Write(p[:n])
	s.read += int64(n)
	if known {
		s.left -= int64(n)
	}
	switch {
	case known && s.left == 0:
		if s.err = s.expectEnd(); !errors.Is(s.err, io.EOF) {
			return 0, s.err
		}
	case err == io.EOF && known:
		s.err = s.mismatchError("it ends early")
	case err == io.EOF:
		s.err = s.checkSum()
	case err != nil:
		s.err = err
	}
	return n, s.err
}

// expectEnd verifies that nothing follows content of a known length.
func (s *Source) expectEnd() error {
	var one [1]byte
	for range 100 { // readers may return nothing for a while
		n, err := s.r.Read(one[:])
		switch {
		case n > 0:
			return s.mismatchError("it goes on")
		case err == io.EOF:
			return s.checkSum()
		case err != nil:
			return err
		}
	}
	return io.ErrNoProgress
}

func (s *Source) checkSum() error {
	if isSum(s.sum, s.key) {
		return io.EOF
	}
	return s.mismatchError("another MD5")
}

func (s *Source) mismatchError(how string) error {
	return &fault.Error{Op: "stage " + s.key.Checksum, Class: fault.Rejected,
		Err: fmt.Errorf("%w: %s after %d bytes", replication.ErrContentMismatch, how, s.read)}
}

func isSum(sum hash.Hash, key replication.StageKey) bool {
	return hex.EncodeToString(sum.Sum(nil)) == key.Checksum
}

// Stored is content in a stage.
type Stored struct {
	Key     replication.StageKey
	Body    io.ReadCloser
	Size    int64
	Server  string                // where it is stored; may be ""
	Discard func()                // removes it because it is damaged; what stays is detected by the next reader
	Explain func(err error) error // adds to an error of Body what to try
}

// NewReader returns a reader of stored content. The bytes that complete the content are
// returned only if its MD5 is right; damaged content is discarded.
func NewReader(ctx context.Context, s Stored) io.ReadCloser {
	return &reader{Stored: s, ctx: ctx, left: s.Size, sum: md5.New()}
}

type reader struct {
	Stored
	ctx  context.Context
	left int64
	sum  hash.Hash
	err  error // what every further Read returns
}

func (r *reader) Read(p []byte) (int, error) {
	if r.err != nil {
		return 0, r.err
	}
	if err := r.ctx.Err(); err != nil {
		return 0, err
	}
	if r.left == 0 {
		r.err = r.checkSum()
		return 0, r.err
	}
	if len(p) == 0 {
		return 0, nil
	}
	if int64(len(p)) > r.left {
		p = p[:r.left]
	}
	n, err := r.Body.Read(p)
	r.sum.Write(p[:n])
	r.left -= int64(n)
	switch {
	case r.left == 0:
		if r.err = r.checkSum(); !errors.Is(r.err, io.EOF) {
			return 0, r.err
		}
	case err == io.EOF: // shorter than it was when it was opened
		r.err = r.discardDamaged()
		return 0, r.err
	case err != nil:
		r.err = r.Explain(err)
		return n, r.err
	}
	return n, nil
}

// checkSum returns io.EOF for the right content.
func (r *reader) checkSum() error {
	if isSum(r.sum, r.Key) {
		return io.EOF
	}
	return r.discardDamaged()
}

func (r *reader) discardDamaged() error {
	r.Discard()
	return &fault.Error{Op: "read staged " + r.Key.Checksum, Server: r.Server, Class: fault.Transient,
		Hint: "the damaged content was removed and will be read from the primary again",
		Err:  fmt.Errorf("%w: the stored content is damaged", replication.ErrContentMismatch)}
}

func (r *reader) Close() error { return r.Body.Close() }

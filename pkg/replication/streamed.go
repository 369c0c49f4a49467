package replication

import (
	"bytes"
	"context"
	"crypto/md5"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"

	"chefsync/pkg/fault"
	"chefsync/pkg/object"
)

// streamHead is the size up to which content that isn't staged is read and checked
// before any of it is sent. Nearly every file of a cookbook is below it.
const streamHead = 1 << 20

// stageFull logs that files go past the stage, once in a pass.
func (f *fileStager) stageFull(file object.File, err error) {
	if f.passedBy.Add(1) == 1 {
		f.Log.Warn("the stage has no room; files are read from the primary for this replica alone", "pair", f.Pair.ID.String(),
			"file", file.Path, "error", err.Error(), "hint", fault.HintOf(err))
	}
}

// streamFile reads a file from the primary past the stage. Small content is checked
// first. Of large content, the bytes that complete it are given out only if the MD5
// over all is right, so that a replica never has it whole if it is wrong.
func (s *staged) streamFile(ctx context.Context, key StageKey, file object.File) (io.ReadCloser, int64, error) {
	known := int64(-1) // size of large content that didn't come with one
	for wrong := 0; ; {
		content, size, openErr := s.source.Open(ctx, s.obj, file)
		if openErr != nil {
			return nil, 0, s.goneError(openErr)
		}
		if size = max(size, known); size > streamHead {
			return &streamReader{staged: s, file: file, key: key, content: content, left: size, sum: md5.New()}, size, nil
		}
		small, size, err := s.checkContent(ctx, key, file, content, size)
		_ = content.Close()
		switch {
		case err == nil && size <= streamHead:
			return io.NopCloser(bytes.NewReader(small)), size, nil
		case err == nil:
			known = size
		case !errors.Is(err, ErrContentMismatch):
			return nil, 0, err
		case wrong > 0: // a cut transfer can be repeated, a damaged file can't
			return nil, 0, s.damagedError(file, err)
		default:
			wrong++
		}
	}
}

// checkContent reads content to its end and keeps the first streamHead bytes of it. Size is
// -1 when it isn't known.
func (s *staged) checkContent(ctx context.Context, key StageKey, file object.File, content io.Reader, size int64) ([]byte, int64, error) {
	var head bytes.Buffer
	sum, counted := md5.New(), &counter{r: content}
	_, err := io.Copy(&limited{&head, streamHead}, io.TeeReader(counted, sum))
	s.bytes.Add(counted.n)
	switch {
	case err != nil && ctx.Err() != nil:
		return nil, 0, context.Cause(ctx)
	case err != nil:
		return nil, 0, s.interruptedError(file, err)
	case size >= 0 && size != counted.n || hex.EncodeToString(sum.Sum(nil)) != key.Checksum:
		return nil, 0, fmt.Errorf("%w: another MD5 over %d bytes", ErrContentMismatch, counted.n)
	}
	return head.Bytes(), counted.n, nil
}

// goneError marks the error of a file that isn't there: its object changed.
func (s *staged) goneError(err error) error {
	if fault.IsAbsent(err) {
		return fmt.Errorf("%w: %w", errChanged, err)
	}
	return err
}

// limited keeps the first bytes that are written to it and drops the rest.
type limited struct {
	w    io.Writer
	left int
}

func (l *limited) Write(p []byte) (int, error) {
	keep := min(len(p), l.left)
	l.left -= keep
	if _, err := l.w.Write(p[:keep]); err != nil {
		return 0, err
	}
	return len(p), nil
}

// streamReader is content of a known size on its way from the primary to the replica.
type streamReader struct {
	*staged
	file    object.File
	key     StageKey
	content io.ReadCloser
	left    int64
	sum     hash.Hash
	err     error // what every further Read returns
}

// Read implements io.Reader. It ends with io.EOF only if the content is right.
func (r *streamReader) Read(p []byte) (int, error) {
	if r.err != nil {
		return 0, r.err
	}
	if int64(len(p)) > r.left {
		p = p[:r.left]
	}
	if len(p) == 0 && r.left > 0 {
		return 0, nil
	}
	n, err := r.content.Read(p)
	r.sum.Write(p[:n])
	r.bytes.Add(int64(n))
	r.left -= int64(n)
	switch {
	case r.left == 0:
		if r.err = r.endError(); !errors.Is(r.err, io.EOF) {
			return 0, r.err
		}
	case err == io.EOF:
		r.err = r.interruptedError(r.file, io.ErrUnexpectedEOF)
	case isCanceled(err):
		r.err = err
	case err != nil:
		r.err = r.interruptedError(r.file, err)
	}
	return n, r.err
}

// endError is io.EOF for the right content.
func (r *streamReader) endError() error {
	if hex.EncodeToString(r.sum.Sum(nil)) == r.key.Checksum {
		return io.EOF
	}
	return r.damagedError(r.file, fmt.Errorf("%w: another MD5", ErrContentMismatch))
}

// Close implements io.Closer.
func (r *streamReader) Close() error { return r.content.Close() }

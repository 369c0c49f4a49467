package s3stage

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"

	"github.com/aws/aws-sdk-go-v2/aws"

	"chefsync/pkg/fault"
	"chefsync/pkg/replication"
)

// checkingReader reads content that is to be staged, and ends with io.EOF only if its
// MD5 is right. If the length is known, the bytes that complete it are returned only
// then, so that a request that has announced it stays incomplete. It keeps its error,
// to distinguish it from one of S3.
type checkingReader struct {
	ctx  context.Context
	key  replication.StageKey
	r    io.Reader
	left int64 // below 0: unknown
	read int64
	sum  hash.Hash
	err  error
}

func (c *checkingReader) Read(p []byte) (int, error) {
	if c.err == nil {
		c.err = c.ctx.Err()
	}
	if c.err == nil && c.left == 0 {
		c.err = c.expectEnd()
	}
	if c.err != nil || len(p) == 0 {
		return 0, c.err
	}
	known := c.left >= 0
	if known && int64(len(p)) > c.left {
		p = p[:c.left]
	}
	n, err := c.r.Read(p)
	c.sum.Write(p[:n])
	c.read += int64(n)
	if known {
		c.left -= int64(n)
	}
	switch {
	case known && c.left == 0:
		if c.err = c.expectEnd(); !errors.Is(c.err, io.EOF) {
			return 0, c.err
		}
	case err == io.EOF && known:
		c.err = c.mismatchError("it ends early")
	case err == io.EOF:
		c.err = c.checkSum()
	case err != nil:
		c.err = err
	}
	return n, c.err
}

// expectEnd verifies that nothing follows content of a known length.
func (c *checkingReader) expectEnd() error {
	var one [1]byte
	for range 100 { // readers may return nothing for a while
		n, err := c.r.Read(one[:])
		switch {
		case n > 0:
			return c.mismatchError("it goes on")
		case err == io.EOF:
			return c.checkSum()
		case err != nil:
			return err
		}
	}
	return io.ErrNoProgress
}

func (c *checkingReader) checkSum() error {
	if hex.EncodeToString(c.sum.Sum(nil)) == c.key.Checksum {
		return io.EOF
	}
	return c.mismatchError("another MD5")
}

func (c *checkingReader) mismatchError(how string) error {
	return &fault.Error{Op: "stage " + c.key.Checksum, Class: fault.Rejected,
		Err: fmt.Errorf("%w: %s after %d bytes", replication.ErrContentMismatch, how, c.read)}
}

// verifyingReader reads staged content and verifies it. The bytes that complete the
// content are returned only if its MD5 is right.
type verifyingReader struct {
	ctx  context.Context
	s    *Stage
	key  replication.StageKey
	name string
	etag *string
	body io.ReadCloser
	left int64
	sum  hash.Hash
	err  error // what every further Read returns
}

func (v *verifyingReader) Read(p []byte) (int, error) {
	if v.err != nil {
		return 0, v.err
	}
	if v.left == 0 {
		v.err = v.checkSum()
		return 0, v.err
	}
	if len(p) == 0 {
		return 0, nil
	}
	if int64(len(p)) > v.left {
		p = p[:v.left]
	}
	n, err := v.body.Read(p)
	v.sum.Write(p[:n])
	v.left -= int64(n)
	switch {
	case v.left == 0:
		if v.err = v.checkSum(); !errors.Is(v.err, io.EOF) {
			return 0, v.err
		}
	case err == io.EOF:
		v.err = v.discardDamaged()
		return 0, v.err
	case err != nil:
		v.err = v.s.wrapError(v.ctx, "read staged "+v.key.Checksum, err)
		return n, v.err
	}
	return n, nil
}

// checkSum returns io.EOF for the right content.
func (v *verifyingReader) checkSum() error {
	if hex.EncodeToString(v.sum.Sum(nil)) == v.key.Checksum {
		return io.EOF
	}
	return v.discardDamaged()
}

// discardDamaged deletes the object, unless it was replaced meanwhile, and returns the
// error of the read.
func (v *verifyingReader) discardDamaged() error {
	if aws.ToString(v.etag) != "" {
		_ = v.s.deleteObject(v.ctx, v.name, v.etag) // if it stays, the next reader detects it again
	}
	return &fault.Error{
		Op:     "read staged " + v.key.Checksum,
		Server: v.s.location(),
		Class:  fault.Transient,
		Hint:   "the damaged object was removed and will be read from the primary again",
		Err:    fmt.Errorf("%w: the stored object is damaged", replication.ErrContentMismatch),
	}
}

func (v *verifyingReader) Close() error { return v.body.Close() }

package s3stage

import (
	"context"
	"encoding/hex"
	"fmt"
	"hash"
	"io"

	"github.com/aws/aws-sdk-go-v2/aws"

	"chefsync/pkg/replication"
)

// checked reads content that is to be staged, and ends with io.EOF only if it is
// right. Of a known length, the bytes that complete it are given out only then,
// so that a request that has announced it stays unfinished. It keeps its error,
// to tell it from one of S3.
type checked struct {
	ctx  context.Context
	key  replication.StageKey
	r    io.Reader
	left int64 // below 0: unknown
	read int64
	sum  hash.Hash
	err  error
}

func (c *checked) Read(p []byte) (int, error) {
	if c.err == nil {
		c.err = c.ctx.Err()
	}
	if c.err == nil && c.left == 0 {
		c.err = c.end()
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
		if c.err = c.end(); c.err != io.EOF {
			return 0, c.err
		}
	case err == io.EOF && known:
		c.err = c.mismatch("it ends early")
	case err == io.EOF:
		c.err = c.verdict()
	case err != nil:
		c.err = err
	}
	return n, c.err
}

// end makes sure that nothing follows content of a known length.
func (c *checked) end() error {
	var one [1]byte
	for range 100 { // readers may give nothing for a while
		n, err := c.r.Read(one[:])
		switch {
		case n > 0:
			return c.mismatch("it goes on")
		case err == io.EOF:
			return c.verdict()
		case err != nil:
			return err
		}
	}
	return io.ErrNoProgress
}

func (c *checked) verdict() error {
	if hex.EncodeToString(c.sum.Sum(nil)) == c.key.Checksum {
		return io.EOF
	}
	return c.mismatch("another MD5")
}

func (c *checked) mismatch(how string) error {
	return &replication.Error{Op: "stage " + c.key.Checksum, Class: replication.Rejected,
		Err: fmt.Errorf("%w: %s after %d bytes", replication.ErrContentMismatch, how, c.read)}
}

// verified reads staged content and checks it. The bytes that complete the
// content are given out only if the MD5 over all is right.
type verified struct {
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

func (v *verified) Read(p []byte) (int, error) {
	if v.err != nil {
		return 0, v.err
	}
	if v.left == 0 {
		v.err = v.verdict()
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
		if v.err = v.verdict(); v.err != io.EOF {
			return 0, v.err
		}
	case err == io.EOF:
		v.err = v.wrong()
		return 0, v.err
	case err != nil:
		v.err = v.s.explain(v.ctx, "read staged "+v.key.Checksum, err)
		return n, v.err
	}
	return n, nil
}

// verdict is io.EOF for the right content.
func (v *verified) verdict() error {
	if hex.EncodeToString(v.sum.Sum(nil)) == v.key.Checksum {
		return io.EOF
	}
	return v.wrong()
}

// wrong removes the object, unless somebody has just replaced it.
func (v *verified) wrong() error {
	if aws.ToString(v.etag) != "" {
		_ = v.s.delete(v.ctx, v.name, v.etag) // if it stays, the next reader finds it wrong again
	}
	return &replication.Error{
		Op:     "read staged " + v.key.Checksum,
		Server: v.s.where(),
		Class:  replication.Transient,
		Hint:   "the damaged object was removed and will be read from the primary again",
		Err:    fmt.Errorf("%w: the stored object is damaged", replication.ErrContentMismatch),
	}
}

func (v *verified) Close() error { return v.body.Close() }

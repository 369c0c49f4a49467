package stage

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"os"

	"chefsync/pkg/fault"
	"chefsync/pkg/replication"
)

// verifyingReader reads staged content and verifies it. The bytes that complete the
// content are returned only if its MD5 is right.
type verifyingReader struct {
	ctx  context.Context
	key  replication.StageKey
	f    *os.File
	path string
	left int64
	sum  hash.Hash
	err  error // what every further Read returns
}

func (v *verifyingReader) Read(p []byte) (int, error) {
	if v.err != nil {
		return 0, v.err
	}
	if err := v.ctx.Err(); err != nil {
		return 0, err
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
	n, err := v.f.Read(p)
	v.sum.Write(p[:n])
	v.left -= int64(n)
	switch {
	case err == io.EOF: // shorter than it was when it was opened
		v.err = v.discardDamaged()
		return 0, v.err
	case err != nil:
		v.err = localError("read staged "+v.key.Checksum, err)
		return n, v.err
	case v.left == 0:
		if v.err = v.checkSum(); !errors.Is(v.err, io.EOF) {
			return 0, v.err
		}
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

// discardDamaged removes the file, unless it was replaced meanwhile, and returns the
// error of the read.
func (v *verifyingReader) discardDamaged() error {
	ours, err1 := v.f.Stat()
	there, err2 := os.Stat(v.path)
	if err1 == nil && err2 == nil && os.SameFile(ours, there) {
		_ = os.Remove(v.path) // if it stays, the next reader detects it again
	}
	return &fault.Error{
		Op:    "read staged " + v.key.Checksum,
		Class: fault.Transient,
		Hint:  "the damaged file was removed and will be read from the primary again",
		Err:   fmt.Errorf("%w: the stored file is damaged", replication.ErrContentMismatch),
	}
}

func (v *verifyingReader) Close() error { return v.f.Close() }

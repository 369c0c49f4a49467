package s3stage

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
	"syscall"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	"github.com/aws/aws-sdk-go-v2/service/s3"

	"chefsync/pkg/fault"
	"chefsync/pkg/replication"
	"chefsync/pkg/stage/content"
)

// Put implements [replication.Stage]. An error of the content's reader is returned as
// it is.
func (s *Stage) Put(ctx context.Context, key replication.StageKey, r io.Reader, size int64) error {
	name, err := s.objectName(key)
	if err != nil {
		return err
	}
	if size > maxPutSize {
		return tooLargeError(key, fmt.Sprintf("%d bytes", size), "S3 takes at most 5 GiB at once")
	}
	from := content.NewSource(ctx, key, r, size)
	head, whole, err := readHead(from, size)
	switch {
	case err != nil:
		return err
	case whole:
		return s.putSeekable(ctx, name, key, bytes.NewReader(head), int64(len(head)))
	case size >= 0:
		return s.putStream(ctx, name, key, from, head, size)
	}
	return s.putSpooled(ctx, name, key, from, head)
}

// readHead reads until it knows whether the content fits into memory.
func readHead(from *content.Source, size int64) (head []byte, whole bool, err error) {
	limit := int64(maxInMemory)
	if size <= maxInMemory {
		limit++ // to see whether there is more
	}
	head, _ = io.ReadAll(io.LimitReader(from, limit))
	return head, size <= maxInMemory && len(head) <= maxInMemory, from.Err()
}

// putInput returns a request that S3 accepts only if the MD5 of the body is the checksum.
func (s *Stage) putInput(name string, key replication.StageKey, body io.Reader, size int64) (*s3.PutObjectInput, error) {
	sum, err := hex.DecodeString(key.Checksum)
	if err != nil {
		return nil, err
	}
	return &s3.PutObjectInput{
		Bucket: &s.name, Key: &name, Body: body, ContentLength: &size,
		ContentMD5: aws.String(base64.StdEncoding.EncodeToString(sum)),
	}, nil
}

// md5Only disables the SDK's own checksum: the MD5 is enough.
func md5Only(o *s3.Options) {
	o.RequestChecksumCalculation = aws.RequestChecksumCalculationWhenRequired
}

// putSeekable puts content that was verified and can be sent again.
func (s *Stage) putSeekable(ctx context.Context, name string, key replication.StageKey, body io.ReadSeeker, size int64) error {
	in, err := s.putInput(name, key, body, size)
	if err != nil {
		return err
	}
	_, err = s.api.PutObject(ctx, in, md5Only)
	return s.wrapError(ctx, "stage "+key.Checksum, err)
}

// putStream puts content while it is read. The bytes that complete it are sent only if
// the MD5 is right, and the request is signed with the MD5 instead of a SHA-256,
// which would have to be known first.
func (s *Stage) putStream(ctx context.Context, name string, key replication.StageKey, from *content.Source, head []byte, size int64) error {
	g := &detachableReader{r: io.MultiReader(bytes.NewReader(head), from)}
	in, err := s.putInput(name, key, g, size)
	if err != nil {
		return err
	}
	_, err = s.api.PutObject(ctx, in, md5Only, func(o *s3.Options) {
		o.RetryMaxAttempts = 1
		o.APIOptions = append(o.APIOptions, v4.SwapComputePayloadSHA256ForUnsignedPayloadMiddleware)
	})
	g.detach()
	if err != nil && from.Err() != nil {
		return from.Err()
	}
	return s.wrapError(ctx, "stage "+key.Checksum, err)
}

// detachableReader can be detached from its source: net/http may go on reading a body
// after the request has failed, while the content's owner closes it.
type detachableReader struct {
	mu       sync.Mutex
	r        io.Reader
	detached bool
}

func (g *detachableReader) Read(p []byte) (int, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.detached {
		return 0, errDetached
	}
	return g.r.Read(p)
}

// detach waits for a read in progress and refuses further ones.
func (g *detachableReader) detach() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.detached = true
}

var errDetached = errors.New("the request is over")

// putSpooled puts content of unknown size through a temporary file.
func (s *Stage) putSpooled(ctx context.Context, name string, key replication.StageKey, from *content.Source, head []byte) error {
	f, err := os.CreateTemp(s.spoolDir, "chefsync-stage-*")
	if err != nil {
		return s.spoolError(key, err)
	}
	defer func() {
		// If it can't be removed, it is left to the cleaning of temporary folders.
		_, _ = f.Close(), os.Remove(f.Name())
	}()
	n, err := io.Copy(f, io.LimitReader(io.MultiReader(bytes.NewReader(head), from), s.spoolLimit+1))
	switch {
	case from.Err() != nil:
		return from.Err()
	case err != nil:
		return s.spoolError(key, err)
	case n > s.spoolLimit:
		return tooLargeError(key, fmt.Sprintf("more than %d bytes", s.spoolLimit),
			"its server doesn't say its size; allow more room for temporary files")
	}
	if _, err := f.Seek(0, io.SeekStart); err != nil {
		return s.spoolError(key, err)
	}
	return s.putSeekable(ctx, name, key, f, n)
}

func (s *Stage) spoolError(key replication.StageKey, err error) error {
	hint := "check the folder for temporary files, " + s.spoolDir
	if errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) {
		hint = "there is no room for temporary files in " + s.spoolDir + ": free some, or give the function more ephemeral storage"
		err = fmt.Errorf("%w: %w", replication.ErrStageFull, err)
	}
	return &fault.Error{Op: "stage " + key.Checksum, Class: fault.Local, Hint: hint, Err: err}
}

func tooLargeError(key replication.StageKey, size, hint string) error {
	return &fault.Error{Op: "stage " + key.Checksum, Class: fault.Rejected, Hint: hint,
		Err: fmt.Errorf("the content has %s", size)}
}

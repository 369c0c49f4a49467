package s3stage

import (
	"bytes"
	"context"
	"crypto/md5"
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

	"chefsync/pkg/replication"
)

// Put implements [replication.Stage]. An error of the content's reader comes back
// as it is.
func (s *Stage) Put(ctx context.Context, key replication.StageKey, content io.Reader, size int64) error {
	name, err := s.object(key)
	if err != nil {
		return err
	}
	if size > maxPut {
		return tooLarge(key, fmt.Sprintf("%d bytes", size), "S3 takes at most 5 GiB at once")
	}
	from := &checked{ctx: ctx, key: key, r: content, left: size, sum: md5.New()}
	head, whole, err := readHead(from, size)
	switch {
	case err != nil:
		return fmt.Errorf("stage %s: %w", key.Checksum, err)
	case whole:
		return s.send(ctx, name, key, bytes.NewReader(head), int64(len(head)))
	case size >= 0:
		return s.stream(ctx, name, from, io.MultiReader(bytes.NewReader(head), from), size)
	}
	return s.spool(ctx, name, from, head)
}

// readHead reads until it knows whether the content has room in memory.
func readHead(from *checked, size int64) (head []byte, whole bool, err error) {
	expected := int64(inMemory)
	if size >= 0 {
		expected = min(size, inMemory)
	}
	var b bytes.Buffer
	b.Grow(int(expected) + bytes.MinRead)
	if size > inMemory {
		_, err = io.CopyN(&b, from, inMemory)
		return b.Bytes(), false, err
	}
	n, err := io.Copy(&b, io.LimitReader(from, inMemory+1))
	return b.Bytes(), n <= inMemory, err
}

// input asks S3 to take content only if its MD5 is the checksum.
func (s *Stage) input(name string, key replication.StageKey, body io.Reader, size int64) (*s3.PutObjectInput, error) {
	sum, err := hex.DecodeString(key.Checksum)
	if err != nil {
		return nil, err
	}
	return &s3.PutObjectInput{
		Bucket: &s.name, Key: &name, Body: body, ContentLength: &size,
		ContentMD5: aws.String(base64.StdEncoding.EncodeToString(sum)),
	}, nil
}

// md5Only leaves out the SDK's own checksum: the MD5 does.
func md5Only(o *s3.Options) {
	o.RequestChecksumCalculation = aws.RequestChecksumCalculationWhenRequired
}

// send puts content that was checked and can be sent again.
func (s *Stage) send(ctx context.Context, name string, key replication.StageKey, body io.ReadSeeker, size int64) error {
	in, err := s.input(name, key, body, size)
	if err != nil {
		return err
	}
	_, err = s.api.PutObject(ctx, in, md5Only)
	return s.explain(ctx, "stage "+key.Checksum, err)
}

// stream puts content as it comes. The bytes that complete it are sent only if
// the MD5 is right, and the request is signed with the MD5 instead of a SHA-256,
// which would have to be known first.
func (s *Stage) stream(ctx context.Context, name string, from *checked, body io.Reader, size int64) error {
	g := &gate{r: body}
	in, err := s.input(name, from.key, g, size)
	if err != nil {
		return err
	}
	_, err = s.api.PutObject(ctx, in, md5Only, func(o *s3.Options) {
		o.RetryMaxAttempts = 1
		o.APIOptions = append(o.APIOptions, v4.SwapComputePayloadSHA256ForUnsignedPayloadMiddleware)
	})
	g.shut()
	if err != nil && from.err != nil && from.err != io.EOF {
		return fmt.Errorf("stage %s: %w", from.key.Checksum, from.err)
	}
	return s.explain(ctx, "stage "+from.key.Checksum, err)
}

// gate is a reader that can be taken away: HTTP may go on reading a body after
// the request has failed, while the content's owner closes it.
type gate struct {
	mu   sync.Mutex
	r    io.Reader
	over bool
}

func (g *gate) Read(p []byte) (int, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.over {
		return 0, errOver
	}
	return g.r.Read(p)
}

// shut waits for a read that is under way and lets no other begin.
func (g *gate) shut() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.over = true
}

var errOver = errors.New("the request is over")

// spool puts content of unknown size by way of a temporary file.
func (s *Stage) spool(ctx context.Context, name string, from *checked, head []byte) (err error) {
	f, err := os.CreateTemp(s.spoolDir, "chefsync-stage-*")
	if err != nil {
		return s.local(from.key, err)
	}
	defer func() {
		// What can't be removed is left to whoever cleans temporary folders.
		_, _ = f.Close(), os.Remove(f.Name())
	}()
	n, err := io.Copy(onlyWriter{f}, io.LimitReader(io.MultiReader(bytes.NewReader(head), from), s.spoolMax+1))
	switch {
	case from.err != nil && from.err != io.EOF:
		return fmt.Errorf("stage %s: %w", from.key.Checksum, from.err)
	case err != nil:
		return s.local(from.key, err)
	case n > s.spoolMax:
		return tooLarge(from.key, fmt.Sprintf("more than %d bytes", s.spoolMax), "its server doesn't say its size; allow more room for temporary files")
	}
	if _, err := f.Seek(0, io.SeekStart); err != nil {
		return s.local(from.key, err)
	}
	return s.send(ctx, name, from.key, f, n)
}

// onlyWriter hides the other methods of a file, which would take over the copy.
type onlyWriter struct{ io.Writer }

func (s *Stage) local(key replication.StageKey, err error) error {
	hint := "check the folder for temporary files, " + s.spoolDir
	if errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) {
		hint = "there is no room for temporary files in " + s.spoolDir + ": free some, or give the function more ephemeral storage"
		err = fmt.Errorf("%w: %w", replication.ErrStageFull, err)
	}
	return &replication.Error{Op: "stage " + key.Checksum, Class: replication.Local, Hint: hint, Err: err}
}

func tooLarge(key replication.StageKey, size, hint string) error {
	return &replication.Error{Op: "stage " + key.Checksum, Class: replication.Rejected, Hint: hint, Err: fmt.Errorf("the content has %s", size)}
}

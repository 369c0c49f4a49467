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
	"syscall"

	"github.com/aws/aws-sdk-go-v2/aws"
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
	if size > s.spoolLimit {
		return s.tooLargeError(key)
	}
	from := content.NewSource(ctx, key, r, size)
	head, _ := io.ReadAll(io.LimitReader(from, maxInMemory+1))
	switch {
	case from.Err() != nil:
		return from.Err()
	case len(head) <= maxInMemory:
		return s.putBody(ctx, name, key, bytes.NewReader(head), int64(len(head)))
	}
	return s.putSpooled(ctx, name, key, from, head)
}

// putBody puts content that was verified and can be sent again. S3 accepts it only if its
// MD5 is the checksum.
func (s *Stage) putBody(ctx context.Context, name string, key replication.StageKey, body io.ReadSeeker, size int64) error {
	sum, err := hex.DecodeString(key.Checksum)
	if err != nil {
		return err
	}
	_, err = s.api.PutObject(ctx, &s3.PutObjectInput{
		Bucket: &s.name, Key: &name, Body: body, ContentLength: &size,
		ContentMD5: aws.String(base64.StdEncoding.EncodeToString(sum)),
	}, func(o *s3.Options) { o.RequestChecksumCalculation = aws.RequestChecksumCalculationWhenRequired }) // the MD5 is enough
	return s.wrapError(ctx, "stage "+key.Checksum, err)
}

// putSpooled puts content through a temporary file.
func (s *Stage) putSpooled(ctx context.Context, name string, key replication.StageKey, from *content.Source, head []byte) error {
	f, err := os.CreateTemp(s.spoolDir, "chefsync-stage-*")
	if err != nil {
		return s.spoolError(key, err)
	}
	// It is removed at once, so that nothing stays of a process that is killed, or at the end
	// where an open file can't be removed. What stays is left to the cleaning of temporary
	// folders.
	_ = os.Remove(f.Name())
	defer func() { _, _ = f.Close(), os.Remove(f.Name()) }()
	n, err := io.Copy(f, io.LimitReader(io.MultiReader(bytes.NewReader(head), from), s.spoolLimit+1))
	switch {
	case from.Err() != nil:
		return from.Err()
	case err != nil:
		return s.spoolError(key, err)
	case n > s.spoolLimit:
		return s.tooLargeError(key)
	}
	if _, err := f.Seek(0, io.SeekStart); err != nil {
		return s.spoolError(key, err)
	}
	return s.putBody(ctx, name, key, f, n)
}

func (s *Stage) tooLargeError(key replication.StageKey) error {
	return &fault.Error{Op: "stage " + key.Checksum, Class: fault.Local, Hint: "it is sent to each replica without being staged",
		Err: fmt.Errorf("%w: the content has more than %d bytes", replication.ErrStageFull, s.spoolLimit)}
}

func (s *Stage) spoolError(key replication.StageKey, err error) error {
	hint := "check the folder for temporary files, " + s.spoolDir
	if errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) {
		hint = "there is no room for temporary files in " + s.spoolDir + "; it is sent to each replica without being staged"
		err = fmt.Errorf("%w: %w", replication.ErrStageFull, err)
	}
	return &fault.Error{Op: "stage " + key.Checksum, Class: fault.Local, Hint: hint, Err: err}
}

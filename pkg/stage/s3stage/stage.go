package s3stage

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"

	"chefsync/pkg/replication"
	"chefsync/pkg/stage/content"
)

// API is the part of [s3.Client] that is used.
type API interface {
	GetObject(context.Context, *s3.GetObjectInput, ...func(*s3.Options)) (*s3.GetObjectOutput, error)
	PutObject(context.Context, *s3.PutObjectInput, ...func(*s3.Options)) (*s3.PutObjectOutput, error)
	DeleteObject(context.Context, *s3.DeleteObjectInput, ...func(*s3.Options)) (*s3.DeleteObjectOutput, error)
}

// Limits of sizes, in bytes.
const (
	// maxInMemory is the size up to which content is sent from memory. Nearly all
	// cookbook files are smaller.
	maxInMemory = 1 << 20
	// maxSpooled is the most that goes through a temporary file, for which a function has
	// 512 MiB. Larger content isn't staged: replication.ErrStageFull.
	maxSpooled = 400 << 20
)

// Stage is a [replication.Stage] in a bucket: the content of a key is the object
// PREFIX SPACE/ab/abcdef…, named by its MD5. S3 verifies the MD5, too, before
// an object becomes visible, and all content is verified again while it is read.
//
// Put, Open and Remove are one request each, and more when S3 is busy. Content of up to
// 1 MiB is sent from memory, larger content from a temporary file.
//
// Writers of one key put the same bytes, so they may race: the last one counts.
type Stage struct {
	bucket
	spoolDir   string // for temporary files
	spoolLimit int64
}

var _ replication.Stage = (*Stage)(nil)

// Open returns the stage below a prefix of a bucket. The prefix is used as it is,
// such as "stage/". It sends nothing.
func Open(client API, bucketName, prefix string) *Stage {
	return &Stage{bucket: bucket{api: client, name: bucketName, prefix: prefix}, spoolDir: os.TempDir(), spoolLimit: maxSpooled}
}

// objectName returns the name of a key's object.
func (s *Stage) objectName(key replication.StageKey) (string, error) {
	if err := key.Check(); err != nil {
		return "", err
	}
	return s.prefix + key.Space + "/" + key.Checksum[:2] + "/" + key.Checksum, nil
}

// Open implements [replication.Stage]. The reader withholds the last bytes of
// damaged content, so that a caller that counts bytes doesn't take it for complete,
// and removes it from the stage.
func (s *Stage) Open(ctx context.Context, key replication.StageKey) (io.ReadCloser, int64, error) {
	name, err := s.objectName(key)
	if err != nil {
		return nil, 0, err
	}
	op := "read staged " + key.Checksum
	out, err := s.getObject(ctx, name)
	if err != nil {
		return nil, 0, s.wrapError(ctx, op, err)
	}
	if out.ContentLength == nil {
		return nil, 0, errors.Join(s.wrapError(ctx, op, errNoLength), out.Body.Close())
	}
	return content.NewReader(ctx, content.Stored{Key: key, Body: out.Body, Size: *out.ContentLength, Server: s.location(),
		Discard: func() {
			if aws.ToString(out.ETag) != "" {
				_ = s.deleteObject(ctx, name, out.ETag) // unless it was replaced; if it stays, the next reader detects it again
			}
		},
		Explain: func(err error) error { return s.wrapError(ctx, op, err) },
	}), *out.ContentLength, nil
}

var errNoLength = errors.New("the answer has no content length")

// Remove implements [replication.Stage].
func (s *Stage) Remove(ctx context.Context, key replication.StageKey) error {
	name, err := s.objectName(key)
	if err != nil {
		return err
	}
	return s.wrapError(ctx, "remove staged "+key.Checksum, s.deleteObject(ctx, name, nil))
}

// bucket is the part of a bucket below a prefix.
type bucket struct {
	api          API
	name, prefix string
}

// getObject begins to read an object. The reader of the content verifies it, not the
// SDK.
func (b bucket) getObject(ctx context.Context, name string) (*s3.GetObjectOutput, error) {
	return b.api.GetObject(ctx, &s3.GetObjectInput{Bucket: &b.name, Key: &name},
		func(o *s3.Options) { o.ResponseChecksumValidation = aws.ResponseChecksumValidationWhenRequired })
}

// deleteObject deletes an object; with an etag only that version of it. An absent
// object is success.
func (b bucket) deleteObject(ctx context.Context, name string, etag *string) error {
	_, err := b.api.DeleteObject(ctx, &s3.DeleteObjectInput{Bucket: &b.name, Key: &name, IfMatch: etag})
	if isMissing(err) {
		return nil
	}
	return err
}

func (b bucket) location() string { return fmt.Sprintf("s3://%s/%s", b.name, b.prefix) }

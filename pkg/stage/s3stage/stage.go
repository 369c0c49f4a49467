package s3stage

import (
	"context"
	"crypto/md5"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"

	"chefsync/pkg/replication"
)

// API is the part of [s3.Client] that is used.
type API interface {
	GetObject(context.Context, *s3.GetObjectInput, ...func(*s3.Options)) (*s3.GetObjectOutput, error)
	PutObject(context.Context, *s3.PutObjectInput, ...func(*s3.Options)) (*s3.PutObjectOutput, error)
	DeleteObject(context.Context, *s3.DeleteObjectInput, ...func(*s3.Options)) (*s3.DeleteObjectOutput, error)
}

// Limits of sizes, in bytes.
const (
	// inMemory is the size up to which content is sent from memory. Nearly every
	// file of a cookbook is below it.
	inMemory = 1 << 20
	// maxPut is the most that S3 takes in one request.
	maxPut = 5 << 30
	// Spool is the most that is kept on disk for content of unknown size, unless
	// [WithSpool] says otherwise.
	Spool = 1 << 30
)

// Stage is a [replication.Stage] in a bucket: the content of a key is the object
// PREFIX SPACE/ab/abcdef…, named by its MD5. S3 checks the MD5 too before an
// object becomes visible, and every content is checked again while it is read.
//
// Put, Open and Remove are one request each. Content of up to 1 MiB is sent from
// memory, and again when S3 is busy. Larger content streams through, if its size
// is known; else it goes through a temporary file. A stream that breaks is the
// caller's to start again.
//
// Writers of one key put the same bytes, so they may race: the last one counts.
type Stage struct {
	bucket
	spoolDir string
	spoolMax int64
}

var _ replication.Stage = (*Stage)(nil)

// Option changes a [Stage].
type Option func(*Stage)

// WithSpool says where content of unknown size goes on its way, and how large it
// may be. The default is [os.TempDir] and [Spool].
func WithSpool(dir string, limit int64) Option {
	return func(s *Stage) { s.spoolDir, s.spoolMax = dir, limit }
}

// Open returns the stage below a prefix of a bucket. The prefix is used as it is,
// such as "stage/". It sends nothing.
func Open(client API, bucketName, prefix string, options ...Option) *Stage {
	s := &Stage{bucket: bucket{api: client, name: bucketName, prefix: prefix}, spoolDir: os.TempDir(), spoolMax: Spool}
	for _, o := range options {
		o(s)
	}
	return s
}

// object is the name of a key's object.
func (s *Stage) object(key replication.StageKey) (string, error) {
	if err := key.Check(); err != nil {
		return "", err
	}
	return s.prefix + key.Space + "/" + key.Checksum[:2] + "/" + key.Checksum, nil
}

// Open implements [replication.Stage]. The reader withholds the last bytes of
// content that turns out to be wrong, so that nobody who counts bytes takes it
// for whole, and removes it from the stage.
func (s *Stage) Open(ctx context.Context, key replication.StageKey) (io.ReadCloser, int64, error) {
	name, err := s.object(key)
	if err != nil {
		return nil, 0, err
	}
	op := "read staged " + key.Checksum
	out, err := s.get(ctx, name)
	if err != nil {
		return nil, 0, s.explain(ctx, op, err)
	}
	if out.ContentLength == nil {
		return nil, 0, errors.Join(s.explain(ctx, op, errNoLength), out.Body.Close())
	}
	v := &verified{ctx: ctx, s: s, key: key, name: name, etag: out.ETag, body: out.Body, left: *out.ContentLength, sum: md5.New()}
	return v, *out.ContentLength, nil
}

var errNoLength = errors.New("the answer doesn't say how long it is")

// Remove implements [replication.Stage].
func (s *Stage) Remove(ctx context.Context, key replication.StageKey) error {
	name, err := s.object(key)
	if err != nil {
		return err
	}
	return s.explain(ctx, "remove staged "+key.Checksum, s.delete(ctx, name, nil))
}

// bucket is a part of a bucket.
type bucket struct {
	api          API
	name, prefix string
}

// get begins to read an object. The content is checked by whoever reads it, not
// by the SDK.
func (b bucket) get(ctx context.Context, name string) (*s3.GetObjectOutput, error) {
	return b.api.GetObject(ctx, &s3.GetObjectInput{Bucket: &b.name, Key: &name},
		func(o *s3.Options) { o.ResponseChecksumValidation = aws.ResponseChecksumValidationWhenRequired })
}

// delete drops an object, with etag only if it is that one. Absent is success.
func (b bucket) delete(ctx context.Context, name string, etag *string) error {
	_, err := b.api.DeleteObject(ctx, &s3.DeleteObjectInput{Bucket: &b.name, Key: &name, IfMatch: etag})
	if missing(err) {
		return nil
	}
	return err
}

func (b bucket) where() string { return fmt.Sprintf("s3://%s/%s", b.name, b.prefix) }

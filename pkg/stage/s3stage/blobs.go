package s3stage

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"io"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"

	"chefsync/pkg/cloud/awserr"
	"chefsync/pkg/replication"
)

// Blobs stores data that is too large for a record of the state, as objects that are
// written once. No lifecycle rule may expire them.
type Blobs struct{ bucket }

// OpenBlobs returns the blobs below a prefix of a bucket, such as "state/". It
// sends nothing.
func OpenBlobs(client API, bucketName, prefix string) *Blobs {
	return &Blobs{bucket{api: client, name: bucketName, prefix: prefix}}
}

// Put stores a blob, whose SHA-256 is sum; S3 checks it. A key that has content
// already is never overwritten: the same content is success, any other an error.
func (b *Blobs) Put(ctx context.Context, key string, data []byte, sum [32]byte) error {
	_, err := b.api.PutObject(ctx, &s3.PutObjectInput{
		Bucket: &b.name, Key: aws.String(b.prefix + key), Body: bytes.NewReader(data), ContentLength: aws.Int64(int64(len(data))),
		ChecksumSHA256: aws.String(base64.StdEncoding.EncodeToString(sum[:])), IfNoneMatch: aws.String("*"),
	})
	switch awserr.Code(err) {
	case "PreconditionFailed", "ConditionalRequestConflict": // possibly our own request, whose answer was lost
		if _, getErr := b.Get(ctx, key, sum); getErr == nil {
			return nil
		}
	}
	return b.wrapError(ctx, "write blob "+key, err)
}

// Get returns a blob. The error wraps replication.ErrNotStaged if it doesn't exist, and
// replication.ErrContentMismatch if its SHA-256 isn't sum.
func (b *Blobs) Get(ctx context.Context, key string, sum [32]byte) ([]byte, error) {
	op := "read blob " + key
	out, err := b.getObject(ctx, b.prefix+key)
	if err != nil {
		return nil, b.wrapError(ctx, op, err)
	}
	data, err := io.ReadAll(out.Body)
	if err = errors.Join(err, out.Body.Close()); err != nil {
		return nil, b.wrapError(ctx, op, err)
	}
	if sha256.Sum256(data) != sum {
		return nil, &replication.Error{Op: op, Server: b.location(), Class: replication.Local,
			Hint: "restore the object from an earlier version, or start the pair over",
			Err:  fmt.Errorf("%w: %d bytes are there", replication.ErrContentMismatch, len(data))}
	}
	return data, nil
}

// Delete deletes a blob; an absent one is success.
func (b *Blobs) Delete(ctx context.Context, key string) error {
	return b.wrapError(ctx, "remove blob "+key, b.deleteObject(ctx, b.prefix+key, nil))
}

package s3stage

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"

	"chefsync/pkg/fault"
	"chefsync/pkg/replication"
)

// Blobs reads what the previous version of the program kept of its records in the bucket,
// as objects that were written once.
type Blobs struct{ bucket }

// OpenBlobs returns the blobs below a prefix of a bucket, such as "state/". It
// sends nothing.
func OpenBlobs(client API, bucketName, prefix string) *Blobs {
	return &Blobs{bucket{api: client, name: bucketName, prefix: prefix}}
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
		return nil, &fault.Error{Op: op, Server: b.location(), Class: fault.Local,
			Hint: "restore the object from an earlier version, or start the pair over",
			Err:  fmt.Errorf("%w: %d bytes are there", replication.ErrContentMismatch, len(data))}
	}
	return data, nil
}

package scan_test

import (
	"context"
	"crypto/rsa"
	"io"

	"chefsync/pkg/chef"
	"chefsync/pkg/object"
	"chefsync/pkg/replication"
)

// singly reads nothing in bulk.
type singly struct{ replication.Reader }

func (singly) GetBulk(context.Context, []object.Ref, replication.BulkOptions) map[object.Ref]object.Object {
	return nil
}

func clientConfig(w *world, user string, key *rsa.PrivateKey) chef.Config {
	return chef.Config{Name: "primary", URL: w.primary.URL, User: user, Key: key}
}

// content is content straight from a source.
type content struct {
	source replication.Source
	obj    object.Object
}

func (c content) Open(ctx context.Context, f object.File) (io.ReadCloser, int64, error) {
	return c.source.Open(ctx, c.obj, f)
}

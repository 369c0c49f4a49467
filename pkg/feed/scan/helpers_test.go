package scan_test

import (
	"context"
	"crypto/rsa"
	"io"

	"chefsync/pkg/chef"
	"chefsync/pkg/feed/scan"
	"chefsync/pkg/object"
	"chefsync/pkg/replication"
)

// withoutBulk is a reader without bulk reads.
type withoutBulk struct{ scan.Reader }

func (withoutBulk) GetBulk(context.Context, []object.Ref, replication.BulkOptions) map[object.Ref]object.Object {
	return nil
}

func clientConfig(w *fixture, user string, key *rsa.PrivateKey) chef.Config {
	return chef.Config{Name: "primary", URL: w.primary.URL, User: user, Key: key}
}

// sourceContent reads content directly from a source.
type sourceContent struct {
	source replication.Source
	obj    object.Object
}

func (c sourceContent) Open(ctx context.Context, f object.File) (io.ReadCloser, int64, error) {
	return c.source.Open(ctx, c.obj, f)
}

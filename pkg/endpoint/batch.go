package endpoint

import (
	"context"
	"io"
	"slices"
	"sync"

	"chefsync/pkg/object"
	"chefsync/pkg/replication"
)

const (
	// batchFiles is the number of files in one sandbox for several cookbook versions: if
	// it fails, all of them are sent again.
	batchFiles = 200
	// batchesAtOnce is the number of such sandboxes that are filled at the same time, so
	// that files are sent while another one is opened or committed.
	batchesAtOnce = 2
)

// Upload implements replication.Target with sandboxes that each cover many cookbook
// versions. If one fails, Put sends the files of each version in a separate sandbox. A
// server with an older API may delete the content when another version is written, so
// Upload does nothing for it (docs/chef-server-api.md §13).
func (t *Target) Upload(ctx context.Context, objs []object.Object, contentOf func(object.Object) replication.Content) {
	if version, err := t.org.Client().APIVersion(ctx); err != nil || version < 2 {
		return
	}
	var files []object.File
	content := contents{}
	for _, obj := range objs {
		for _, f := range obj.Files {
			if content[f.Checksum] == nil {
				content[f.Checksum] = contentOf(obj)
				files = append(files, f)
			}
		}
	}
	var wg sync.WaitGroup
	slots := make(chan struct{}, batchesAtOnce)
	for batch := range slices.Chunk(files, batchFiles) {
		slots <- struct{}{}
		wg.Go(func() {
			defer func() { <-slots }()
			t.uploadBatch(ctx, batch, content)
		})
	}
	wg.Wait()
}

// contents is the content of the files of several objects by checksum. It implements
// replication.Content.
type contents map[string]replication.Content

// Open implements replication.Content.
func (c contents) Open(ctx context.Context, file object.File) (io.ReadCloser, int64, error) {
	return c[file.Checksum].Open(ctx, file)
}

func (t *Target) uploadBatch(ctx context.Context, batch []object.File, content replication.Content) {
	files, _ := t.checksums.claim(batch)
	if len(files) == 0 || ctx.Err() != nil {
		t.checksums.release(files, false)
		return
	}
	_, err := t.fillSandbox(ctx, files, content)
	t.checksums.release(files, err == nil)
	if err != nil && ctx.Err() == nil {
		t.log.InfoContext(ctx, "a sandbox for several cookbook versions failed; each version gets a separate one", "server",
			t.org.Client().Name(),
			"files", len(files), "error", err.Error())
	}
}

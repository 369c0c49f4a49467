package endpoint

import (
	"context"
	"fmt"
	"io"
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
	var batches []*batch
	batched := map[string]bool{}
	for _, obj := range objs {
		content := contentOf(obj)
		for _, f := range obj.Files {
			if batched[f.Checksum] {
				continue
			}
			batched[f.Checksum] = true
			if len(batches) == 0 || len(batches[len(batches)-1].files) == batchFiles {
				batches = append(batches, &batch{files: map[string]object.File{}, content: map[string]replication.Content{}})
			}
			b := batches[len(batches)-1]
			b.sums = append(b.sums, f.Checksum)
			b.files[f.Checksum], b.content[f.Checksum] = f, content
		}
	}
	var wg sync.WaitGroup
	slots := make(chan struct{}, batchesAtOnce)
	for _, b := range batches {
		slots <- struct{}{}
		wg.Go(func() {
			defer func() { <-slots }()
			t.uploadBatch(ctx, b)
		})
	}
	wg.Wait()
}

// batch is the content of several objects. It implements replication.Content.
type batch struct {
	sums    []string
	files   map[string]object.File
	content map[string]replication.Content // by checksum
}

// Open implements replication.Content.
func (b *batch) Open(ctx context.Context, file object.File) (io.ReadCloser, int64, error) {
	content, ok := b.content[file.Checksum]
	if !ok {
		return nil, 0, fmt.Errorf("no object has the content %s", file.Checksum)
	}
	return content.Open(ctx, file)
}

func (t *Target) uploadBatch(ctx context.Context, b *batch) {
	mine, _ := t.checksums.claim(b.sums)
	if len(mine) == 0 || ctx.Err() != nil {
		t.checksums.release(mine, false)
		return
	}
	files := make([]object.File, len(mine))
	for i, s := range mine {
		files[i] = b.files[s]
	}
	_, err := t.fillSandbox(ctx, files, b)
	t.checksums.release(mine, err == nil)
	if err != nil && ctx.Err() == nil {
		t.log.InfoContext(ctx, "a sandbox for several cookbook versions failed; each version gets a separate one", "server",
			t.org.Client().Name(),
			"files", len(files), "error", err.Error())
	}
}

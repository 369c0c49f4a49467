package endpoint

import (
	"context"
	"errors"
	"io"
	"slices"
	"sync"

	"chefsync/pkg/chef"
	"chefsync/pkg/fault"
	"chefsync/pkg/object"
	"chefsync/pkg/replication"
)

// uploadFiles uploads the files that the server lacks, with one sandbox for each chunk of
// them, and waits for those that other calls are sending.
func (t *Target) uploadFiles(ctx context.Context, kind object.Kind, files []object.File, content replication.Content) error {
	for {
		mine, sent := t.checksums.claim(files)
		switch {
		case len(mine) > 0:
			if err := t.uploadClaimed(ctx, kind, mine, content); err != nil {
				return err
			}
		case sent == nil:
			return nil
		default:
			select {
			case <-sent:
			case <-ctx.Done():
				return context.Cause(ctx)
			}
		}
	}
}

// uploadClaimed uploads claimed files and releases them.
func (t *Target) uploadClaimed(ctx context.Context, kind object.Kind, files []object.File, content replication.Content) error {
	for len(files) > 0 {
		chunk := files[:min(chef.SandboxChunk, len(files))]
		if err := t.uploadChunk(ctx, chunk, content, 0); err != nil {
			t.checksums.release(files, false)
			if isOf(err, chef.OpCreateSandbox) && chef.KindOf(err) == chef.KindPermission {
				return t.createRefusedError(kind, "sandboxes", err)
			}
			return err
		}
		t.checksums.release(chunk, true)
		files = files[len(chunk):]
	}
	return nil
}

// maxRounds limits how often a chunk is retried with a new sandbox.
const maxRounds = 12

// uploadChunk uploads files with one sandbox. If its upload URLs expire first, it splits
// the chunk: files that aren't committed must be sent again.
func (t *Target) uploadChunk(ctx context.Context, files []object.File, content replication.Content, round int) error {
	_, err := t.fillSandbox(ctx, files, content)
	var known *fault.Error // of the content: an error of the primary, which another sandbox doesn't solve
	if err == nil || round >= maxRounds || errors.As(err, &known) {
		return err
	}
	switch kind := chef.KindOf(err); {
	case kind == chef.KindExpired && len(files) > 1:
		half := (len(files) + 1) / 2
		if err := t.uploadChunk(ctx, files[:half], content, round+1); err != nil {
			return err
		}
		return t.uploadChunk(ctx, files[half:], content, round+1)
	case kind == chef.KindExpired && round == 0, isCommit(err) && round == 0:
		return t.uploadChunk(ctx, files, content, maxRounds)
	}
	return err
}

// isOf reports whether an error is of one operation of the client.
func isOf(err error, op string) bool {
	var e *chef.Error
	return errors.As(err, &e) && e.Op == op
}

// isCommit reports whether the server did not accept a sandbox, and may accept another one.
func isCommit(err error) bool {
	switch chef.KindOf(err) {
	case chef.KindAbsent, chef.KindInvalid, chef.KindUnavailable, chef.KindMissingChecksum:
		return isOf(err, chef.OpCommitSandbox)
	}
	return false
}

// Reupload implements replication.Target. A server that doesn't request the content has a
// row for the checksum, whether or not its file store has the content
// (docs/chef-server-api.md §3.5).
func (t *Target) Reupload(ctx context.Context, file object.File, content replication.Content) (taken bool, err error) {
	files := []object.File{file}
	t.checksums.dropKnown(files)
	for mine, sent := t.checksums.claim(files); len(mine) == 0; mine, sent = t.checksums.claim(files) {
		select {
		case <-sent:
			t.checksums.dropKnown(files)
		case <-ctx.Done():
			return false, context.Cause(ctx)
		}
	}
	sent, err := t.fillSandbox(ctx, files, content)
	if isCommit(err) {
		sent, err = t.fillSandbox(ctx, files, content)
	}
	t.checksums.release(files, err == nil)
	return sent > 0, t.wrapWriteError("upload "+file.Path+" again", object.Ref{}, err)
}

// fillSandbox creates a sandbox, uploads what the server lacks, and commits it. It returns
// the number of files that were sent. The caller has claimed them.
func (t *Target) fillSandbox(ctx context.Context, files []object.File, content replication.Content) (sent int, err error) {
	sums := make([]string, len(files))
	byChecksum := make(map[string]object.File, len(files))
	for i, f := range files {
		sums[i], byChecksum[f.Checksum] = f.Checksum, f
	}
	box, err := t.org.CreateSandbox(ctx, sums)
	if err != nil {
		return 0, err
	}
	if err := t.sendFiles(ctx, box.Uploads, byChecksum, content); err != nil {
		return 0, err
	}
	if err := t.org.CommitSandbox(ctx, box.ID); err != nil {
		return 0, err
	}
	return len(box.Uploads), nil
}

// sendFiles uploads files concurrently and stops at the first error.
func (t *Target) sendFiles(ctx context.Context, uploads []chef.Upload, files map[string]object.File, content replication.Content) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var wg sync.WaitGroup
	for _, u := range uploads {
		select {
		case t.uploads <- struct{}{}:
		case <-ctx.Done():
			wg.Wait()
			return context.Cause(ctx)
		}
		wg.Go(func() {
			defer func() { <-t.uploads }()
			open := func() (io.ReadCloser, int64, error) { return content.Open(ctx, files[u.Checksum]) }
			if err := t.org.Client().UploadFile(ctx, u.URL, u.Checksum, open); err != nil {
				cancel(err)
			}
		})
	}
	wg.Wait()
	return context.Cause(ctx)
}

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

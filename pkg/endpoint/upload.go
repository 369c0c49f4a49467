package endpoint

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"

	"chefsync/pkg/chef"
	"chefsync/pkg/fault"
	"chefsync/pkg/object"
	"chefsync/pkg/replication"
)

// uploadFiles uploads the files that the server lacks, with one sandbox for each chunk of
// checksums, and waits for those that other calls are sending.
func (t *Target) uploadFiles(ctx context.Context, kind object.Kind, files []object.File, content replication.Content) error {
	sums, byChecksum := make([]string, len(files)), make(map[string]object.File, len(files))
	for i, f := range files {
		sums[i], byChecksum[f.Checksum] = f.Checksum, f
	}
	for {
		mine, sent := t.checksums.claim(sums)
		switch {
		case len(mine) > 0:
			if err := t.uploadClaimed(ctx, kind, mine, byChecksum, content); err != nil {
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

// uploadClaimed uploads claimed content and releases it.
func (t *Target) uploadClaimed(ctx context.Context, kind object.Kind, sums []string, byChecksum map[string]object.File,
	content replication.Content,
) error {
	for len(sums) > 0 {
		chunk := sums[:min(chef.SandboxChunk, len(sums))]
		files := make([]object.File, len(chunk))
		for i, s := range chunk {
			files[i] = byChecksum[s]
		}
		err := t.uploadChunk(ctx, files, content, 0)
		if err != nil {
			t.checksums.release(sums, false)
			var refused *sandboxError
			if errors.As(err, &refused) && chef.KindOf(err) == chef.KindPermission {
				return t.createRefusedError(kind, "sandboxes", refused.err)
			}
			return err
		}
		t.checksums.release(chunk, true)
		sums = sums[len(chunk):]
	}
	return nil
}

// maxRounds limits how often a chunk is retried with a new sandbox.
const maxRounds = 12

// uploadChunk uploads files with one sandbox. If its upload URLs expire first, it splits
// the chunk: files that aren't committed must be sent again, so a sandbox must be
// complete within chef.UploadTime.
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

// sandboxError means that the server did not open a sandbox.
type sandboxError struct{ err error }

func (e *sandboxError) Error() string { return e.err.Error() }
func (e *sandboxError) Unwrap() error { return e.err }

// commitError means that the server did not accept a sandbox; another one may succeed.
type commitError struct{ err error }

func (e *commitError) Error() string { return e.err.Error() }
func (e *commitError) Unwrap() error { return e.err }

func isCommit(err error) bool {
	var c *commitError
	if !errors.As(err, &c) {
		return false
	}
	switch chef.KindOf(err) {
	case chef.KindAbsent, chef.KindInvalid, chef.KindUnavailable, chef.KindMissingChecksum:
		return true
	}
	return false
}

// Reupload implements replication.Target. A server that doesn't request the content has a
// row for the checksum, whether or not its file store has the content
// (docs/chef-server-api.md §3.5).
func (t *Target) Reupload(ctx context.Context, file object.File, content replication.Content) (taken bool, err error) {
	sums := []string{file.Checksum}
	t.checksums.dropKnown(sums)
	for mine, sent := t.checksums.claim(sums); len(mine) == 0; mine, sent = t.checksums.claim(sums) {
		select {
		case <-sent:
			t.checksums.dropKnown(sums)
		case <-ctx.Done():
			return false, context.Cause(ctx)
		}
	}
	sent, err := t.fillSandbox(ctx, []object.File{file}, content)
	if isCommit(err) {
		sent, err = t.fillSandbox(ctx, []object.File{file}, content)
	}
	t.checksums.release(sums, err == nil)
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
		return 0, &sandboxError{err}
	}
	if err := t.sendFiles(ctx, box.Uploads, byChecksum, content); err != nil {
		return 0, err
	}
	if err := t.org.CommitSandbox(ctx, box.ID); err != nil {
		return 0, &commitError{err}
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
			if err := t.sendFile(ctx, u, files[u.Checksum], content); err != nil {
				cancel(err)
			}
		})
	}
	wg.Wait()
	return context.Cause(ctx)
}

// sendFile uploads one file. It opens the content before the transfer to get its size and
// uses that reader for the first attempt.
func (t *Target) sendFile(ctx context.Context, u chef.Upload, file object.File, content replication.Content) error {
	first, size, err := content.Open(ctx, file)
	if err != nil {
		return err
	}
	if size < 0 {
		_ = first.Close()
		return fmt.Errorf("the size of %s isn't known", file.Path)
	}
	open := func() (io.ReadCloser, error) {
		if r := first; r != nil {
			first = nil
			return r, nil
		}
		r, _, err := content.Open(ctx, file)
		return r, err
	}
	err = t.org.Client().UploadFile(ctx, u.URL, u.Checksum, size, open)
	if first != nil { // an empty file is never opened
		_ = first.Close()
	}
	return err
}

package stage

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"time"
)

// file is a file in the stage.
type file struct {
	path    string
	size    int64
	lastUse time.Time
}

// Sweep removes content that wasn't used for longer than a duration, the least recently
// used content beyond the limit, and unfinished files of killed writers. Readers that have
// the content open can read it to its end.
func (d *Dir) Sweep(ctx context.Context, olderThan time.Duration) error {
	if err := d.sweepUnfinished(ctx); err != nil {
		return err
	}
	if err := d.removeUnused(ctx, contentFolders, olderThan); err != nil || d.limit == 0 {
		return err
	}
	d.usage.mu.Lock()
	defer d.usage.mu.Unlock()
	d.usage.measured = false
	return d.ensureRoom(ctx, 0)
}

func (d *Dir) sweepUnfinished(ctx context.Context) error {
	return d.removeUnused(ctx, "*/"+incoming, unfinishedAge)
}

// contentFolders matches the folders with content.
const contentFolders = "*/[0-9a-f][0-9a-f]"

// removeUnused removes the files in the folders that match a pattern that weren't used for
// longer than a duration.
func (d *Dir) removeUnused(ctx context.Context, pattern string, olderThan time.Duration) error {
	limit := d.now().Add(-olderThan)
	return d.walkFiles(ctx, pattern, func(f file) error {
		if f.lastUse.After(limit) {
			return nil
		}
		return f.remove()
	})
}

// listContent returns all content and its total size.
func (d *Dir) listContent(ctx context.Context) (all []file, total int64, err error) {
	err = d.walkFiles(ctx, contentFolders, func(f file) error {
		all, total = append(all, f), total+f.size
		return nil
	})
	return all, total, err
}

// removeOldest removes the least recently used content until at most limit bytes are left,
// and returns how many are.
func (d *Dir) removeOldest(ctx context.Context, all []file, total, limit int64) (left int64, err error) {
	slices.SortFunc(all, func(a, b file) int { return a.lastUse.Compare(b.lastUse) })
	for _, f := range all {
		if total <= limit || ctx.Err() != nil {
			break
		}
		if err := f.remove(); err != nil {
			return total, err
		}
		total -= f.size
	}
	return total, ctx.Err()
}

// remove removes the file, if no other process was faster.
func (f file) remove() error {
	if err := os.Remove(f.path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return localError("sweep stage", err)
	}
	return nil
}

// walkFiles calls do for the files in the folders that match a pattern. Files that are
// removed meanwhile are left out.
func (d *Dir) walkFiles(ctx context.Context, pattern string, do func(file) error) error {
	root := os.DirFS(d.path)
	folders, err := fs.Glob(root, pattern)
	if err != nil {
		return localError("sweep stage", err)
	}
	for _, folder := range folders {
		if err := ctx.Err(); err != nil {
			return err
		}
		entries, err := fs.ReadDir(root, folder)
		if err != nil {
			return localError("sweep stage", err)
		}
		for _, e := range entries {
			info, err := e.Info()
			if err != nil || !info.Mode().IsRegular() {
				continue
			}
			if err := do(file{path: filepath.Join(d.path, folder, e.Name()), size: info.Size(), lastUse: info.ModTime()}); err != nil {
				return err
			}
		}
	}
	return nil
}

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

// Swept is what a sweep removed.
type Swept struct {
	Files int
	Bytes int64
}

type isStaged struct {
	path    string
	size    int64
	lastUse time.Time
}

// Sweep removes content that wasn't used for longer than a duration, and unfinished
// files of killed writers. Readers that have the content open can read it to its end.
func (d *Dir) Sweep(ctx context.Context, olderThan time.Duration) (Swept, error) {
	s, err := d.sweepUnfinished(ctx)
	if err != nil {
		return s, err
	}
	limit := d.now().Add(-olderThan)
	err = d.walkFiles(ctx, "*/[0-9a-f][0-9a-f]", func(f isStaged) error {
		if f.lastUse.After(limit) {
			return nil
		}
		return s.removeFile(f)
	})
	return s, err
}

// listContent returns all content and its total size.
func (d *Dir) listContent(ctx context.Context) (all []isStaged, total int64, err error) {
	err = d.walkFiles(ctx, "*/[0-9a-f][0-9a-f]", func(f isStaged) error {
		all, total = append(all, f), total+f.size
		return nil
	})
	return all, total, err
}

// removeOldest removes the least recently used content until at most limit bytes are
// left.
func (d *Dir) removeOldest(ctx context.Context, all []isStaged, total, limit int64) (Swept, error) {
	var s Swept
	slices.SortFunc(all, func(a, b isStaged) int { return a.lastUse.Compare(b.lastUse) })
	for _, f := range all {
		if total <= limit || ctx.Err() != nil {
			break
		}
		if err := s.removeFile(f); err != nil {
			return s, err
		}
		total -= f.size
	}
	return s, ctx.Err()
}

func (d *Dir) sweepUnfinished(ctx context.Context) (s Swept, err error) {
	limit := d.now().Add(-unfinishedAge)
	err = d.walkFiles(ctx, "*/"+incoming, func(f isStaged) error {
		if f.lastUse.After(limit) {
			return nil
		}
		return s.removeFile(f)
	})
	return s, err
}

func (s *Swept) removeFile(f isStaged) error {
	err := os.Remove(f.path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil // another process was faster
	}
	if err != nil {
		return localError("sweep stage", err)
	}
	s.Files++
	s.Bytes += f.size
	return nil
}

// walkFiles calls f for the files in the folders that match a pattern. Files that are
// removed meanwhile are left out.
func (d *Dir) walkFiles(ctx context.Context, pattern string, f func(isStaged) error) error {
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
			if err := f(isStaged{path: filepath.Join(d.path, folder, e.Name()), size: info.Size(), lastUse: info.ModTime()}); err != nil {
				return err
			}
		}
	}
	return nil
}

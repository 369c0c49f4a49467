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

type staged struct {
	path string
	size int64
	used time.Time
}

// Sweep removes content that wasn't used for longer than a duration, and what
// killed writers left. Who reads content meanwhile reads it to its end. Last use
// is known to the hour.
func (d *Dir) Sweep(ctx context.Context, olderThan time.Duration) (Swept, error) {
	s, err := d.sweepLeftovers(ctx)
	if err != nil {
		return s, err
	}
	limit := d.now().Add(-olderThan)
	err = d.walk(ctx, "*/[0-9a-f][0-9a-f]", func(f staged) error {
		if f.used.After(limit) {
			return nil
		}
		return s.remove(f)
	})
	return s, err
}

// Shrink removes the content that was used longest ago until at most max bytes
// are left.
func (d *Dir) Shrink(ctx context.Context, max int64) (Swept, error) {
	all, total, err := d.content(ctx)
	if err != nil {
		return Swept{}, err
	}
	return d.shrink(ctx, all, total, max)
}

// content lists all content, and returns its size.
func (d *Dir) content(ctx context.Context) (all []staged, total int64, err error) {
	err = d.walk(ctx, "*/[0-9a-f][0-9a-f]", func(f staged) error {
		all, total = append(all, f), total+f.size
		return nil
	})
	return all, total, err
}

func (d *Dir) shrink(ctx context.Context, all []staged, total, max int64) (Swept, error) {
	var s Swept
	slices.SortFunc(all, func(a, b staged) int { return a.used.Compare(b.used) })
	for _, f := range all {
		if total <= max || ctx.Err() != nil {
			break
		}
		if err := s.remove(f); err != nil {
			return s, err
		}
		total -= f.size
	}
	return s, ctx.Err()
}

func (d *Dir) sweepLeftovers(ctx context.Context) (s Swept, err error) {
	limit := d.now().Add(-leftoverAge)
	err = d.walk(ctx, "*/"+incoming, func(f staged) error {
		if f.used.After(limit) {
			return nil
		}
		return s.remove(f)
	})
	return s, err
}

func (s *Swept) remove(f staged) error {
	err := os.Remove(f.path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil // another process was faster
	}
	if err != nil {
		return local("sweep stage", err)
	}
	s.Files++
	s.Bytes += f.size
	return nil
}

// walk shows the files in the folders that match a pattern. Files that go
// meanwhile are left out.
func (d *Dir) walk(ctx context.Context, pattern string, f func(staged) error) error {
	root := os.DirFS(d.path)
	folders, err := fs.Glob(root, pattern)
	if err != nil {
		return local("sweep stage", err)
	}
	for _, folder := range folders {
		if err := ctx.Err(); err != nil {
			return err
		}
		entries, err := fs.ReadDir(root, folder)
		if err != nil {
			return local("sweep stage", err)
		}
		for _, e := range entries {
			info, err := e.Info()
			if err != nil || !info.Mode().IsRegular() {
				continue
			}
			if err := f(staged{path: filepath.Join(d.path, folder, e.Name()), size: info.Size(), used: info.ModTime()}); err != nil {
				return err
			}
		}
	}
	return nil
}

package stage

import (
	"context"
	"fmt"
	"sync"

	"chefsync/pkg/fault"
	"chefsync/pkg/replication"
)

// The default limit of a stage depends on the size of the disk.
const (
	minDefaultLimit  = 1 << 30
	maxDefaultLimit  = 20 << 30
	unknownDiskLimit = 5 << 30 // if the size of the disk isn't known
)

// defaultLimit returns the limit for a disk: a tenth of its size, from 1 GiB to 20
// GiB, but no more than half of it.
func defaultLimit(disk int64) int64 {
	if disk <= 1 {
		return unknownDiskLimit
	}
	return min(max(disk/10, minDefaultLimit), maxDefaultLimit, disk/2)
}

// usage is the number of bytes in a stage as this process knows it: those at the last
// measurement, and those that it put since then. Other processes may have put some,
// too, so the stage is measured again after each sixteenth of the limit.
type usage struct {
	mu       sync.Mutex
	measured bool
	total    int64
	putSince int64
}

// makeRoom removes the least recently used content until size more bytes fit.
func (d *Dir) makeRoom(ctx context.Context, key replication.StageKey, size int64) error {
	if d.limit == 0 {
		return nil
	}
	if size > d.limit {
		return &fault.Error{Op: "stage " + key.Checksum, Class: fault.Local, Hint: "allow more under [stage] in the configuration",
			Err: fmt.Errorf("%w: %d bytes don't fit into %d", replication.ErrStageFull, size, d.limit)}
	}
	d.usage.mu.Lock()
	defer d.usage.mu.Unlock()
	return d.ensureRoom(ctx, max(size, 0))
}

// recordPut counts content that was put. If its size wasn't known before, it may
// exceed the limit.
func (d *Dir) recordPut(ctx context.Context, size int64) error {
	if d.limit == 0 {
		return nil
	}
	d.usage.mu.Lock()
	defer d.usage.mu.Unlock()
	d.usage.total += size
	d.usage.putSince += size
	return d.ensureRoom(ctx, 0)
}

// ensureRoom measures the stage if necessary, and removes a little more than needed, so
// that the next content fits without another measurement. The lock must be held.
func (d *Dir) ensureRoom(ctx context.Context, size int64) error {
	r := &d.usage
	if r.measured && r.putSince < d.limit/16 && r.total+size <= d.limit {
		return nil
	}
	all, total, err := d.listContent(ctx)
	if err != nil {
		return err
	}
	if total+size > d.limit {
		if total, err = d.removeOldest(ctx, all, total, max(d.limit-d.limit/16-size, 0)); err != nil {
			return err
		}
	}
	r.measured, r.total, r.putSince = true, total, 0
	return nil
}

// evictHalf removes the least recently used half of the content, because the disk is
// full. It reports whether anything was removed.
func (d *Dir) evictHalf(ctx context.Context) bool {
	d.usage.mu.Lock()
	defer d.usage.mu.Unlock()
	all, total, err := d.listContent(ctx)
	if err != nil {
		return false
	}
	left, _ := d.removeOldest(ctx, all, total, total/2) // what was removed before an error counts, too
	d.usage.measured, d.usage.total, d.usage.putSince = true, left, 0
	return left < total
}

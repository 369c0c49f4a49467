package stage

import (
	"context"
	"fmt"
	"sync"

	"chefsync/pkg/replication"
)

// Limits of a stage whose limit nobody chose.
const (
	leastLimit = 1 << 30
	mostLimit  = 20 << 30
	otherLimit = 5 << 30 // where the size of the disk isn't known
)

// defaultLimit is the limit on a disk of a size: a tenth of it, from 1 GiB to 20
// GiB, but no more than half of it.
func defaultLimit(disk int64) int64 {
	if disk <= 1 {
		return otherLimit
	}
	return min(max(disk/10, leastLimit), mostLimit, disk/2)
}

// room is what this process knows of the bytes that a stage holds: those that were
// there when it was last measured, and those that it put since. Others may have put
// some too, so it is measured again after each sixteenth of the limit.
type room struct {
	mu       sync.Mutex
	measured bool
	held     int64
	put      int64
}

// makeRoom drops what was used longest ago until size more bytes fit.
func (d *Dir) makeRoom(ctx context.Context, key replication.StageKey, size int64) error {
	if d.limit == 0 {
		return nil
	}
	if size > d.limit {
		return &replication.Error{Op: "stage " + key.Checksum, Class: replication.Local, Hint: "allow more under [stage] in the configuration",
			Err: fmt.Errorf("%w: %d bytes don't fit into %d", replication.ErrStageFull, size, d.limit)}
	}
	d.room.mu.Lock()
	defer d.room.mu.Unlock()
	return d.fit(ctx, max(size, 0))
}

// added counts what was put. Content whose size wasn't known before may be too much.
func (d *Dir) added(ctx context.Context, size int64) error {
	if d.limit == 0 {
		return nil
	}
	d.room.mu.Lock()
	defer d.room.mu.Unlock()
	d.room.held += size
	d.room.put += size
	return d.fit(ctx, 0)
}

// fit measures the stage if need be, and drops a little more than is needed, so that
// the next content fits without looking. The lock must be held.
func (d *Dir) fit(ctx context.Context, size int64) error {
	r := &d.room
	if r.measured && r.put < d.limit/16 && r.held+size <= d.limit {
		return nil
	}
	all, total, err := d.content(ctx)
	if err != nil {
		return err
	}
	if total+size > d.limit {
		s, err := d.shrink(ctx, all, total, max(d.limit-d.limit/16-size, 0))
		if err != nil {
			return err
		}
		total -= s.Bytes
	}
	r.measured, r.held, r.put = true, total, 0
	return nil
}

// evict drops the half of what is staged that was used longest ago, because the disk
// is full. It reports whether anything was dropped.
func (d *Dir) evict(ctx context.Context) bool {
	d.room.mu.Lock()
	defer d.room.mu.Unlock()
	all, total, err := d.content(ctx)
	if err != nil {
		return false
	}
	s, _ := d.shrink(ctx, all, total, total/2) // what was dropped before an error is room too
	d.room.measured, d.room.held, d.room.put = true, total-s.Bytes, 0
	return s.Files > 0
}

// ShrinkToLimit drops what the limit doesn't allow, whoever put it.
func (d *Dir) ShrinkToLimit(ctx context.Context) error {
	if d.limit == 0 {
		return nil
	}
	d.room.mu.Lock()
	defer d.room.mu.Unlock()
	d.room.measured = false
	return d.fit(ctx, 0)
}

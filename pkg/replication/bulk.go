package replication

import (
	"context"
	"maps"
	"sync"

	"chefsync/pkg/object"
)

const (
	// bulkObjects is how many objects are read ahead of the window that needs them, except
	// for the rest of their collection.
	bulkObjects = 5000
	// bulkBytes bounds their bodies. Beyond it, the primary is asked again for what has
	// to be written.
	bulkBytes = 64 << 20
)

// bulkReader reads in bulk what windows of objects are about to be observed. Get
// reads what it leaves out.
type bulkReader struct {
	refs      []object.Ref // of all windows, in order
	listed    bool         // they are what the primary lists, or nearly all of it
	bodyBytes int          // of bodies that are kept
	windows   int          // objects of the windows so far
	ahead     int          // objects of refs that were read

	mu             sync.Mutex // guards the contents of the maps
	source, target map[object.Ref]object.Object
}

func newBulkReader(refs []object.Ref, listed bool, bodyBytes int) *bulkReader {
	return &bulkReader{refs: refs, listed: listed, bodyBytes: bodyBytes,
		source: map[object.Ref]object.Object{}, target: map[object.Ref]object.Object{}}
}

// readAhead reads a window in bulk, and more with it.
func (o *observer) readAhead(ctx context.Context, window []object.Ref, v readOptions) {
	b := v.bulk
	if b == nil {
		return
	}
	b.windows += len(window)
	for b.ahead < min(b.windows, len(b.refs)) {
		source := b.nextCollections()
		var target []object.Ref
		for _, r := range source {
			if presence := v.replicaPresence(r); presence != Missing && o.mustLook(r, presence, v) {
				target = append(target, r)
			}
		}
		var there map[object.Ref]object.Object
		var wg sync.WaitGroup
		wg.Go(func() { there = o.Target.GetBulk(ctx, target, BulkOptions{Listed: b.listed}) })
		here := o.Source.GetBulk(ctx, source, BulkOptions{Listed: b.listed, BodyBytes: b.bodyBytes})
		wg.Wait()
		maps.Copy(b.source, here)
		maps.Copy(b.target, there)
	}
}

// nextCollections returns the objects to be read next: whole collections.
func (b *bulkReader) nextCollections() []object.Ref {
	end := min(b.ahead+bulkObjects, len(b.refs))
	for end < len(b.refs) && sameCollection(b.refs[end-1], b.refs[end]) {
		end++
	}
	next := b.refs[b.ahead:end]
	b.ahead = end
	return next
}

// sameCollection reports whether one listing names both objects.
func sameCollection(a, b object.Ref) bool {
	return a.ListScope() == b.ListScope()
}

// getSource returns an object of the primary, and reads it unless that was done in
// bulk.
func (o *observer) getSource(ctx context.Context, r object.Ref, v readOptions) (obj object.Object, inBulk bool, err error) {
	if v.bulk != nil {
		if obj, inBulk = v.bulk.takeObject(v.bulk.source, r); inBulk {
			return obj, true, nil
		}
	}
	obj, err = o.Source.Get(ctx, r)
	return obj, false, err
}

// takeTarget returns what was read of an object of the replica, once.
func (b *bulkReader) takeTarget(r object.Ref) (object.Object, bool) {
	if b == nil {
		return object.Object{}, false
	}
	return b.takeObject(b.target, r)
}

func (b *bulkReader) takeObject(found map[object.Ref]object.Object, r object.Ref) (object.Object, bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	obj, ok := found[r]
	delete(found, r)
	return obj, ok
}

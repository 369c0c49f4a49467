package replication_test

import (
	"context"

	"chefsync/pkg/fault"
	"chefsync/pkg/object"
	"chefsync/pkg/replication"
)

// GetBulk implements replication.Reader.
func (s spy) GetBulk(ctx context.Context, refs []object.Ref, o replication.BulkOptions) map[object.Ref]object.Object {
	s.enter()
	for _, r := range refs {
		s.touch("reading", r)
	}
	found := s.org.GetBulk(ctx, refs, o)
	for r, obj := range found {
		s.wasRead(r, obj, nil)
	}
	return found
}

// wasRead notes what an engine has read.
func (s spy) wasRead(r object.Ref, obj object.Object, err error) {
	s.h.mu.Lock()
	defer s.h.mu.Unlock()
	if err != nil && !fault.IsAbsent(err) {
		return
	}
	if s.primary {
		s.h.saw[r] = obj.Fingerprint
	} else {
		s.h.there[r] = obj.Fingerprint
	}
	// In bulk, both sides are read at the same time.
	if obj.Fingerprint != "" && s.h.saw[r] == s.h.there[r] {
		s.h.owned[r] = true
	}
}

// GetBulk implements replication.Reader.
func (s spiedTarget) GetBulk(ctx context.Context, refs []object.Ref, o replication.BulkOptions) map[object.Ref]object.Object {
	return s.spy.GetBulk(ctx, refs, o)
}

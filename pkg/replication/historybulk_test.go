package replication_test

import (
	"context"

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
	switch {
	case s.primary && (err == nil || replication.IsAbsent(err)):
		s.h.saw[r] = obj.Fingerprint
	case !s.primary && err == nil && s.h.saw[r] == obj.Fingerprint:
		s.h.owned[r] = true
	}
}

// GetBulk implements replication.Reader.
func (s spiedTarget) GetBulk(ctx context.Context, refs []object.Ref, o replication.BulkOptions) map[object.Ref]object.Object {
	return s.spy.GetBulk(ctx, refs, o)
}

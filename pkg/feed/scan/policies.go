package scan

import (
	"cmp"
	"context"
	"maps"
	"slices"

	"chefsync/pkg/object"
)

// scanBindings scans the policies in policy groups. The content of a revision
// doesn't change, so only newly bound ones are read.
func (r *scanRun) scanBindings(ctx context.Context, kind object.Kind) error {
	bound, err := r.Reader.ListBindings(ctx, kind)
	if err != nil {
		return err
	}
	refs := slices.SortedFunc(maps.Keys(bound), object.Compare)
	return r.mergeRead(ctx, object.Scope{Kind: kind}, refs, func(ctx context.Context, refs []object.Ref) (map[object.Ref]observation, error) {
		observed := make(map[object.Ref]observation, len(bound))
		var unread []object.Ref
		for _, ref := range refs {
			v := observation{revision: bound[ref]}
			if k := r.previous.Objects[ref]; k.Revision == v.revision {
				v.fingerprint = k.Fingerprint
			}
			if observed[ref] = v; v.fingerprint == "" {
				unread = append(unread, ref)
			}
		}
		read, err := r.readEach(ctx, unread)
		for ref, v := range read {
			v.revision = cmp.Or(v.revision, bound[ref])
			observed[ref] = v
		}
		return observed, err
	})
}

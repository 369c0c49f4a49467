package scan

import (
	"cmp"
	"context"
	"errors"
	"maps"
	"slices"

	"chefsync/pkg/object"
)

// scanImmutable scans policy revisions or cookbook artifacts, which servers only create
// and delete: the list is enough (docs/chef-server-api.md §5.2). One that is deleted and
// created again with other content between two scans isn't found.
func (r *scanRun) scanImmutable(ctx context.Context, kind object.Kind) error {
	scope := object.Scope{Kind: kind}
	refs, err := r.Reader.List(ctx, scope)
	if err != nil {
		return err
	}
	r.report.Listed += len(refs)
	observed := make(map[object.Ref]observation, len(refs))
	for _, ref := range refs {
		observed[ref] = observation{fingerprint: nameOnly}
	}
	return r.mergeList(ctx, scope, refs, observed)
}

// bindingLister is a reader that returns in one request which revision each object of a
// kind binds.
type bindingLister interface {
	ListBindings(ctx context.Context, kind object.Kind) (map[object.Ref]string, error)
}

// scanBindings scans the policies in policy groups. The content of a revision
// doesn't change, so only newly bound ones are read.
func (r *scanRun) scanBindings(ctx context.Context, kind object.Kind) error {
	scope := object.Scope{Kind: kind}
	b, ok := r.Reader.(bindingLister)
	if !ok {
		return r.scanObjects(ctx, kind)
	}
	bound, err := b.ListBindings(ctx, kind)
	if err != nil {
		return err
	}
	r.report.Listed += len(bound)
	observed := make(map[object.Ref]observation, len(bound))
	var unread []object.Ref
	refs := slices.SortedFunc(maps.Keys(bound), object.Compare)
	for _, ref := range refs {
		revision := bound[ref]
		observed[ref] = observation{revision: revision}
		if k := r.previous.Objects[ref]; k.Revision == revision {
			observed[ref] = observation{fingerprint: k.Fingerprint, revision: revision}
		}
		if observed[ref].fingerprint == "" {
			unread = append(unread, ref)
		}
	}
	read, err := r.readEach(ctx, unread)
	if err != nil && !isInterrupted(ctx) {
		return err
	}
	for ref, v := range read {
		v.revision = cmp.Or(v.revision, bound[ref])
		observed[ref] = v
	}
	return errors.Join(err, r.mergeList(ctx, scope, refs, observed))
}

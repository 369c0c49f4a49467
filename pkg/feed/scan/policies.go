package scan

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"maps"
	"slices"

	"chefsync/pkg/object"
)

// scanImmutable scans policy revisions or cookbook artifacts, which servers create and
// delete only: the list tells all (docs/chef-server-api.md §5.2). One that is deleted
// and made again with other content between two scans isn't noticed.
func (p *pass) scanImmutable(ctx context.Context, kind object.Kind) error {
	scope := object.Scope{Kind: kind}
	refs, err := p.Reader.List(ctx, scope)
	if err != nil {
		return err
	}
	p.report.Listed += len(refs)
	views := make(map[object.Ref]observed, len(refs))
	for _, ref := range refs {
		views[ref] = observed{print: namePrint}
	}
	return p.mergeScope(ctx, scope, refs, views)
}

// binder is a reader that tells in one request which revision each policy group
// binds to each policy.
type binder interface {
	PolicyGroups(ctx context.Context) (map[object.Ref]string, error)
}

// scanPolicyGroups scans the policies in policy groups. The content of a revision
// doesn't change, so only what was bound since is read.
func (p *pass) scanPolicyGroups(ctx context.Context) error {
	scope := object.Scope{Kind: object.PolicyGroup}
	b, ok := p.Reader.(binder)
	if !ok {
		return p.scanPlain(ctx, scope.Kind)
	}
	bound, err := b.PolicyGroups(ctx)
	if err != nil {
		return err
	}
	p.report.Listed += len(bound)
	views := make(map[object.Ref]observed, len(bound))
	var unread []object.Ref
	for ref, revision := range bound {
		views[ref] = observed{revision: revision}
		if k := p.before.Objects[ref]; k.Revision == revision {
			views[ref] = observed{print: k.Print, revision: revision}
		}
		if views[ref].print == "" {
			unread = append(unread, ref)
		}
	}
	read, err := p.read(ctx, unread)
	if err != nil && !interrupted(ctx) {
		return err
	}
	for ref, v := range read {
		v.revision = cmp.Or(v.revision, bound[ref])
		views[ref] = v
	}
	return errors.Join(err, p.mergeScope(ctx, scope, slices.SortedFunc(maps.Keys(bound), object.Compare), views))
}

// revision returns the revision of a policy in a policy group, "" if its body has
// none.
func revision(body []byte) string {
	var policy struct {
		ID string `json:"revision_id"`
	}
	_ = json.Unmarshal(body, &policy)
	return policy.ID
}

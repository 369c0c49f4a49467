package endpoint

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"

	"chefsync/pkg/chef"
	"chefsync/pkg/fault"
	"chefsync/pkg/object"
)

// decodeRevisions decodes the answer of a collection whose objects have a segment between
// their names, such as /policies, or of one name in it, which lacks the name.
func decodeRevisions(s object.Scope, body []byte) ([]object.Ref, bool) {
	named, ok := decodeNamed[map[string]json.RawMessage](s.Name, body)
	var refs []object.Ref
	for name, members := range named {
		var revisions map[string]json.RawMessage
		if json.Unmarshal(members[s.Kind.Infix()], &revisions) != nil || revisions == nil {
			return nil, false
		}
		for id := range revisions {
			refs = append(refs, object.Ref{Kind: s.Kind, Name: name, Sub: id})
		}
	}
	return refs, ok
}

// decodeBindings decodes the answer of /policy_groups, or of /policy_groups/NAME, which
// lacks the name. It returns the revision that each group binds to each policy. An
// empty group may lack its policies (docs/chef-server-api.md §5.2).
func decodeBindings(s object.Scope, body []byte) (map[object.Ref]string, bool) {
	type policyGroup struct {
		URI      *string `json:"uri"`
		Policies map[string]struct {
			Revision string `json:"revision_id"`
		} `json:"policies"`
	}
	groups, ok := decodeNamed[policyGroup](s.Name, body)
	bound := map[object.Ref]string{}
	for name, g := range groups {
		if g.URI == nil && g.Policies == nil {
			return nil, false
		}
		for policy, p := range g.Policies {
			bound[object.Ref{Kind: s.Kind, Name: name, Sub: policy}] = p.Revision
		}
	}
	return bound, ok
}

// decodeNamed decodes a JSON object of values by name, or the value of one name.
func decodeNamed[T any](name string, body []byte) (named map[string]T, ok bool) {
	if name == "" {
		ok = json.Unmarshal(body, &named) == nil && named != nil
		return named, ok
	}
	var one *T
	if json.Unmarshal(body, &one) != nil || one == nil {
		return nil, false
	}
	return map[string]T{name: *one}, true
}

// ListBindings returns the revision that each object of a kind binds, such as each policy
// in a policy group, in one request. Nothing else of these objects can change.
func (s *Source) ListBindings(ctx context.Context, kind object.Kind) (map[object.Ref]string, error) {
	all := object.Scope{Kind: kind}
	a, err := s.org.Do(ctx, http.MethodGet, listPath(all), nil)
	if err != nil {
		return nil, s.wrapError("list", object.Ref(all), err)
	}
	bound, ok := decodeBindings(all, a.Body)
	if !ok {
		return nil, s.foreignAnswer("list", object.Ref(all))
	}
	maps.DeleteFunc(bound, func(ref object.Ref, _ string) bool { return !validRef(ref) })
	return bound, nil
}

// putRevision writes a policy revision, or binds one to a policy group.
func (t *Target) putRevision(ctx context.Context, obj object.Object) error {
	doc, err := chef.CleanRevision(obj.Body)
	switch {
	case err != nil:
		return t.newError("write", obj.Ref, fault.Rejected, "upload the policy to the primary again", "%w", err)
	case obj.Ref.Kind.Binds() != "":
		return t.bindPolicy(ctx, obj.Ref, doc)
	}
	return t.putPolicy(ctx, obj, doc)
}

// putPolicy writes a policy revision. Servers only create revisions, so one with other
// content is deleted and created again, unless a group binds it: the group would lose it
// in between (docs/chef-server-api.md §5.1, §5.2).
func (t *Target) putPolicy(ctx context.Context, obj object.Object, doc []byte) error {
	ref := obj.Ref
	var err error
	for range maxCycles {
		_, err = t.org.Do(ctx, http.MethodPost, "/policies/"+ref.Name+"/revisions", doc)
		if chef.KindOf(err) != chef.KindExists {
			return t.wrapWriteError("write", ref, t.refusedWrite(ctx, ref, err))
		}
		held, getErr := t.Get(ctx, ref)
		switch {
		case fault.IsAbsent(getErr):
			continue
		case getErr == nil && held.Fingerprint == obj.Fingerprint:
			return nil
		case getErr != nil && !fault.ClassOf(getErr).IsRefusal():
			return getErr
		}
		if err := t.checkUnbound(ctx, "replace", ref); err != nil {
			return err
		}
		if err := t.deleteObject(ctx, ref); err != nil {
			return t.wrapWriteError("replace", ref, err)
		}
	}
	return t.wrapWriteError("write", ref, fmt.Errorf("it is created and deleted while it is written: %w", err))
}

// checkUnbound returns an error if a policy group binds the revision: servers silently
// delete the binding with the revision.
func (t *Target) checkUnbound(ctx context.Context, op string, revision object.Ref) error {
	all, err := t.ListBindings(ctx, revision.Kind.BoundBy())
	if err != nil {
		return err
	}
	var groups []string
	for ref, id := range all {
		if ref.Sub == revision.Name && id == revision.Sub {
			groups = append(groups, ref.Name)
		}
	}
	if len(groups) == 0 {
		return nil
	}
	slices.Sort(groups)
	return t.newError(op, revision, fault.Rejected,
		"change the groups to use another revision, or delete this one on the replica and run resync",
		"policy groups use this revision: %s", strings.Join(groups, ", "))
}

// bindPolicy binds a revision of a policy to a group. Servers create the group, policy and
// revision if they are missing, and keep an existing revision: other content is found
// when the revision itself is written or compared.
func (t *Target) bindPolicy(ctx context.Context, ref object.Ref, doc []byte) error {
	_, err := t.org.Do(ctx, http.MethodPut, ref.Path(), doc)
	return t.wrapWriteError("write", ref, t.refusedWrite(ctx, ref, err))
}

// removePolicy deletes a revision, or a policy from a group. It also deletes the policy or
// group if that is empty then: nothing else creates an empty one.
func (t *Target) removePolicy(ctx context.Context, ref object.Ref) error {
	if ref.Kind.BoundBy() != "" {
		if err := t.checkUnbound(ctx, "delete", ref); err != nil {
			return err
		}
	}
	if err := t.deleteObject(ctx, ref); err != nil {
		return err
	}
	holder := object.Ref{Kind: ref.Kind, Name: ref.Name}
	a, err := t.org.Do(ctx, http.MethodGet, holder.Path(), nil)
	if chef.KindOf(err) == chef.KindAbsent {
		return nil
	}
	if err != nil {
		return err
	}
	var members map[string]json.RawMessage
	var held map[string]json.RawMessage
	if json.Unmarshal(a.Body, &members) != nil || members == nil {
		return nil
	}
	// A policy without revisions is {}, without the member (docs/chef-server-api.md §5.1).
	if len(members) > 0 && (json.Unmarshal(members[ref.Kind.Infix()], &held) != nil || held == nil || len(held) > 0) {
		return nil
	}
	return t.deleteObject(ctx, holder)
}

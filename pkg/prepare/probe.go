package prepare

import (
	"context"
	"encoding/json"
	"maps"
	"slices"

	"chefsync/pkg/chef"
)

// noSandbox is the id of a sandbox that no server creates.
const noSandbox = "00000000000000000000000000000000"

// probeWrites determines whether the actor may write, without changing anything. Servers
// check permissions before conflicts and absence: they answer the create of an existing
// object with 409 if the actor may create objects and with 403 otherwise, and the commit
// of a missing sandbox with 404 or 403. There is no such request for the rights to
// update and delete, and none for a container without objects, so the ACLs of the
// containers are read, too, if the actor may read them.
func (r *runner) probeWrites(ctx context.Context, first map[string]string) error {
	if err := r.readOwnACLs(ctx); err != nil {
		return err
	}
	if r.sync.Client().Orgless() {
		if may, err := r.probeCreate(ctx, "/environments", first["/environments"]); err != nil || may == rightProven {
			if err == nil {
				r.addStep(Fine, "rights", "can create environments, and so can write everything: a server without organizations has no finer permissions")
			}
			return err
		}
	}
	incomplete := false
	for _, n := range r.requiredRights() {
		name := n.collection[1:]
		if _, served := first[n.collection]; !served && n.collection != "/sandboxes" {
			continue // verifyAccess has added a step for it
		}
		may, err := r.probeCreate(ctx, n.collection, first[n.collection])
		switch {
		case err != nil:
			return err
		case may == rightRefused:
			r.addStep(Missing, rightsOn(n.collection), "may not create: the server refuses it (403)")
			r.report.Refused = append(r.report.Refused, name)
		case r.granted[n.collection]: // its step was added before
		case may == rightProven && n.collection == "/sandboxes":
			r.addStep(Fine, rightsOn(n.collection), "create")
		case may == rightProven:
			r.addStep(Fine, rightsOn(n.collection), "read, create; update and delete were not checked")
			incomplete = true
		default:
			r.addStep(Unknown, rightsOn(n.collection), "create, update and delete were not checked")
			r.report.Unchecked = append(r.report.Unchecked, "create in "+name)
			incomplete = true
		}
	}
	if incomplete {
		r.report.Unchecked = append(r.report.Unchecked, "update and delete")
	}
	return nil
}

// probeResult is the result of a probe.
type probeResult int

const (
	rightUnknown probeResult = iota
	rightProven
	rightRefused
)

// probeCreate probes a container with the name of an object that it contains.
func (r *runner) probeCreate(ctx context.Context, collection, first string) (probeResult, error) {
	var err error
	switch {
	case collection == "/sandboxes":
		_, err = r.sync.Do(ctx, "PUT", collection+"/"+noSandbox, mustEncode(map[string]any{"is_completed": true}))
	case first == "":
		return rightUnknown, nil
	case collection == "/data" || collection == "/environments" || collection == "/roles":
		_, err = r.sync.Do(ctx, "POST", collection, newObject(collection, first))
	default: // their requests update existing objects
		return rightUnknown, nil
	}
	switch kind := chef.KindOf(err); {
	case err == nil && collection != "/sandboxes": // the object was deleted after it was listed: delete the new one
		_, err := r.sync.Do(ctx, "DELETE", collection+"/"+first, nil)
		if err != nil && !hasKind(err, chef.KindAbsent) {
			return rightProven, r.wrapError(r.sync, "delete what a probe created, "+collection+"/"+first, err, "")
		}
		return rightProven, nil
	case kind == chef.KindPermission:
		return rightRefused, nil
	case kind == chef.KindExists, kind == chef.KindAbsent && collection == "/sandboxes":
		return rightProven, nil
	case kind == chef.KindInvalid, kind == chef.KindForeign, kind == chef.KindAbsent, err == nil:
		return rightUnknown, nil
	}
	return rightUnknown, r.wrapError(r.sync, "probe the right to create in "+collection, err, "")
}

// readOwnACLs reads the ACLs of the containers as the actor, unless the caller has read
// them. Admins of the organization may read them. A right that an ACL doesn't show may
// still come from a nested group.
func (r *runner) readOwnACLs(ctx context.Context) error {
	if r.sync.Client().Orgless() {
		return nil
	}
	groups := map[string]bool{r.defaultGroup(): true}
	for _, n := range r.requiredRights() {
		if r.granted[n.collection] {
			continue
		}
		acl, err := readACL(ctx, r.sync, "/containers"+n.collection+"/_acl")
		switch {
		case hasKind(err, chef.KindPermission):
			return nil // the other ACLs can't be read either
		case hasKind(err, chef.KindAbsent, chef.KindForeign):
			continue
		case chef.KindOf(err) != "": // what isn't an ACL grants nothing
			return r.wrapError(r.sync, "read the ACL of "+n.collection, err, "")
		}
		if len(r.lackingPerms(acl, n.perms, func(g string) bool { return r.isMember(ctx, groups, g) })) == 0 {
			r.addGranted(n.collection, n.perms)
		}
	}
	return nil
}

// isMember reports whether the actor is in a group, false if it may not read the group.
func (r *runner) isMember(ctx context.Context, known map[string]bool, group string) bool {
	in, ok := known[group]
	if !ok {
		m, err := readGroup(ctx, r.sync, group)
		in = err == nil && slices.Contains(*r.actorList(&m), r.Name)
		known[group] = in
	}
	return in
}

// firstName returns the name of an object of a list, for a probe; of environments
// _default, which can't be deleted.
func firstName(collection string, names map[string]json.RawMessage) string {
	if _, ok := names["_default"]; ok && collection == "/environments" {
		return "_default"
	}
	if len(names) == 0 {
		return ""
	}
	return slices.Min(slices.Collect(maps.Keys(names)))
}

// newObject returns an object without content that all servers accept.
func newObject(collection, name string) []byte {
	body := map[string]any{"name": name}
	switch collection {
	case "/environments":
		body = map[string]any{"name": name, "chef_type": "environment", "json_class": "Chef::Environment", "description": "",
			"cookbook_versions": map[string]any{}, "default_attributes": map[string]any{}, "override_attributes": map[string]any{}}
	case "/roles":
		body = map[string]any{"name": name, "chef_type": "role", "json_class": "Chef::Role", "description": "", "run_list": []string{},
			"env_run_lists": map[string]any{}, "default_attributes": map[string]any{}, "override_attributes": map[string]any{}}
	}
	return mustEncode(body)
}

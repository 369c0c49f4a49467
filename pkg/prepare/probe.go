package prepare

import (
	"context"
	"encoding/json"
	"maps"
	"slices"
	"strings"

	"chefsync/pkg/chef"
)

// noSandbox is the id of a sandbox that no server makes.
const noSandbox = "00000000000000000000000000000000"

// probeWrites finds out whether the actor may write, without a change. Servers check
// permissions before conflicts and absence: a create of what is there is refused with
// 409 to those who may create and with 403 to others, and so is the commit of a
// sandbox that isn't there, with 404 or 403. Nothing tells in the same way whether
// objects may be updated and deleted, nor does a container without objects show
// anything, so that the ACLs of the containers are read too, where the actor may.
func (r *run) probeWrites(ctx context.Context, first map[string]string) error {
	if err := r.readOwnRights(ctx); err != nil {
		return err
	}
	if r.sync.Client().Orgless() {
		if may, err := r.mayCreate(ctx, "/environments", first["/environments"]); err != nil || may == provenRight {
			if err == nil {
				r.addStep(Fine, "rights",
					"creates environments, so it may write all: a server without organizations has no other permissions")
			}
			return err
		}
	}
	blind := false
	for _, n := range r.neededRights() {
		name := n.collection[1:]
		if _, served := first[n.collection]; !served && n.collection != "/sandboxes" {
			continue // the proof says so
		}
		may, err := r.mayCreate(ctx, n.collection, first[n.collection])
		switch {
		case err != nil:
			return err
		case may == refusedRight:
			r.addStep(Missing, "rights on "+name, "may not create: the server refuses it (403)")
			r.report.Refused = append(r.report.Refused, name)
		case r.granted[n.collection]: // its step is there already
		case may == provenRight && n.collection == "/sandboxes":
			r.addStep(Fine, "rights on "+name, "create")
		case may == provenRight:
			r.addStep(Fine, "rights on "+name, "read, create; update and delete were not checked")
			blind = true
		default:
			r.addStep(Unknown, "rights on "+name, "create, update and delete were not checked")
			r.report.Unchecked = append(r.report.Unchecked, "create in "+name)
			blind = true
		}
	}
	if blind {
		r.report.Unchecked = append(r.report.Unchecked, "update and delete")
	}
	return nil
}

// right is what a probe found out.
type right int

const (
	unknownRight right = iota
	provenRight
	refusedRight
)

// mayCreate probes a container, with the name of an object that is in it.
func (r *run) mayCreate(ctx context.Context, collection, first string) (right, error) {
	var err error
	switch {
	case collection == "/sandboxes":
		_, err = r.sync.Do(ctx, "PUT", collection+"/"+noSandbox, encodeJSON(map[string]any{"is_completed": true}))
	case first == "":
		return unknownRight, nil
	case collection == "/data" || collection == "/environments" || collection == "/roles":
		_, err = r.sync.Do(ctx, "POST", collection, newObject(collection, first))
	default: // their requests update what is there
		return unknownRight, nil
	}
	switch kind := chef.KindOf(err); {
	case err == nil && collection != "/sandboxes": // it went a moment ago, and goes again
		_, err := r.sync.Do(ctx, "DELETE", collection+"/"+first, nil)
		if err != nil && !hasKind(err, chef.KindAbsent) {
			return provenRight, r.wrapError(r.sync, "delete what a probe created, "+collection+"/"+first, err, "")
		}
		return provenRight, nil
	case kind == chef.KindPermission:
		return refusedRight, nil
	case kind == chef.KindExists, kind == chef.KindAbsent && collection == "/sandboxes":
		return provenRight, nil
	case kind == chef.KindInvalid, kind == chef.KindForeign, kind == chef.KindAbsent, err == nil:
		return unknownRight, nil
	}
	return unknownRight, r.wrapError(r.sync, "probe the right to create in "+collection, err, "")
}

// readOwnRights looks at the ACLs of the containers that an admin didn't show
// already, as far as the actor may read them: an admin of the organization may. What
// an ACL doesn't show may still come from a group in a group.
func (r *run) readOwnRights(ctx context.Context) error {
	if r.sync.Client().Orgless() {
		return nil
	}
	groups := map[string]bool{string(r.report.Actor) + "s": true}
	for _, n := range r.neededRights() {
		if r.granted[n.collection] {
			continue
		}
		answer, err := r.sync.Do(ctx, "GET", "/containers"+n.collection+"/_acl", nil)
		if hasKind(err, chef.KindPermission) {
			return nil // the others aren't shown either
		}
		if hasKind(err, chef.KindAbsent, chef.KindForeign) {
			continue
		}
		if err != nil {
			return r.wrapError(r.sync, "read the ACL of "+n.collection, err, "")
		}
		lists := map[string]ace{}
		if json.Unmarshal(answer.Body, &lists) != nil {
			continue
		}
		holds := func(perm string) bool {
			a := lists[perm]
			inGroup := func(g string) bool { return r.memberOf(ctx, groups, g) }
			return slices.Contains(a.Actors, r.Name) || slices.ContainsFunc(a.Groups, inGroup)
		}
		if !slices.ContainsFunc(n.perms, func(p string) bool { return !holds(p) }) {
			r.granted[n.collection] = true
			r.addStep(Fine, "rights on "+n.collection[1:], "%s", strings.Join(n.perms, ", "))
		}
	}
	return nil
}

// memberOf reports whether the actor is in a group, as far as it may see that.
func (r *run) memberOf(ctx context.Context, known map[string]bool, group string) bool {
	if in, ok := known[group]; ok {
		return in
	}
	var m members
	known[group] = false
	answer, err := r.sync.Do(ctx, "GET", "/groups/"+group, nil)
	if err == nil && json.Unmarshal(answer.Body, &m) == nil {
		known[group] = slices.Contains(r.ownList(&m), r.Name)
	}
	return known[group]
}

// firstOf names an object of a list, for a probe; any of environments is _default,
// which nobody deletes meanwhile.
func firstOf(collection string, body []byte) string {
	names := map[string]json.RawMessage{}
	if json.Unmarshal(body, &names) != nil || len(names) == 0 {
		return ""
	}
	if _, ok := names["_default"]; ok && collection == "/environments" {
		return "_default"
	}
	return slices.Min(slices.Collect(maps.Keys(names)))
}

// newObject is an object without content, which all servers take.
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
	return encodeJSON(body)
}

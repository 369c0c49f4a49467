package prepare

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	"chefsync/pkg/chef"
	"chefsync/pkg/replication"
)

// group is the group that gets rights which the default groups don't have.
const group = "chef-sync"

// need is what replication must be allowed on the container of a collection.
type need struct {
	collection string
	perms      []string
}

func (r *run) neededRights() []need {
	perms := []string{"read"}
	if r.Side == Replica {
		perms = []string{"create", "read", "update", "delete"}
	}
	var all []need
	for _, c := range r.collections() {
		all = append(all, need{c, perms})
	}
	if r.Side == Replica {
		all = append(all, need{"/sandboxes", []string{"create"}})
	}
	return all
}

// ace is the list of those who hold one permission.
type ace struct {
	Actors []string `json:"actors"`
	Groups []string `json:"groups"`
}

type members struct {
	Users   []string `json:"users"`
	Clients []string `json:"clients"`
	Groups  []string `json:"groups"`
}

// haveRights makes sure that the groups of the actor hold what is needed, and
// else gives it through a group of its own (docs/chef-server-api.md §8.3).
func (r *run) haveRights(ctx context.Context) error {
	if r.caller == nil || r.report.Actor == "" || r.caller.Client().Orgless() {
		return nil
	}
	r.groups[string(r.report.Actor)+"s"] = true
	if err := r.findGroups(ctx); err != nil {
		return err
	}
	if r.Admin && !r.groups["admins"] {
		if err := r.joinGroup(ctx, "admins"); err != nil {
			return err
		}
	}
	changed := false
	for _, n := range r.neededRights() {
		did, err := r.haveACL(ctx, "/containers"+n.collection+"/_acl", "rights on "+n.collection[1:], n.perms)
		if hasKind(err, chef.KindAbsent) && isOptional(n.collection) {
			continue // the proof says that the server doesn't have it
		}
		if err != nil {
			return err
		}
		changed = changed || did
	}
	if changed || r.groups[group] {
		return r.haveObjectRights(ctx)
	}
	return nil
}

// findGroups learns which of the groups that matter the actor is in.
func (r *run) findGroups(ctx context.Context) error {
	for _, g := range []string{"admins", group} {
		m, err := r.readMembers(ctx, g)
		if hasKind(err, chef.KindAbsent, chef.KindPermission) {
			continue
		}
		if err != nil {
			return r.wrapError(r.caller, "read the group "+g, err, "")
		}
		if slices.Contains(r.ownList(&m), r.Name) {
			r.groups[g] = true
			r.addStep(Fine, "group "+g, "%s is in it", r.Name)
		}
	}
	return nil
}

func (r *run) readMembers(ctx context.Context, g string) (members, error) {
	answer, err := r.caller.Do(ctx, "GET", "/groups/"+g, nil)
	if err != nil {
		return members{}, err
	}
	var m members
	return m, json.Unmarshal(answer.Body, &m)
}

// ownList returns the list of a group that the actor belongs on.
func (r *run) ownList(m *members) []string {
	if r.report.Actor == Client {
		return m.Clients
	}
	return m.Users
}

// joinGroup puts the actor into a group, which is made if need be. A PUT replaces
// whole lists, so all members are sent again, hidden groups too; servers drop
// unknown names silently, so the group is read back (docs/chef-server-api.md §7.3, §13).
func (r *run) joinGroup(ctx context.Context, g string) error {
	if r.groups[g] {
		return nil
	}
	if !r.mayChange("group "+g, "%s isn't in it", r.Name) {
		return nil
	}
	m, err := r.readMembers(ctx, g)
	if hasKind(err, chef.KindAbsent) {
		_, err = r.caller.Do(ctx, "POST", "/groups", encodeJSON(map[string]string{"groupname": g}))
		if err != nil && !hasKind(err, chef.KindExists) {
			return r.wrapError(r.caller, "create the group "+g, err, "")
		}
		m, err = r.readMembers(ctx, g)
	}
	if err != nil {
		return r.wrapError(r.caller, "read the group "+g, err, "")
	}
	if g == "admins" && len(m.Users)+len(m.Clients)+len(m.Groups) == 0 {
		// An authorization service that times out shows as an empty group
		// (docs/chef-server-api.md §10, gotcha 1): written back, it locks all admins out.
		return &replication.Error{Op: "add " + r.Name + " to the group " + g, Server: r.report.Server, Class: replication.Transient,
			Hint: "run this again; if it goes on, look at the group with knife group show admins",
			Err:  fmt.Errorf("organization %s: the server shows the group without any member, which can't be true", r.Org)}
	}
	if !slices.Contains(r.ownList(&m), r.Name) {
		list := &m.Users
		if r.report.Actor == Client {
			list = &m.Clients
		}
		*list = append(*list, r.Name)
		full := map[string][]string{"users": orEmpty(m.Users), "clients": orEmpty(m.Clients), "groups": orEmpty(m.Groups)}
		if _, err := r.caller.Do(ctx, "PUT", "/groups/"+g, encodeJSON(map[string]any{"groupname": g, "actors": full})); err != nil {
			return r.wrapError(r.caller, "add "+r.Name+" to the group "+g, err, "")
		}
		if m, err = r.readMembers(ctx, g); err != nil {
			return r.wrapError(r.caller, "read the group "+g+" back", err, "")
		}
		if !slices.Contains(r.ownList(&m), r.Name) {
			return r.wrapError(r.caller, "read the group "+g+" back", fmt.Errorf("%s isn't in it after adding it", r.Name),
				"run this again; another program may have written the group at the same time")
		}
		r.addStep(Done, "group "+g, "%s was added", r.Name)
	}
	r.groups[g] = true
	return nil
}

// haveACL makes sure that the actor holds permissions on an object, itself or
// by a group, and gives what lacks to our own group.
func (r *run) haveACL(ctx context.Context, path, what string, perms []string) (changed bool, err error) {
	lists, err := r.readACL(ctx, path)
	if hasKind(err, chef.KindPermission) {
		r.addStep(Unknown, what, "%s may not read the ACL", r.caller.Client().User())
		return false, nil
	}
	if err != nil {
		return false, r.wrapError(r.caller, "read "+path, err, "")
	}
	var lacking []string
	for _, p := range perms {
		if _, ok := lists[p]; !ok { // written back, it would take the permission from all who have it
			return false, r.wrapError(r.caller, "read "+path, fmt.Errorf("the answer isn't an ACL: it lacks %s", p), "run this again")
		}
		if !r.isListed(lists[p]) {
			lacking = append(lacking, p)
		}
	}
	if len(lacking) == 0 {
		if collection, ok := strings.CutPrefix(path, "/containers"); ok {
			r.granted[strings.TrimSuffix(collection, "/_acl")] = true
			r.addStep(Fine, what, "%s", strings.Join(perms, ", "))
		}
		return false, nil
	}
	if !r.mayChange(what, "lacks %s", strings.Join(lacking, ", ")) {
		return false, nil
	}
	if err := r.joinGroup(ctx, group); err != nil {
		return false, err
	}
	for _, p := range lacking {
		a := lists[p]
		if r.isListed(a) {
			continue // the group, which was only just joined, had it
		}
		a.Groups, a.Actors = append(a.Groups, group), orEmpty(a.Actors)
		if _, err := r.caller.Do(ctx, "PUT", path+"/"+p, encodeJSON(map[string]ace{p: a})); err != nil {
			return true, r.wrapError(r.caller, "grant "+p+" in "+path, err, "")
		}
	}
	if lists, err = r.readACL(ctx, path); err != nil {
		return true, r.wrapError(r.caller, "read "+path+" back", err, "")
	}
	for _, p := range lacking {
		if !r.isListed(lists[p]) {
			return true, r.wrapError(r.caller, "read "+path+" back", fmt.Errorf("%s isn't granted after granting it", p), "run this again")
		}
	}
	r.addStep(Done, what, "granted %s to the group %s", strings.Join(lacking, ", "), group)
	return true, nil
}

func (r *run) readACL(ctx context.Context, path string) (map[string]ace, error) {
	answer, err := r.caller.Do(ctx, "GET", path, nil)
	if err != nil {
		return nil, err
	}
	lists := map[string]ace{}
	return lists, json.Unmarshal(answer.Body, &lists)
}

// isListed reports whether the actor, or a group that it is in, is on a list.
func (r *run) isListed(a ace) bool {
	return slices.Contains(a.Actors, r.Name) || slices.ContainsFunc(a.Groups, func(g string) bool { return r.groups[g] })
}

// haveObjectRights gives our group its rights on objects that exist already:
// they keep the ACL that their container had when they were made
// (docs/chef-server-api.md §7.6).
func (r *run) haveObjectRights(ctx context.Context) error {
	perms := []string{"read"}
	if r.Side == Replica {
		perms = []string{"read", "update", "delete"}
	}
	for _, collection := range r.collections() {
		answer, err := r.caller.Do(ctx, "GET", collection, nil)
		if hasKind(err, chef.KindForeign) && isOptional(collection) {
			continue
		}
		if err != nil {
			return r.wrapError(r.caller, "list "+collection, err, "")
		}
		names := map[string]json.RawMessage{}
		if err := json.Unmarshal(answer.Body, &names); err != nil {
			return r.wrapError(r.caller, "list "+collection, fmt.Errorf("the answer isn't a list: %w", err), "")
		}
		for _, name := range slices.Sorted(maps.Keys(names)) {
			path := collection + "/" + name
			if path == "/environments/_default" {
				continue // can't be written anyway
			}
			if _, err := r.haveACL(ctx, path+"/_acl", "rights on "+path, perms); err != nil {
				return err
			}
		}
	}
	return nil
}

func orEmpty(s []string) []string {
	if s == nil {
		return []string{}
	}
	return s
}

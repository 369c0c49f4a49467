package prepare

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	"chefsync/pkg/chef"
	"chefsync/pkg/fault"
)

// rightsGroup is the group that gets the rights that the default groups don't have.
const rightsGroup = "chef-sync"

// requiredRight is the permissions that replication needs on the container of a collection.
type requiredRight struct {
	collection string
	perms      []string
}

func (r *runner) requiredRights() []requiredRight {
	perms := []string{"read"}
	if r.Side == Replica {
		perms = []string{"create", "read", "update", "delete"}
	}
	var all []requiredRight
	for _, c := range r.replicatedCollections() {
		all = append(all, requiredRight{c, perms})
	}
	if r.Side == Replica {
		all = append(all, requiredRight{"/sandboxes", []string{"create"}})
	}
	return all
}

// ace lists the actors and groups that have one permission. A Chef Server lists users and
// clients apart when asked, and then no actors: a user and a client may have the same name,
// and it refuses a list of actors with such a name (docs/chef-server-api.md §7.6).
type ace struct {
	Actors  []string  `json:"actors"`
	Users   *[]string `json:"users,omitempty"`
	Clients *[]string `json:"clients,omitempty"`
	Groups  []string  `json:"groups"`
}

// actorsOf returns the actors that have a permission and are of a type, or of any if the
// server doesn't list them apart.
func (a ace) actorsOf(t Actor) []string {
	switch {
	case t == User && a.Users != nil:
		return *a.Users
	case t == Client && a.Clients != nil:
		return *a.Clients
	}
	return a.Actors
}

type groupMembers struct {
	Users   []string `json:"users"`
	Clients []string `json:"clients"`
	Groups  []string `json:"groups"`
}

// ensureAccess ensures the rights and verifies them. The actor counts as a member of the
// default group of its type, although it may have lost that: each user is in the group users
// by a hidden group, and a program that writes the group without these takes the rights from
// users who still belong to the organization (docs/chef-server-api.md §7.2, §13). If the
// server refuses what the group allows, the actor gets rights of its own.
func (r *runner) ensureAccess(ctx context.Context) error {
	before := len(r.report.Steps)
	if err := r.ensureRights(ctx); err != nil {
		return err
	}
	err := r.verifyAccess(ctx)
	if r.Check || r.caller == nil || !hasKind(err, chef.KindPermission) {
		return err
	}
	done := slices.DeleteFunc(slices.Clone(r.report.Steps[before:]), func(s Step) bool { return s.State != Done })
	r.report.Ready, r.report.Steps = true, append(r.report.Steps[:before], done...)
	r.outsider, r.groups, r.granted = true, map[string]bool{}, map[string]bool{}
	if err := r.ensureRights(ctx); err != nil {
		return err
	}
	return r.verifyAccess(ctx)
}

// ensureRights checks that the groups of the actor have the required rights, and grants
// missing ones to a separate group (docs/chef-server-api.md §8.3).
func (r *runner) ensureRights(ctx context.Context) error {
	if r.caller == nil || r.report.Actor == "" || r.caller.Client().Orgless() {
		return nil
	}
	if !r.outsider {
		r.groups[r.defaultGroup()] = true
	}
	if err := r.findGroups(ctx); err != nil {
		return err
	}
	if r.Admin && !r.groups["admins"] {
		if err := r.joinGroup(ctx, "admins"); err != nil {
			return err
		}
	}
	changed := false
	for _, n := range r.requiredRights() {
		granted, err := r.ensureACL(ctx, "/containers"+n.collection+"/_acl", rightsOn(n.collection), n.perms)
		if hasKind(err, chef.KindAbsent) && isOptional(n.collection) {
			continue // verifyAccess reports that the server doesn't have it
		}
		if err != nil {
			return err
		}
		changed = changed || granted
	}
	if changed || r.groups[rightsGroup] {
		return r.ensureObjectRights(ctx)
	}
	return nil
}

// defaultGroup is the group to which a server adds all actors of the actor's type.
func (r *runner) defaultGroup() string { return string(r.report.Actor) + "s" }

// findGroups records which of the groups admins and rightsGroup the actor is in.
func (r *runner) findGroups(ctx context.Context) error {
	for _, g := range []string{"admins", rightsGroup} {
		m, err := readGroup(ctx, r.caller, g)
		if hasKind(err, chef.KindAbsent, chef.KindPermission) {
			continue
		}
		if err != nil {
			return r.wrapError(r.caller, "read the group "+g, err, "")
		}
		if slices.Contains(*r.actorList(&m), r.Name) {
			r.groups[g] = true
			r.addStep(Fine, "group "+g, "%s is a member", r.Name)
		}
	}
	return nil
}

// readGroup reads a group. Its lists aren't nil, so that it can be written back.
func readGroup(ctx context.Context, who *chef.Org, g string) (groupMembers, error) {
	m, err := getJSON[groupMembers](ctx, who, "/groups/"+g)
	m.Users, m.Clients, m.Groups = append([]string{}, m.Users...), append([]string{}, m.Clients...), append([]string{}, m.Groups...)
	return m, err
}

// actorList returns the list of a group that contains actors of the actor's type.
func (r *runner) actorList(m *groupMembers) *[]string {
	if r.report.Actor == Client {
		return &m.Clients
	}
	return &m.Users
}

// joinGroup adds the actor to a group, and creates the group if necessary. A PUT replaces
// the lists, so it sends all members, including hidden groups; servers silently ignore
// unknown names, so the group is read back (docs/chef-server-api.md §7.3, §13).
func (r *runner) joinGroup(ctx context.Context, g string) error {
	if r.groups[g] {
		return nil
	}
	if !r.canRepair("group "+g, "%s isn't a member", r.Name) {
		return nil
	}
	m, err := readGroup(ctx, r.caller, g)
	if hasKind(err, chef.KindAbsent) {
		if _, err := r.caller.Do(ctx, "POST", "/groups", mustEncode(map[string]string{"groupname": g})); err != nil &&
			!hasKind(err, chef.KindExists) {
			return r.wrapError(r.caller, "create the group "+g, err, "")
		}
		m, err = readGroup(ctx, r.caller, g)
	}
	if err != nil {
		return r.wrapError(r.caller, "read the group "+g, err, "")
	}
	if g == "admins" && len(m.Users)+len(m.Clients)+len(m.Groups) == 0 {
		// If its authorization service times out, a server returns an empty group
		// (docs/chef-server-api.md §10, gotcha 1): writing it back would lock out all
		// admins.
		return &fault.Error{Op: "add " + r.Name + " to the group " + g, Server: r.report.Server, Class: fault.Transient,
			Hint: "run this again; if it happens again, check the group with: knife group show admins",
			Err:  fmt.Errorf("organization %s: the server shows the group without any members, which can't be right", r.Org)}
	}
	if list := r.actorList(&m); !slices.Contains(*list, r.Name) {
		*list = append(*list, r.Name)
		full := map[string][]string{"users": m.Users, "clients": m.Clients, "groups": m.Groups}
		if _, err := r.caller.Do(ctx, "PUT", "/groups/"+g, mustEncode(map[string]any{"groupname": g, "actors": full})); err != nil {
			return r.wrapError(r.caller, "add "+r.Name+" to the group "+g, err, "")
		}
		if m, err = readGroup(ctx, r.caller, g); err != nil {
			return r.wrapError(r.caller, "read the group "+g+" back", err, "")
		}
		if !slices.Contains(*r.actorList(&m), r.Name) {
			return r.wrapError(r.caller, "read the group "+g+" back", fmt.Errorf("%s isn't a member after it was added", r.Name),
				"run this again; another program may have written the group at the same time")
		}
		r.addStep(Done, "group "+g, "%s was added", r.Name)
	}
	r.groups[g] = true
	return nil
}

// ensureACL checks that the actor has permissions on an object, directly or through a
// group, and grants missing ones to rightsGroup.
func (r *runner) ensureACL(ctx context.Context, path, what string, perms []string) (changed bool, err error) {
	acl, err := readACL(ctx, r.caller, path)
	if hasKind(err, chef.KindPermission) {
		r.addStep(Unknown, what, "%s may not read the ACL", r.caller.Client().User())
		return false, nil
	}
	if err != nil {
		return false, r.wrapError(r.caller, "read "+path, err, "")
	}
	for _, p := range perms {
		if _, ok := acl[p]; !ok { // writing it back would revoke the permission from all who have it
			return false, r.wrapError(r.caller, "read "+path, fmt.Errorf("the answer isn't an ACL: it lacks %s", p), "run this again")
		}
	}
	inGroup := func(g string) bool { return r.groups[g] }
	lacking := r.lackingPerms(acl, perms, inGroup)
	collection, isContainer := strings.CutPrefix(strings.TrimSuffix(path, "/_acl"), "/containers")
	if len(lacking) == 0 {
		if isContainer {
			r.addGranted(collection, perms)
		}
		return false, nil
	}
	if !r.canRepair(what, "lacks %s", strings.Join(lacking, ", ")) {
		return false, nil
	}
	if err := r.joinGroup(ctx, rightsGroup); err != nil {
		return false, err
	}
	for _, p := range r.lackingPerms(acl, lacking, inGroup) { // without what the group has that the actor has joined
		a := acl[p]
		a.Groups, a.Actors = append(a.Groups, rightsGroup), append([]string{}, a.Actors...)
		if _, err := r.caller.Do(ctx, "PUT", path+"/"+p, mustEncode(map[string]ace{p: a})); err != nil {
			return true, r.wrapError(r.caller, "grant "+p+" in "+path, err, "")
		}
	}
	if acl, err = readACL(ctx, r.caller, path); err != nil {
		return true, r.wrapError(r.caller, "read "+path+" back", err, "")
	}
	if still := r.lackingPerms(acl, lacking, inGroup); len(still) > 0 {
		return true, r.wrapError(r.caller, "read "+path+" back",
			fmt.Errorf("%s isn't granted after it was added", strings.Join(still, ", ")), "run this again")
	}
	if isContainer {
		r.granted[collection] = true
	}
	r.addStep(Done, what, "granted %s to the group %s", strings.Join(lacking, ", "), rightsGroup)
	return true, nil
}

// readACL reads an ACL, with users and clients apart if the server tells them apart. If it was
// written as a list of actors, chef-zero then shows none at all, and to write that back would
// revoke their rights.
func readACL(ctx context.Context, who *chef.Org, path string) (map[string]ace, error) {
	acl, err := getJSON[map[string]ace](ctx, who, path+"?detail=granular")
	for _, a := range acl {
		if len(a.Actors) == 0 && a.Users == nil {
			return getJSON[map[string]ace](ctx, who, path)
		}
	}
	return acl, err
}

// lackingPerms returns the permissions that an ACL gives the actor neither directly nor
// through a group.
func (r *runner) lackingPerms(acl map[string]ace, perms []string, inGroup func(g string) bool) (lacking []string) {
	for _, p := range perms {
		if !slices.Contains(acl[p].actorsOf(r.report.Actor), r.Name) && !slices.ContainsFunc(acl[p].Groups, inGroup) {
			lacking = append(lacking, p)
		}
	}
	return lacking
}

// addGranted records that the actor has all required rights on a collection.
func (r *runner) addGranted(collection string, perms []string) {
	r.granted[collection] = true
	r.addStep(Fine, rightsOn(collection), "%s", strings.Join(perms, ", "))
}

// rightsOn names a step about the rights on a collection, in the words of the configuration.
func rightsOn(collection string) string {
	if collection == "/data" {
		collection = "/data_bags"
	}
	return "rights on " + strings.ReplaceAll(collection[1:], "_", " ")
}

// ensureObjectRights grants rightsGroup its rights on existing objects: they keep the ACL
// that their container had when they were created (docs/chef-server-api.md §7.6).
func (r *runner) ensureObjectRights(ctx context.Context) error {
	perms := []string{"read"}
	if r.Side == Replica {
		perms = []string{"read", "update", "delete"}
	}
	for _, collection := range r.replicatedCollections() {
		names, err := getJSON[map[string]json.RawMessage](ctx, r.caller, collection)
		if hasKind(err, chef.KindForeign) && isOptional(collection) {
			continue
		}
		if err != nil {
			return r.wrapError(r.caller, "list "+collection, err, "")
		}
		for _, name := range slices.Sorted(maps.Keys(names)) {
			path := collection + "/" + name
			if path == "/environments/_default" {
				continue // can't be written
			}
			_, err := r.ensureACL(ctx, path+"/_acl", "rights on "+path, perms)
			if hasKind(err, chef.KindAbsent) { // somebody has deleted it since it was listed
				continue
			}
			if err != nil {
				return err
			}
		}
	}
	return nil
}

package prepare

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"maps"
	"slices"

	"chefsync/pkg/chef"
)

// emptyMD5 is the checksum of an empty file.
const emptyMD5 = "d41d8cd98f00b204e9800998ecf8427e"

// verifyAccess signs as the actor and does what replication does: it reads each
// collection and, on a replica, opens a sandbox and creates and deletes test objects;
// a check only probes writing. Chef Servers have no request that returns the rights of
// the caller (docs/chef-server-api.md §7.4).
func (r *runner) verifyAccess(ctx context.Context) error {
	if r.sync == nil || r.report.Actor == "" && !r.sync.Client().Orgless() || !r.report.Ready {
		return nil
	}
	first := map[string]string{} // name of an object by collection
	for _, path := range r.replicatedCollections() {
		names, err := getJSON[map[string]json.RawMessage](ctx, r.sync, path)
		switch {
		case hasKind(err, chef.KindForeign) && isOptional(path):
			r.addStep(Unknown, "proof: read "+path, "the server does not serve it")
		case err != nil:
			return r.addRefusal("read "+path, path, err)
		default:
			r.addStep(Fine, "proof: read "+path, "")
			first[path] = firstName(path, names)
		}
	}
	switch {
	case r.Side == Primary:
		return nil
	case r.Check:
		return r.probeWrites(ctx, first)
	}
	if _, err := r.sync.Do(ctx, "POST", "/sandboxes", mustEncode(map[string]any{"checksums": map[string]any{emptyMD5: nil}})); err != nil {
		return r.addRefusal("open a sandbox", "/sandboxes", err)
	}
	r.addStep(Fine, "proof: open a sandbox", "")
	name := r.probeName()
	for _, collection := range []string{"/data", "/environments", "/roles"} {
		if err := r.verifyWrite(ctx, collection, name, newObject(collection, name)); err != nil {
			return err
		}
	}
	return nil
}

// probeName returns the name of test objects. It is the same in each run, so that a run deletes
// what an interrupted one left.
func (r *runner) probeName() string {
	sum := sha256.Sum256([]byte(r.Org + "/" + r.Name))
	return "chef-sync-probe-" + hex.EncodeToString(sum[:4])
}

func (r *runner) verifyWrite(ctx context.Context, collection, name string, body []byte) error {
	what := "create and delete in " + collection
	if _, err := r.sync.Do(ctx, "POST", collection, body); err != nil && !hasKind(err, chef.KindExists) {
		return r.addRefusal(what, collection, err)
	}
	if _, err := r.sync.Do(ctx, "DELETE", collection+"/"+name, nil); err != nil && !hasKind(err, chef.KindAbsent) {
		return r.addRefusal(what, collection, err)
	}
	r.addStep(Fine, "proof: "+what, "")
	return nil
}

// addRefusal adds a step for a request on a collection that failed, and returns its error.
func (r *runner) addRefusal(what, collection string, err error) error {
	r.addStep(Failed, "proof: "+what, "%v", err)
	hint := ""
	switch {
	case !hasKind(err, chef.KindPermission):
	case r.outsider && r.granted[collection]: // the ACL grants it, and the server refuses it all the same
		hint = "run this again with --org-admin"
	default:
		hint = "run prepare-org with the key of an admin of organization " + r.Org + ", so that it can add the rights"
	}
	return r.wrapError(r.sync, what, err, hint)
}

// listActors adds the groups, organizations and actors to the report, as the previous
// product printed them. Lists that can't be read stay empty.
func (r *runner) listActors(ctx context.Context) error {
	r.report.Groups = append(r.report.Groups, slices.Sorted(maps.Keys(r.groups))...)
	if r.report.Actor == Client {
		r.report.Organizations = append(r.report.Organizations, r.Org)
	}
	if r.report.Actor == User && r.sync != nil {
		type membership struct {
			Org struct {
				Name string `json:"name"`
			} `json:"organization"`
		}
		orgs, _ := getJSON[[]membership](ctx, r.sync.Client(), "/users/"+r.Name+"/organizations")
		for _, o := range orgs {
			r.report.Organizations = append(r.report.Organizations, o.Org.Name)
		}
	}
	if r.caller == nil || r.caller.Client().Orgless() {
		return nil
	}
	type member struct {
		User struct {
			Name string `json:"username"`
		} `json:"user"`
	}
	users, _ := getJSON[[]member](ctx, r.caller, "/users")
	for _, u := range users {
		r.report.Actors = append(r.report.Actors, "user "+u.User.Name)
	}
	clients, _ := getJSON[map[string]json.RawMessage](ctx, r.caller, "/clients")
	for _, name := range slices.Sorted(maps.Keys(clients)) {
		r.report.Actors = append(r.report.Actors, "client "+name)
	}
	return nil
}

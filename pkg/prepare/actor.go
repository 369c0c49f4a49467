package prepare

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"

	"chefsync/pkg/chef"
)

// principal is a user or client
// (docs/chef-server-api.md §7.4).
type principal struct {
	Name      string `json:"name"`
	Type      Actor  `json:"type"`
	PublicKey string `json:"public_key"`
	Member    bool   `json:"org_member"`
}

// findPrincipals returns the user and the client with the actor's name.
func (r *runner) findPrincipals(ctx context.Context, who *chef.Org) ([]principal, error) {
	answer, err := who.Do(ctx, "GET", "/principals/"+r.Name, nil)
	if hasKind(err, chef.KindAbsent) {
		return nil, nil
	}
	if err != nil {
		return nil, r.wrapError(who, "look for "+r.Name, err, "")
	}
	var list struct {
		Principals []principal `json:"principals"`
	}
	if err := json.Unmarshal(answer.Body, &list); err == nil && list.Principals != nil {
		return list.Principals, nil
	}
	var one principal // API version 0
	if err := json.Unmarshal(answer.Body, &one); err != nil || one.Type == "" {
		return nil, r.wrapError(who, "look for "+r.Name, errors.New("the answer isn't a list of principals"), "")
	}
	return []principal{one}, nil
}

// ensureActor finds or creates the user or client that owns the key.
func (r *runner) ensureActor(ctx context.Context) error {
	who := r.asker()
	if who.Client().Orgless() {
		return nil
	}
	found, err := r.findPrincipals(ctx, who)
	if err != nil {
		return err
	}
	chosen, ok := r.choosePrincipal(found)
	if !ok {
		return r.createActor(ctx)
	}
	r.report.Actor = chosen.Type
	what := string(chosen.Type) + " " + r.Name
	if r.key == nil {
		r.addStep(Fine, what, "exists; without the private key, it can't be determined whether they match")
		return nil
	}
	if samePublic(r.key, chosen.PublicKey) {
		r.addStep(Fine, what, "owns the key")
		return nil
	}
	return r.ensureFurtherKey(ctx, what)
}

// choosePrincipal returns the principal of the configured type; of two, the one that
// owns the key, or else the user.
func (r *runner) choosePrincipal(found []principal) (principal, bool) {
	var best principal
	for _, p := range found {
		if r.Actor != Auto && p.Type != r.Actor {
			continue
		}
		if r.key != nil && samePublic(r.key, p.PublicKey) {
			return p, true
		}
		if best.Type == "" || p.Type == User {
			best = p
		}
	}
	return best, best.Type != ""
}

// ensureFurtherKey checks whether the server accepts requests of the actor that are
// signed with the key, which may be one of several, and adds the key if not. The
// existing keys stay valid.
func (r *runner) ensureFurtherKey(ctx context.Context, what string) error {
	own := "/users/" + r.Name
	if r.report.Actor == Client {
		own = "/organizations/" + r.Org + "/clients/" + r.Name
	}
	_, err := r.sync.Client().Do(ctx, "GET", own, nil)
	switch {
	case err == nil || hasKind(err, chef.KindPermission): // a request that lacks rights has a valid signature
		r.addStep(Fine, what, "owns the key, in addition to another")
		return nil
	case !hasKind(err, chef.KindKey):
		return r.wrapError(r.sync, "sign in", err, "")
	case !r.canRepair(what, "exists, but doesn't own the key %s", r.Key.Where()):
		return nil
	}
	sum := sha256.Sum256([]byte(publicPEM(r.key)))
	body := mustEncode(map[string]any{"name": "chef-sync-" + hex.EncodeToString(sum[:4]), "public_key": publicPEM(r.key),
		"expiration_date": "infinity"})
	_, err = r.caller.Client().Do(ctx, "POST", own+"/keys", body)
	switch err = ignoreLostAnswer(err); {
	case hasKind(err, chef.KindExists):
		return r.wrapError(r.caller, "add the key to "+what, err,
			"this key was added before but isn't valid: check its expiration date with knife "+string(r.report.Actor)+" key list "+r.Name)
	case err != nil:
		hint := "put the private key of " + what + " into " + r.Key.Where() + ", or use a superuser's key"
		if r.Actor == Auto && r.report.Actor == User {
			hint += "; or add --actor client, for a client of this organization with the same name"
		}
		return r.wrapError(r.caller, "add the key to "+what, err, hint)
	}
	r.addStep(Done, what, "exists; the key was added to it")
	return nil
}

// createActor creates the user, or a client if the caller may not create users.
func (r *runner) createActor(ctx context.Context) error {
	if r.Actor == Auto {
		r.report.Actor = ""
	}
	if !r.canRepair("user or client "+r.Name, "does not exist") {
		return nil
	}
	if r.Actor != Client {
		err := r.createUser(ctx)
		if err == nil || !hasKind(err, chef.KindPermission) || r.Actor == User {
			return err
		}
		// Only a superuser may create users; an admin of the organization may create a
		// client (docs/chef-server-api.md §7.5).
	}
	return r.createClient(ctx)
}

func (r *runner) createUser(ctx context.Context) error {
	body := mustEncode(map[string]any{
		"username": r.Name, "display_name": "Chef Replication", "first_name": "Chef", "last_name": "Replication",
		"email": r.Name + "@chef-sync.invalid", "password": rand.Text(), // not used to sign in
		"public_key": publicPEM(r.key),
	})
	_, err := r.caller.Client().Do(ctx, "POST", "/users", body)
	if err = ignoreLostAnswer(err); err != nil {
		return r.wrapError(r.caller, "create the user "+r.Name, err, "")
	}
	r.report.Actor = User
	r.addStep(Done, "user "+r.Name, "created")
	return nil
}

func (r *runner) createClient(ctx context.Context) error {
	_, err := r.caller.Do(ctx, "POST", "/clients", mustEncode(map[string]any{"name": r.Name, "public_key": publicPEM(r.key)}))
	if err = ignoreLostAnswer(err); err != nil {
		return r.wrapError(r.caller, "create the client "+r.Name, err, "")
	}
	r.report.Actor = Client
	r.addStep(Done, "client "+r.Name, "created")
	return nil
}

// ignoreLostAnswer returns the error of a create, or nil if the answer was lost and the
// retry found an object of the name: presumably this request created it, and
// verifyAccess fails otherwise.
func ignoreLostAnswer(err error) error {
	var e *chef.Error
	if errors.As(err, &e) && e.Kind == chef.KindExists && e.Unsure {
		return nil
	}
	return err
}

// ensureMembership associates a user with the organization: directly with a
// superuser's key, or else by an invitation that the user accepts with its own key
// (docs/chef-server-api.md §7.2). Clients always belong to their organization.
func (r *runner) ensureMembership(ctx context.Context) error {
	if r.report.Actor != User || r.caller == nil {
		return nil
	}
	what := "member of " + r.Org
	_, err := r.caller.Do(ctx, "GET", "/users/"+r.Name, nil)
	switch {
	case err == nil:
		r.addStep(Fine, what, "")
		return nil
	case !hasKind(err, chef.KindAbsent):
		return r.wrapError(r.caller, "look for the membership of "+r.Name, err, "")
	case !r.canRepair(what, "%s isn't associated with the organization", r.Name):
		return nil
	}
	_, err = r.caller.Do(ctx, "POST", "/users", mustEncode(map[string]string{"username": r.Name}))
	switch {
	case err == nil || hasKind(err, chef.KindExists):
		r.addStep(Done, what, "associated")
		return nil
	case !hasKind(err, chef.KindPermission):
		return r.wrapError(r.caller, "associate "+r.Name, err, "")
	}
	return r.inviteUser(ctx, what)
}

func (r *runner) inviteUser(ctx context.Context, what string) error {
	_, err := r.caller.Do(ctx, "POST", "/association_requests", mustEncode(map[string]string{"user": r.Name}))
	if err != nil && !hasKind(err, chef.KindExists) {
		return r.wrapError(r.caller, "invite "+r.Name, err, "")
	}
	requests := "/users/" + r.Name + "/association_requests"
	type invitation struct {
		ID  string `json:"id"`
		Org string `json:"orgname"`
	}
	open, err := getJSON[[]invitation](ctx, r.sync.Client(), requests)
	if err != nil {
		return r.wrapError(r.sync, "look for the invitation", err, "")
	}
	for _, o := range open {
		if o.Org != r.Org {
			continue
		}
		if _, err := r.sync.Client().Do(ctx, "PUT", requests+"/"+lastSegment(o.ID),
			mustEncode(map[string]string{"response": "accept"})); err != nil {
			return r.wrapError(r.sync, "accept the invitation", err, "run this again; the invitation is still open")
		}
		r.addStep(Done, what, "invited, and the invitation accepted")
		return nil
	}
	return r.wrapError(r.sync, "accept the invitation", errors.New("the invitation doesn't exist"), "run this again")
}

func mustEncode(v any) []byte {
	b, err := json.Marshal(v)
	if err != nil {
		return nil // maps of strings and lists always encode
	}
	return b
}

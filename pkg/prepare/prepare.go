// Package prepare makes an organization of a Chef Server ready for replication:
// it ensures a key pair, a user or API client that owns it, membership in the
// organization, and rights, and verifies them with requests (docs/chef-server-api.md
// §7, §8). It doesn't change what is already in place, so a second run changes nothing.
package prepare

import (
	"context"
	"crypto/rsa"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"slices"
	"strings"

	"chefsync/pkg/chef"
	"chefsync/pkg/fault"
	"chefsync/pkg/object"
)

// Side is the side of replication that the organization is on.
type Side string

// The sides.
const (
	Primary Side = "primary" // is read
	Replica Side = "replica" // is written
)

// Actor is the type of the principal that signs the requests of replication.
type Actor string

// The actors. Auto uses the one that exists, or else creates a user if the caller is
// allowed to, or else a client.
const (
	Auto   Actor = ""
	User   Actor = "user"
	Client Actor = "client"
)

// ParseActor returns the actor of a name; both "auto" and "" are Auto.
func ParseActor(s string) (Actor, error) {
	switch s {
	case "", "auto":
		return Auto, nil
	case string(User), string(Client):
		return Actor(s), nil
	}
	return "", fmt.Errorf("%q is not an actor: expected auto, user or client", s)
}

// Options configure Run.
type Options struct {
	Org   string
	Side  Side
	Name  string // of the user or client that signs the requests of replication
	Actor Actor
	// Admin adds the actor to the group admins, as the previous product did.
	Admin bool
	// Kinds are the replicated kinds besides the default ones.
	Kinds []object.Kind
	// Check reports the state without changing anything.
	Check bool
	// Caller signs as a superuser or as an admin of the organization. It may be nil for
	// a Check of the actor's rights.
	Caller *chef.Client
	Key    KeyStore
	// Connect returns a client that signs as the actor.
	Connect func(*rsa.PrivateKey) (*chef.Client, error)
}

// replicatedCollections returns the paths of the replicated kinds below the organization.
func (o Options) replicatedCollections() []string {
	var all []string
	for _, k := range append(object.DefaultKinds(), o.Kinds...) {
		all = append(all, object.Ref{Kind: k}.Path())
	}
	slices.Sort(all)
	return slices.Compact(all)
}

// isOptional reports whether a server may have neither a collection nor its container:
// those of Policyfiles (docs/chef-server-api.md §5.2, §8.1).
func isOptional(collection string) bool {
	return !slices.Contains(Options{}.replicatedCollections(), collection)
}

// State is the result of a step.
type State string

// The states of a step.
const (
	Fine    State = "ok"      // was in place
	Done    State = "done"    // was missing and is in place now
	Missing State = "missing" // is missing and was not created
	Failed  State = "failed"  // a verification failed
	Unknown State = "unknown" // could not be determined
)

// Step is one thing that was checked or changed.
type Step struct {
	What   string `json:"what"`
	State  State  `json:"state"`
	Detail string `json:"detail,omitempty"`
}

// Report is the result of Run.
type Report struct {
	Organization  string   `json:"organization"`
	Side          Side     `json:"side"`
	Server        string   `json:"server"`
	Caller        string   `json:"caller,omitempty"`
	Name          string   `json:"name"`
	Actor         Actor    `json:"actor,omitempty"`
	Key           string   `json:"key"` // where it is kept
	Ready         bool     `json:"ready"`
	Changed       bool     `json:"changed"`
	Steps         []Step   `json:"steps"`
	Groups        []string `json:"groups"`        // that the actor belongs to
	Organizations []string `json:"organizations"` // that the actor belongs to
	Actors        []string `json:"actors"`        // users and clients of the organization
	// Refused are the containers of a replica in which the actor may not create
	// objects, Unchecked the rights there that could not be checked. Only a check sets
	// them.
	Refused   []string `json:"refused,omitempty"`
	Unchecked []string `json:"unchecked,omitempty"`
}

// runner is one call of Run.
type runner struct {
	Options
	report *Report
	caller *chef.Org       // nil without a caller
	key    *rsa.PrivateKey // nil without one
	sync   *chef.Org       // signs as the actor; nil without a key
	groups map[string]bool
	// granted are the collections whose ACL includes all required rights.
	granted map[string]bool
	// outsider is whether the actor lacks the rights of the default group of its type.
	outsider bool
}

// Run prepares an organization. It returns the report of what was done also with an
// error. Errors are of type [*fault.Error].
func Run(ctx context.Context, o Options) (*Report, error) {
	r := &runner{Options: o, groups: map[string]bool{}, granted: map[string]bool{}, report: &Report{
		Organization: o.Org, Side: o.Side, Name: o.Name, Key: o.Key.Where(), Ready: true,
		Groups: []string{}, Organizations: []string{}, Actors: []string{},
	}}
	if o.Caller != nil {
		r.caller = o.Caller.Org(o.Org)
		r.report.Caller, r.report.Server = o.Caller.User(), o.Caller.Name()
	}
	for _, step := range []func(context.Context) error{r.findKey, r.ensureOrg, r.ensureKey, r.ensureActor, r.ensureMembership,
		r.ensureAccess, r.listActors} {
		if err := step(ctx); err != nil {
			r.report.Ready = false
			return r.report, err
		}
	}
	return r.report, nil
}

// addStep adds a step to the report.
func (r *runner) addStep(s State, what, format string, args ...any) {
	r.report.Steps = append(r.report.Steps, Step{What: what, State: s, Detail: fmt.Sprintf(format, args...)})
	switch s {
	case Done:
		r.report.Changed = true
	case Missing, Failed:
		r.report.Ready = false
	}
}

// canRepair reports whether something missing may be created; if not, it adds a step.
func (r *runner) canRepair(what, format string, args ...any) bool {
	if r.Check || r.caller == nil {
		r.addStep(Missing, what, format, args...)
		return false
	}
	return true
}

// findKey loads the private key if it exists.
func (r *runner) findKey(context.Context) error {
	key, err := r.Key.Load()
	switch {
	case err == nil:
		r.addStep(Fine, "private key", "%s", r.Key.Where())
		return r.connectWith(key)
	case !errors.Is(err, fs.ErrNotExist):
		return r.localError("load the private key", err, "correct the key in the configuration, or move the invalid file away")
	case r.Check:
		r.addStep(Missing, "private key", "%s", r.Key.Where())
	}
	return nil
}

// ensureKey creates a private key at the configured place. It runs after the server and
// the organization have answered: with a key that no server knows, requests would be
// refused instead of the key being reported missing.
func (r *runner) ensureKey(context.Context) error {
	if r.key != nil || r.Check {
		return nil
	}
	key, err := r.Key.Create()
	if err != nil {
		return r.localError("create the private key", err,
			"set the key in the configuration to a writable file, as file:/path/key.pem")
	}
	r.addStep(Done, "private key", "made %s", r.Key.Where())
	return r.connectWith(key)
}

// connectWith creates the client that signs with the key.
func (r *runner) connectWith(key *rsa.PrivateKey) error {
	r.key = key
	client, err := r.Connect(key)
	if err != nil {
		return r.localError("use the private key", err, "")
	}
	r.sync = client.Org(r.Org)
	r.report.Server = client.Name()
	return nil
}

// asker returns who asks what the actor may not be able to: the caller, if there is one.
func (r *runner) asker() *chef.Org {
	if r.caller != nil {
		return r.caller
	}
	return r.sync
}

// ensureOrg checks that the organization exists. It never creates it.
func (r *runner) ensureOrg(ctx context.Context) error {
	who := r.asker()
	if who == nil {
		return r.localError("read the organization", errors.New("no key to sign requests with"), "give the user and key of an admin")
	}
	if who.Client().Orgless() {
		if r.Check {
			return nil
		}
		return r.localError("prepare "+r.Org, errors.New("this server has no organizations"),
			"create the client with the server's own tools, put its key into "+r.Key.Where()+" and run this with --check")
	}
	_, err := who.Client().Do(ctx, "GET", "/organizations/"+r.Org, nil)
	switch kind := chef.KindOf(err); {
	case err == nil:
		r.addStep(Fine, "organization", "%s", r.Org)
		return nil
	case kind == chef.KindPermission && r.caller == nil:
		return nil // a member that may not read the organization itself
	case kind == chef.KindAbsent || kind == chef.KindOrgMissing:
		return r.wrapError(who, "read the organization", err, "create the organization "+r.Org+
			" on this server first: chef-server-ctl org-create")
	default:
		return r.wrapError(who, "read the organization", err, "")
	}
}

// wrapError adds the principal, key, server and organization of the request to an error.
func (r *runner) wrapError(who *chef.Org, op string, err error, hint string) error {
	role := "the caller " + who.Client().User()
	if who == r.sync {
		role = "the replication's " + r.Name + " (key " + r.Key.Where() + ")"
	}
	var answered *chef.Error
	if hint == "" && errors.As(err, &answered) {
		hint = answered.Hint
		switch {
		case who != r.caller:
		case answered.Kind == chef.KindKey: // prepare-org, which the usual hint advises, is what failed
			hint = "check the name and the key to sign with on this server: each server has its own"
		case answered.Kind == chef.KindPermission || answered.Kind == chef.KindNotMember:
			hint = "use the key of an admin of organization " + r.Org + ", or a superuser's"
		}
	}
	return &fault.Error{
		Op: op, Server: who.Client().Name(), Class: fault.ClassOf(err), Hint: hint,
		Err: fmt.Errorf("as %s, organization %s: %w", role, r.Org, err),
	}
}

// localError returns an error of a key store: of class Local, unless the store returned
// a class.
func (r *runner) localError(op string, err error, hint string) error {
	var known *fault.Error
	if errors.As(err, &known) {
		return &fault.Error{Op: op, Server: r.report.Server, Class: known.Class, Hint: known.Hint, Err: err}
	}
	return &fault.Error{Op: op, Server: r.report.Server, Class: fault.Local, Hint: hint, Err: err}
}

// hasKind reports whether an error is of one of the kinds.
func hasKind(err error, kinds ...chef.Kind) bool { return slices.Contains(kinds, chef.KindOf(err)) }

// getJSON reads a path of a server or an organization.
func getJSON[T any](ctx context.Context, who interface {
	Do(ctx context.Context, method, path string, body []byte) (*chef.Answer, error)
}, path string) (value T, err error) {
	answer, err := who.Do(ctx, http.MethodGet, path, nil)
	if err != nil {
		return value, err
	}
	if err := json.Unmarshal(answer.Body, &value); err != nil {
		return value, fmt.Errorf("the answer has another form than expected: %w", err)
	}
	return value, nil
}

// lastSegment returns the last segment of a URL or path.
func lastSegment(s string) string {
	return s[strings.LastIndexByte(s, '/')+1:]
}

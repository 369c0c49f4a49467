// Package prepare makes an organization of a Chef Server ready for replication:
// it sees to a key pair, to a user or API client that owns it, to membership
// and rights, and proves them (docs/chef-server-api.md §7, §8). Whatever is in place
// stays as it is, so running it twice changes nothing.
package prepare

import (
	"context"
	"crypto/rsa"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"

	"chefsync/pkg/chef"
	"chefsync/pkg/object"
	"chefsync/pkg/replication"
)

// Side says what the organization is for.
type Side string

// The sides.
const (
	Primary Side = "primary" // is read
	Replica Side = "replica" // is written
)

// ParseSide reads a side.
func ParseSide(s string) (Side, error) {
	if s != string(Primary) && s != string(Replica) {
		return "", fmt.Errorf("%q is not a side: expected primary or replica", s)
	}
	return Side(s), nil
}

// Actor is what signs the requests of the replication.
type Actor string

// The actors. Auto takes the one that exists, else makes a user if the caller
// may, else a client.
const (
	Auto   Actor = ""
	User   Actor = "user"
	Client Actor = "client"
)

// ParseActor reads an actor; auto and the empty word are Auto.
func ParseActor(s string) (Actor, error) {
	switch s {
	case "", "auto":
		return Auto, nil
	case string(User), string(Client):
		return Actor(s), nil
	}
	return "", fmt.Errorf("%q is not an actor: expected auto, user or client", s)
}

// Options say what to prepare, and with what.
type Options struct {
	Org   string
	Side  Side
	Name  string // of the user or client that replication signs as
	Actor Actor
	// Admin makes the actor an admin of the organization, as the old product did.
	Admin bool
	// Kinds are replicated besides the default ones, which always are.
	Kinds []object.Kind
	// Check changes nothing.
	Check bool
	// Caller signs as a superuser or as an admin of the organization. Nil is
	// enough for a Check that only asks what the actor may do.
	Caller *chef.Client
	Key    KeyStore
	// Connect gives the client that signs as the actor.
	Connect func(*rsa.PrivateKey) (*chef.Client, error)
}

// collections are the paths below the organization that replication works in.
func (o Options) collections() []string {
	var all []string
	for _, k := range append(object.DefaultKinds(), o.Kinds...) {
		all = append(all, object.Ref{Kind: k}.Path())
	}
	slices.Sort(all)
	return slices.Compact(all)
}

// isOptional reports whether a server may lack a collection and its container
// altogether: those of policyfiles (docs/chef-server-api.md §5.2, §8.1).
func isOptional(collection string) bool {
	return !slices.Contains(Options{}.collections(), collection)
}

// State says how a step was found or left.
type State string

// The states of a step.
const (
	Fine    State = "ok"      // was in place
	Done    State = "done"    // was missing and is in place now
	Missing State = "missing" // is missing; a check changes nothing
	Failed  State = "failed"  // a proof failed
	Unknown State = "unknown" // couldn't be found out
)

// Step is one thing that was looked at.
type Step struct {
	What   string `json:"what"`
	State  State  `json:"state"`
	Detail string `json:"detail,omitempty"`
}

// Report says what was found and done.
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
	// Refused are the containers of a replica in which creating is refused, and
	// Unchecked the rights there that could not be looked at; of a check only.
	Refused   []string `json:"refused,omitempty"`
	Unchecked []string `json:"unchecked,omitempty"`
}

// run is one preparation at work.
type run struct {
	Options
	report *Report
	caller *chef.Org       // nil without a caller
	key    *rsa.PrivateKey // nil without one
	sync   *chef.Org       // signs as the actor; nil without a key
	groups map[string]bool
	// granted are the collections whose ACL shows all that is needed.
	granted map[string]bool
}

// Run prepares an organization. The report tells what was done, also beside an
// error. Errors are of type [*replication.Error].
func Run(ctx context.Context, o Options) (*Report, error) {
	r := &run{Options: o, groups: map[string]bool{}, granted: map[string]bool{}, report: &Report{
		Organization: o.Org, Side: o.Side, Name: o.Name, Key: o.Key.Where(), Ready: true,
		Groups: []string{}, Organizations: []string{}, Actors: []string{},
	}}
	if o.Caller != nil {
		r.caller = o.Caller.Org(o.Org)
		r.report.Caller, r.report.Server = o.Caller.User(), o.Caller.Name()
	}
	for _, step := range []func(context.Context) error{
		r.findKey, r.haveOrg, r.makeKey, r.haveActor, r.haveMembership, r.haveRights, r.proveRights, r.lookAround,
	} {
		if err := step(ctx); err != nil {
			r.report.Ready = false
			return r.report, err
		}
	}
	return r.report, nil
}

// addStep notes what was found or done.
func (r *run) addStep(s State, what, format string, args ...any) {
	r.report.Steps = append(r.report.Steps, Step{What: what, State: s, Detail: fmt.Sprintf(format, args...)})
	switch s {
	case Done:
		r.report.Changed = true
	case Missing, Failed:
		r.report.Ready = false
	}
}

// mayChange reports whether something missing may be mended; if not, it is noted.
func (r *run) mayChange(what, format string, args ...any) bool {
	if r.Check || r.caller == nil {
		r.addStep(Missing, what, format, args...)
		return false
	}
	return true
}

// findKey loads the private key, if there is one.
func (r *run) findKey(context.Context) error {
	key, err := r.Key.Load()
	switch {
	case err == nil:
		r.addStep(Fine, "private key", "%s", r.Key.Where())
		return r.useKey(key)
	case !errors.Is(err, fs.ErrNotExist):
		return r.localError("load the private key", err, "correct the key in the configuration, or move the broken file away")
	case r.Check:
		r.addStep(Missing, "private key", "%s", r.Key.Where())
	}
	return nil
}

// makeKey makes a private key where the configuration points. The server and the
// organization have answered by then: a key that no server knows helps nobody, and
// what reads it would be refused instead of finding none.
func (r *run) makeKey(context.Context) error {
	if r.key != nil || r.Check {
		return nil
	}
	key, err := r.Key.Create()
	if err != nil {
		return r.localError("make the private key", err,
			"point the key in the configuration to a file that can be written, as file:/path/key.pem")
	}
	r.addStep(Done, "private key", "made %s", r.Key.Where())
	return r.useKey(key)
}

// useKey makes the client that signs with the key.
func (r *run) useKey(key *rsa.PrivateKey) error {
	r.key = key
	client, err := r.Connect(key)
	if err != nil {
		return r.localError("use the private key", err, "")
	}
	r.sync = client.Org(r.Org)
	r.report.Server = client.Name()
	return nil
}

// haveOrg makes sure that the organization exists. It is never created.
func (r *run) haveOrg(ctx context.Context) error {
	who := r.caller
	if who == nil {
		who = r.sync
	}
	if who == nil {
		return r.localError("look at the organization", errors.New("no key to ask with"), "give an administrator's user and key")
	}
	if who.Client().Orgless() {
		if r.Check {
			return nil
		}
		return r.localError("prepare "+r.Org, errors.New("this server has no organizations"),
			"create the client on the server with its own tools, put its key into "+r.Key.Where()+" and run this with --check")
	}
	_, err := who.Client().Do(ctx, "GET", "/organizations/"+r.Org, nil)
	switch kind := chef.KindOf(err); {
	case err == nil:
		r.addStep(Fine, "organization", "%s", r.Org)
		return nil
	case kind == chef.KindPermission && r.caller == nil:
		return nil // members who may not read the organization itself
	case kind == chef.KindAbsent || kind == chef.KindOrgMissing:
		return r.wrapError(who, "look at the organization", err,
			"create the organization "+r.Org+" on this server first: chef-server-ctl org-create")
	default:
		return r.wrapError(who, "look at the organization", err, "")
	}
}

// wrapError wraps an error with who asked and where: a bare 401 helps nobody.
func (r *run) wrapError(who *chef.Org, op string, err error, hint string) error {
	role := "the caller " + who.Client().User()
	if who == r.sync {
		role = "the replication's " + r.Name + " (key " + r.Key.Where() + ")"
	}
	var answered *chef.Error
	if hint == "" && errors.As(err, &answered) {
		hint = answered.Hint
		if who == r.caller && (answered.Kind == chef.KindPermission || answered.Kind == chef.KindNotMember) {
			hint = "use the key of an admin of organization " + r.Org + ", or a superuser's"
		}
	}
	return &replication.Error{
		Op: op, Server: who.Client().Name(), Class: classOf(err), Hint: hint,
		Err: fmt.Errorf("as %s, organization %s: %w", role, r.Org, err),
	}
}

// localError is trouble with a key store: one of this machine, unless the store says
// better.
func (r *run) localError(op string, err error, hint string) error {
	var known *replication.Error
	if errors.As(err, &known) {
		return &replication.Error{Op: op, Server: r.report.Server, Class: known.Class, Hint: known.Hint, Err: err}
	}
	return &replication.Error{Op: op, Server: r.report.Server, Class: replication.Local, Hint: hint, Err: err}
}

func classOf(err error) replication.Class {
	switch chef.KindOf(err) {
	case chef.KindAbsent, chef.KindOrgMissing:
		return replication.Absent
	case chef.KindClockSkew, chef.KindKey, chef.KindNotMember, chef.KindLicense, chef.KindPermission, chef.KindFrontEnd:
		return replication.Denied
	case chef.KindUnreachable, chef.KindTLS:
		return replication.Unreachable
	case chef.KindForeign, chef.KindVersion:
		return replication.Foreign
	case chef.KindUnavailable, chef.KindMembershipFault:
		return replication.Transient
	}
	return replication.Rejected
}

// hasKind reports whether an error has one of some kinds.
func hasKind(err error, kinds ...chef.Kind) bool {
	for _, k := range kinds {
		if err != nil && chef.KindOf(err) == k {
			return true
		}
	}
	return false
}

// lastSegment is the last part of a URL or path.
func lastSegment(s string) string {
	return s[strings.LastIndexByte(s, '/')+1:]
}

package endpoint

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"maps"
	"net/http"
	"slices"

	"chefsync/pkg/canonical"
	"chefsync/pkg/chef"
	"chefsync/pkg/replication"
)

// reader reads an organization. It implements replication.Reader.
type reader struct {
	side
	log *slog.Logger
}

// Identity is the URL of the organization and, where the server shows it, the
// organization's GUID: a rebuilt server has another one.
func (r *reader) Identity(ctx context.Context) (string, error) {
	c := r.org.Client()
	if c.Orgless() {
		return c.URL(), nil
	}
	id := c.URL() + "/organizations/" + r.org.Name()
	a, err := r.org.Do(ctx, http.MethodGet, "", nil)
	if chef.KindOf(err) == chef.KindPermission {
		return id, nil // API clients may not read it
	}
	if err != nil {
		return "", r.fail("read the organization", replication.Ref{}, err)
	}
	var doc struct {
		GUID string `json:"guid"`
	}
	if json.Unmarshal(a.Body, &doc) != nil {
		return "", r.foreign("read the organization", replication.Ref{})
	}
	if doc.GUID != "" {
		id += "#" + doc.GUID
	}
	return id, nil
}

// List implements replication.Reader.
func (r *reader) List(ctx context.Context, scope replication.Scope) ([]replication.Ref, error) {
	path := listPath(scope)
	if path == "" {
		return nil, r.reject("list", replication.Ref(scope), replication.Rejected, "", "this scope can't be listed")
	}
	a, err := r.org.Do(ctx, http.MethodGet, path, nil)
	if chef.KindOf(err) == chef.KindAbsent && scope.Name != "" {
		return nil, nil
	}
	if err != nil {
		return nil, r.fail("list", replication.Ref(scope), err)
	}
	refs, ok := decodeList(scope, a.Body)
	if !ok {
		return nil, r.foreign("list", replication.Ref(scope))
	}
	refs = slices.DeleteFunc(refs, func(ref replication.Ref) bool {
		if ref.Kind == replication.Environment && ref.Name == replication.DefaultEnvironment {
			return true
		}
		if !validRef(ref) {
			r.log.WarnContext(ctx, "an object's name can't be used in a path; it is left out", "server", r.org.Client().Name(),
				"kind", string(ref.Kind), "object", ref.Path())
			return true
		}
		return !scope.Contains(ref)
	})
	slices.SortFunc(refs, replication.CompareRefs)
	return refs, nil
}

// listPath is where a scope is listed, or "".
func listPath(s replication.Scope) string {
	switch {
	case s.Kind == replication.Cookbook && s.Name == "":
		return "/cookbooks?num_versions=all"
	case s.Kind == replication.Cookbook && validName(s.Name):
		return "/cookbooks/" + s.Name
	case s.Kind == replication.Role:
		return "/roles"
	case s.Kind == replication.Environment:
		return "/environments"
	case s.Kind == replication.DataBag:
		return "/data"
	case s.Kind == replication.DataBagItem && validName(s.Name):
		return "/data/" + s.Name
	case optional(s.Kind) && (s.Name == "" || validName(s.Name)):
		return replication.Ref{Kind: s.Kind, Name: s.Name}.Path()
	}
	return ""
}

// decodeList reads a listing: an object whose keys are names. Anything else
// isn't a listing.
func decodeList(s replication.Scope, body []byte) ([]replication.Ref, bool) {
	switch s.Kind {
	case replication.Cookbook:
		return decodeCookbooks(body)
	case replication.CookbookArtifact:
		return decodeArtifacts(body)
	case replication.Policy:
		return decodePolicies(s.Name, body)
	case replication.PolicyGroup:
		bound, ok := decodePolicyGroups(s.Name, body)
		return slices.Collect(maps.Keys(bound)), ok
	}
	var names map[string]json.RawMessage
	if json.Unmarshal(body, &names) != nil || names == nil {
		return nil, false
	}
	refs := make([]replication.Ref, 0, len(names))
	for name := range names {
		ref := replication.Ref{Kind: s.Kind, Name: name}
		if s.Kind == replication.DataBagItem {
			ref.Name, ref.Sub = s.Name, name
		}
		refs = append(refs, ref)
	}
	return refs, true
}

func decodeCookbooks(body []byte) ([]replication.Ref, bool) {
	var books map[string]struct {
		Versions *[]struct {
			Version string `json:"version"`
		} `json:"versions"`
	}
	if json.Unmarshal(body, &books) != nil || books == nil {
		return nil, false
	}
	var refs []replication.Ref
	for name, b := range books {
		if b.Versions == nil {
			return nil, false
		}
		for _, v := range *b.Versions {
			refs = append(refs, replication.Ref{Kind: replication.Cookbook, Name: name, Sub: v.Version})
		}
	}
	return refs, true
}

// Get implements replication.Reader.
func (r *reader) Get(ctx context.Context, ref replication.Ref) (replication.Object, error) {
	none := replication.Object{}
	if !validRef(ref) {
		return none, r.reject("read", ref, replication.Rejected, "rename the object", "this name can't be used in a path")
	}
	a, err := r.org.Do(ctx, http.MethodGet, ref.Path(), nil)
	if err != nil {
		return none, r.fail("read", ref, err)
	}
	if ref.Kind == replication.DataBag {
		return bagObject(ref), nil
	}
	obj, err := decodeObject(ref, a.Body)
	if err != nil {
		return none, r.reject("read", ref, replication.Rejected, "repair the object on the server", "%w", err)
	}
	return obj, nil
}

// bagObject is a data bag: a server shows its items, which are objects of their
// own, and it has no content but its name.
func bagObject(ref replication.Ref) replication.Object {
	form := canonical.DataBag(ref.Name)
	return replication.Object{Ref: ref, Body: form, Fingerprint: canonical.Fingerprint(form)}
}

// decodeObject makes an object of a server's answer and checks that it is the
// one that was asked for.
func decodeObject(ref replication.Ref, body []byte) (replication.Object, error) {
	obj := replication.Object{Ref: ref, Body: body}
	if err := checkName(ref, body); err != nil {
		return obj, err
	}
	print, err := fingerprint(ref.Kind, body)
	if err != nil {
		return obj, err
	}
	obj.Fingerprint = print
	if isCookbook(ref.Kind) {
		obj.Files, err = filesOf(body)
	}
	return obj, err
}

// checkName refuses an object whose body has another name than its path. A PUT
// of such an environment would rename another one (chef-server-api.md §4.3).
func checkName(ref replication.Ref, body []byte) error {
	// A map, since encoding/json matches the fields of a struct in any case.
	var members map[string]json.RawMessage
	if err := json.Unmarshal(body, &members); err != nil {
		return errors.New("the object's body isn't a JSON object")
	}
	text := func(key string) (s string) {
		if json.Unmarshal(members[key], &s) != nil {
			return ""
		}
		return s
	}
	var same bool
	switch ref.Kind {
	case replication.Cookbook:
		same = text("cookbook_name") == ref.Name && sameVersion(text("version"), ref.Sub)
	case replication.DataBagItem:
		same = text("id") == ref.Sub
	case replication.CookbookArtifact:
		same = text("name") == ref.Name && text("identifier") == ref.Sub
	case replication.Policy:
		same = text("name") == ref.Name && text("revision_id") == ref.Sub
	case replication.PolicyGroup:
		same = text("name") == ref.Sub
	default:
		same = text("name") == ref.Name
	}
	if !same {
		return errors.New("the object's body has another name than its path")
	}
	return nil
}

func fingerprint(kind replication.Kind, body []byte) (string, error) {
	var form []byte
	var err error
	switch kind {
	case replication.Cookbook:
		form, err = canonical.CookbookVersion(body)
	case replication.CookbookArtifact:
		form, err = canonical.CookbookArtifact(body)
	case replication.Role:
		form, err = canonical.Role(body)
	case replication.Environment:
		form, err = canonical.Environment(body)
	case replication.Policy, replication.PolicyGroup:
		form, err = canonical.PolicyRevision(body)
	default:
		form, err = canonical.DataBagItem(body)
	}
	if err != nil {
		return "", err
	}
	return canonical.Fingerprint(form), nil
}

// isCookbook tells whether objects of a kind have files.
func isCookbook(k replication.Kind) bool {
	return k == replication.Cookbook || k == replication.CookbookArtifact
}

// filesOf lists the content of a cookbook version, each once.
func filesOf(manifest []byte) ([]replication.File, error) {
	files, err := chef.ManifestFiles(manifest)
	if err != nil {
		return nil, err
	}
	seen := make(map[string]bool, len(files))
	out := make([]replication.File, 0, len(files))
	for _, f := range files {
		if !seen[f.Checksum] {
			seen[f.Checksum] = true
			out = append(out, replication.File{Checksum: f.Checksum, URL: f.URL, Path: f.Path})
		}
	}
	return out, nil
}

// foreign is an answer that the client let pass but that isn't what a Chef
// Server answers here.
func (r *reader) foreign(op string, ref replication.Ref) error {
	return r.reject(op, ref, replication.Foreign, "check that the URL is a Chef Server's and that no proxy changes its answers",
		"the answer doesn't have the form that a Chef Server gives it")
}

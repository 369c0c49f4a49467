package endpoint

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"maps"
	"net/http"
	"slices"

	"chefsync/pkg/chef"
	"chefsync/pkg/fault"
	"chefsync/pkg/object"
	"chefsync/pkg/object/canonical"
	"chefsync/pkg/replication"
)

// Source reads an organization of a server.
type Source struct {
	org    *chef.Org
	log    *slog.Logger
	search *searchState
}

var _ replication.Source = (*Source)(nil)

// NewSource returns a source that reads an organization. Log may be nil.
func NewSource(org *chef.Org, log *slog.Logger) *Source {
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	return &Source{org: org, log: log, search: newSearchState()}
}

// Identity returns the URL of the organization and, if the server returns it, its GUID,
// which is different on a rebuilt server.
func (s *Source) Identity(ctx context.Context) (string, error) {
	c := s.org.Client()
	if c.Orgless() {
		return c.URL(), nil
	}
	id := c.URL() + "/organizations/" + s.org.Name()
	a, err := s.org.Do(ctx, http.MethodGet, "", nil)
	if chef.KindOf(err) == chef.KindPermission {
		return id, nil // API clients may not read it
	}
	if err != nil {
		return "", s.wrapError("read the organization", object.Ref{}, err)
	}
	var doc struct {
		GUID string `json:"guid"`
	}
	if json.Unmarshal(a.Body, &doc) != nil {
		return "", s.foreignAnswer("read the organization", object.Ref{})
	}
	if doc.GUID != "" {
		id += "#" + doc.GUID
	}
	return id, nil
}

// List implements replication.Reader.
func (s *Source) List(ctx context.Context, scope object.Scope) ([]object.Ref, error) {
	path := listPath(scope)
	if path == "" {
		return nil, s.newError("list", object.Ref(scope), fault.Rejected, "", "this scope can't be listed")
	}
	a, err := s.org.Do(ctx, http.MethodGet, path, nil)
	if chef.KindOf(err) == chef.KindAbsent && scope.Name != "" {
		return nil, nil
	}
	if err != nil {
		return nil, s.wrapError("list", object.Ref(scope), err)
	}
	refs, ok := decodeList(scope, a.Body)
	if !ok {
		return nil, s.foreignAnswer("list", object.Ref(scope))
	}
	refs = slices.DeleteFunc(refs, func(ref object.Ref) bool {
		if ref.IsReserved() {
			return true
		}
		if !validRef(ref) {
			s.log.WarnContext(ctx, "an object is omitted: its name can't be used in a path", "server", s.org.Client().Name(),
				"kind", string(ref.Kind), "object", ref.Path())
			return true
		}
		return !scope.Contains(ref)
	})
	slices.SortFunc(refs, object.Compare)
	return refs, nil
}

// listPath returns the path of the list of a scope, or "" if there is none.
func listPath(s object.Scope) string {
	path := "/" + s.Kind.Collection()
	switch {
	case !s.Kind.IsKnown():
		return ""
	case !s.Kind.HasTwoNames():
		return path
	case validName(s.Name):
		return path + "/" + s.Name
	case s.Name != "" || s.Kind.Parent() != "":
		return ""
	case s.Kind.ListQuery() != "":
		return path + "?" + s.Kind.ListQuery()
	}
	return path
}

// decodeList decodes a list: a JSON object whose keys are names. It returns false for
// anything else.
func decodeList(s object.Scope, body []byte) ([]object.Ref, bool) {
	switch k := s.Kind; {
	case k.Binds() != "":
		bound, ok := decodeBindings(s, body)
		return slices.Collect(maps.Keys(bound)), ok
	case k.Infix() != "":
		return decodeRevisions(s, body)
	case k.HasTwoNames() && k.Parent() == "":
		return decodeVersions(k, body)
	}
	var names map[string]json.RawMessage
	if json.Unmarshal(body, &names) != nil || names == nil {
		return nil, false
	}
	refs := make([]object.Ref, 0, len(names))
	for name := range names {
		ref := object.Ref{Kind: s.Kind, Name: name}
		if s.Kind.Parent() != "" {
			ref.Name, ref.Sub = s.Name, name
		}
		refs = append(refs, ref)
	}
	return refs, true
}

// decodeVersions decodes the answer of a collection, or of one name in it, that lists the
// second names of each name as the versions of a cookbook.
func decodeVersions(k object.Kind, body []byte) ([]object.Ref, bool) {
	var named map[string]struct {
		Versions *[]map[string]json.RawMessage `json:"versions"`
	}
	if json.Unmarshal(body, &named) != nil || named == nil {
		return nil, false
	}
	_, member := k.NameMembers()
	var refs []object.Ref
	for name, n := range named {
		if n.Versions == nil {
			return nil, false
		}
		for _, v := range *n.Versions {
			ref := object.Ref{Kind: k, Name: name}
			if text := v[member]; text != nil && json.Unmarshal(text, &ref.Sub) != nil {
				return nil, false
			}
			refs = append(refs, ref)
		}
	}
	return refs, true
}

// Get implements replication.Reader.
func (s *Source) Get(ctx context.Context, ref object.Ref) (object.Object, error) {
	none := object.Object{}
	if !validRef(ref) {
		return none, s.newError("read", ref, fault.Rejected, "rename the object", "this name can't be used in a path")
	}
	a, err := s.org.Do(ctx, http.MethodGet, ref.Path(), nil)
	if err != nil {
		return none, s.wrapError("read", ref, err)
	}
	if !ref.Kind.HasContent() {
		return contentless(ref), nil
	}
	obj, err := decodeObject(ref, a.Body)
	if err != nil {
		return none, s.newError("read", ref, fault.Rejected, "repair the object on the server", "%w", err)
	}
	return obj, nil
}

// contentless returns an object of a kind without content, such as a data bag, whose items
// are separate objects.
func contentless(ref object.Ref) object.Object {
	form := canonical.DataBag(ref.Name)
	return object.Object{Ref: ref, Body: form, Fingerprint: canonical.Fingerprint(form)}
}

// decodeObject decodes a server's answer and checks that it is the requested object.
func decodeObject(ref object.Ref, body []byte) (object.Object, error) {
	obj := object.Object{Ref: ref, Body: body}
	if err := checkName(ref, body); err != nil {
		return obj, err
	}
	fingerprint, err := object.FingerprintOf(ref, body)
	if err != nil {
		return obj, err
	}
	obj.Fingerprint = fingerprint
	if ref.Kind.HasFiles() {
		obj.Files, err = filesOf(body)
	}
	return obj, err
}

// checkName refuses an object whose body has another name than its path. A PUT
// of such an environment would rename another one (docs/chef-server-api.md §4.3).
func checkName(ref object.Ref, body []byte) error {
	// A map, since encoding/json matches the fields of a struct in any case.
	var members map[string]json.RawMessage
	if err := json.Unmarshal(body, &members); err != nil {
		return errors.New("the object's body isn't a JSON object")
	}
	name, sub := ref.Kind.NameMembers()
	inBody := stringOf(members[sub])
	sameSub := sub == "" || inBody == ref.Sub || ref.Kind.IsVersioned() && sameVersion(inBody, ref.Sub)
	same := (name == "" || stringOf(members[name]) == ref.Name) && sameSub
	if !same {
		return errors.New("the object's body has another name than its path")
	}
	return nil
}

// stringOf returns a JSON string, or "" for any other value.
func stringOf(value json.RawMessage) (s string) {
	if json.Unmarshal(value, &s) != nil {
		return ""
	}
	return s
}

// filesOf returns the files of a cookbook version, one for each checksum.
func filesOf(manifest []byte) ([]object.File, error) {
	files, err := chef.ManifestFiles(manifest)
	if err != nil {
		return nil, err
	}
	seen := make(map[string]bool, len(files))
	out := make([]object.File, 0, len(files))
	for _, f := range files {
		if !seen[f.Checksum] {
			seen[f.Checksum] = true
			out = append(out, object.File{Checksum: f.Checksum, URL: f.URL, Path: f.Path})
		}
	}
	return out, nil
}

// foreignAnswer returns the error for a successful answer that doesn't have the form of
// a Chef Server's.
func (s *Source) foreignAnswer(op string, ref object.Ref) error {
	return s.newError(op, ref, fault.Foreign, "check that the URL is a Chef Server's and that no proxy changes its answers",
		"the answer doesn't have the form that a Chef Server gives it")
}

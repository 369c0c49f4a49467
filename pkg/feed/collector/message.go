package collector

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"

	"chefsync/pkg/chef"
	"chefsync/pkg/feed/journal"
	"chefsync/pkg/object"
)

// Message is what is kept of an action message.
type Message struct {
	Type         string // message_type
	Organization string // "" for what belongs to no organization
	Task         string
	Entity       string // entity_type
	Name         string // entity_name
	Parent       string // parent_type
	ParentName   string
}

const (
	maxName  = 1024 // bytes of a name
	maxDepth = 1000 // nesting of what is skipped
)

// errMessage: the body isn't a message.
var errMessage = errors.New("not a data collector message")

// ReadMessage reads one message and nothing after it but white space. What
// isn't one of the names is skipped token by token.
func ReadMessage(r io.Reader) (m Message, err error) {
	d := json.NewDecoder(r)
	d.UseNumber()
	if t, err := d.Token(); err != nil || t != json.Delim('{') {
		return m, orMessage(err, "it isn't a JSON object")
	}
	fields := map[string]*string{
		"message_type": &m.Type, "organization_name": &m.Organization, "task": &m.Task,
		"entity_type": &m.Entity, "entity_name": &m.Name, "parent_type": &m.Parent, "parent_name": &m.ParentName,
	}
	for d.More() {
		key, err := d.Token()
		if err != nil {
			return m, orMessage(err, "")
		}
		name, _ := key.(string)
		field := fields[name]
		if field == nil {
			if err := skip(d); err != nil {
				return m, err
			}
			continue
		}
		value, err := d.Token()
		text, isText := value.(string)
		switch {
		case err != nil:
			return m, orMessage(err, "")
		case value != nil && !isText, len(text) > maxName:
			return m, fmt.Errorf("%w: %s isn't a name", errMessage, name)
		}
		*field = text
	}
	if _, err := d.Token(); err != nil {
		return m, orMessage(err, "")
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return m, orMessage(err, "more follows after the message")
	}
	return m, nil
}

// orMessage tells an unreadable body from one that broke off for another reason,
// such as its size.
func orMessage(err error, problem string) error {
	var syntax *json.SyntaxError
	switch {
	case err == nil:
		return fmt.Errorf("%w: %s", errMessage, problem)
	case errors.As(err, &syntax), errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return fmt.Errorf("%w: broken JSON", errMessage) // the cause may quote content
	}
	return err
}

// skip reads over one value.
func skip(d *json.Decoder) error {
	for depth := 0; ; {
		t, err := d.Token()
		if err != nil {
			return orMessage(err, "")
		}
		switch t {
		case json.Delim('{'), json.Delim('['):
			if depth++; depth > maxDepth {
				return fmt.Errorf("%w: it is nested too deeply", errMessage)
			}
		case json.Delim('}'), json.Delim(']'):
			depth--
		}
		if depth == 0 {
			return nil
		}
	}
}

// Verdict says what a message is to us.
type Verdict int

// The verdicts.
const (
	Unknown    Verdict = iota // of an entity that this program doesn't know
	Ignored                   // of an entity that isn't replicated
	Replicated                // of an object of a kind that is
)

// Entries makes journal entries of a message: one for each object that it tells
// of, and none unless the verdict is Replicated.
func (m Message) Entries() ([]journal.Entry, Verdict) {
	if m.Type != "action" {
		return nil, Unknown
	}
	ref, verdict := m.ref()
	if verdict != Replicated {
		return nil, verdict
	}
	action := m.Task
	if action != journal.Create && action != journal.Update && action != journal.Delete {
		action = journal.Update
	}
	entries := []journal.Entry{{Action: action, Path: ref.Path()}}
	if ref.Kind == object.PolicyGroup && ref.Sub != "" && action != journal.Delete {
		// The revision may have been made by the same request (docs/chef-server-api.md
		// §5.1), and has no message of its own.
		entries = append(entries, journal.Entry{Action: journal.Update, Path: object.Ref{Kind: object.Policy, Name: ref.Sub}.Path()})
	}
	return entries, verdict
}

// ref names the object, or the listing that certainly holds it.
func (m Message) ref() (ref object.Ref, v Verdict) {
	switch {
	case m.Entity == "role":
		ref = named(object.Role, m.Name)
	case m.Entity == "environment":
		if m.Name == object.DefaultEnvironment {
			return ref, Ignored
		}
		ref = named(object.Environment, m.Name)
	case m.Entity == "bag":
		ref = named(object.DataBag, m.Name)
	case m.Entity == "item" && m.Parent == "bag":
		ref = named(object.DataBag, m.ParentName)
		if ref.Name != "" && chef.ValidName(m.Name) {
			ref.Kind, ref.Sub = object.DataBagItem, m.Name
		}
	case m.Entity == "version" && m.Parent == "cookbook":
		ref = named(object.Cookbook, m.ParentName)
		if ref.Name != "" && isVersion(m.Name) {
			ref.Sub = m.Name
		}
	case m.Entity == "cookbook_artifact_version" && m.Parent == "cookbook_artifact":
		ref = below(object.CookbookArtifact, m.ParentName, m.Name)
	case m.Entity == "cookbook_artifact":
		ref = named(object.CookbookArtifact, m.Name)
	case m.Entity == "policy" && m.Parent == "policy_group":
		ref = below(object.PolicyGroup, m.ParentName, m.Name)
	case m.Entity == "policy_group":
		ref = named(object.PolicyGroup, m.Name)
	case m.Entity == "policy":
		ref = named(object.Policy, m.Name)
	default:
		return ref, m.other()
	}
	return ref, Replicated
}

// below is an object of two names, or what certainly holds it.
func below(k object.Kind, name, sub string) object.Ref {
	ref := named(k, name)
	if ref.Name != "" && chef.ValidName(sub) {
		ref.Sub = sub
	}
	return ref
}

// other tells of entities that are known but never replicated
// (docs/chef-server-api.md §14).
func (m Message) other() Verdict {
	switch m.Entity {
	case "client", "group", "node", "user", "key", "organization", "permission", "container", "association", "invitation", "cookbook":
		return Ignored
	}
	return Unknown
}

// named is an object, or the whole kind for a name that no server gives.
func named(k object.Kind, name string) object.Ref {
	if !chef.ValidName(name) {
		return object.Ref{Kind: k}
	}
	return object.Ref{Kind: k, Name: name}
}

// isVersion tells whether a version is written as servers list it: 1.0 and 1.0.0
// are one version (docs/chef-server-api.md §3.3), so another spelling can't name an
// object.
func isVersion(v string) bool {
	parts := strings.Split(v, ".")
	for _, part := range parts {
		if n, err := strconv.ParseInt(part, 10, 64); err != nil || n < 0 || strconv.FormatInt(n, 10) != part {
			return false
		}
	}
	return len(parts) == 3
}

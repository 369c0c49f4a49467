package collector

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"chefsync/pkg/chef"
	"chefsync/pkg/feed/changelog"
	"chefsync/pkg/object"
)

// Message holds the fields of an action message that are needed.
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

// errMessage is returned for a body that isn't a message.
var errMessage = errors.New("not a data collector message")

// ReadMessage reads one message and nothing after it but white space. Other fields than
// those of Message are skipped token by token.
func ReadMessage(r io.Reader) (m Message, err error) {
	d := json.NewDecoder(r)
	d.UseNumber()
	if t, err := d.Token(); err != nil || t != json.Delim('{') {
		return m, messageError(err, "it isn't a JSON object")
	}
	fields := map[string]*string{
		"message_type": &m.Type, "organization_name": &m.Organization, "task": &m.Task,
		"entity_type": &m.Entity, "entity_name": &m.Name, "parent_type": &m.Parent, "parent_name": &m.ParentName,
	}
	for d.More() {
		key, err := d.Token()
		if err != nil {
			return m, messageError(err, "")
		}
		name, _ := key.(string)
		field := fields[name]
		if field == nil {
			if err := skipValue(d); err != nil {
				return m, err
			}
			continue
		}
		value, err := d.Token()
		text, isText := value.(string)
		switch {
		case err != nil:
			return m, messageError(err, "")
		case value != nil && !isText, len(text) > maxName:
			return m, fmt.Errorf("%w: %s isn't a name", errMessage, name)
		}
		*field = text
	}
	if _, err := d.Token(); err != nil {
		return m, messageError(err, "")
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return m, messageError(err, "more follows after the message")
	}
	return m, nil
}

// messageError returns an errMessage for an invalid body, and err if reading it failed
// for another reason, such as its size.
func messageError(err error, problem string) error {
	var syntax *json.SyntaxError
	switch {
	case err == nil:
		return fmt.Errorf("%w: %s", errMessage, problem)
	case errors.As(err, &syntax), errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return fmt.Errorf("%w: broken JSON", errMessage) // the cause may quote content
	}
	return err
}

// skipValue skips one value.
func skipValue(d *json.Decoder) error {
	for depth := 0; ; {
		t, err := d.Token()
		if err != nil {
			return messageError(err, "")
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

// Relevance is whether a message concerns replicated objects.
type Relevance int

// The values of Relevance.
const (
	Unknown    Relevance = iota // about an entity that this program doesn't know
	Ignored                     // about an entity that isn't replicated
	Replicated                  // about an object of a replicated kind
)

// Changes returns the changes of a message: one for each object that it names,
// and none unless the message is Replicated.
func (m Message) Changes() ([]changelog.Change, Relevance) {
	if m.Type != "action" {
		return nil, Unknown
	}
	ref, relevance := m.objectRef()
	if relevance != Replicated {
		return nil, relevance
	}
	action := m.Task
	if action != changelog.Create && action != changelog.Update && action != changelog.Delete {
		action = changelog.Update
	}
	changes := []changelog.Change{{Action: action, Path: ref.Path()}}
	if bound := ref.Kind.Binds(); bound != "" && ref.Sub != "" && action != changelog.Delete {
		// The revision may have been created by the same request (docs/chef-server-api.md
		// §5.1), and has no message of its own.
		changes = append(changes, changelog.Change{Action: changelog.Update, Path: object.Ref{Kind: bound, Name: ref.Sub}.Path()})
	}
	return changes, relevance
}

// objectRef returns the object, or the listing that certainly contains it.
func (m Message) objectRef() (object.Ref, Relevance) {
	kind, hasParent := object.KindOfEntity(m.Entity, m.Parent)
	if kind == "" {
		return object.Ref{}, m.classifyUnreplicated()
	}
	name, sub := m.Name, ""
	if hasParent {
		name, sub = m.ParentName, m.Name
	}
	ref := parseRef(kind, name, sub)
	if ref.IsReserved() {
		return object.Ref{}, Ignored
	}
	return ref, Replicated
}

// classifyUnreplicated returns Ignored for entities that are known but never replicated
// (docs/chef-server-api.md §14), and Unknown for others.
func (m Message) classifyUnreplicated() Relevance {
	switch m.Entity {
	case "client", "group", "node", "user", "key", "organization", "permission", "container", "association", "invitation", "cookbook":
		return Ignored
	}
	return Unknown
}

// parseRef returns the object of one or two names, or the listing above a name that no
// server gives.
func parseRef(k object.Kind, name, sub string) object.Ref {
	switch {
	case !chef.ValidName(name):
		return object.Ref{Kind: k}
	case k.Parent() != "" && !chef.ValidName(sub):
		return object.Ref{Kind: k.Parent(), Name: name}
	case !chef.ValidName(sub), k.IsVersioned() && !object.IsVersion(sub):
		return object.Ref{Kind: k, Name: name}
	}
	return object.Ref{Kind: k, Name: name, Sub: sub}
}

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
	Type         string `json:"message_type"`
	Organization string `json:"organization_name"` // "" for what belongs to no organization
	Task         string `json:"task"`
	Entity       string `json:"entity_type"`
	Name         string `json:"entity_name"`
	Parent       string `json:"parent_type"`
	ParentName   string `json:"parent_name"`

	Object objectName `json:"data"` // of an environment only
}

const environmentEntity = "environment"

// objectName is the name in the object of a message, or "".
type objectName string

// UnmarshalJSON implements json.Unmarshaler. An object without a name isn't an error: most
// have their name elsewhere.
func (n *objectName) UnmarshalJSON(object []byte) error {
	var named struct {
		Name string `json:"name"`
	}
	if json.Unmarshal(object, &named) == nil {
		*n = objectName(named.Name)
	}
	return nil
}

// errMessage is returned for a body that isn't a message.
var errMessage = errors.New("not a data collector message")

// ReadMessage reads one message and nothing after it but white space. Other fields than
// those of Message are skipped, and so is the object, except for an environment's name.
func ReadMessage(r io.Reader) (m Message, err error) {
	d := json.NewDecoder(r)
	if err := d.Decode(&m); err != nil {
		return Message{}, messageError(err)
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return Message{}, messageError(err)
	}
	if m.Entity != environmentEntity {
		m.Object = ""
	}
	return m, nil
}

// messageError returns an errMessage for an invalid body, without its content, and err if
// reading it failed for another reason, such as its size.
func messageError(err error) error {
	var syntax *json.SyntaxError
	var mismatch *json.UnmarshalTypeError
	switch {
	case err == nil:
		return fmt.Errorf("%w: more follows after the message", errMessage)
	case errors.As(err, &mismatch) && mismatch.Field != "":
		return fmt.Errorf("%w: %s isn't a name", errMessage, mismatch.Field)
	case errors.As(err, &mismatch):
		return fmt.Errorf("%w: it isn't a JSON object", errMessage)
	case errors.As(err, &syntax), errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return fmt.Errorf("%w: broken JSON", errMessage)
	}
	return err
}

// Changes returns the changes of a message: one for each object that it names, and none
// for a message about anything else (docs/chef-server-api.md §14).
func (m Message) Changes() []changelog.Change {
	ref, ok := m.objectRef()
	if m.Type != "action" || !ok {
		return nil
	}
	action := m.Task
	if action != changelog.Create && action != changelog.Update && action != changelog.Delete {
		action = changelog.Update
	}
	changes := []changelog.Change{{Action: action, Path: ref.Path()}}
	if name := string(m.Object); ref.Kind == object.Environment && action == changelog.Update && name != ref.Name && chef.ValidName(name) {
		// A renamed environment, under its old name (docs/chef-server-api.md §14).
		changes = append(changes, changelog.Change{Action: changelog.Update, Path: object.Ref{Kind: object.Environment, Name: name}.Path()})
	}
	if bound := ref.Kind.Binds(); bound != "" && ref.Sub != "" && action != changelog.Delete {
		// The revision may have been created by the same request (docs/chef-server-api.md
		// §5.1), and has no message of its own.
		changes = append(changes, changelog.Change{Action: changelog.Update, Path: object.Ref{Kind: bound, Name: ref.Sub}.Path()})
	}
	return changes
}

// objectRef returns the object, or the listing that certainly contains it. It reports
// false for what isn't replicated.
func (m Message) objectRef() (object.Ref, bool) {
	kind, hasParent := object.KindOfEntity(m.Entity, m.Parent)
	name, sub := m.Name, ""
	if hasParent {
		name, sub = m.ParentName, m.Name
	}
	ref := parseRef(kind, name, sub)
	return ref, kind != "" && !ref.IsReserved()
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

package object

import (
	"cmp"
	"encoding/json"
	"slices"
)

// Collection returns the first segment of the kind's paths in the Chef Server API.
func (k Kind) Collection() string { return k.properties().collection }

// Infix returns the segment between the two names of an object in its path, or "".
func (k Kind) Infix() string { return k.properties().infix }

// ConfigName returns the kind's word in a configuration.
func (k Kind) ConfigName() string { return k.properties().configName }

// Base returns the kind that configuration and patterns know k by: DataBag for the
// items of bags.
func (k Kind) Base() Kind { return cmp.Or(k.Parent(), k) }

// HasTwoNames reports whether it always takes two names to name an object of the
// kind, such as a cookbook's and its version.
func (k Kind) HasTwoNames() bool { return k.properties().sub != "" }

// IsVersioned reports whether the second name of the kind's objects is a version
// of three numbers.
func (k Kind) IsVersioned() bool { return k.properties().isVersioned }

// HasFiles reports whether objects of the kind have files.
func (k Kind) HasFiles() bool { return k.properties().hasFiles }

// NameMembers returns the members of a body that hold the object's two names; "" for
// a name that the body doesn't have.
func (k Kind) NameMembers() (name, sub string) {
	p := k.properties()
	return p.name, p.sub
}

// Parent returns the kind of the objects that hold those of k, such as DataBag for
// items, or "".
func (k Kind) Parent() Kind { return k.properties().parent }

// Child returns the kind of the objects that those of k hold, such as items for
// DataBag, or "".
func (k Kind) Child() Kind {
	for _, p := range kindTable {
		if k != "" && p.parent == k {
			return p.kind
		}
	}
	return ""
}

// Binds returns the kind whose revisions objects of k name: Policy for PolicyGroup,
// else "".
func (k Kind) Binds() Kind { return k.properties().binds }

// BoundBy returns the kind whose objects name revisions of k: PolicyGroup for Policy,
// else "".
func (k Kind) BoundBy() Kind {
	for _, p := range kindTable {
		if k != "" && p.binds == k {
			return p.kind
		}
	}
	return ""
}

// HasContent reports whether objects of the kind have content beside their name.
func (k Kind) HasContent() bool { return k.properties().canonical != nil }

// IsImmutable reports whether objects of the kind are created and deleted, but never
// changed: their names identify their content.
func (k Kind) IsImmutable() bool { return k.properties().isImmutable }

// CanFreeze reports whether objects of the kind can be frozen: changed by force only.
func (k Kind) CanFreeze() bool { return k.properties().frozenMember != "" }

// CreatesInContainer reports whether each new object of the kind takes the right to create in
// its container. Otherwise one with the first name of an existing object takes the right to
// update that (docs/chef-server-api.md §3.3, §5.2).
func (k Kind) CreatesInContainer() bool { return k.properties().createsInContainer }

// IsOptional reports whether a server may not serve the kind: Chef Servers before 12.1
// have no policies, and neither has goiardi 0.11.10, which answers their paths with an
// empty 200 (docs/chef-server-api.md §5.2, §13).
func (k Kind) IsOptional() bool { return k.properties().isOptional }

// IsSequential reports whether objects of the kind with one first name must be written
// one after the other: parallel uploads of one cookbook's versions fail on real servers
// (docs/chef-server-api.md §10, 13); revisions of one policy and policies of one group
// share a row in the same way.
func (k Kind) IsSequential() bool { return k.properties().isSequential }

// ListQuery returns the query that a list of all objects of the kind needs, or "".
func (k Kind) ListQuery() string { return k.properties().listQuery }

// IsView reports whether a name in the kind's collection is that of a view of many
// objects instead of one object (docs/chef-server-api.md §3.1).
func (k Kind) IsView(name string) bool { return slices.Contains(k.properties().views, name) }

// HasSubresource reports whether a segment after an object's name names a part of the
// object, as in /roles/web/environments.
func (k Kind) HasSubresource(segment string) bool {
	return segment != "" && k.properties().subresource == segment
}

// KindOfEntity returns the kind of an entity in a data collector message, or "". With
// hasParent, the parent's name is the first name of the object, and the entity's the
// second.
func KindOfEntity(name, parent string) (k Kind, hasParent bool) {
	for _, e := range []entity{{name, parent}, {name: name}} {
		for _, p := range kindTable {
			if slices.Contains(p.entities, e) {
				return p.kind, e.parent != ""
			}
		}
	}
	return "", false
}

// SearchIndex returns the name under which a Chef Server searches the collection that
// an object belongs to, and the field that names the object there. The index is ""
// where there is none: bags with the names of the server's own indexes can't be told
// from these.
func (r Ref) SearchIndex() (index, field string) {
	p := r.Kind.properties()
	if p.index != perName {
		return p.index, p.name
	}
	switch r.Name {
	case "client", "environment", "node", "role":
		return "", p.sub
	}
	return r.Name, p.sub
}

// IsReserved reports whether the object exists in every organization and can't be
// written.
func (r Ref) IsReserved() bool { return r.Name != "" && r.Name == r.Kind.properties().reserved }

// Parent returns the object that holds r, such as the data bag of an item, or the zero
// Ref.
func (r Ref) Parent() Ref {
	k := r.Kind.Parent()
	if k == "" {
		return Ref{}
	}
	return Ref{Kind: k, Name: r.Name}
}

// ListScope returns the scope of the shortest list of a kind that contains r: the items
// of one data bag, or the whole kind.
func (r Ref) ListScope() Scope {
	if r.Kind.Parent() == "" {
		return Scope{Kind: r.Kind}
	}
	return Scope{Kind: r.Kind, Name: r.Name}
}

// IsFrozen reports whether an object is frozen.
func (o Object) IsFrozen() bool {
	member := o.Ref.Kind.properties().frozenMember
	return member != "" && string(o.member(member)) == "true"
}

// BoundRevision returns the revision that an object of a kind with [Kind.Binds] names,
// else "".
func (o Object) BoundRevision() (revision string) {
	bound := o.Ref.Kind.Binds()
	if bound == "" {
		return ""
	}
	_, sub := bound.NameMembers()
	if json.Unmarshal(o.member(sub), &revision) != nil {
		return ""
	}
	return revision
}

// member returns a member of the body, nil if there is none.
func (o Object) member(name string) json.RawMessage {
	var members map[string]json.RawMessage
	if json.Unmarshal(o.Body, &members) != nil {
		return nil
	}
	return members[name]
}

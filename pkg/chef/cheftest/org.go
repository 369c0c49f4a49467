package cheftest

import (
	"crypto/rsa"
	"maps"
	"slices"
)

// Org is one organization of a server, with all its content.
type Org struct {
	s    *Server
	name string
	guid string
	full string

	clients    map[string]*account
	members    map[string]string // user → the name of their own hidden group (USAG)
	invites    map[string]*invite
	groups     map[string]*group
	containers map[string]bool
	acls       map[string]acl // by path, such as roles/web

	roles        map[string][]byte
	environments map[string][]byte
	bags         map[string]map[string][]byte
	cookbooks    map[string]map[version]*cookbook
	artifacts    map[string]map[string]*artifact
	policies     map[string]map[string]*object // name → revision id → document
	policyGroups map[string]map[string]string  // group → policy → revision id

	sandboxes map[string][]string
	known     map[string]bool  // the table of checksums: what a sandbox committed
	replaced  map[string]int64 // when an overwrite last dropped a checksum
	refs      map[string]int   // how many versions and artifacts link a known checksum
	blobs     map[string][]byte

	frozenIndex bool
	index       map[string]map[string]bool // search index → names, while frozen
	searchFaults
	feed feedLog
}

func newOrg(s *Server, name string) *Org {
	o := &Org{
		s: s, name: name, guid: randomGUID(), full: name,
		clients: map[string]*account{}, members: map[string]string{}, invites: map[string]*invite{},
		groups: map[string]*group{}, containers: map[string]bool{}, acls: map[string]acl{},
		roles: map[string][]byte{}, environments: map[string][]byte{}, bags: map[string]map[string][]byte{},
		cookbooks: map[string]map[version]*cookbook{}, artifacts: map[string]map[string]*artifact{},
		policies: map[string]map[string]*object{}, policyGroups: map[string]map[string]string{},
		sandboxes: map[string][]string{}, known: map[string]bool{}, replaced: map[string]int64{}, refs: map[string]int{},
		blobs: map[string][]byte{},
	}
	o.defaultRights()
	o.acls["environments/"+defaultEnvironment] = o.newACL("environments", nil)
	o.environments[defaultEnvironment] = encode(obj(
		"name", defaultEnvironment, "description", "The default Chef environment", "cookbook_versions", obj(),
		"json_class", "Chef::Environment", "chef_type", "environment",
		"default_attributes", obj(), "override_attributes", obj()))
	if s.opts.IndexLag {
		o.frozenIndex, o.index = true, o.indexNow()
	}
	return o
}

// Name returns the organization's name; "" on an Orgless server.
func (o *Org) Name() string { return o.name }

// GUID returns the organization's identity, 32 hexadecimal digits. Another
// organization of the same name, here or on another server, has another one.
func (o *Org) GUID() string {
	o.s.mu.Lock()
	defer o.s.mu.Unlock()
	return o.guid
}

// SetGUID gives the organization another identity, as a restored or replaced
// server would have.
func (o *Org) SetGUID(guid string) { o.s.withLock(func() { o.guid = guid }) }

// URL returns the base URL of the organization's API, without a slash at its end.
func (o *Org) URL() string {
	if o.name == "" {
		return o.s.URL
	}
	return o.s.URL + "/organizations/" + o.name
}

// AddClient creates an API client as POST /clients does, a member of the group
// clients, and returns its private key. An existing client gets a new key.
func (o *Org) AddClient(name string) *rsa.PrivateKey {
	key := o.s.newKey()
	o.s.mu.Lock()
	defer o.s.mu.Unlock()
	c := o.clients[name]
	if c == nil {
		c = o.newClient(name, false, nil)
	}
	c.addKey("default", &key.PublicKey)
	return key
}

// DeleteClient removes an API client, its rights and its key.
func (o *Org) DeleteClient(name string) { o.s.withLock(func() { o.dropClient(name) }) }

// Associate makes a user of the server a member of the organization; the user
// is created if necessary.
func (o *Org) Associate(user string) {
	o.s.withLock(func() {
		if o.s.users[user] == nil {
			o.s.newUser(user, user+"@example.com")
		}
		o.addMember(user)
	})
}

// Dissociate removes a member.
func (o *Org) Dissociate(user string) { o.s.withLock(func() { o.removeMember(user) }) }

// AddToGroup puts users or clients into a group, which is created if necessary.
func (o *Org) AddToGroup(groupName string, names ...string) {
	o.s.withLock(func() {
		g := o.groups[groupName]
		if g == nil {
			g = o.newGroup(groupName, nil)
		}
		for _, n := range names {
			if o.clients[n] != nil {
				g.clients = addName(g.clients, n)
			} else {
				g.users = addName(g.users, n)
			}
		}
	})
}

// SetACE replaces one permission (create, read, update, delete or grant) of an
// object, such as "roles/web" or "containers/sandboxes", by names of groups.
// The superuser keeps all rights always.
func (o *Org) SetACE(object, permission string, groups ...string) {
	o.s.withLock(func() {
		a, found := o.acls[object]
		if !found {
			a = acl{}
		}
		a[permission] = ace{groups: groups}
		o.acls[object] = a
	})
}

func addName(list []string, name string) []string {
	if slices.Contains(list, name) {
		return list
	}
	return append(slices.Clip(list), name)
}

func removeName(list []string, name string) []string {
	return slices.DeleteFunc(slices.Clone(list), func(s string) bool { return s == name })
}

func sortedKeys[K ~string, V any](m map[K]V) []K { return slices.Sorted(maps.Keys(m)) }

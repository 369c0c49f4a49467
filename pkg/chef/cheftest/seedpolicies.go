package cheftest

import (
	"maps"
	"slices"
)

// PutPolicy stores a policy revision, or replaces it, which no request can. The
// required keys are filled in.
func (o *Org) PutPolicy(name, revision, text string) {
	doc := mustDoc("policy "+name, text)
	doc.setDefaults("name", name, "revision_id", revision, "run_list", []any{"recipe[a::default]"}, "cookbook_locks", obj())
	o.s.withLock(func() {
		o.newPolicy(name, nil)
		action := "create"
		if o.policies[name][revision] != nil {
			action = "update"
		}
		o.policies[name][revision] = doc
		o.recordChange(action, "/policies/"+name+"/revisions/"+revision)
	})
}

// DeletePolicy removes a policy revision, with the groups' bindings to it.
func (o *Org) DeletePolicy(name, revision string) {
	o.s.withLock(func() {
		if o.policies[name][revision] != nil {
			o.dropRevision(name, revision)
		}
	})
}

// DeleteEmptyPolicies removes the policies without revisions and the groups
// without policies, which requests leave behind.
func (o *Org) DeleteEmptyPolicies() {
	o.s.withLock(func() {
		for _, name := range sortedKeys(o.policies) {
			if len(o.policies[name]) == 0 {
				delete(o.policies, name)
				o.dropACL("policies/" + name)
			}
		}
		for _, name := range sortedKeys(o.policyGroups) {
			if len(o.policyGroups[name]) == 0 {
				o.dropPolicyGroup(name)
			}
		}
	})
}

// BindPolicy binds an existing revision in a policy group.
func (o *Org) BindPolicy(group, policy, revision string) {
	o.s.withLock(func() {
		if o.policies[policy][revision] == nil {
			panic("cheftest: there is no revision " + revision + " of policy " + policy)
		}
		o.bindRevision(group, policy, revision, nil)
	})
}

// DeletePolicyGroup deletes a policy group, but not its policies.
func (o *Org) DeletePolicyGroup(name string) {
	o.s.withLock(func() {
		if o.policyGroups[name] != nil {
			o.dropPolicyGroup(name)
		}
	})
}

// PutArtifact stores a cookbook artifact with its files by path.
func (o *Org) PutArtifact(name, identifier string, files map[string][]byte) {
	list := []any{}
	for _, path := range slices.Sorted(maps.Keys(files)) {
		list = append(list, fileEntry(path, files[path]))
	}
	doc := obj("name", name, "identifier", identifier, "version", "1.0.0", "frozen?", false, "metadata",
		obj("name", name, "version", "1.0.0"), "all_files", list)
	o.s.withLock(func() {
		for _, c := range files {
			o.addContent(c)
		}
		if o.artifacts[name][identifier] != nil {
			o.dropArtifact(name, identifier)
			for _, c := range files {
				o.addContent(c) // the other artifact's files were deleted
			}
		}
		if missing := o.newArtifact(name, identifier, doc, nil); missing {
			panic("cheftest: artifact " + name + " names content that isn't there")
		}
	})
}

// DeleteArtifact removes a cookbook artifact.
func (o *Org) DeleteArtifact(name, identifier string) {
	o.s.withLock(func() {
		if o.artifacts[name][identifier] != nil {
			o.dropArtifact(name, identifier)
		}
	})
}

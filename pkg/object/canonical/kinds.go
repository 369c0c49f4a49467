package canonical

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
)

// FingerprintLen is the length of every fingerprint in characters.
const FingerprintLen = 22

// Fingerprint is the first 16 bytes of the SHA-256 of a canonical form, in
// unpadded base64url: 22 characters of A-Z a-z 0-9 - and _. 128 bits make an
// accidental collision within any organization impossible in practice.
func Fingerprint(canonical []byte) string {
	sum := sha256.Sum256(canonical)
	return base64.RawURLEncoding.EncodeToString(sum[:16])
}

// ErrShape says that a body is JSON but not the kind of object that was
// expected.
var ErrShape = errors.New("not the expected kind of object")

// Role returns the canonical form of a role. Keys that erchef fills in on
// write are filled in (docs/chef-server-api.md §4.2), since goiardi and old servers
// leave some out. Run lists are written as servers do: a bare name is a recipe,
// exact repetitions count once.
func Role(body []byte) ([]byte, error) {
	o, err := parseObject(body)
	if err != nil {
		return nil, fmt.Errorf("role: %w", err)
	}
	o.addDefault("chef_type", `"role"`)
	o.addDefault("default_attributes", `{}`)
	o.addDefault("description", `""`)
	o.addDefault("env_run_lists", `{}`)
	o.addDefault("json_class", `"Chef::Role"`)
	o.addDefault("override_attributes", `{}`)
	o.addDefault("run_list", `[]`)
	o.replaceMember("run_list", runList)
	o.replaceMember("env_run_lists", func(v []byte) []byte {
		lists, ok := splitObject(v)
		if !ok {
			return v
		}
		for i := range lists {
			lists[i].value = runList(lists[i].value)
		}
		return lists.appendTo(nil)
	})
	return o.appendTo(make([]byte, 0, len(body)+256)), nil
}

// Environment returns the canonical form of an environment, with the keys that
// servers fill in on write (docs/chef-server-api.md §4.3).
func Environment(body []byte) ([]byte, error) {
	o, err := parseObject(body)
	if err != nil {
		return nil, fmt.Errorf("environment: %w", err)
	}
	o.addDefault("chef_type", `"environment"`)
	o.addDefault("cookbook_versions", `{}`)
	o.addDefault("default_attributes", `{}`)
	o.addDefault("description", `""`)
	o.addDefault("json_class", `"Chef::Environment"`)
	o.addDefault("override_attributes", `{}`)
	return o.appendTo(make([]byte, 0, len(body)+256)), nil
}

// DataBag returns the canonical form of a data bag, which has no content but
// its name (docs/chef-server-api.md §4.1).
func DataBag(name string) []byte {
	quoted, err := json.Marshal(name)
	if err == nil {
		quoted, err = JSON(quoted)
	}
	if err != nil {
		quoted = []byte(`""`) // not reached: Marshal replaces what isn't UTF-8
	}
	return object{{[]byte(`"name"`), quoted}}.appendTo(nil)
}

// DataBagItem returns the canonical form of a data bag item as GET returns it.
// The wrapped form of search results and DELETE answers is unwrapped: it has
// json_class "Chef::DataBagItem", an object raw_data and, unlike any raw item,
// no id of its own.
//
// A raw item is taken as it is, with chef_type and data_bag too if it holds
// them: GET returns these only when they were stored (docs/chef-server-api.md §4.4).
// The answer to a POST or PUT, to which the server adds both, is therefore not
// a body to compare with.
func DataBagItem(body []byte) ([]byte, error) {
	c, err := JSON(body)
	if err != nil {
		return nil, fmt.Errorf("data bag item: %w", err)
	}
	o, ok := splitObject(c)
	if !ok {
		return nil, fmt.Errorf("data bag item: %w", ErrShape)
	}
	raw := o.getMember("raw_data")
	if string(o.getMember("json_class")) == `"Chef::DataBagItem"` && isObject(raw) && o.getMember("id") == nil {
		return bytes.Clone(raw), nil
	}
	return c, nil
}

// PolicyRevision returns the canonical form of a policy revision, as itself or as
// a policy group shows it. policy_group_list, which servers add to the former and
// fill with groups of other organizations too, doesn't count
// (docs/chef-server-api.md §5.2).
func PolicyRevision(body []byte) ([]byte, error) {
	o, err := parseObject(body)
	if err != nil {
		return nil, fmt.Errorf("policy revision: %w", err)
	}
	if i, ok := o.findMember("policy_group_list"); ok {
		o = slices.Delete(o, i, i+1)
	}
	return o.appendTo(make([]byte, 0, len(body))), nil
}

// runList writes a run list as servers store it. Anything that isn't an array
// of strings stays as it is.
func runList(v []byte) []byte {
	items, ok := splitArray(v)
	if !ok {
		return v
	}
	seen := make(map[string]bool, len(items))
	out := append(make([]byte, 0, len(v)+16), '[')
	for _, item := range items {
		if len(item) < 2 || item[0] != '"' {
			return v
		}
		name := item[1 : len(item)-1]
		if !bytes.HasSuffix(name, []byte("]")) || !bytes.HasPrefix(name, []byte("recipe[")) && !bytes.HasPrefix(name, []byte("role[")) {
			item = slices.Concat([]byte(`"recipe[`), name, []byte(`]"`))
		}
		if seen[string(item)] {
			continue
		}
		seen[string(item)] = true
		if len(out) > 1 {
			out = append(out, ',')
		}
		out = append(out, item...)
	}
	return append(out, ']')
}

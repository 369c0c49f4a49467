package canonical

import (
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"strings"
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
	return writeForm("role", body, func(o map[string]any) (map[string]any, error) {
		addDefaults(o, map[string]any{"chef_type": "role", "default_attributes": map[string]any{}, "description": "",
			"env_run_lists": map[string]any{}, "json_class": "Chef::Role", "override_attributes": map[string]any{}, "run_list": []any{}})
		o["run_list"] = runList(o["run_list"])
		if lists, ok := o["env_run_lists"].(map[string]any); ok {
			for environment, list := range lists {
				lists[environment] = runList(list)
			}
		}
		return o, nil
	})
}

// Environment returns the canonical form of an environment, with the keys that
// servers fill in on write (docs/chef-server-api.md §4.3).
func Environment(body []byte) ([]byte, error) {
	return writeForm("environment", body, func(o map[string]any) (map[string]any, error) {
		addDefaults(o, map[string]any{"chef_type": "environment", "cookbook_versions": map[string]any{}, "default_attributes": map[string]any{},
			"description": "", "json_class": "Chef::Environment", "override_attributes": map[string]any{}})
		return o, nil
	})
}

// DataBag returns the canonical form of a data bag, which has no content but
// its name (docs/chef-server-api.md §4.1).
func DataBag(name string) []byte { return appendObject(nil, map[string]any{"name": name}) }

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
	return writeForm("data bag item", body, func(o map[string]any) (map[string]any, error) {
		_, hasID := o["id"]
		if raw, ok := o["raw_data"].(map[string]any); ok && o["json_class"] == "Chef::DataBagItem" && !hasID {
			return raw, nil
		}
		return o, nil
	})
}

// PolicyRevision returns the canonical form of a policy revision, as itself or as
// a policy group shows it. policy_group_list, which servers add to the former and
// fill with groups of other organizations too, doesn't count
// (docs/chef-server-api.md §5.2).
func PolicyRevision(body []byte) ([]byte, error) {
	return writeForm("policy revision", body, func(o map[string]any) (map[string]any, error) {
		delete(o, "policy_group_list")
		return o, nil
	})
}

// runList returns a run list as servers store it. Anything that isn't an array
// of strings stays as it is.
func runList(v any) any {
	items, ok := v.([]any)
	if !ok {
		return v
	}
	seen := make(map[string]bool, len(items))
	out := []any{}
	for _, item := range items {
		name, ok := item.(string)
		if !ok {
			return v
		}
		if !strings.HasSuffix(name, "]") || !strings.HasPrefix(name, "recipe[") && !strings.HasPrefix(name, "role[") {
			name = "recipe[" + name + "]"
		}
		if !seen[name] {
			seen[name] = true
			out = append(out, name)
		}
	}
	return out
}

// Package demo is the command demo: it replicates between two in-memory Chef Servers with
// the commands of the program, and shows both. The primary is filled with what
// organizations hold, the odd shapes as well as the common ones.
package demo

import (
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"strings"

	"chefsync/pkg/chef/cheftest"
)

// Bag is the data bag whose item the replica refuses for a while.
const Bag = "blobs"

// Fill puts some forty objects into an organization.
func Fill(o *cheftest.Org) {
	fillCookbooks(o)
	fillRoles(o)
	fillBags(o)
	for _, env := range []string{"development", "testing", "staging", "production"} {
		o.PutEnvironment(env, fmt.Sprintf(`{"description":"%s machines","cookbook_versions":{"apache2":"~> 2.0","base":">= 0.9.0"},
			"default_attributes":{"tier":%q},"override_attributes":{}}`, env, env))
	}
}

func fillCookbooks(o *cheftest.Org) {
	for _, c := range []struct {
		name, version string
		frozen        bool
	}{
		{"apache2", "1.9.0", true}, {"apache2", "1.10.0", false}, {"apache2", "2.0.0", true}, {"base", "0.9.1", false},
		{"base", "1.0.0", false}, {"mysql", "8.0.4", false}, {"mysql", "8.1.0", true}, {"ntp", "3.2.1", true}, {"users", "5.0.0", false},
	} {
		o.PutCookbook(c.name, c.version, cookbookFiles(c.name, c.version), c.frozen)
	}
}

// cookbookFiles are nested, binary, empty and shared files.
func cookbookFiles(name, version string) map[string][]byte {
	return map[string][]byte{
		"metadata.rb":                             fmt.Appendf(nil, "name '%s'\nversion '%s'\n", name, version),
		"README.md":                               fmt.Appendf(nil, "# %s %s\n", name, version),
		"LICENSE":                                 []byte("Apache License, Version 2.0\n"), // one content for all
		"recipes/default.rb":                      fmt.Appendf(nil, "package '%s'\n# %s\n", name, version),
		"recipes/service.rb":                      fmt.Appendf(nil, "service '%s' do\n  action :start\nend\n", name), // shared by versions
		"attributes/default.rb":                   fmt.Appendf(nil, "default['%s']['port'] = 80\n", name),
		"templates/default/etc/conf.d/site.erb":   []byte("<%= @site %>\n"),
		"files/default/empty.keep":                {},
		"files/default/logo.png":                  Noise(name, 4096),
		"libraries/deep/er/and/deeper/helpers.rb": []byte("module Helpers; end\n"),
	}
}

func roleNames() []string {
	return []string{"base", "web", "db", "cache", "monitoring", "ci", "proxy", "queue"}
}

func fillRoles(o *cheftest.Org) {
	for _, r := range roleNames() {
		o.PutRole(r, fmt.Sprintf(`{"description":"the %s role","json_class":"Chef::Role","chef_type":"role","run_list":["recipe[base]","recipe[ntp]"],
			"env_run_lists":{},"default_attributes":{"role":%q},"override_attributes":{}}`, r, r))
	}
}

func fillBags(o *cheftest.Org) {
	for i, u := range []string{"alice", "bob", "carol", "dave", "erin", "grace"} {
		o.PutDataBagItem("users", u, fmt.Sprintf(`{"uid":%d,"groups":["staff"],"shell":"/bin/zsh"}`, 2001+i))
	}
	for _, s := range []string{"database", "tls", "api_tokens"} {
		secret := base64.StdEncoding.EncodeToString(Noise(s, 64))
		iv := base64.StdEncoding.EncodeToString(Noise(s+"iv", 12))
		o.PutDataBagItem("secrets", s, fmt.Sprintf(`{"value":{"encrypted_data":%q,"iv":%q,"auth_tag":%q,"version":3,"cipher":"aes-256-gcm"}}`, secret, iv, iv))
	}
	o.PutDataBagItem("counters", "serial", `{"huge":123456789012345678901234567890,"exact":9007199254740993,"negative":-0.5}`)
	o.PutDataBagItem("counters", "odd-names", `{"ключ":"значение","a/b":"<&>","nested":{"deep":[1,[2,[3]]]}}`)
	o.PutDataBagItem(Bag, "firmware", fmt.Sprintf(`{"content":%q}`, strings.Repeat("0123456789abcdef", 2000)))
	o.PutDataBag("reserved") // a bag without items
}

// Noise is content that looks random and is the same each time.
func Noise(seed string, size int) []byte {
	var out []byte
	for i := 0; len(out) < size; i++ {
		sum := sha256.Sum256(fmt.Appendf(nil, "%s %d", seed, i))
		out = append(out, sum[:]...)
	}
	return out[:size]
}

package cheftest

import "fmt"

// Fill adds objects of all shapes to an organization: nested, empty, binary
// and shared files, several and frozen versions, encrypted-looking items, big
// integers, unicode, and names at the edges.
func Fill(o *Org) {
	shared := []byte("# shared by many\n")
	binary := make([]byte, 3000)
	for i := range binary {
		binary[i] = byte(i * 7)
	}
	for i := range 4 {
		v := fmt.Sprintf("1.%d.0", i*9)
		o.PutCookbook("apache2", v, map[string][]byte{
			"metadata.rb": fmt.Appendf(nil, "name 'apache2'\nversion '%s'\n", v), "README.md": shared,
			"recipes/default.rb":           []byte("package 'apache2'"),
			"templates/default/a.conf.erb": []byte("<%= @x %>"), "files/ubuntu-24.04/logo.bin": binary, "files/default/empty": {},
		}, i%2 == 0)
	}
	o.PutCookbook("a.b_c-d", "0.0.1", map[string][]byte{"recipes/default.rb": shared, "libraries/deep_helper.rb": binary[:100]}, true)
	o.PutCookbook("nofiles", "2.0.0", nil, false)
	o.PutEnvironment("prod", `{"description":"an environment","cookbook_versions":{"apache2":"= 1.9.0"},`+
		`"default_attributes":{"n":1,"deep":{"a":[1,2,{"b":null}]}}}`)
	o.PutEnvironment("dev-1", `{"description":"entwicklung äöü 日本"}`)
	o.PutRole("web", `{"description":"a role","run_list":["recipe[apache2]","role[base]"],`+
		`"default_attributes":{"big":123456789012345678901234567890,"esc":"<&>\u2028\"\\"}}`)
	o.PutRole("base", `{"description":"a role","env_run_lists":{"prod":["recipe[apache2::default]"]},"override_attributes":{"t":true}}`)
	o.PutRole("with:colon", `{"description":"a role"}`)
	o.PutDataBag("empty")
	o.PutDataBagItem("secrets", "db", `{"password":{"encrypted_data":"aGVsbG8\nd29ybGQ=\n","iv":"MTIz\n","auth_tag":"eHl6\n",`+
		`"version":3,"cipher":"aes-256-gcm"}}`)
	o.PutDataBagItem("secrets", "db_keys", `{"admins":["alice"],"alice":"QUJD\n"}`)
	for i := range 12 {
		o.PutDataBagItem("users", fmt.Sprintf("user.%d", i),
			fmt.Sprintf(`{"uid":%d,"groups":["a","b"],"chef_type":"kept","n":9007199254740993}`, i))
	}
}

// Filled is the number of objects that Fill creates, bags included.
const Filled = 6 + 2 + 3 + 3 + 14

// Edit changes, adds and deletes objects of every kind in an organization after Fill.
func Edit(o *Org) {
	o.PutCookbook("apache2", "1.0.0", map[string][]byte{"recipes/default.rb": []byte("forced over a frozen version")}, true)
	o.PutCookbook("apache2", "1.9.0", map[string][]byte{"recipes/default.rb": []byte("uploaded again"), "README.md": []byte("new")}, true)
	o.PutCookbook("fresh", "0.1.0", map[string][]byte{"recipes/default.rb": []byte("# shared by many\n")}, false)
	o.DeleteCookbook("apache2", "1.27.0")
	o.PutEnvironment("prod", `{"description":"an environment","cookbook_versions":{"fresh":"= 0.1.0"}}`)
	o.PutEnvironment("staging", `{"description":"an environment"}`)
	o.DeleteEnvironment("dev-1")
	o.PutRole("web", `{"description":"a role","run_list":[]}`)
	o.PutRole("db", `{"description":"a role","run_list":["recipe[fresh]"]}`)
	o.DeleteRole("with:colon")
	o.PutDataBagItem("users", "user.1", `{"uid":1001}`)
	o.PutDataBagItem("users", "user.new", `{}`)
	o.DeleteDataBagItem("users", "user.2")
	o.PutDataBagItem("more", "x", `{"y":1}`)
	o.DeleteDataBag("secrets")
}

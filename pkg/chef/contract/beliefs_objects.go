package contract

import (
	"strings"
)

func roleBeliefs() []belief {
	return []belief{
		{"roles/create answers 201 with the uri", func(p *probe) {
			n := p.newName()
			p.deleteLater("/roles/" + n)
			r := p.wantStatus(201, "POST", "/roles", `{"name":"`+n+`"}`)
			uri, _ := r.Object()["uri"].(string)
			p.check(strings.HasSuffix(uri, "/roles/"+n), "uri %q", uri)
		}},
		{"roles/create answers with a Location", func(p *probe) {
			n := p.newName()
			p.deleteLater("/roles/" + n)
			r := p.wantStatus(201, "POST", "/roles", `{"name":"`+n+`"}`)
			p.check(strings.HasSuffix(r.Header.Get("Location"), "/roles/"+n), "Location %q", r.Header.Get("Location"))
		}},
		{"roles/a list maps names to URLs", func(p *probe) {
			path := p.createRole("")
			name := strings.TrimPrefix(path, "/roles/")
			url, _ := p.wantStatus(200, "GET", "/roles", "").Object()[name].(string)
			p.check(strings.HasSuffix(url, path), "got %q", url)
		}},
		{"roles/what was left out comes back with defaults", func(p *probe) {
			r := p.wantStatus(200, "GET", p.createRole(""), "")
			p.wantEqual(r, "json_class", `"Chef::Role"`)
			p.wantEqual(r, "chef_type", `"role"`)
			p.wantEqual(r, "default_attributes", `{}`)
			p.wantEqual(r, "override_attributes", `{}`)
			p.wantEqual(r, "run_list", `[]`)
			p.wantEqual(r, "env_run_lists", `{}`)
		}},
		{"roles/unknown key is 400", func(p *probe) {
			p.wantRefusal(400, "Invalid key zzz in request body", "PUT", p.createRole(""), `{"zzz":1}`)
		}},
		{"roles/run lists are normalised", func(p *probe) {
			path := p.createRole(`,"run_list":["nginx","recipe[nginx]","role[base]","role[base]"],"env_run_lists":{"prod":["a::b"]}`)
			r := p.wantStatus(200, "GET", path, "")
			p.wantEqual(r, "run_list", `["recipe[nginx]","role[base]"]`)
			p.wantEqual(r, "env_run_lists", `{"prod":["recipe[a::b]"]}`)
		}},
		{"roles/a bad run list is 400", func(p *probe) { p.wantStatus(400, "PUT", p.createRole(""), `{"run_list":["recipe["]}`) }},
		{"roles/what was read can be written and is the same again", func(p *probe) {
			path := p.createRole(`,"default_attributes":{"b":{"z":[1,null,"x"]},"a":true},"run_list":["a"]`)
			r := p.wantStatus(200, "GET", path, "")
			p.wantStatus(200, "PUT", path, string(r.Body))
			again := p.wantStatus(200, "GET", path, "")
			p.check(string(again.Body) == string(r.Body), "got %s, then %s", r.Body, again.Body)
		}},
		{"roles/a second create is 409", func(p *probe) {
			name := strings.TrimPrefix(p.createRole(""), "/roles/")
			p.wantRefusal(409, "already exists", "POST", "/roles", `{"name":"`+name+`"}`)
		}},
		{"roles/an absent one is 404 with the version header", func(p *probe) { p.wantAbsent("/roles/" + p.newName()) }},
		{"roles/PUT of an absent one is 404", func(p *probe) { p.wantStatus(404, "PUT", "/roles/"+p.newName(), `{}`) }},
		{"roles/DELETE of an absent one is 404", func(p *probe) { p.wantStatus(404, "DELETE", "/roles/"+p.newName(), "") }},
		{"roles/DELETE answers the old object", func(p *probe) {
			path := p.createRole(`,"description":"old"`)
			p.wantEqual(p.wantStatus(200, "DELETE", path, ""), "description", `"old"`)
			p.wantAbsent(path)
		}},
		{"roles/PUT may leave out the name", func(p *probe) { p.wantStatus(200, "PUT", p.createRole(""), `{}`) }},
		{"roles/PUT with another name is 400", func(p *probe) {
			p.wantRefusal(400, "Role name mismatch", "PUT", p.createRole(""), `{"name":"`+p.newName()+`"}`)
		}},
		{"roles/a name may have a colon", func(p *probe) {
			n := p.newName() + ":x"
			p.deleteLater("/roles/" + n)
			p.wantStatus(201, "POST", "/roles", `{"name":"`+n+`"}`)
			p.wantStatus(200, "GET", "/roles/"+n, "")
		}},
		{"roles/names are case-sensitive", func(p *probe) { p.wantAbsent(strings.Replace(p.createRole(""), "/contract", "/Contract", 1)) }},
		{"roles/run lists may name what isn't there", func(p *probe) { p.createRole(`,"run_list":["role[contract-nowhere]"]`) }},
	}
}

func environmentBeliefs() []belief {
	return []belief{
		{"environments/_default is always there", func(p *probe) {
			p.wantEqual(p.wantStatus(200, "GET", "/environments/_default", ""), "name", `"_default"`)
			p.check(p.wantStatus(200, "GET", "/environments", "").Object()["_default"] != nil, "not listed")
		}},
		{"environments/PUT of _default is 405", func(p *probe) { p.wantStatus(405, "PUT", "/environments/_default", `{"name":"_default"}`) }},
		{"environments/DELETE of _default is 405", func(p *probe) { p.wantStatus(405, "DELETE", "/environments/_default", "") }},
		{"environments/POST of _default is 409", func(p *probe) { p.wantStatus(409, "POST", "/environments", `{"name":"_default"}`) }},
		{"environments/PUT with another name renames", func(p *probe) {
			_, old := p.createEnvironment("")
			n := p.newName()
			p.wantStatus(201, "PUT", old, `{"name":"`+n+`"}`)
			p.deleteLater("/environments/" + n)
			p.wantAbsent(old)
			p.wantStatus(200, "GET", "/environments/"+n, "")
		}},
		{"environments/renaming to a name in use is 409", func(p *probe) {
			_, a := p.createEnvironment("")
			b, _ := p.createEnvironment("")
			p.wantStatus(409, "PUT", a, `{"name":"`+b+`"}`)
		}},
		{"environments/what was left out comes back with defaults", func(p *probe) {
			_, path := p.createEnvironment("")
			r := p.wantStatus(200, "GET", path, "")
			p.wantEqual(r, "description", `""`)
			p.wantEqual(r, "cookbook_versions", `{}`)
			p.wantEqual(r, "json_class", `"Chef::Environment"`)
		}},
		{"environments/PUT without a name is 400", func(p *probe) {
			_, path := p.createEnvironment("")
			p.wantStatus(400, "PUT", path, `{}`)
		}},
		{"environments/unknown key is 400", func(p *probe) {
			n, path := p.createEnvironment("")
			p.wantRefusal(400, "Invalid key zzz in request body", "PUT", path, `{"name":"`+n+`","zzz":1}`)
		}},
		{"environments/a constraint that is none is 400", func(p *probe) {
			n, path := p.createEnvironment("")
			p.wantStatus(400, "PUT", path, `{"name":"`+n+`","cookbook_versions":{"a":"new"}}`)
		}},
		{"environments/a constraint may name a cookbook that isn't there", func(p *probe) {
			_, path := p.createEnvironment(`,"cookbook_versions":{"contract-nowhere":"~> 1.0"}`)
			p.wantEqual(p.wantStatus(200, "GET", path, ""), "cookbook_versions", `{"contract-nowhere":"~> 1.0"}`)
		}},
		{"environments/absent is 404 with the version header", func(p *probe) { p.wantAbsent("/environments/" + p.newName()) }},
		{"environments/a second create is 409", func(p *probe) {
			n, _ := p.createEnvironment("")
			p.wantStatus(409, "POST", "/environments", `{"name":"`+n+`"}`)
		}},
		{"environments/PUT of an absent one is 404", func(p *probe) {
			n := p.newName()
			p.wantStatus(404, "PUT", "/environments/"+n, `{"name":"`+n+`"}`)
		}},
	}
}

func bagBeliefs() []belief {
	return []belief{
		{"data bags/a second create is 409", func(p *probe) {
			p.wantStatus(409, "POST", "/data", `{"name":"`+strings.TrimPrefix(p.createBag(), "/data/")+`"}`)
		}},
		{"data bags/PUT is 405", func(p *probe) { p.wantStatus(405, "PUT", p.createBag(), `{}`) }},
		{"data bags/absent is 404 with the version header", func(p *probe) { p.wantAbsent("/data/" + p.newName()) }},
		{"data bags/GET lists the items", func(p *probe) {
			path := p.createItem("")
			r := p.wantStatus(200, "GET", strings.TrimSuffix(path, "/i"), "")
			url, _ := r.Object()["i"].(string)
			p.check(len(r.Object()) == 1 && strings.HasSuffix(url, path), "got %s", r.Body)
		}},
		{"data bags/DELETE takes the items along", func(p *probe) {
			path := p.createItem("")
			p.wantStatus(200, "DELETE", strings.TrimSuffix(path, "/i"), "")
			p.wantAbsent(path)
			p.wantAbsent(strings.TrimSuffix(path, "/i"))
		}},
		{"items/GET is what was sent and no more", func(p *probe) {
			r := p.wantStatus(200, "GET", p.createItem(`,"k":1`), "")
			p.check(len(r.Object()) == 2, "got %s", r.Body)
			p.wantEqual(r, "k", "1")
		}},
		{"items/POST and PUT answer with chef_type and data_bag", func(p *probe) {
			bag := p.createBag()
			name := `"` + strings.TrimPrefix(bag, "/data/") + `"`
			for _, r := range []Reply{p.wantStatus(201, "POST", bag, `{"id":"i"}`), p.wantStatus(200, "PUT", bag+"/i", `{"id":"i"}`)} {
				p.wantEqual(r, "chef_type", `"data_bag_item"`)
				p.wantEqual(r, "data_bag", name)
				p.wantEqual(r, "id", `"i"`)
			}
		}},
		{"items/chef_type and data_bag that were sent stay", func(p *probe) {
			r := p.wantStatus(200, "GET", p.createItem(`,"chef_type":"x","data_bag":"y"`), "")
			p.wantEqual(r, "chef_type", `"x"`)
			p.wantEqual(r, "data_bag", `"y"`)
		}},
		{"items/a wrapped one is unwrapped", func(p *probe) {
			path := p.createItem("")
			p.wantStatus(200, "PUT", path, `{"json_class":"Chef::DataBagItem","raw_data":{"id":"i","k":2}}`)
			r := p.wantStatus(200, "GET", path, "")
			p.wantEqual(r, "k", "2")
			p.check(len(r.Object()) == 2, "got %s", r.Body)
		}},
		{"items/DELETE answers the wrapped item", func(p *probe) {
			r := p.wantStatus(200, "DELETE", p.createItem(`,"k":1`), "")
			raw, _ := r.Object()["raw_data"].(map[string]any)
			p.check(raw["id"] == "i", "got %s", r.Body)
		}},
		{"items/create in an absent bag is 404", func(p *probe) { p.wantStatus(404, "POST", "/data/"+p.newName(), `{"id":"i"}`) }},
		{"items/a second create is 409", func(p *probe) {
			p.wantRefusal(409, "already exists", "POST", strings.TrimSuffix(p.createItem(""), "/i"), `{"id":"i"}`)
		}},
		{"items/absent is 404 with the version header", func(p *probe) { p.wantAbsent(p.createBag() + "/i") }},
		{"items/PUT of an absent one is 404", func(p *probe) { p.wantStatus(404, "PUT", p.createBag()+"/i", `{"id":"i"}`) }},
		{"items/PUT with another id is 400", func(p *probe) { p.wantStatus(400, "PUT", p.createItem(""), `{"id":"j"}`) }},
		{"items/PUT may leave out the id", func(p *probe) {
			path := p.createItem("")
			p.wantStatus(200, "PUT", path, `{"k":1}`)
			p.wantEqual(p.wantStatus(200, "GET", path, ""), "id", `"i"`)
		}},
		{"items/create without an id is 400", func(p *probe) { p.wantStatus(400, "POST", p.createBag(), `{"k":1}`) }},
		{"items/an id may have a colon and dots", func(p *probe) {
			bag := p.createBag()
			p.wantStatus(201, "POST", bag, `{"id":"a:b.c"}`)
			p.wantStatus(200, "GET", bag+"/a:b.c", "")
		}},
	}
}

// itemKeeps checks that a value of an item is returned as expected.
func itemKeeps(sent, want string) func(*probe) {
	return func(p *probe) { p.wantExact(p.wantStatus(200, "GET", p.createItem(`,"v":`+sent), ""), "v", want) }
}

func jsonBeliefs() []belief {
	return []belief{
		{"JSON/big integers keep all digits", itemKeeps("123456789012345678901234567890", "123456789012345678901234567890")},
		{"JSON/an integer stays one", itemKeeps("10000000000000000000000", "10000000000000000000000")},
		{"JSON/null, true, {} and empty text stay", itemKeeps(`[null,true,{},""]`, `[null,true,{},""]`)},
		{"JSON/an empty list stays one", itemKeeps(`[]`, `[]`)},
		{"JSON/an empty list in a list stays one", itemKeeps(`[[]]`, `[[]]`)},
		{"JSON/an empty list in a role's attributes stays one", func(p *probe) {
			p.wantEqual(p.wantStatus(200, "GET", p.createRole(`,"default_attributes":{"l":[],"m":[[]]}`), ""), "default_attributes",
				`{"l":[],"m":[[]]}`)
		}},
		{"JSON/key order is kept", itemKeeps(`{"b":1,"a":2}`, `{"b":1,"a":2}`)},
		{"JSON/< > & are not escaped", itemKeeps(`"<&>"`, `"<&>"`)},
		{"JSON/text beyond ASCII stays", itemKeeps(`"é€😀"`, `"é€😀"`)},
		{"JSON/newlines in strings stay", itemKeeps(`"a\nb"`, `"a\nb"`)},
		{"JSON/an exponent is written out", itemKeeps("1e3", "1000.0")},
		{"JSON/zeros after the point go, except for one", itemKeeps("3.00", "3.0")},
		{"JSON/zeros after the point go in a role's attributes too", func(p *probe) {
			p.wantEqual(p.wantStatus(200, "GET", p.createRole(`,"default_attributes":{"f":1.50}`), ""), "default_attributes", `{"f":1.5}`)
		}},
		{"JSON/big integers in a role's attributes keep all digits", func(p *probe) {
			p.wantEqual(p.wantStatus(200, "GET", p.createRole(`,"default_attributes":{"i":12345678901234567890123}`), ""),
				"default_attributes", `{"i":12345678901234567890123}`)
		}},
		{"JSON/negative zero loses its sign", itemKeeps("-0.0", "0.0")},
		{"JSON/small floats keep their exponent", itemKeeps("1E-7", "1e-7")},
		{"JSON/what was read once goes through again unchanged", func(p *probe) {
			path := p.createItem(`,"v":[1e3,1.50,-0.0,1E-7,1.5e10,0.1,12345678901234567890]`)
			r := p.wantStatus(200, "GET", path, "")
			p.wantStatus(200, "PUT", path, string(r.Body))
			again := p.wantStatus(200, "GET", path, "")
			p.check(string(again.Body) == string(r.Body), "got %s, then %s", r.Body, again.Body)
		}},
	}
}

package cheftest_test

import "testing"

func TestEnvironments(t *testing.T) {
	w := newTestServer(t)
	w.wantStatus(200, "GET", "/environments", "", `{"_default":"http://chef.test/organizations/acme/environments/_default"}`)
	w.wantStatus(200, "GET", "/environments/_default", "", `"name":"_default"`)
	w.wantStatus(405, "PUT", "/environments/_default", `{"name":"_default"}`, "The '_default' environment cannot be modified.")
	w.wantStatus(405, "DELETE", "/environments/_default", "")
	w.wantStatus(409, "POST", "/environments", `{"name":"_default"}`, "Environment already exists")
	w.wantStatus(201, "POST", "/environments", `{"name":"prod","cookbook_versions":{"nginx":"= 1.0.0"}}`, "/environments/prod")
	w.wantStatus(200, "GET", "/environments/prod", "", `"description":""`)
	w.wantStatus(400, "PUT", "/environments/prod", `{}`, "Field 'name' missing")
	w.wantStatus(400, "PUT", "/environments/prod", `{"name":"prod","zzz":1}`, "Invalid key zzz in request body")
	w.wantStatus(400, "PUT", "/environments/prod", `{"name":"prod","cookbook_versions":{"nginx":"latest"}}`,
		"Invalid value 'latest' for cookbook_versions")
	w.wantStatus(404, "PUT", "/environments/gone", `{"name":"gone"}`, "Cannot load environment gone")
	w.wantStatus(201, "POST", "/environments", `{"name":"stage"}`)
	w.wantStatus(409, "PUT", "/environments/prod", `{"name":"stage"}`)
	r := w.wantStatus(201, "PUT", "/environments/prod", `{"name":"live"}`)
	if r.Header.Get("Location") != "http://chef.test/organizations/acme/environments/live" {
		t.Errorf("Location %q", r.Header.Get("Location"))
	}
	w.wantStatus(404, "GET", "/environments/prod", "")
	w.wantStatus(200, "DELETE", "/environments/live", "", `"name":"live"`)
	w.wantStatus(404, "DELETE", "/environments/live", "")
}

func TestDataBags(t *testing.T) {
	w := newTestServer(t)
	w.wantStatus(201, "POST", "/data", `{"name":"users"}`, `{"uri":"http://chef.test/organizations/acme/data/users"}`)
	w.wantStatus(409, "POST", "/data", `{"name":"users"}`, "Data bag already exists")
	w.wantStatus(405, "PUT", "/data/users", `{}`)
	w.wantStatus(404, "POST", "/data/gone", `{"id":"a"}`,
		"No data bag 'gone' could be found. Please create this data bag before adding items to it.")
	w.wantStatus(404, "GET", "/data/gone", "", "Cannot load data bag gone")
	w.wantStatus(201, "POST", "/data/users", `{"id":"alice","n":1.50}`,
		`{"id":"alice","n":1.5,"chef_type":"data_bag_item","data_bag":"users"}`)
	w.wantStatus(409, "POST", "/data/users", `{"id":"alice"}`, "Data Bag Item 'alice' already exists in Data Bag 'users'.")
	w.wantStatus(400, "POST", "/data/users", `{"id":"a b"}`, "Field 'id' invalid")
	w.wantStatus(400, "POST", "/data/users", `{}`, "Field 'id' missing")
	if r := w.wantStatus(200, "GET", "/data/users/alice", ""); string(r.Body) != `{"id":"alice","n":1.5}` {
		t.Errorf("an item is read as it is stored, got %s", r.Body)
	}
	w.wantStatus(400, "PUT", "/data/users/alice", `{"id":"bob"}`, "DataBagItem name mismatch.")
	w.wantStatus(200, "PUT", "/data/users/alice", `{"k":[1,{"b":1,"a":2}]}`, `{"k":[1,{"b":1,"a":2}],"id":"alice","chef_type"`)
	w.wantStatus(200, "PUT", "/data/users/alice", `{"json_class":"Chef::DataBagItem","raw_data":{"id":"alice","v":2}}`,
		`{"id":"alice","v":2,`)
	w.wantStatus(200, "PUT", "/data/users/alice", `{"id":"alice","chef_type":"x","data_bag":"y"}`)
	if r := w.wantStatus(200, "GET", "/data/users/alice", ""); string(r.Body) != `{"id":"alice","chef_type":"x","data_bag":"y"}` {
		t.Errorf("keys that were sent stay, got %s", r.Body)
	}
	w.wantStatus(404, "PUT", "/data/users/bob", `{}`, "Cannot load data bag item bob for data bag users")
	w.wantStatus(404, "DELETE", "/data/users/bob", "", "Cannot load data bag users item bob")
	w.wantStatus(200, "GET", "/data/users", "", `{"alice":"http://chef.test/organizations/acme/data/users/alice"}`)
	w.wantStatus(200, "DELETE", "/data/users/alice", "",
		`{"name":"data_bag_item_users_alice","json_class":"Chef::DataBagItem","chef_type":"data_bag_item","data_bag":"users",`+
			`"raw_data":{"id":"alice"`)
	w.org.PutDataBagItem("users", "carol", `{}`)
	w.wantStatus(200, "DELETE", "/data/users", "", `{"name":"users","json_class":"Chef::DataBag","chef_type":"data_bag"}`)
	w.wantStatus(404, "GET", "/data/users/carol", "", "Cannot load data bag item carol for data bag users")
}

func TestNumbersAreFormattedLikeErchef(t *testing.T) {
	w := newTestServer(t)
	w.org.PutDataBag("n")
	for sent, kept := range map[string]string{
		"1e3": "1000.0", "1.5e10": "15000000000.0", "1E-7": "1e-7", "3.00": "3.0", "-0.0": "0.0", "0.1": "0.1",
		"123456789012345678901234567890": "123456789012345678901234567890", "-5": "-5", "1e21": "1e+21",
		"1e20": "100000000000000000000.0", "0.000001": "0.000001", "1.25e-9": "1.25e-9",
	} {
		w.org.PutDataBagItem("n", "i", `{"v":`+sent+`}`)
		if r := w.wantStatus(200, "GET", "/data/n/i", ""); string(r.Body) != `{"v":`+kept+`,"id":"i"}` {
			t.Errorf("%s: got %s, want %s", sent, r.Body, kept)
		}
		w.org.PutDataBagItem("n", "i", `{"v":`+kept+`}`)
		if r := w.wantStatus(200, "GET", "/data/n/i", ""); string(r.Body) != `{"v":`+kept+`,"id":"i"}` {
			t.Errorf("%s goes through a second time as %s", kept, r.Body)
		}
	}
	w.wantStatus(400, "PUT", "/data/n/i", `{"v":1e999}`, "invalid JSON")
	w.wantStatus(400, "PUT", "/data/n/i", "{\"v\":\"\xff\"}", "invalid JSON")
	w.wantStatus(200, "PUT", "/data/n/i", `{"v":"<&>é\n/","z":null,"a":true}`, `{"v":"<&>é\n/","z":null,"a":true,`)
}

func TestSearchEngineDown(t *testing.T) {
	w := newTestServer(t)
	w.srv.SetIndexDown(true)
	w.wantStatus(500, "POST", "/roles", `{"name":"web"}`, "internal service error")
	w.wantStatus(404, "GET", "/roles/web", "")
	w.wantStatus(201, "POST", "/data", `{"name":"bag"}`)
	w.wantStatus(500, "POST", "/data/bag", `{"id":"i"}`)
}

func TestSearch(t *testing.T) {
	w := newTestServer(t)
	for _, n := range []string{"a1", "a2", "b1"} {
		w.org.PutRole(n, `{"default_attributes":{"x":{"y":"`+n+`"}}}`)
		w.org.PutDataBagItem("bag", n, `{"k":1}`)
	}
	w.wantStatus(200, "GET", "/search", "", `"bag":"http://chef.test/organizations/acme/search/bag"`)
	w.wantStatus(200, "GET", "/search/role?q=*:*", "", `{"total":3,"start":0,"rows":[{`, `"name":"a1"`)
	w.wantStatus(200, "GET", "/search/role?q=name:a*&rows=1&start=1", "", `"total":2,"start":1,"rows":[{`, `"a2"`)
	w.wantStatus(200, "GET", "/search/bag", "", `"name":"data_bag_item_bag_a1"`, `"raw_data":{"k":1,"id":"a1"}`)
	w.wantStatus(200, "POST", "/search/role?q=name:b1", `{"v":["default_attributes","x","y"],"n":["nope"]}`,
		`[{"url":"http://chef.test/organizations/acme/roles/b1","data":{"v":"b1","n":null}}]`)
	w.wantStatus(404, "GET", "/search/nobag", "", "I don't know how to search for nobag data objects.")
	w.wantStatus(400, "GET", "/search/role?rows=x", "", "invalid 'rows' value: 'x'")
	w.wantStatus(200, "GET", "/search/environment", "", `"name":"_default"`)
}

func TestLaggingIndex(t *testing.T) {
	w := newTestServer(t)
	w.org.PutRole("old", `{}`)
	w.org.PutRole("gone", `{}`)
	w.org.FreezeIndex()
	w.org.PutRole("new", `{}`)
	w.org.PutRole("old", `{"description":"current"}`)
	w.org.DeleteRole("gone")
	r := w.wantStatus(200, "GET", "/search/role", "", `"total":2`, `"description":"current"`)
	if rows, _ := r.Object()["rows"].([]any); len(rows) != 1 {
		t.Errorf("deleted objects leave no row, got %s", r.Body)
	}
	w.org.RefreshIndex()
	w.wantStatus(200, "GET", "/search/role", "", `"total":2`, `"name":"new"`)
	w.org.ThawIndex()
	w.org.PutRole("newer", `{}`)
	w.wantStatus(200, "GET", "/search/role", "", `"name":"newer"`)
}

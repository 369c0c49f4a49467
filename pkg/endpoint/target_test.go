package endpoint

import (
	"context"
	"strings"
	"testing"

	"chefsync/pkg/chef"
	"chefsync/pkg/chef/cheftest"
	"chefsync/pkg/fault"
	"chefsync/pkg/object"
)

func TestPutWritesEveryKind(t *testing.T) {
	for _, create := range []bool{true, false} {
		w := newFixture(t)
		fillOrg(w.from)
		for range 2 {
			for _, path := range []string{"/roles/web", "/roles/a:b", "/environments/prod", "/data/users", "/data/empty",
				"/data/users/alice", "/cookbooks/a/1.0.0", "/cookbooks/a/1.10.0", "/cookbooks/b/0.1.0"} {
				w.mustCopy(path, create)
			}
		}
		w.wantSameServers()
	}
}

func TestPutOfSmallObjectsTakesOneRequest(t *testing.T) {
	w := newFixture(t)
	fillOrg(w.from)
	for _, c := range []struct {
		create bool
		want   string
	}{{true, "POST /organizations/copy/roles"}, {false, "PUT /organizations/copy/roles/web"}} {
		w.replica.ResetRequests()
		if err := w.copyObject("/roles/web", c.create); err != nil {
			t.Fatal(err)
		}
		wantStrings(t, "requests", requestLines(w.replica), c.want)
	}
}

func TestPutCreatesTheBagOfAnItem(t *testing.T) {
	w := newFixture(t)
	fillOrg(w.from)
	w.mustCopy("/data/users/alice", false)
	w.to.DeleteDataBag("users")
	w.mustCopy("/data/users/alice", true)
}

func TestItemsThatLookWrappedAreUnchanged(t *testing.T) {
	w := newFixture(t)
	w.from.PutDataBagItem("b", "i", `{"id":"i","json_class":"Chef::DataBagItem","raw_data":{"id":"inner"},"x":1}`)
	w.from.PutDataBagItem("b", "j", `{"id":"j","json_class":"Chef::DataBagItem","chef_type":"data_bag_item","data_bag":"b"}`)
	for _, path := range []string{"/data/b/i", "/data/b/j"} {
		w.mustCopy(path, true)
		w.mustCopy(path, false)
	}
	w.wantSameServers()
}

func TestPutAfterLostAnswers(t *testing.T) {
	for _, create := range []bool{true, false} {
		for _, path := range []string{"/roles/web", "/environments/prod", "/data/users", "/data/users/alice", "/cookbooks/a/1.0.0"} {
			w := newFixture(t)
			fillOrg(w.from)
			if err := w.copyObject("/data/empty", true); err != nil { // negotiates
				t.Fatal(err)
			}
			for _, f := range []cheftest.Fault{
				{Match: isWrite, Nth: 1, Times: 1, DropAnswer: true}, {Match: isWrite, Nth: 3, Times: 1, Drop: true},
				{Match: isWrite, Nth: 4, Times: 1, After: true, Status: 502},
			} {
				w.replica.Fault(f)
			}
			w.mustCopy(path, create)
		}
	}
}

func TestPutReportsRejectedObjects(t *testing.T) {
	w := newFixture(t)
	fillOrg(w.from)
	for name, c := range map[string]struct {
		fault cheftest.Fault
		want  fault.Class
	}{
		"invalid":     {cheftest.Fault{Status: 400, Body: `{"error":["Invalid key zzz in request body"]}`}, fault.Rejected},
		"too large":   {cheftest.Fault{Status: 413, Body: `{"error":"JSON must be no more than 10 bytes."}`}, fault.Rejected},
		"permission":  {cheftest.Fault{Status: 403, Body: `{"error":["missing update permission"]}`}, fault.Forbidden},
		"overloaded":  {cheftest.Fault{Status: 503}, fault.Transient},
		"always 404":  {cheftest.Fault{Status: 404, Body: `{"error":["Cannot load role web"]}`}, fault.Transient},
		"a login":     {cheftest.Fault{HTML: true}, fault.Foreign},
		"unreachable": {cheftest.Fault{Drop: true}, fault.Unreachable},
	} {
		t.Run(name, func(t *testing.T) {
			c.fault.Path, c.fault.Match = "/roles*", isWrite
			h := w.replica.Fault(c.fault)
			defer h.Remove()
			err := w.copyObject("/roles/web", false)
			wantClass(t, err, c.want)
			if !strings.Contains(err.Error(), "on replica") {
				t.Errorf("error %v doesn't name the server", err)
			}
		})
	}
}

func TestPutRefusesAnObjectWithAnotherName(t *testing.T) {
	w := newFixture(t)
	for _, obj := range []object.Object{
		{Ref: object.Ref{Kind: object.Environment, Name: "prod"}, Body: []byte(`{"name":"dev"}`)},
		{Ref: object.Ref{Kind: object.Environment, Name: "_default"}, Body: []byte(`{"name":"_default"}`)},
		{Ref: object.Ref{Kind: object.DataBagItem, Name: "b", Sub: "_acl"}, Body: []byte(`{"id":"_acl"}`)},
		{Ref: object.Ref{Kind: object.Role, Name: "../x"}, Body: []byte(`{"name":"../x"}`)},
	} {
		wantClass(t, w.target.Put(context.Background(), obj, true, nil), fault.Rejected)
	}
	if len(w.replica.Requests()) > 0 {
		t.Errorf("sent %v", requestLines(w.replica))
	}
}

func TestDeleteOfEveryKindIsIdempotent(t *testing.T) {
	w := newFixture(t)
	fillOrg(w.to)
	for range 2 {
		for _, path := range []string{"/roles/web", "/roles/a:b", "/environments/prod", "/data/users/alice", "/data/users",
			"/data/empty", "/cookbooks/a/1.0.0", "/cookbooks/a/1.10.0", "/cookbooks/b/0.1.0"} {
			if err := w.target.Delete(context.Background(), mustParseRef(t, path)); err != nil {
				t.Error(err)
			}
		}
	}
	w.wantSameServers()
	err := w.target.Delete(context.Background(), object.Ref{Kind: object.Environment, Name: "_default"})
	wantClass(t, err, fault.Rejected)
}

func TestDeleteReportsErrors(t *testing.T) {
	w := newFixture(t)
	fillOrg(w.to)
	for _, f := range []cheftest.Fault{{HTML: true, Status: 404},
		{Status: 404, Body: `{"error":["organization 'copy' does not exist."]}`}, {Status: 500}} {
		h := w.replica.Fault(f)
		if err := w.target.Delete(context.Background(), mustParseRef(t, "/roles/web")); err == nil {
			t.Errorf("fault %+v: deleted", f)
		}
		h.Remove()
	}
}

func TestConflictingObjectsShareALane(t *testing.T) {
	_, key := cheftest.New(cheftest.Options{}).Superuser()
	lane := func(orgless bool, path string) string {
		c, err := chef.New(chef.Config{Name: "replica", URL: "http://chef.test", Orgless: orgless, User: "u", Key: key})
		if err != nil {
			t.Fatal(err)
		}
		return NewTarget(c.Org("acme"), TargetOptions{}).Lane(mustParseRef(t, path))
	}
	for _, orgless := range []bool{false, true} {
		if lane(orgless, "/cookbooks/apt/1.0.0") != lane(orgless, "/cookbooks/apt/2.0.0") {
			t.Errorf("orgless %v: versions of one cookbook are in different lanes", orgless)
		}
		if same := lane(orgless, "/data/b/x") == lane(orgless, "/data/b/y"); same != orgless {
			t.Errorf("orgless %v: items of one bag share a lane: %v", orgless, same)
		}
	}
}

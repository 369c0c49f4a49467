package cheftest_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"chefsync/pkg/chef/cheftest"
	"chefsync/pkg/chef/contract"
)

func TestFaultsMatchByPathAndCount(t *testing.T) {
	w := newTestServer(t)
	w.org.PutRole("a", `{}`)
	f := w.srv.Fault(cheftest.Fault{Method: "GET", Path: "/roles/*", Nth: 2, Times: 1, Status: 502, HTML: true})
	w.wantStatus(200, "GET", "/roles", "")
	w.wantStatus(200, "GET", "/roles/a", "")
	if r := w.wantStatus(502, "GET", "/roles/a", "", "<html>"); r.Genuine() {
		t.Error("a page of a proxy has no version header")
	}
	w.wantStatus(200, "GET", "/roles/a", "")
	if f.Hits() != 1 {
		t.Errorf("hits %d", f.Hits())
	}
	w.srv.Fault(cheftest.Fault{Path: "re:/environments$", Status: 429, Header: http.Header{"Retry-After": {"7"}}})
	if r := w.wantStatus(429, "GET", "/environments", ""); r.Header.Get("Retry-After") != "7" || !r.Genuine() {
		t.Errorf("headers %v", r.Header)
	}
	w.srv.ClearFaults()
	w.wantStatus(200, "GET", "/environments", "")
	f = w.srv.Fault(cheftest.Fault{Path: "/organizations/acme/data", HTML: true})
	w.wantStatus(200, "GET", "/data", "", "<html>")
	f.Remove()
	w.wantStatus(200, "GET", "/data", "", "{}")
}

func TestFaultsBeforeAndAfterTheEffect(t *testing.T) {
	w := newTestServer(t)
	try := func(f cheftest.Fault, name string) (status int, err error, there bool) {
		f.Method, f.Times = "POST", 1
		w.srv.Fault(f)
		r, err := w.as.Do(context.Background(), "POST", "/roles", `{"name":"`+name+`"}`)
		return r.Status, err, w.org.JSON("/roles/"+name) != nil
	}
	for name, x := range map[string]struct {
		fault  cheftest.Fault
		status int
		lost   bool
		there  bool
	}{
		"before":     {cheftest.Fault{Status: 500}, 500, false, false},
		"after":      {cheftest.Fault{Status: 500, After: true}, 500, false, true},
		"drop":       {cheftest.Fault{Drop: true}, 0, true, false},
		"dropAnswer": {cheftest.Fault{DropAnswer: true}, 0, true, true},
		"cut":        {cheftest.Fault{CutBody: true}, 0, true, true},
		"truncated":  {cheftest.Fault{Truncate: true}, 201, false, true},
	} {
		status, err, there := try(x.fault, name)
		if status != x.status || (err != nil) != x.lost || there != x.there {
			t.Errorf("%s: status %d, error %v, effect %v", name, status, err, there)
		}
	}
}

func TestBrokenBodies(t *testing.T) {
	for name, client := range map[string]bool{"in memory": true, "over the network": false} {
		t.Run(name, func(t *testing.T) {
			srv := cheftest.Start(t)
			org := srv.AddOrg("acme")
			c := contract.Caller{Base: org.URL(), User: "c", Key: org.AddClient("c"), HTTP: &http.Client{}}
			if client {
				c.HTTP = srv.Client()
			}
			w := &testServer{T: t, srv: srv, org: org, as: c}
			org.PutCookbook("a", "1.0.0", map[string][]byte{"metadata.rb": []byte("content")}, false)
			url := w.fileURL("/cookbooks/a/1.0.0")
			f := srv.Fault(cheftest.Fault{Path: "/bookshelf/*", WrongBytes: true})
			if r := w.getFile(url); r.Status != 200 || string(r.Body) == "content" || len(r.Body) != 7 {
				t.Errorf("wrong bytes: %q", r.Body)
			}
			f.Remove()
			f = srv.Fault(cheftest.Fault{Path: "/bookshelf/*", CutBody: true})
			req, _ := http.NewRequest("GET", url, http.NoBody)
			if _, err := c.Send(req); !errors.Is(err, io.ErrUnexpectedEOF) {
				t.Errorf("a cut body: %v", err)
			}
			f.Remove()
			f = srv.Fault(cheftest.Fault{Path: "/bookshelf/*", Drop: true})
			req, _ = http.NewRequest("GET", url, http.NoBody)
			if _, err := c.Send(req); !errors.Is(err, io.EOF) {
				t.Errorf("a dropped connection: %v", err)
			}
			f.Remove()
			srv.Fault(cheftest.Fault{Path: "/cookbooks/*", Truncate: true})
			if r := w.wantStatus(200, "GET", "/cookbooks/a/1.0.0", ""); len(r.Object()) != 0 {
				t.Errorf("truncated JSON is no JSON: %s", r.Body)
			}
		})
	}
}

func TestFaultChangesTheServerDuringARequest(t *testing.T) {
	w := newTestServer(t)
	w.org.PutRole("a", `{}`)
	w.srv.Fault(cheftest.Fault{Path: "/roles/a", Times: 1, Do: func(*http.Request) { w.org.DeleteRole("a") }})
	w.wantStatus(404, "GET", "/roles/a", "")
}

func TestDelayWithSynctest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newTestServer(t)
		w.srv.Fault(cheftest.Fault{Path: "/roles", Delay: time.Hour, Times: 2})
		begin := time.Now()
		w.as.Now = func() time.Time { return time.Now().Add(time.Hour) } // signed for the moment it is looked at
		w.wantStatus(200, "GET", "/roles", "")
		if time.Since(begin) != time.Hour {
			t.Errorf("took %v", time.Since(begin))
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := w.as.Do(ctx, "GET", "/roles", ""); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("got %v", err)
		}
	})
}

func TestRequestsAreCounted(t *testing.T) {
	w := newTestServer(t)
	w.wantStatus(201, "POST", "/roles", `{"name":"a"}`)
	w.wantStatus(200, "GET", "/roles/a", "")
	w.wantStatus(404, "GET", "/roles/b", "")
	w.wantStatus(200, "POST", "/search/role", `{}`)
	all := w.srv.Requests()
	if len(all) != 4 || all.Counts()["GET"] != 2 || len(all.Writes()) != 1 || len(all.Containing("/roles/")) != 2 {
		t.Errorf("got %+v", all)
	}
	if got := all.Method("POST")[0]; got.Org != "acme" || got.Actor != "alice" || got.Status != 201 || got.BytesIn != 12 || got.Bytes == 0 {
		t.Errorf("got %+v", got)
	}
	w.srv.ResetRequests()
	if len(w.srv.Requests()) != 0 {
		t.Error("not forgotten")
	}
}

func TestConcurrentRequests(t *testing.T) {
	srv := cheftest.Start(t, cheftest.Options{UpdatedSince: true})
	org := srv.AddOrg("acme")
	srv.AddUser("u")
	org.Associate("u")
	key := srv.AddUser("u")
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			c := contract.Caller{Base: org.URL(), User: "u", Key: key}
			name := strings.Repeat("x", i+1)
			for range 10 {
				for _, call := range [][3]string{{"POST", "/roles", `{"name":"` + name + `"}`}, {"GET", "/roles", ""},
					{"GET", "/updated_since?seq=0", ""}, {"DELETE", "/roles/" + name, ""}} {
					if r, err := c.Do(context.Background(), call[0], call[1], call[2]); err != nil || r.Status >= 300 {
						t.Errorf("%v: %d %v", call, r.Status, err)
					}
				}
				org.PutDataBagItem("bag", name, `{}`)
				_ = org.Snapshot()
				_ = srv.Requests()
			}
		})
	}
	wg.Wait()
	if len(org.Feed()) != 8*10*2+8+1 {
		t.Errorf("%d rows", len(org.Feed()))
	}
}

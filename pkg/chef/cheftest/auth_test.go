package cheftest_test

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"chefsync/pkg/chef/cheftest"
)

func TestSignatures(t *testing.T) {
	w := newTestServer(t, cheftest.Options{KeyBits: 2048})
	for _, p := range []string{"1.0", "1.1", "1.3"} {
		t.Run(p, func(t *testing.T) {
			w.T = t
			c := w.as
			c.Protocol = p
			w.wantAs(c, 200, "GET", "/roles?q=unsigned", "")
			w.wantAs(c, 201, "POST", "/data", `{"name":"bag:`+strings.ReplaceAll(p, ".", "")+`"}`)
			c.Edit = func(r *http.Request) { r.Header.Set("X-Ops-Timestamp", "2030-01-01T00:00:00Z") }
			w.wantAs(c, 401, "GET", "/roles", "", "Failed to authenticate as alice. Synchronize the clock on your host.")
			c.Edit = func(r *http.Request) { r.URL.Path = "/organizations/acme/environments" }
			r := w.wantAs(c, 401, "GET", "/roles", "", "Invalid signature for user or client 'alice'")
			if r.Header.Get("WWW-Authenticate") == "" {
				t.Error("a 401 names the protocol versions")
			}
		})
	}
}

func TestAPIVersionIsSigned(t *testing.T) {
	w := newTestServer(t)
	c := w.as
	c.Edit = func(r *http.Request) { r.Header.Set("X-Ops-Server-API-Version", "1") }
	w.wantAs(c, 401, "GET", "/roles", "", "Invalid signature")
	c = w.as
	c.Version = "none"
	w.wantAs(c, 200, "GET", "/roles", "")
}

func TestClockSkewIsMeasuredByTheServersClock(t *testing.T) {
	now := time.Date(2031, 5, 6, 7, 8, 9, 0, time.UTC)
	w := newTestServer(t, cheftest.Options{Now: func() time.Time { return now }})
	for skew, status := range map[time.Duration]int{
		0: 200, 899 * time.Second: 200, -899 * time.Second: 200, 900 * time.Second: 401, -900 * time.Second: 401,
	} {
		c := w.as
		c.Now = func() time.Time { return now.Add(skew) }
		w.wantAs(c, status, "GET", "/roles", "")
	}
}

func TestHeaders(t *testing.T) {
	w := newTestServer(t)
	drop := func(names ...string) func(*http.Request) {
		return func(r *http.Request) {
			for _, n := range names {
				r.Header.Del(n)
			}
		}
	}
	for name, x := range map[string]struct {
		edit   func(*http.Request)
		status int
		text   string
	}{
		"no X-Chef-Version is a landing page": {drop("X-Chef-Version"), 200, "<html>"},
		"no X-Ops-UserId is the front end's":  {drop("X-Ops-UserId"), 401, "<html>"},
		"other missing headers are the API's": {drop("X-Ops-Timestamp", "X-Ops-Authorization-1"), 400,
			"missing required authentication header(s) 'X-Ops-Timestamp', 'X-Ops-Authorization-1'"},
		"an old client is refused":    {func(r *http.Request) { r.Header.Set("X-Chef-Version", "9.1.0") }, 400, "Unsupported client"},
		"a version needs three parts": {func(r *http.Request) { r.Header.Set("X-Chef-Version", "18") }, 400, "Unsupported client"},
		"an unknown protocol": {func(r *http.Request) { r.Header.Set("X-Ops-Sign", "version=1.4") }, 400,
			"Unsupported authentication protocol version"},
		"1.3 is never SHA-1": {func(r *http.Request) { r.Header.Set("X-Ops-Sign", "algorithm=sha1;version=1.3") },
			400, "Unsupported authentication protocol version"},
		"a time that is none": {func(r *http.Request) { r.Header.Set("X-Ops-Timestamp", "yesterday") }, 401, "bad header(s)"},
		"an unknown name": {func(r *http.Request) { r.Header.Set("X-Ops-UserId", "bob") }, 401,
			"Failed to authenticate as 'bob'. Ensure that your node_name and client key are correct."},
		"an answer nobody accepts": {func(r *http.Request) { r.Header.Set("Accept", "text/html") }, 406, ""},
		"a version out of range, first of all": {func(r *http.Request) {
			r.Header.Set("X-Ops-Server-API-Version",
				"9")
			r.Header.Del("X-Ops-Sign")
		}, 406, `{"error":"invalid-x-ops-server-api-version","message":"Specified version 9 not supported","min_version":0,"max_version":2}`},
		"a version that is no number": {func(r *http.Request) { r.Header.Set("X-Ops-Server-API-Version", "two") }, 406,
			"Specified version two not supported"},
	} {
		t.Run(name, func(t *testing.T) {
			w.T = t
			c := w.as
			c.Edit = x.edit
			r := w.wantAs(c, x.status, "GET", "/roles", "", x.text)
			if html := strings.Contains(string(r.Body), "<html>"); html == r.Genuine() && x.status != 400 {
				t.Errorf("page %v, version header %v", html, r.Genuine())
			}
		})
	}
	c := w.as
	c.Edit = func(r *http.Request) { r.Header.Set("Content-Type", "text/plain") }
	w.T = t
	w.wantAs(c, 415, "POST", "/roles", `{"name":"web"}`)
}

func TestTheVersionHeader(t *testing.T) {
	w := newTestServer(t)
	c := w.as
	for version, want := range map[string]string{
		"2":    `{"min_version":"0","max_version":"2","request_version":"2","response_version":"2"}`,
		"none": `{"min_version":"0","max_version":"2","request_version":"0","response_version":"0"}`,
		"7":    `{"min_version":"0","max_version":"2","request_version":"7","response_version":"-1"}`,
	} {
		c.Version = version
		if got := w.call(c, "GET", "/roles", "").Header.Get("X-Ops-Server-API-Version"); got != want {
			t.Errorf("version %s: got %s, want %s", version, got, want)
		}
	}
	w.wantAs(w.atRoot(w.as), 200, "GET", "/server_api_version", "", `{"min_api_version":0,"max_api_version":2}`)
	old := newTestServer(t, cheftest.Options{MaxAPIVersion: cheftest.OnlyVersion0})
	old.wantStatus(406, "GET", "/roles", "")
}

func TestUnknownRoutes(t *testing.T) {
	w := newTestServer(t)
	for _, path := range []string{"/updated_since?seq=0", "/reports", "/roles/a/b/c/d"} {
		r := w.wantStatus(404, "GET", path, "", "<html>")
		if r.Genuine() {
			t.Errorf("%s: the front end has no version header", path)
		}
	}
	r := w.wantAs(w.atRoot(w.as), 404, "GET", "/organizations/Acme/roles", "", "<html>")
	if r.Genuine() {
		t.Error("a name that no organization can have is the front end's 404")
	}
	if r := w.wantStatus(405, "DELETE", "/roles", ""); r.Header.Get("Allow") != "GET, POST" {
		t.Errorf("Allow: %s", r.Header.Get("Allow"))
	}
	empty := newTestServer(t, cheftest.Options{EmptyUnknown: true, LenientVersion: true, MaxAPIVersion: 1})
	if r := empty.wantStatus(200, "GET", "/updated_since?seq=0", ""); len(r.Body) != 0 || r.Genuine() {
		t.Errorf("at version 2: %q, header %v", r.Body, r.Genuine())
	}
	empty.as.Version = "1"
	if r := empty.wantStatus(200, "GET", "/updated_since?seq=0", ""); len(r.Body) != 0 || !r.Genuine() {
		t.Errorf("at version 1: %q, header %v", r.Body, r.Genuine())
	}
}

func TestMembershipAndOrganization(t *testing.T) {
	w := newTestServer(t)
	c := w.atRoot(w.as)
	c.Edit = func(r *http.Request) { r.Header.Set("X-Ops-Authorization-1", "AAAA") }
	w.wantAs(c, 404, "GET", "/organizations/nowhere/roles", "", "organization 'nowhere' does not exist.")
	bob := w.as
	bob.User, bob.Key = "bob", w.srv.AddUser("bob")
	w.wantAs(bob, 403, "GET", "/roles", "", "'bob' not associated with organization 'acme'")
	w.wantAs(bob, 400, "POST", "/roles", `{"name":1}`) // the body is looked at first
	w.wantAs(w.superuser(), 200, "GET", "/roles", "")
	other := w.srv.AddOrg("other")
	reader := w.addClient("reader")
	reader.Base = other.URL()
	w.wantAs(reader, 401, "GET", "/roles", "", "Failed to authenticate as 'reader'")
}

func TestMaintenanceAndLicenseRefuseAllRequests(t *testing.T) {
	w := newTestServer(t)
	w.srv.SetLicense("the license has expired")
	r := w.wantStatus(403, "GET", "/roles", "", `"message":"invalid-license"`)
	if r.Header.Get("X-Ops-License") == "" {
		t.Error("no X-Ops-License")
	}
	w.srv.SetLicense("")
	w.srv.SetMaintenance(true)
	if w.wantStatus(503, "GET", "/roles", "").Genuine() {
		t.Error("maintenance is the front end's")
	}
	w.srv.SetMaintenance(false)
	w.wantStatus(200, "GET", "/roles", "")
	w.wantAs(w.atRoot(w.as), 200, "GET", "/_status", "", `"status":"pong"`)
}

func TestRequestSize(t *testing.T) {
	w := newTestServer(t, cheftest.Options{MaxRequestSize: 100})
	pad := func(n int) string { return `{"name":"web","description":"` + strings.Repeat("x", n-31) + `"}` }
	w.wantStatus(201, "POST", "/roles", pad(100))
	w.wantStatus(413, "PUT", "/roles/web", pad(101), `{"error":"JSON must be no more than 100 bytes."}`)
}

func TestKeys(t *testing.T) {
	w := newTestServer(t)
	admin := w.superuser()
	r := w.wantAs(admin, 201, "POST", "/clients", `{"name":"sync","create_key":true}`, `"chef_key":{"name":"default"`, "PRIVATE KEY")
	if strings.Contains(string(r.Body), `"private_key":""`) {
		t.Error("no key")
	}
	w.wantAs(admin, 409, "POST", "/clients", `{"name":"sync"}`, "Client already exists")
	w.wantAs(admin, 400, "POST", "/clients", `{"name":"x","create_key":true,"public_key":"-----"}`, "but not both")
	sync := w.addClient("sync2")
	w.wantAs(sync, 200, "GET", "/clients/sync2/keys", "", `"name":"default"`, `"expired":false`)
	w.wantAs(sync, 201, "POST", "/clients/sync2/keys", `{"name":"next","create_key":true,"expiration_date":"infinity"}`, "private_key")
	w.wantAs(sync, 200, "DELETE", "/clients/sync2/keys/default", "")
	w.wantAs(sync, 401, "GET", "/roles", "", "Invalid signature")
	anonymous := w.as
	anonymous.Edit = func(r *http.Request) { r.Header.Del("X-Ops-Sign") }
	w.wantAs(anonymous, 200, "GET", "/principals/sync2", "", `"principals":[{"name":"sync2"`, `"type":"client"`)
	w.wantAs(anonymous, 404, "GET", "/principals/nobody", "", `"not_found":"principal"`)
}

func TestExpiredKeysAreRefused(t *testing.T) {
	now := time.Now()
	w := newTestServer(t, cheftest.Options{Now: func() time.Time { return now }})
	c := w.addClient("old")
	w.wantAs(w.superuser(), 200, "PUT", "/clients/old/keys/default",
		`{"name":"default","expiration_date":"`+now.UTC().Add(-time.Hour).Format(time.RFC3339)+`"}`)
	w.wantAs(c, 401, "GET", "/roles", "")
}

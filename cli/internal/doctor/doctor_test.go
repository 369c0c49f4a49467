package doctor_test

import (
	"context"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"io/fs"
	"log"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"chefsync/cli/internal/doctor"
	"chefsync/pkg/chef"
	"chefsync/pkg/chef/cheftest"
	"chefsync/pkg/fault"
	"chefsync/pkg/object"
	"chefsync/pkg/prepare"
)

// at is a server as the doctor sees it, whose clock may be off.
func at(t *testing.T, off time.Duration) (doctor.Server, *cheftest.Server) {
	t.Helper()
	s := cheftest.Start(t, cheftest.Options{Now: func() time.Time { return time.Now().Add(off) }})
	key := s.AddUser("sync")
	s.AddOrg("acme").Associate("sync")
	c, err := chef.New(chef.Config{Name: "eu", URL: s.URL, User: "sync", Key: key, Retry: chef.RetryPolicy{Attempts: 1}})
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "key.pem")
	if err := os.WriteFile(file, cheftest.PrivatePEM(key), 0o600); err != nil {
		t.Fatal(err)
	}
	return doctor.Server{Group: "replica eu", Side: prepare.Replica, Orgs: []string{"acme"}, User: "sync", Client: c,
		Key: prepare.FileKey{Path: file}, Prober: http.DefaultClient, URL: s.URL, Now: time.Now}, s
}

func find(checks []doctor.Check, name string) doctor.Check {
	for _, c := range checks {
		if c.Name == name {
			return c
		}
	}
	return doctor.Check{}
}

// What checks signatures is the clock of the application server. The Date header of
// this server's proxy is right, or wrong, without being of use.
func TestClocksThatAreApart(t *testing.T) {
	for off, want := range map[time.Duration]doctor.State{0: doctor.OK, 5 * time.Minute: doctor.Warn, -16 * time.Minute: doctor.Fail, 20 * time.Minute: doctor.Fail, 5 * time.Hour: doctor.Fail} {
		for _, date := range []time.Duration{0, off, 10 * time.Minute} {
			d, _ := at(t, off)
			d.Prober = &http.Client{Transport: dated{time.Now().Add(date)}}
			if c := find(d.Check(t.Context()), "clock"); c.State != want || want != doctor.OK && c.Hint == "" || strings.Contains(c.Detail, "proxy") {
				t.Errorf("clocks %s apart, Date header %s: %+v, want %s", off, date, c, want)
			}
		}
	}
}

// Without a key only the Date header is to be had, and that is said.
func TestTheClockOfAProxyIsNamedAsSuch(t *testing.T) {
	for off, want := range map[time.Duration]doctor.State{0: doctor.OK, 5 * time.Minute: doctor.Warn, 16 * time.Minute: doctor.Fail} {
		d, _ := at(t, 0)
		d.Client, d.Problem = nil, errors.New("no key")
		d.Prober = &http.Client{Transport: dated{time.Now().Add(off)}}
		if c := find(d.Check(t.Context()), "clock"); c.State != want || !strings.Contains(c.Detail, "may come from a proxy") {
			t.Errorf("%s: %+v, want %s", off, c, want)
		}
	}
}

// dated answers with a Date header.
type dated struct{ at time.Time }

func (d dated) RoundTrip(r *http.Request) (*http.Response, error) {
	w := httptest.NewRecorder()
	w.Header().Set("Date", d.at.UTC().Format(http.TimeFormat))
	w.WriteHeader(http.StatusOK)
	return w.Result(), nil
}

func TestASkewedClockIsNamedInSignedRequestsToo(t *testing.T) {
	d, _ := at(t, 20*time.Minute)
	checks := d.Check(t.Context())
	if doctor.NewDiagnosis(checks).State != doctor.Fail {
		t.Fatalf("checks %+v", checks)
	}
	var said bool
	for _, c := range checks {
		said = said || c.State == doctor.Fail && strings.Contains(c.Hint, "clock")
	}
	if !said {
		t.Errorf("no failure mentions clocks: %+v", checks)
	}
}

func TestAHealthyServerIsOKAndNothingIsWritten(t *testing.T) {
	d, s := at(t, 0)
	checks := d.Check(t.Context())
	if doctor.NewDiagnosis(checks).State == doctor.Fail || find(checks, "organization acme").State != doctor.OK {
		t.Errorf("checks %+v", checks)
	}
	for _, w := range s.Requests().Writes() {
		if w.Status < 300 {
			t.Errorf("the doctor wrote: %v", w)
		}
	}
	if c := find(checks, "rights in acme"); c.State != doctor.Skip || !strings.Contains(c.Detail, "not checked: create in cookbooks; create in data; create in roles; update and delete") ||
		!strings.Contains(c.Detail, "prepare-org acme --side replica --replica eu --check --admin-user") {
		t.Errorf("what was not checked: %+v", c)
	}
}

// What needs an admin's key is said once for all organizations of a server.
func TestUncheckedRightsOfSeveralOrganizationsAreOneLine(t *testing.T) {
	d, s := at(t, 0)
	s.AddOrg("other").Associate("sync")
	d.Orgs = append(d.Orgs, "other")
	var skipped []doctor.Check
	for _, c := range d.Check(t.Context()) {
		if c.State == doctor.Skip {
			skipped = append(skipped, c)
		}
	}
	if len(skipped) != 1 || skipped[0].Name != "rights in 2 organizations" ||
		!strings.Contains(skipped[0].Detail, "chef-sync-ctl prepare-org --all --side replica --replica eu --check --admin-user NAME") {
		t.Errorf("not checked: %+v", skipped)
	}
}

// A client of an organization reads all and writes nothing.
func TestAReplicaThatMayNotBeWrittenIsAFailure(t *testing.T) {
	s := cheftest.Start(t)
	org := s.AddOrg("acme")
	org.PutRole("web", `{}`)
	key := org.AddClient("robot")
	c, err := chef.New(chef.Config{Name: "eu", URL: s.URL, User: "robot", Key: key, Retry: chef.RetryPolicy{Attempts: 1}})
	if err != nil {
		t.Fatal(err)
	}
	d := doctor.Server{Group: "replica eu", Side: prepare.Replica, Orgs: []string{"acme"}, User: "robot", Client: c, Key: given{key}, Prober: http.DefaultClient, URL: s.URL, Now: time.Now,
		Kinds: map[string][]object.Kind{"acme": {object.Role, object.Policy}}}
	got := find(d.Check(t.Context()), "organization acme")
	if got.State != doctor.Fail || got.Class != fault.Denied || got.Hint != "chef-sync-ctl prepare-org acme --side replica --replica eu" ||
		!strings.Contains(got.Detail, "client robot on eu: it can read, but creating is refused (403) in environments, roles and sandboxes; it needs create, update and delete on roles and policies") {
		t.Errorf("%+v", got)
	}
	d.Side = prepare.Primary
	if got := find(d.Check(t.Context()), "organization acme"); got.State != doctor.OK || got.Detail != "client robot reads roles and policies" {
		t.Errorf("a primary: %+v", got)
	}
}

// given is a key that is there.
type given struct{ key *rsa.PrivateKey }

func (g given) Where() string                    { return "env:KEY" }
func (g given) Load() (*rsa.PrivateKey, error)   { return g.key, nil }
func (g given) Create() (*rsa.PrivateKey, error) { return nil, errors.ErrUnsupported }

// Each trouble of TLS gets the cure that fits it.
func TestTroubleOfTLSGetsItsCure(t *testing.T) {
	server := httptest.NewUnstartedServer(http.NotFoundHandler())
	server.Config.ErrorLog = log.New(io.Discard, "", 0)
	server.StartTLS()
	t.Cleanup(server.Close)
	trust := func(c *tls.Config) *http.Client {
		if c.RootCAs == nil {
			c.RootCAs = x509.NewCertPool()
			c.RootCAs.AddCert(server.Certificate())
		}
		return &http.Client{Transport: &http.Transport{TLSClientConfig: c}}
	}
	plain := cheftest.Start(t)
	for name, c := range map[string]struct {
		url    string
		prober *http.Client
		detail string
		hint   string
	}{
		"unknown CA":         {server.URL, http.DefaultClient, "signed by a CA that this machine doesn't trust", "ca in the configuration"},
		"another name":       {server.URL, trust(&tls.Config{ServerName: "chef.local"}), "the certificate is for example.com, *.example.com, 127.0.0.1 and 1 more, not for chef.local", "a name that the certificate is for"},
		"expired":            {server.URL, trust(&tls.Config{Time: func() time.Time { return time.Now().AddDate(100, 0, 0) }}), "has expired on", "renew the server's certificate"},
		"not yet valid":      {server.URL, trust(&tls.Config{Time: func() time.Time { return time.Unix(0, 0).AddDate(-10, 0, 0) }}), "is valid from", "set this machine's clock"},
		"plain HTTP":         {strings.Replace(plain.URL, "http:", "https:", 1), http.DefaultClient, "uses plain HTTP on this port", "http:// into the URL"},
		"TLS on a plain URL": {strings.Replace(server.URL, "https:", "http:", 1), http.DefaultClient, "uses TLS on this port", "https:// into the URL"},
	} {
		d, _ := at(t, 0)
		d.URL, d.Prober = c.url, c.prober
		got := find(d.Check(t.Context()), "TLS")
		if got.State != doctor.Fail || got.Class != fault.Unreachable || !strings.Contains(got.Detail, c.detail) || !strings.Contains(got.Hint, c.hint) {
			t.Errorf("%s: %+v", name, got)
		}
	}
}

func TestAServerThatIsNotThere(t *testing.T) {
	d, s := at(t, 0)
	s.Stop()
	checks := d.Check(t.Context())
	if c := find(checks, "connection"); c.State != doctor.Fail || c.Class != fault.Unreachable {
		t.Errorf("check %+v", c)
	}
	if c := find(checks, "signature of sync"); c.State != doctor.Skip {
		t.Errorf("check %+v", c)
	}
}

func TestAKeyThatCannotBeUsed(t *testing.T) {
	d, _ := at(t, 0)
	d.Client, d.Problem = nil, &fault.Error{Op: "load the key", Class: fault.Denied, Hint: "prepare-org", Err: errors.New("gone")}
	if c := find(d.Check(t.Context()), "key"); c.State != doctor.Fail || c.Class != fault.Denied || c.Hint != "prepare-org" {
		t.Errorf("check %+v", c)
	}
}

// knife ec restore of the primary's backup brings the primary's key of the user.
func TestAReplacedKeyIsExplained(t *testing.T) {
	d, s := at(t, 0)
	var err error
	if d.Client, err = chef.New(chef.Config{Name: "eu", URL: s.URL, User: "sync", Key: s.AddUser("other"), Retry: chef.RetryPolicy{Attempts: 1}}); err != nil {
		t.Fatal(err)
	}
	checks := d.Check(t.Context())
	for _, c := range checks {
		if c.State == doctor.Fail && strings.Contains(c.Detail, "401") && (!strings.Contains(c.Hint, "knife ec restore") || !strings.Contains(c.Hint, "chef-sync-ctl prepare-org")) {
			t.Errorf("%+v", c)
		}
	}
	if doctor.NewDiagnosis(checks).State != doctor.Fail {
		t.Errorf("%+v", checks)
	}
}

// A key that isn't there is said with the configuration.
func TestAMissingKeyIsSaidOnce(t *testing.T) {
	d, _ := at(t, 0)
	d.Client, d.Problem, d.KeyMissing = nil, fs.ErrNotExist, true
	checks := d.Check(t.Context())
	if c := find(checks, "signature of sync"); c.State != doctor.Skip || doctor.Count(checks).Failed != 0 {
		t.Errorf("%+v", checks)
	}
}

func TestResultsAreCounted(t *testing.T) {
	l := &doctor.List{}
	l.OK("a", "")
	l.OK("b", "")
	l.Warn("c", "", "")
	l.Skip("d", "")
	l.Fail("e", "", errors.New("x"))
	if got, want := doctor.Count(l.Checks), (doctor.Counts{Failed: 1, Warnings: 1, Passed: 2, NotChecked: 1}); got != want {
		t.Errorf("%+v, want %+v", got, want)
	}
}

func TestGroupsRunAtOnceAndStayInOrder(t *testing.T) {
	second := make(chan struct{})
	checks := doctor.All(t.Context(),
		func(context.Context) []doctor.Check { <-second; return []doctor.Check{{Name: "a"}} },
		func(context.Context) []doctor.Check { close(second); return []doctor.Check{{Name: "b"}} },
	)
	if len(checks) != 2 || checks[0].Name != "a" || checks[1].Name != "b" {
		t.Errorf("checks %+v", checks)
	}
}

func TestFoldersAndKeyFiles(t *testing.T) {
	dir := t.TempDir()
	open := filepath.Join(dir, "open.pem")
	if err := os.WriteFile(open, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	l := &doctor.List{Group: "g"}
	doctor.CheckFolder(l, "stage", filepath.Join(dir, "not", "yet"), doctor.Warn)
	doctor.CheckFolder(l, "file", filepath.Join(open, "below a file"), doctor.Fail)
	doctor.CheckKeyFiles(l, map[string]string{"a": "file:" + open, "b": "file:" + dir + "/none", "c": "env:KEY"})
	for name, want := range map[string]doctor.State{"stage": doctor.OK, "file": doctor.Fail, "key of a": doctor.Warn, "key of b": doctor.Fail, "key of c": ""} {
		if c := find(l.Checks, name); c.State != want {
			t.Errorf("%s: %+v, want %q", name, c, want)
		}
	}
	if left, _ := filepath.Glob(filepath.Join(dir, ".chef*")); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
}

// TestAFullDiskIsAFailure: an empty file can be made there, but no record be written.
// What the stage has no room for is copied directly.
func TestAFullDiskIsAFailure(t *testing.T) {
	for _, c := range []struct {
		free       int64
		full, want doctor.State
	}{
		{0, doctor.Fail, doctor.Fail},
		{900 << 10, doctor.Fail, doctor.Fail},
		{900 << 10, doctor.Warn, doctor.Warn},
		{500 << 20, doctor.Fail, doctor.Warn},
		{2 << 30, doctor.Fail, doctor.OK},
	} {
		l := &doctor.List{}
		doctor.CheckSpace(l, "folder", "/state", c.free, c.full)
		if got := find(l.Checks, "folder"); got.State != c.want || got.State != doctor.OK && got.Hint == "" {
			t.Errorf("%d bytes free: %+v, want %q", c.free, got, c.want)
		}
	}
}

func TestAnUnknownHostIsUnreachable(t *testing.T) {
	d, _ := at(t, 0)
	d.URL = "https://no..host" // which no resolver is asked for
	if c := find(d.Check(t.Context()), "DNS"); c.State != doctor.Fail || c.Class != fault.Unreachable {
		t.Errorf("%+v, want a failure of the class unreachable", c)
	}
}

// graceful answers as a server whose license has expired and still is accepted.
type graceful struct{ next http.RoundTripper }

func (g graceful) RoundTrip(q *http.Request) (*http.Response, error) {
	r, err := g.next.RoundTrip(q)
	if err == nil {
		r.Header.Set("X-Ops-License", `{"warningMessage":"Your license expired on 2026-11-01","gracePeriod":true}`)
	}
	return r, err
}

func TestALicenseInItsGracePeriodIsAWarning(t *testing.T) {
	d, s := at(t, 0)
	if c := find(d.Check(t.Context()), "license"); c.Name != "" {
		t.Errorf("without a license: %+v", c)
	}
	c, err := chef.New(chef.Config{Name: "eu", URL: s.URL, User: "sync", Key: s.AddUser("sync2"),
		WrapTransport: func(next http.RoundTripper) http.RoundTripper { return graceful{next} }})
	if err != nil {
		t.Fatal(err)
	}
	d.Client = c
	if c := find(d.Check(t.Context()), "license"); c.State != doctor.Warn || c.Detail != "Your license expired on 2026-11-01" || c.Hint == "" {
		t.Errorf("%+v, want a warning", c)
	}
}

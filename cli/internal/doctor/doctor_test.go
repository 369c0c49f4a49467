package doctor_test

import (
	"context"
	"errors"
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
	"chefsync/pkg/prepare"
	"chefsync/pkg/replication"
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

func TestClocksThatAreApart(t *testing.T) {
	for off, want := range map[time.Duration]doctor.State{0: doctor.OK, 5 * time.Minute: doctor.Warn, -16 * time.Minute: doctor.Fail, 16 * time.Minute: doctor.Fail} {
		d, _ := at(t, 0)
		date := time.Now().Add(off)
		d.Prober = &http.Client{Transport: dated{date}}
		if c := find(d.Check(t.Context()), "clock"); c.State != want || want != doctor.OK && c.Hint == "" {
			t.Errorf("clocks %s apart: %+v, want %s", off, c, want)
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
	if doctor.Worst(checks) != doctor.Fail {
		t.Fatalf("checks %+v", checks)
	}
	var said bool
	for _, c := range checks {
		said = said || c.State == doctor.Fail && strings.Contains(c.Hint, "clock")
	}
	if !said {
		t.Errorf("no failure speaks of clocks: %+v", checks)
	}
}

func TestAHealthyServerIsOKAndNothingIsWritten(t *testing.T) {
	d, s := at(t, 0)
	checks := d.Check(t.Context())
	if doctor.Worst(checks) == doctor.Fail || find(checks, "organization acme").State != doctor.OK {
		t.Errorf("checks %+v", checks)
	}
	if w := s.Requests().Writes(); len(w) > 0 {
		t.Errorf("the doctor wrote: %v", w)
	}
}

func TestACertificateOfAnUnknownCAIsExplained(t *testing.T) {
	server := httptest.NewTLSServer(http.NotFoundHandler())
	t.Cleanup(server.Close)
	server.Config.ErrorLog = nil
	d, _ := at(t, 0)
	d.URL = server.URL
	c := find(d.Check(t.Context()), "TLS")
	if c.State != doctor.Fail || !strings.Contains(c.Hint, "ca in the configuration") {
		t.Errorf("check %+v", c)
	}
}

func TestAServerThatIsNotThere(t *testing.T) {
	d, s := at(t, 0)
	s.Stop()
	checks := d.Check(t.Context())
	if c := find(checks, "connection"); c.State != doctor.Fail || c.Class != replication.Unreachable {
		t.Errorf("check %+v", c)
	}
	if c := find(checks, "signature of sync"); c.State != doctor.Skip {
		t.Errorf("check %+v", c)
	}
}

func TestAKeyThatCannotBeUsed(t *testing.T) {
	d, _ := at(t, 0)
	d.Client, d.Problem = nil, &replication.Error{Op: "load the key", Class: replication.Denied, Hint: "prepare-org", Err: errors.New("gone")}
	if c := find(d.Check(t.Context()), "key"); c.State != doctor.Fail || c.Class != replication.Denied || c.Hint != "prepare-org" {
		t.Errorf("check %+v", c)
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
	doctor.Folder(l, "stage", filepath.Join(dir, "not", "yet"))
	doctor.Folder(l, "file", filepath.Join(open, "below a file"))
	doctor.KeyFiles(l, map[string]string{"a": "file:" + open, "b": "file:" + dir + "/none", "c": "env:KEY"})
	for name, want := range map[string]doctor.State{"stage": doctor.OK, "file": doctor.Fail, "key of a": doctor.Warn, "key of b": doctor.Fail, "key of c": ""} {
		if c := find(l.Checks, name); c.State != want {
			t.Errorf("%s: %+v, want %q", name, c, want)
		}
	}
	if left, _ := filepath.Glob(filepath.Join(dir, ".chef*")); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
}

package assembly_test

import (
	"bytes"
	"context"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"chefsync/pkg/chef"
	"chefsync/pkg/chef/cheftest"
)

// changesServer serves a fleet's changes.
type changesServer struct {
	*fixture
	url    string
	pushed []string
}

func (w *fixture) startServer() *changesServer {
	w.t.Helper()
	s := &changesServer{fixture: w}
	h, err := w.newFleet().ChangesHandler(context.Background(), func(org string) { s.pushed = append(s.pushed, org) })
	if err != nil {
		w.t.Fatal(err)
	}
	srv := httptest.NewServer(h)
	w.t.Cleanup(srv.Close)
	s.url = srv.URL
	return s
}

// postMessage posts a message as the primary would.
func (s *changesServer) postMessage(token, org, entity, name string) (status int) {
	s.t.Helper()
	body := fmt.Sprintf(`{"message_type":"action","organization_name":%q,"task":"update","entity_type":%q,"entity_name":%q,"data":{"secret":1}}`, org, entity, name)
	q, err := http.NewRequest(http.MethodPost, s.url+"/", strings.NewReader(body))
	if err != nil {
		s.t.Fatal(err)
	}
	q.Header.Set("X-Data-Collector-Token", token)
	a, err := http.DefaultClient.Do(q)
	if err != nil {
		s.t.Fatal(err)
	}
	_ = a.Body.Close()
	return a.StatusCode
}

// readChanges reads the changes as a user.
func (s *changesServer) readChanges(user string, key *rsa.PrivateKey) (body string, err error) {
	s.t.Helper()
	c, err := chef.New(chef.Config{Name: "changes", URL: s.url, User: user, Key: key, Now: s.newFleet().Now, Retry: chef.RetryPolicy{Attempts: 1}})
	if err != nil {
		s.t.Fatal(err)
	}
	a, err := c.Org("acme").Do(context.Background(), http.MethodGet, "/updated_since?seq=0", nil)
	if err != nil {
		return "", err
	}
	return string(a.Body), nil
}

func TestOneAddressReceivesPushesAndServesThem(t *testing.T) {
	w := newFixture(t, cheftest.Options{})
	w.env["TOKEN"] = "s3cret\n" // as a file would end
	w.rest = "[journal]\ntoken = \"env:TOKEN\"\n"
	w.runScan(w.newFleet())
	s := w.startServer()
	for _, root := range []string{"/", "//"} { // a root_url may end with a slash
		if a, err := http.Get(s.url + root); err != nil || a.StatusCode != http.StatusOK {
			t.Errorf("the health check at %s: %v, %v", root, a, err)
		}
	}
	for _, c := range []struct {
		token, org, entity string
		status             int
	}{{"", "acme", "role", 401}, {"wrong", "acme", "role", 403}, {"s3cret", "acme", "role", 204}, {"s3cret", "acme", "node", 204}, {"s3cret", "foreign", "role", 204}} {
		if got := s.postMessage(c.token, c.org, c.entity, "web"); got != c.status {
			t.Errorf("push %+v: status %d", c, got)
		}
	}
	if got := strings.Join(s.pushed, " "); got != "acme" {
		t.Errorf("told of %q, want the one change of a role", got)
	}
	key := w.primary.AddUser("reader")
	w.org.Associate("reader")
	body, err := s.readChanges("reader", key)
	if err != nil || strings.Count(body, `"id"`) != 2 || !strings.Contains(body, `"path":"/roles/web"`) || strings.Contains(body, "secret") {
		t.Errorf("%s, %v; want the beginning and the change", body, err)
	}
	outsider := w.primary.AddUser("outsider")
	if _, err := s.readChanges("outsider", outsider); chef.KindOf(err) != chef.KindNotMember {
		t.Errorf("a user that is no member: %v", err)
	}
}

// TestPushesOfOtherKindsAreNoChanges: scans don't read kinds that no pair replicates, either.
func TestPushesOfOtherKindsAreNoChanges(t *testing.T) {
	for kinds, want := range map[string]string{"": "", `"cookbook_artifacts"`: "acme", `"policies", "policy_groups"`: "acme acme"} {
		w := newFixture(t, cheftest.Options{})
		w.env["TOKEN"], w.rest = "s3cret", "[journal]\ntoken = \"env:TOKEN\"\n"
		if kinds != "" {
			w.rest = fmt.Sprintf("kinds = [%s]\n", kinds) + w.rest
		}
		w.runScan(w.newFleet())
		s := w.startServer()
		for _, entity := range []string{"cookbook_artifact", "policy", "policy_group"} {
			if got := s.postMessage("s3cret", "acme", entity, "web"); got != http.StatusNoContent {
				t.Errorf("push of a %s: status %d", entity, got)
			}
		}
		if got := strings.Join(s.pushed, " "); got != want {
			t.Errorf("kinds %s: told of %q, want %q", kinds, got, want)
		}
	}
}

func TestPushesThatAreRefusedAreLoggedInSamples(t *testing.T) {
	var log bytes.Buffer
	w := newFixture(t, cheftest.Options{})
	w.env["TOKEN"], w.rest = "s3cret", "[journal]\ntoken = \"env:TOKEN\"\n"
	w.log = slog.New(slog.NewTextHandler(&log, nil))
	s := w.startServer()
	for range 300 {
		if got := s.postMessage("wrong", "acme", "role", "web"); got != http.StatusForbidden {
			t.Fatalf("status %d", got)
		}
	}
	if lines := strings.Count(log.String(), "\n"); lines != 1 || !strings.Contains(log.String(), "request=push status=403 requests=1 ") {
		t.Errorf("%d lines, want one:\n%.1000s", lines, log.String())
	}
}

func TestWithoutATokenPushesAreRefused(t *testing.T) {
	s := newFixture(t, cheftest.Options{}).startServer()
	if got := s.postMessage("", "acme", "role", "web"); got != http.StatusForbidden {
		t.Errorf("status %d", got)
	}
	if a, err := http.Get(s.url); err != nil || a.StatusCode != http.StatusOK {
		t.Errorf("the health check: %v, %v", a, err)
	}
}

func TestOnlyNamedReadersByNamedKeys(t *testing.T) {
	w := newFixture(t, cheftest.Options{})
	listed, unlisted := w.primary.AddUser("listed"), w.primary.AddUser("unlisted")
	for name, key := range map[string]*rsa.PrivateKey{"LISTED": listed, "UNLISTED": unlisted} {
		der, err := x509.MarshalPKIXPublicKey(&key.PublicKey)
		if err != nil {
			t.Fatal(err)
		}
		w.env[name] = string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}))
	}
	w.rest = "[journal]\nreaders = [\"listed\"]\n[journal.keys]\nlisted = \"env:LISTED\"\nunlisted = \"env:UNLISTED\"\n"
	w.runScan(w.newFleet())
	s := w.startServer()
	w.takeRequests()
	if _, err := s.readChanges("listed", listed); err != nil {
		t.Error(err)
	}
	if _, err := s.readChanges("unlisted", unlisted); chef.KindOf(err) != chef.KindPermission {
		t.Errorf("who isn't named: %v", err)
	}
	if _, err := s.readChanges("listed", unlisted); chef.KindOf(err) != chef.KindKey {
		t.Errorf("another key: %v", err)
	}
	if _, all := w.takeRequests(); all != 0 {
		t.Errorf("the primary was asked %d times, want never", all)
	}
}

func TestUnreadableSecretsAreAnErrorOfChangesHandler(t *testing.T) {
	for _, rest := range []string{"token = \"env:NOWHERE\"", "[journal.keys]\nbob = \"env:NOWHERE\"", "[journal.keys]\nbob = \"env:EU\""} {
		w := newFixture(t, cheftest.Options{})
		w.rest = "[journal]\n" + rest
		_, err := w.newFleet().ChangesHandler(t.Context(), nil)
		if err == nil || strings.Contains(err.Error(), "BEGIN") {
			t.Errorf("%s: %v", rest, err)
		}
	}
}

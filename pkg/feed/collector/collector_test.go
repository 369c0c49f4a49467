package collector

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"chefsync/pkg/fault"
	"chefsync/pkg/feed/changelog"
	"chefsync/pkg/object"
	"chefsync/pkg/store/sqlite"
)

const (
	token  = "s3cr3t-token"
	secret = "the-value-of-a-data-bag"
)

type testReceiver struct {
	t        *testing.T
	store    changelog.ScanStore
	receiver *Receiver
	notified []string
	log      bytes.Buffer
}

func newTestReceiver(t *testing.T) *testReceiver {
	t.Helper()
	s, err := sqlite.OpenState(t.Context(), filepath.Join(t.TempDir(), "state.db"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	w := &testReceiver{t: t, store: s.ChangeLogs()}
	w.receiver, err = New(Config{Token: token, Store: w.store, Notify: func(s string) { w.notified = append(w.notified, s) },
		Log: slog.New(slog.NewTextHandler(&w.log, &slog.HandlerOptions{Level: slog.LevelDebug})),
		Source: func(org string, kind object.Kind) string {
			if kind == "" {
				t.Error("asked without a kind")
			}
			return map[string]string{"acme": "acme", "one": "one", "two": "two", "": "orgless"}[org]
		}})
	if err != nil {
		t.Fatal(err)
	}
	for _, source := range []string{"acme", "one"} {
		now := time.Now()
		lease, err := w.store.Acquire(t.Context(), source, "test", now, time.Minute)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := w.store.Commit(t.Context(), source, lease.Lease.Fence, now, changelog.ScanUpdate{Begin: "e"}); err != nil {
			t.Fatal(err)
		}
	}
	return w
}

func (w *testReceiver) post(token string, body io.Reader) *httptest.ResponseRecorder {
	w.t.Helper()
	q := httptest.NewRequest(http.MethodPost, "/", body)
	if token != "" {
		q.Header.Set("x-data-collector-token", token)
	}
	answer := httptest.NewRecorder()
	w.receiver.ServeHTTP(answer, q)
	if strings.Contains(w.log.String(), secret) || strings.Contains(answer.Body.String(), secret) {
		w.t.Error("the content of an object was logged or sent back")
	}
	return answer
}

func (w *testReceiver) rows(source string) (out []string) {
	w.t.Helper()
	page, err := w.store.Rows(w.t.Context(), source, 0, 1000)
	if err != nil {
		w.t.Fatal(err)
	}
	for _, r := range page.Rows[min(1, len(page.Rows)):] {
		out = append(out, r.Action+" "+r.Path)
	}
	return out
}

// actionMessage is a message as erchef sends it (docs/chef-server-api.md §14).
func actionMessage(org any, task, entity, name, parent, parentName string) string {
	m := map[string]any{"message_type": "action", "message_version": "0.1.1", "organization_name": org, "service_hostname": "h",
		"recorded_at":     "2026-01-01T00:00:00Z",
		"remote_hostname": "1.2.3.4", "request_id": "r", "requestor_name": "u", "requestor_type": "user", "user_agent": "knife", "id": "uuid",
		"task": task, "entity_type": entity, "entity_name": name,
		"data": map[string]any{"task": "delete", "entity_name": secret, "deep": []any{secret, nil, 1.5}}}
	if parent != "" {
		m["parent_type"], m["parent_name"] = parent, parentName
	}
	b, err := json.Marshal(m)
	if err != nil {
		panic(err)
	}
	return string(b)
}

func TestEachKindBecomesARow(t *testing.T) {
	for _, c := range []struct{ task, entity, name, parent, parentName, want string }{
		{"create", "role", "web", "", "", "create /roles/web"},
		{"update", "environment", "prod", "", "", "update /environments/prod"},
		{"create", "bag", "users", "", "", "create /data/users"},
		{"delete", "bag", "users", "", "", "delete /data/users"},
		{"delete", "item", "alice", "bag", "users", "delete /data/users/alice"},
		{"update", "version", "1.2.3", "cookbook", "apt", "update /cookbooks/apt/1.2.3"},
		{"delete", "version", "_latest", "cookbook", "apt", "delete /cookbooks/apt"},
		{"create", "version", "1.0", "cookbook", "apt", "create /cookbooks/apt"},
		{"invented", "role", "web", "", "", "update /roles/web"},
		{"create", "role", "../x", "", "", "create /roles"},
		{"create", "role", strings.Repeat("x", 5000), "", "", "create /roles"},
		{"create", "item", "a/b", "bag", "users", "create /data/users"},
		{"create", "item", "a", "bag", "..", "create /data"},
		{"create", "policy", "app", "policy_group", "prod", "create /policy_groups/prod/policies/app, update /policies/app"},
		{"delete", "policy", "app", "policy_group", "prod", "delete /policy_groups/prod/policies/app"},
		{"delete", "policy_group", "prod", "", "", "delete /policy_groups/prod"},
		{"delete", "policy", "app", "", "", "delete /policies/app"},
		{"create", "cookbook_artifact_version", "0123", "cookbook_artifact", "apt", "create /cookbook_artifacts/apt/0123"},
		{"delete", "cookbook_artifact", "apt", "", "", "delete /cookbook_artifacts/apt"},
	} {
		w := newTestReceiver(t)
		if a := w.post(token, strings.NewReader(actionMessage("acme", c.task, c.entity, c.name, c.parent,
			c.parentName))); a.Code != http.StatusNoContent {
			t.Errorf("%+v: status %d", c, a.Code)
		}
		if got := w.rows("acme"); !slices.Equal(got, strings.Split(c.want, ", ")) {
			t.Errorf("%+v: rows %q", c, got)
		}
		if !slices.Equal(w.notified, []string{"acme"}) {
			t.Errorf("%+v: notified %q", c, w.notified)
		}
	}
}

// TestARenamedEnvironmentHasTwoRows: the message has the old name, the object the new one.
func TestARenamedEnvironmentHasTwoRows(t *testing.T) {
	for data, want := range map[string][]string{
		`{"name":"new"}`:   {"update /environments/old", "update /environments/new"},
		`{"name":"old"}`:   {"update /environments/old"},
		`{"name":"../x"}`:  {"update /environments/old"},
		`{"name":{"a":1}}`: {"update /environments/old"},
		`["name"]`:         {"update /environments/old"},
		`null`:             {"update /environments/old"},
	} {
		w := newTestReceiver(t)
		body := `{"message_type":"action","organization_name":"acme","task":"update","entity_type":"environment",` +
			`"entity_name":"old","data":` + data + `}`
		if a := w.post(token, strings.NewReader(body)); a.Code != http.StatusNoContent {
			t.Errorf("%s: status %d", data, a.Code)
		}
		if got := w.rows("acme"); !slices.Equal(got, want) {
			t.Errorf("%s: rows %q, want %q", data, got, want)
		}
	}
}

func TestIrrelevantMessagesAreIgnored(t *testing.T) {
	for _, body := range []string{
		actionMessage("acme", "create", "node", "n", "", ""),
		actionMessage("acme", "update", "permission", "read", "role", "web"),
		actionMessage("acme", "update", "environment", "_default", "", ""),
		actionMessage("acme", "create", "spaceship", "x", "", ""),
		actionMessage("acme", "create", "item", "x", "", ""),
		`{"message_type":"run_converge","entity_type":"role","entity_name":"web"}`,
		`{}`,
		actionMessage("other", "create", "role", "web", "", ""),
	} {
		w := newTestReceiver(t)
		if a := w.post(token, strings.NewReader(body)); a.Code != http.StatusNoContent || a.Body.Len() > 0 {
			t.Errorf("%s: status %d", body, a.Code)
		}
		if len(w.rows("acme")) != 0 || len(w.notified) != 0 || w.log.Len() != 0 {
			t.Errorf("%s: rows %q, notified %q, log %s", body, w.rows("acme"), w.notified, w.log.String())
		}
	}
}

func TestMessagesGoToTheChangeLogOfTheirOrganization(t *testing.T) {
	w := newTestReceiver(t)
	// The change log of two hasn't begun: whoever reads it later compares first.
	for _, org := range []any{"one", "two", nil} {
		if a := w.post(token, strings.NewReader(actionMessage(org, "create", "role", "web", "", ""))); a.Code != http.StatusNoContent {
			t.Errorf("%v: status %d", org, a.Code)
		}
	}
	if !slices.Equal(w.rows("one"), []string{"create /roles/web"}) || !slices.Equal(w.notified, []string{"one", "two", "orgless"}) ||
		len(w.rows("acme")) > 0 || strings.Contains(w.log.String(), "level=ERROR") {
		t.Errorf("rows %q, notified %q, log %s", w.rows("one"), w.notified, w.log.String())
	}
}

// unreadable fails the test when it is read.
type unreadable struct{ t *testing.T }

func (u unreadable) Read([]byte) (int, error) {
	u.t.Error("the body was read")
	return 0, io.EOF
}

func TestTokenIsCheckedBeforeTheBodyIsRead(t *testing.T) {
	for given, want := range map[string]int{"": 401, "wrong": 403, token + "x": 403, token[1:]: 403, strings.ToUpper(token): 403} {
		w := newTestReceiver(t)
		if a := w.post(given, unreadable{t}); a.Code != want {
			t.Errorf("token %q: status %d, want %d", given, a.Code, want)
		}
		if w.log.Len() > 0 {
			t.Errorf("token %q was logged: %s", given, w.log.String())
		}
	}
}

func TestBadBodies(t *testing.T) {
	good := actionMessage("acme", "create", "role", "web", "", "")
	for name, body := range map[string]string{
		"nothing": "", "text": "hello", "a list": "[]", "a number": "3", "cut": good[:len(good)-5], "cut early": good[:20],
		"two": good + good, "noise behind": good + "x",
		"a name that is none": `{"message_type":"action","entity_name":{"a":1}}`, "a number as name": `{"entity_name":7}`,
		"deep":        `{"data":` + strings.Repeat("[", 20_000) + strings.Repeat("]", 20_000) + `}`,
		"broken data": strings.Replace(good, `"`+secret+`"`, `"`+secret, 1),
	} {
		w := newTestReceiver(t)
		if a := w.post(token, strings.NewReader(body)); a.Code != http.StatusBadRequest || len(w.rows("acme")) > 0 {
			t.Errorf("%s: status %d, rows %q", name, a.Code, w.rows("acme"))
		}
	}
}

// TestInvalidMessagesAreLoggedRarely: neither an unknown sender nor a broken server fills the
// log.
func TestInvalidMessagesAreLoggedRarely(t *testing.T) {
	w := newTestReceiver(t)
	for range 1000 {
		w.post("wrong", unreadable{t})
		w.post(token, strings.NewReader("hello"))
	}
	if lines := strings.Count(w.log.String(), "\n"); lines != 10 {
		t.Errorf("%d lines, want 10 for a thousand of each", lines)
	}
}

func TestLargeBodies(t *testing.T) {
	w := newTestReceiver(t)
	big := `{"message_type":"action","data":"` + strings.Repeat("x", maxBody) + `"}`
	if a := w.post(token, strings.NewReader(big)); a.Code != http.StatusRequestEntityTooLarge {
		t.Errorf("announced: status %d", a.Code)
	}
	if a := w.post(token, io.MultiReader(strings.NewReader(big))); a.Code != http.StatusRequestEntityTooLarge {
		t.Errorf("not announced: status %d", a.Code)
	}
}

func TestRoutes(t *testing.T) {
	w := newTestReceiver(t)
	for _, c := range []struct {
		method, path string
		want         int
	}{{"GET", "/", 200}, {"HEAD", "/", 200}, {"PUT", "/", 405}, {"GET", "/x", 404}, {"POST", "/x", 404}} {
		a := httptest.NewRecorder()
		w.receiver.ServeHTTP(a, httptest.NewRequest(c.method, c.path, nil))
		if a.Code != c.want {
			t.Errorf("%s %s: %d, want %d", c.method, c.path, a.Code, c.want)
		}
	}
}

// failingStore is a store whose disk is full.
type failingStore struct{ changelog.Store }

func (failingStore) Append(context.Context, string, time.Time, []changelog.Change) (changelog.Head, error) {
	return changelog.Head{}, &fault.Error{Op: "write", Class: fault.Local, Err: errors.New("disk full")}
}

func TestFailureToWriteTheChangeLog(t *testing.T) {
	w := newTestReceiver(t)
	w.receiver.config.Store = failingStore{}
	a := w.post(token, strings.NewReader(actionMessage("acme", "create", "role", "web", "", "")))
	if a.Code != http.StatusServiceUnavailable || strings.Count(w.log.String(), "level=ERROR") != 1 || len(w.notified) != 1 {
		t.Errorf("status %d, log %s, notified %q", a.Code, w.log.String(), w.notified)
	}
}

func TestNewNeedsAToken(t *testing.T) {
	if _, err := New(Config{Store: failingStore{}, Source: func(string, object.Kind) string { return "" }}); err == nil {
		t.Error("no error without a token")
	}
}

func FuzzReadMessage(f *testing.F) {
	f.Add([]byte(actionMessage("acme", "create", "item", "web", "bag", "b")))
	f.Add([]byte(`{"entity_name":null,"data":[[{}]]}`))
	f.Add([]byte(`{"data":`))
	f.Fuzz(func(t *testing.T, body []byte) {
		m, err := ReadMessage(bytes.NewReader(body))
		if valid := json.Valid(body); err == nil && !valid {
			t.Errorf("read %q, which isn't JSON", body)
		}
		if err != nil && !errors.Is(err, errMessage) {
			t.Errorf("%q: %v", body, err)
		}
		changes := m.Changes()
		if err := changelog.CheckChanges(changes); err != nil {
			t.Errorf("%q: %+v: %v", body, changes, err)
		}
		for _, change := range changes {
			var ref object.Ref
			if err := ref.UnmarshalText([]byte(change.Path)); err != nil {
				t.Errorf("%q: %v", body, err)
			}
		}
	})
}

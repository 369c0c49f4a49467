package e2e

import (
	"context"
	"crypto/rand"
	"crypto/rsa"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"chefsync/pkg/chef"
	"chefsync/pkg/chef/cheftest"
	"chefsync/pkg/cloud"
	"chefsync/pkg/replication"
)

// scanSource is what the manager starts for the source organization.
func scanSource(r *testStack) cloud.ChangesResult {
	r.t.Helper()
	result, err := r.changes.Invoke(context.Background(), cloud.ChangesEvent{Source: orgName, Trigger: cloud.TriggerSchedule})
	if err != nil {
		r.t.Fatal(err)
	}
	var answer cloud.ChangesResult
	if err := result.Decode(&answer); err != nil || answer.Error != "" {
		r.t.Fatalf("scan: %+v, %v", answer, err)
	}
	r.sync.Wait() // the pairs that it started
	return answer
}

// actionMessage is an action message of a Chef Server, as far as it matters.
type actionMessage struct{ kind, name, parent, parentName string }

// postMessage sends a message of a data collector to the function's URL.
func postMessage(r *testStack, token string, m actionMessage) int {
	r.t.Helper()
	body := fmt.Sprintf(`{"message_type":"action","organization_name":%q,"entity_type":%q,"entity_name":%q,"parent_type":%q,"parent_name":%q,"task":"update","data":{"secret":"swordfish"}}`,
		orgName, m.kind, m.name, m.parent, m.parentName)
	q, err := http.NewRequest(http.MethodPost, r.functionURL()+"/", strings.NewReader(body))
	if err != nil {
		r.t.Fatal(err)
	}
	q.Header.Set("X-Data-Collector-Token", token)
	q.Header.Set("X-Data-Collector-Auth", "version=1.0")
	resp, err := http.DefaultClient.Do(q)
	if err != nil {
		r.t.Fatal(err)
	}
	defer resp.Body.Close()
	return resp.StatusCode
}

// mustPush posts a message that must be taken, and waits for the pairs that it started.
func mustPush(r *testStack, m actionMessage) {
	r.t.Helper()
	if status := postMessage(r, "token", m); status != http.StatusNoContent {
		r.t.Fatalf("push of %s: %d", m.name, status)
	}
	r.sync.Wait()
}

// functionURL is the function URL of the change log.
func (r *testStack) functionURL() string {
	if r.changesURL == "" {
		r.changesURL = r.web.URL()
	}
	return r.changesURL
}

// newChangeLogStack is a test stack whose primary serves no feed, with a token for pushes.
func newChangeLogStack(t testing.TB) *testStack {
	t.Helper()
	r := newTestStack(t, newMemoryServer(t, "primary", cheftest.Options{}), newMemoryServer(t, "eu", cheftest.Options{}))
	r.aws.SetSecret("chef-sync/token", "token")
	r.primaryConfig = "[journal]\ntoken = \"secretsmanager:chef-sync/token\"\n"
	cheftest.Fill(r.primary.org)
	r.mustDeploy()
	return r
}

func TestAPrimaryWithoutAFeedIsReplicatedByScans(t *testing.T) {
	t.Parallel()
	r := newChangeLogStack(t)
	scanSource(r)
	r.runPass()
	r.wantEqual()
	if st := r.pairRecord(); st.Progress.Feed != "journal" || st.Progress.Position == nil {
		t.Errorf("feed %q, position %v", st.Progress.Feed, st.Progress.Position)
	}
	cheftest.Edit(r.primary.org)
	// A forced change of a frozen version is found by its rotation, within a day, or by a push.
	mustPush(r, actionMessage{"version", "1.0.0", "cookbook", "apache2"})
	if answer := scanSource(r); answer.Changes == 0 {
		t.Errorf("scan after changes: %+v", answer)
	}
	r.wantEqual()
	if answer := scanSource(r); answer.Changes != 0 {
		t.Errorf("an idle scan: %+v", answer)
	}
}

// TestAPushStartsThePairs as a scan does: the replica needn't wait for the
// manager.
func TestAPushStartsThePairs(t *testing.T) {
	t.Parallel()
	r := newChangeLogStack(t)
	scanSource(r)
	r.runPass()
	r.primary.org.PutRole("web", `{"description":"pushed"}`)
	mustPush(r, actionMessage{kind: "role", name: "web"})
	r.wantEqual()
	state, err := r.backend.State(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	r.primary.org.PutRole("web", `{"description":"found"}`)
	scanSource(r)
	runs, err := state.Runs(t.Context(), r.pairID(), 10)
	if got := fmt.Sprint(runTriggers(runs)); err != nil || got != "[scan manual push scan]" { // the last one is the first copy, manual the verification
		t.Errorf("triggers %s, %v", got, err)
	}
}

// TestPushesDuringAPassAreBundled: the pair isn't started for each, and the pass
// looks again when it is done.
func TestPushesDuringAPassAreBundled(t *testing.T) {
	t.Parallel()
	r := newChangeLogStack(t)
	scanSource(r)
	r.runPass()
	var before, after int
	r.duringPass(func() {
		before = r.countPairStarts()
		for i := range 5 {
			r.primary.org.PutRole("web", fmt.Sprintf(`{"description":"%d"}`, i))
			if status := postMessage(r, "token", actionMessage{kind: "role", name: "web"}); status != http.StatusNoContent {
				t.Errorf("push: %d", status)
			}
		}
		after = r.countPairStarts()
	})
	if after != before {
		t.Errorf("a pair with a running pass was started %d times", after-before)
	}
	r.wantEqual()
	stop := true
	r.changeDesired(replication.DesiredChange{Stop: &stop})
	mustPush(r, actionMessage{kind: "role", name: "web"})
	if n := r.countPairStarts(); n != after {
		t.Errorf("a stopped pair was started %d times", n-after)
	}
	stop = false
	r.changeDesired(replication.DesiredChange{Stop: &stop})
	mustPush(r, actionMessage{kind: "role", name: "web"})
	if n := r.countPairStarts(); n != after+1 {
		t.Errorf("an idle pair was started %d times, want once", n-after)
	}
}

// countPairStarts counts the invocations of the pairs by the functions of the change log.
func (r *testStack) countPairStarts() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.invoked[cloud.ChangesFunction]) + len(r.invoked[cloud.WebFunction])
}

func runTriggers(runs []replication.Run) (all []string) {
	for _, run := range runs {
		all = append(all, string(run.Trigger))
	}
	return all
}

func TestTheURLRefusesOthers(t *testing.T) {
	t.Parallel()
	r := newChangeLogStack(t)
	scanSource(r)
	for token, want := range map[string]int{"": http.StatusUnauthorized, "wrong": http.StatusForbidden, "token": http.StatusNoContent} {
		if got := postMessage(r, token, actionMessage{kind: "role", name: "web"}); got != want {
			t.Errorf("token %q: %d, want %d", token, got, want)
		}
	}
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	client, err := chef.New(chef.Config{Name: "journal", URL: r.functionURL(), User: r.primary.user, Key: key})
	if err != nil {
		t.Fatal(err)
	}
	_, err = client.Org(orgName).Do(t.Context(), http.MethodGet, "/updated_since?seq=0", nil)
	var answer *chef.Error
	if !errors.As(err, &answer) || answer.Status != http.StatusUnauthorized {
		t.Errorf("a reader with another key: %v", err)
	}
	log := r.web.Log().String()
	if !strings.Contains(log, `"Refused":1`) || strings.Contains(log, "swordfish") {
		t.Error("refusals are not counted, or a value was logged")
	}
}

// newChangeLogClient reads the change log by its URL, as a user that the primary knows.
func (r *testStack) newChangeLogClient() *chef.Client {
	r.t.Helper()
	key, err := chef.ParseKey([]byte(r.primary.key))
	if err != nil {
		r.t.Fatal(err)
	}
	client, err := chef.New(chef.Config{Name: "journal", URL: r.functionURL(), User: r.primary.user, Key: key})
	if err != nil {
		r.t.Fatal(err)
	}
	return client
}

// TestEveryRefusalIsCounted: all requests but the health check of a Chef Server.
func TestEveryRefusalIsCounted(t *testing.T) {
	t.Parallel()
	r := newChangeLogStack(t)
	scanSource(r)
	for _, c := range []struct {
		method, path, kind string
		status             int
		counted            bool
	}{
		{"GET", "/", "application/json", http.StatusOK, false}, // as a Chef Server sends it
		{"GET", "/", "", http.StatusOK, true},
		{"HEAD", "/", "", http.StatusOK, true},
		{"PUT", "/", "", http.StatusMethodNotAllowed, true},
		{"POST", "/", "application/json", http.StatusUnauthorized, true},
		{"GET", "/.env", "", http.StatusNotFound, true},
		{"GET", "/organizations/none/updated_since", "", http.StatusNotFound, true},
		{"GET", "/organizations/" + orgName + "/updated_since", "", http.StatusBadRequest, true}, // unsigned
	} {
		before := strings.Count(r.web.Log().String(), `"Refused":1`)
		q, err := http.NewRequest(c.method, r.functionURL()+c.path, nil)
		if err != nil {
			t.Fatal(err)
		}
		if c.kind != "" {
			q.Header.Set("Content-Type", c.kind)
		}
		resp, err := http.DefaultClient.Do(q)
		if err != nil {
			t.Fatal(err)
		}
		_ = resp.Body.Close()
		counted := strings.Count(r.web.Log().String(), `"Refused":1`) - before
		if resp.StatusCode != c.status || (counted == 1) != c.counted || counted > 1 {
			t.Errorf("%s %s: %d, counted %d times; want %d, counted %v", c.method, c.path, resp.StatusCode, counted, c.status, c.counted)
		}
	}
}

// TestMadeUpNamesAtTheURL cost the primary a handful of requests, are all counted,
// and fill no log.
func TestMadeUpNamesAtTheURL(t *testing.T) {
	t.Parallel()
	r := newChangeLogStack(t)
	scanSource(r)
	key, err := chef.ParseKey([]byte(r.primary.key))
	if err != nil {
		t.Fatal(err)
	}
	r.primary.mem.ResetRequests()
	later := 0
	for n := range 30 {
		c, err := chef.New(chef.Config{Name: "journal", URL: r.functionURL(), User: fmt.Sprint("nobody-", n), Key: key, Retry: chef.RetryPolicy{Attempts: 1}})
		if err != nil {
			t.Fatal(err)
		}
		switch _, err := c.Org(orgName).Do(t.Context(), http.MethodGet, "/updated_since", nil); chef.KindOf(err) {
		case chef.KindUnavailable:
			later++
		case chef.KindKey:
		default:
			t.Errorf("a made-up name: %v", err)
		}
	}
	log := r.web.Log().String()
	refused, lines := strings.Count(log, `"Refused":1`), strings.Count(log, "requests were refused")
	if asked := len(r.primary.mem.Requests()); later == 0 || asked != 30-later || refused != 30 || lines > 4 {
		t.Errorf("%d requests to the primary, %d to come again, %d counted, %d lines; want 30 counted in a few lines, and a request for each that was answered",
			asked, later, refused, lines)
	}
}

// TestAnOldClientReadsTheURL: the change log served as updated_since, or by its other name in
// old documentation, signed by the user that the primary knows.
func TestAnOldClientReadsTheURL(t *testing.T) {
	t.Parallel()
	r := newChangeLogStack(t)
	scanSource(r)
	client := r.newChangeLogClient()
	var newest int64
	read := func(name string) (paths []string) {
		answer, err := client.Org(orgName).Do(t.Context(), http.MethodGet, fmt.Sprintf("/%s?seq=%d", name, newest), nil)
		if err != nil {
			t.Fatal(err)
		}
		var rows []struct {
			ID   int64
			Path string
		}
		if err := json.Unmarshal(answer.Body, &rows); err != nil {
			t.Fatal(err)
		}
		for _, row := range rows {
			if row.ID <= newest {
				t.Errorf("row %d comes after %d", row.ID, newest)
			}
			newest = row.ID
			paths = append(paths, row.Path)
		}
		return paths
	}
	read("updated_since")
	r.primary.org.PutRole("web", `{"description":"one"}`)
	mustPush(r, actionMessage{kind: "role", name: "web"})
	r.web.Kill() // a fresh environment goes on
	if got := read("objects_since"); len(got) != 1 || !strings.HasSuffix(got[0], "/roles/web") {
		t.Errorf("rows %q", got)
	}
	if got := read("updated_since"); len(got) != 0 {
		t.Errorf("rows again: %q", got)
	}
}

func TestAPrimaryWithAFeedIsNotScanned(t *testing.T) {
	t.Parallel()
	r := newDeployedStack(t)
	before := len(r.primary.mem.Requests())
	scanSource(r)
	if n := len(r.primary.mem.Requests()) - before; n > 1 {
		t.Errorf("%d requests to a primary that serves its changes", n)
	}
}

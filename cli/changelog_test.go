package cli

import (
	"bytes"
	"context"
	"crypto"
	"crypto/rsa"
	"crypto/sha1"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"chefsync/cli/internal/cmdline"
	"chefsync/pkg/chef/cheftest"
	"chefsync/pkg/chef/goiarditest"
)

// site is a primary without a feed, a replica, and the program's folder.
type site struct {
	t                            testing.TB
	primary, replica             *cheftest.Server
	org, copy                    *cheftest.Org
	key                          *rsa.PrivateKey // of the user sync on the primary
	dir, address                 string
	top, organization, changeLog string // lines of the configuration
}

func newSite(t testing.TB) *site {
	s := &site{t: t, dir: t.TempDir(), primary: cheftest.Start(t, cheftest.Options{KeyBits: 2048}), address: goiarditest.FreeAddress(t)}
	s.org, s.key = s.primary.AddOrg("acme"), s.primary.AddUser("sync")
	s.org.Associate("sync")
	s.newReplica()
	return s
}

func (s *site) newReplica() {
	s.replica = cheftest.Start(s.t)
	s.copy = s.replica.AddOrg("acme")
	s.file("eu.pem", cheftest.PrivatePEM(s.replica.AddUser("sync")))
	s.copy.Associate("sync")
	s.file("primary.pem", cheftest.PrivatePEM(s.key))
	s.file("token", []byte("s3cret\n"))
}

func (s *site) file(name string, content []byte) string {
	s.t.Helper()
	path := filepath.Join(s.dir, name)
	if err := os.WriteFile(path, content, 0o600); err != nil {
		s.t.Fatal(err)
	}
	return path
}

// beside is another program with a folder and a replica of its own, for the same
// primary.
func (s *site) beside() *site {
	other := *s
	other.dir = s.t.TempDir()
	other.newReplica()
	return &other
}

// running is the running program.
type running struct {
	t    testing.TB
	end  context.CancelFunc
	code chan int
	mu   sync.Mutex
	log  bytes.Buffer
}

func (r *running) Write(p []byte) (int, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.log.Write(p)
}

func (r *running) text() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.log.String()
}

// start starts the program, which ends with the test at the latest.
func (s *site) start(args ...string) *running {
	s.t.Helper()
	config := s.file("chef-sync.toml", fmt.Appendf(nil, `[primary]
url = %q
user = "sync"
key = "file:primary.pem"
%s
[[replica]]
name = "eu"
url = %q
user = "sync"
key = "file:eu.pem"
[[organization]]
source = "acme"
max_delete = "100%%"
%s
[journal]
%s
[state]
path = "state.db"
`, s.primary.URL, s.top, s.replica.URL, s.organization, s.changeLog))
	ctx, cancel := context.WithCancel(context.Background())
	r := &running{t: s.t, end: cancel, code: make(chan int, 1)}
	go func() {
		r.code <- executeArgs(ctx, append(args, "-c", config, "--log-level", "debug"), cmdline.Streams{
			In: strings.NewReader(""), Out: io.Discard, Err: r, Now: time.Now, LookupEnv: func(string) (string, bool) { return "", false },
		})
	}()
	s.t.Cleanup(cancel)
	return r
}

// stop ends the program in order.
func (r *running) stop() {
	r.t.Helper()
	r.end()
	if code := <-r.code; code != 0 {
		r.t.Errorf("exit code %d\n%s", code, r.text())
	}
}

// within waits until something is so.
func within(t testing.TB, limit time.Duration, what string, so func() bool) {
	t.Helper()
	tick, give := time.NewTicker(20*time.Millisecond), time.After(limit)
	defer tick.Stop()
	for !so() {
		select {
		case <-tick.C:
		case <-give:
			t.Fatalf("%s: not within %s", what, limit)
		}
	}
}

func (s *site) same() bool {
	a, b := s.org.Snapshot(), s.copy.Snapshot()
	for path, body := range a {
		if b[path] != body {
			return false
		}
	}
	return len(a) == len(b) && len(s.copy.DamagedCookbooks()) == 0
}

// push posts a message as the primary's data collector does.
func (s *site) push(task, entity, name, parent, parentName string) {
	s.t.Helper()
	body := fmt.Sprintf(`{"message_type":"action","organization_name":"acme","task":%q,"entity_type":%q,"entity_name":%q,"parent_type":%q,"parent_name":%q,"data":{}}`,
		task, entity, name, parent, parentName)
	q, err := http.NewRequest(http.MethodPost, "http://"+s.address+"/", strings.NewReader(body))
	if err != nil {
		s.t.Fatal(err)
	}
	q.Header.Set("X-Data-Collector-Token", "s3cret")
	a, err := http.DefaultClient.Do(q)
	if err != nil {
		s.t.Fatal(err)
	}
	_ = a.Body.Close()
	if a.StatusCode != http.StatusNoContent {
		s.t.Fatalf("push of %s %s: status %d", entity, name, a.StatusCode)
	}
}

// listens tells whether something answers on the site's address.
func (s *site) listens() bool {
	a, err := http.Get("http://" + s.address + "/")
	if err == nil {
		_ = a.Body.Close()
	}
	return err == nil
}

// The pushes are of every kind, and nothing else looks for changes within the hour.
func TestAPushReachesTheReplicaInSeconds(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	cheftest.Fill(s.org)
	s.organization = "interval = \"1h\"\n" + `kinds = ["cookbooks", "environments", "roles", "data_bags", "policies", "policy_groups", "cookbook_artifacts"]`
	s.changeLog = fmt.Sprintf("scan_every = \"1h\"\ntoken = \"file:token\"\nlisten = %q", s.address)
	r := s.start("run")
	within(t, time.Minute, "the first copy", s.same)
	for _, step := range []struct {
		do                                     func()
		task, entity, name, parent, parentName string
	}{
		{func() { s.org.PutRole("new", `{}`) }, "create", "role", "new", "", ""},
		{func() { s.org.PutEnvironment("prod", `{"description":"changed"}`) }, "update", "environment", "prod", "", ""},
		{func() { s.org.PutDataBag("bag") }, "create", "bag", "bag", "", ""},
		{func() { s.org.PutDataBagItem("bag", "i", `{"n":1}`) }, "create", "item", "i", "bag", "bag"},
		{func() {
			s.org.PutCookbook("apache2", "1.0.0", map[string][]byte{"recipes/default.rb": []byte("forced")}, true)
		}, "update", "version", "1.0.0", "cookbook", "apache2"},
		{func() { s.org.PutArtifact("base", "0123", map[string][]byte{"recipes/default.rb": []byte("a")}) },
			"create", "cookbook_artifact_version", "0123", "cookbook_artifact", "base"},
		{func() { s.org.PutPolicy("app", "r1", `{}`); s.org.BindPolicy("prod", "app", "r1") }, "create", "policy", "app", "policy_group", "prod"},
		{func() { s.org.DeletePolicyGroup("prod") }, "delete", "policy_group", "prod", "", ""},
		{func() { s.org.DeletePolicy("app", "r1") }, "delete", "policy", "app", "", ""},
		{func() { s.org.DeleteArtifact("base", "0123") }, "delete", "cookbook_artifact_version", "0123", "cookbook_artifact", "base"},
		{func() { s.org.DeleteRole("new") }, "delete", "role", "new", "", ""},
		{func() { s.org.DeleteEnvironment("prod") }, "delete", "environment", "prod", "", ""},
		{func() { s.org.DeleteDataBagItem("bag", "i") }, "delete", "item", "i", "bag", "bag"},
		{func() { s.org.DeleteDataBag("bag") }, "delete", "bag", "bag", "", ""},
		{func() { s.org.DeleteCookbook("apache2", "1.0.0") }, "delete", "version", "1.0.0", "cookbook", "apache2"},
	} {
		step.do()
		s.push(step.task, step.entity, step.name, step.parent, step.parentName)
		started := time.Now()
		within(t, 20*time.Second, fmt.Sprintf("%s of %s %s", step.task, step.entity, step.name), s.same)
		t.Logf("%s of %s: %s after the push", step.task, step.entity, time.Since(started).Round(time.Millisecond))
	}
	s.org.PutRole("unheard", `{}`) // its push is lost
	r.stop()
	r = s.start("run") // which scans as it starts
	within(t, 30*time.Second, "what was not pushed", s.same)
	r.stop()
	for _, secret := range []string{"s3cret", "PRIVATE KEY"} {
		if strings.Contains(r.text(), secret) {
			t.Errorf("the log holds %s", secret)
		}
	}
}

// row is a row of updated_since as its old clients knew it.
type row struct {
	ID     int64  `json:"id"`
	Action string `json:"action"`
	Path   string `json:"path"`
}

// poll asks as an old client did: signed by version 1.0 of the protocol, with no
// code of the program's own, and no more than the newest id in mind. It reports
// false when nothing answers.
func (s *site) poll(seq int64) (rows []row, ok bool) {
	s.t.Helper()
	const path = "/organizations/acme/updated_since"
	digest := func(text string) string {
		sum := sha1.Sum([]byte(text))
		return base64.StdEncoding.EncodeToString(sum[:])
	}
	at := time.Now().UTC().Format(time.RFC3339)
	text := fmt.Sprintf("Method:GET\nHashed Path:%s\nX-Ops-Content-Hash:%s\nX-Ops-Timestamp:%s\nX-Ops-UserId:sync", digest(path), digest(""), at)
	signature, err := rsa.SignPKCS1v15(nil, s.key, crypto.Hash(0), []byte(text))
	if err != nil {
		s.t.Fatal(err)
	}
	q, err := http.NewRequest(http.MethodGet, fmt.Sprintf("http://%s%s?seq=%d", s.address, path, seq), nil)
	if err != nil {
		s.t.Fatal(err)
	}
	for name, value := range map[string]string{"Accept": "application/json", "X-Chef-Version": "11.0.0", "X-Ops-Sign": "algorithm=sha1;version=1.0",
		"X-Ops-Userid": "sync", "X-Ops-Timestamp": at, "X-Ops-Content-Hash": digest("")} {
		q.Header.Set(name, value)
	}
	i := 0
	for line := range slices.Chunk([]byte(base64.StdEncoding.EncodeToString(signature)), 60) {
		i++
		q.Header.Set(fmt.Sprint("X-Ops-Authorization-", i), string(line))
	}
	a, err := http.DefaultClient.Do(q)
	if err != nil {
		return nil, false
	}
	defer a.Body.Close()
	body, err := io.ReadAll(a.Body)
	if err != nil {
		return nil, false
	}
	if a.StatusCode != http.StatusOK || json.Unmarshal(body, &rows) != nil {
		s.t.Fatalf("status %d: %s", a.StatusCode, body)
	}
	return rows, true
}

func TestAnOldClientSeesEveryChangeOnceAndInOrderAcrossRestarts(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.changeLog = `scan_every = "1s"`
	var seen []string
	var seq int64
	look := func() {
		rows, _ := s.poll(seq)
		for _, r := range rows {
			if r.ID <= seq {
				t.Fatalf("row %+v after %d", r, seq)
			}
			seq = r.ID
			if r.Action != "begin" {
				seen = append(seen, r.Action+" "+r.Path)
			}
		}
	}
	var want []string
	var r *running
	for n := range 12 {
		if n%4 == 0 {
			if r != nil {
				r.stop()
			}
			r = s.start("serve-changes", "--listen", s.address)
			if n == 0 {
				within(t, 30*time.Second, "the change log", func() bool { return strings.Contains(r.text(), "msg=scan ") })
			}
			within(t, 30*time.Second, "listening", s.listens)
		}
		name := fmt.Sprintf("r%02d", n)
		s.org.PutRole(name, `{}`)
		want = append(want, "create /roles/"+name)
		if n%3 != 0 {
			within(t, 30*time.Second, name, func() bool { look(); return len(seen) == len(want) })
		}
	}
	s.org.DeleteRole("r00")
	want = append(want, "delete /roles/r00")
	within(t, 30*time.Second, "the deletion", func() bool { look(); return len(seen) >= len(want) })
	r.stop()
	if !slices.Equal(seen, want) {
		t.Errorf("the client saw\n%q, want\n%q", seen, want)
	}
}

// TestAnotherProgramReplicatesByTheServedFeed: objects come from the primary,
// their names from the change log that somebody else keeps.
func TestAnotherProgramReplicatesByTheServedFeed(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	cheftest.Fill(s.org)
	s.changeLog = "scan_every = \"1s\"\nrotation = \"1s\""
	keeper := s.start("serve-changes", "--listen", s.address)
	within(t, 30*time.Second, "the change log", func() bool { return strings.Contains(keeper.text(), "msg=scan ") })
	other := s.beside()
	other.top = fmt.Sprintf("feed = \"updated_since\"\nfeed_url = %q", "http://"+s.address)
	other.organization, other.changeLog = `interval = "1s"`, ""
	reader := other.start("run")
	within(t, time.Minute, "the first copy", other.same)
	cheftest.Edit(s.org)
	within(t, time.Minute, "what changed", other.same)
	s.org.DeleteRole("db")
	within(t, time.Minute, "what was deleted", other.same)
	reader.stop()
	keeper.stop()
	if n := strings.Count(reader.text(), "mode=compare"); n != 2 { // begins, ends
		t.Errorf("everything was compared more than once:\n%s", reader.text())
	}
}

// TestTwoDaemonsAreHarmless: both scan, pass and want to listen, on one state.
func TestTwoDaemonsAreHarmless(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	cheftest.Fill(s.org)
	s.organization = `interval = "1s"`
	s.changeLog = fmt.Sprintf("scan_every = \"1s\"\ntoken = \"file:token\"\nlisten = %q", s.address)
	a := s.start("run")
	within(t, time.Minute, "the first copy", s.same)
	within(t, 30*time.Second, "listening", s.listens)
	b := s.start("run")
	within(t, 30*time.Second, "the second one's waiting for the address", func() bool { return strings.Contains(b.text(), "waiting for it") })
	var want []string
	change := func(n int) {
		name := fmt.Sprintf("r%02d", n)
		s.org.PutRole(name, `{}`)
		want = append(want, "/roles/"+name)
		within(t, time.Minute, name, s.same)
	}
	for n := range 4 {
		change(n)
	}
	a.stop()
	within(t, 30*time.Second, "the second one listens", s.listens)
	s.org.PutRole("pushed", `{}`)
	s.push("create", "role", "pushed", "", "")
	within(t, 30*time.Second, "a push to the second one", s.same)
	change(9)
	var paths []string
	rows, _ := s.poll(0)
	for _, r := range rows[1:] {
		if r.Path != "/roles/pushed" { // a push and a scan may both tell of it
			paths = append(paths, r.Path)
		}
	}
	b.stop()
	if !slices.Equal(paths, want) {
		t.Errorf("rows %q, want each change once: %q", paths, want)
	}
}

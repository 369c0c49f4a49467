// crypto/rsa accepts keys of keyBits only with this setting.
//
//go:debug rsa1024min=0
package scan_test

import (
	"context"
	"fmt"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"chefsync/pkg/chef"
	"chefsync/pkg/chef/cheftest"
	"chefsync/pkg/endpoint"
	"chefsync/pkg/feed/changelog"
	"chefsync/pkg/feed/scan"
	"chefsync/pkg/store/sqlite"
)

const source = "chef.example.com-acme"

// keyBits is the size of the servers' keys. With larger ones, signatures would be half of
// the CPU time of these tests, which aren't about them.
const keyBits = 512

// fixture is a primary without a feed, a change log, and a clock that the test sets.
type fixture struct {
	t        testing.TB
	primary  *cheftest.Server
	org      *cheftest.Org
	client   *chef.Client
	store    changelog.ScanStore
	now      time.Time
	config   scan.Config // for the next scanner
	lastRow  int64       // newest row that newRows returned
	scanners int
}

func newFixture(t testing.TB, options ...cheftest.Options) *fixture {
	t.Helper()
	w := &fixture{t: t, now: time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)}
	o := cheftest.Options{}
	if len(options) > 0 {
		o = options[0]
	}
	o.KeyBits = keyBits
	w.primary = cheftest.Start(t, o)
	if o.Orgless {
		w.org = w.primary.Org("")
	} else {
		w.org = w.primary.AddOrg("acme")
	}
	user, key := w.primary.Superuser()
	w.client = newClient(t, chef.Config{Name: "primary", URL: w.primary.URL, User: user, Key: key, Orgless: o.Orgless})
	s, err := sqlite.OpenState(context.Background(), filepath.Join(t.TempDir(), "state.db"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	w.store = s.ChangeLogs()
	return w
}

func newClient(t testing.TB, c chef.Config) *chef.Client {
	t.Helper()
	c.Retry = chef.RetryPolicy{Attempts: 2, Base: time.Millisecond, Max: 2 * time.Millisecond}
	client, err := chef.New(c)
	if err != nil {
		t.Fatal(err)
	}
	return client
}

// newScanner returns a scanner with an owner of its own, as another process has.
func (w *fixture) newScanner() *scan.Scanner {
	w.t.Helper()
	w.scanners++
	c := w.config
	c.Source, c.Store, c.Owner, c.Now = source, w.store, fmt.Sprintf("process-%d", w.scanners), func() time.Time { return w.now }
	if c.Reader == nil {
		c.Reader = endpoint.NewSource(w.client.Org("acme"), nil)
	}
	s, err := scan.New(c)
	if err != nil {
		w.t.Fatal(err)
	}
	return s
}

// mustScan scans once, with a new scanner.
func (w *fixture) mustScan() scan.Report {
	w.t.Helper()
	return w.mustScanWith(w.newScanner())
}

func (w *fixture) mustScanWith(s *scan.Scanner) scan.Report {
	w.t.Helper()
	report, err := s.Scan(context.Background())
	if err != nil {
		w.t.Fatalf("scan: %v", err)
	}
	w.now = w.now.Add(time.Minute)
	return report
}

// beginChangeLog does the first scan and checks its only row.
func (w *fixture) beginChangeLog() {
	w.t.Helper()
	if r := w.mustScan(); !r.Begun || r.Changes != 0 {
		w.t.Fatalf("first scan: %+v", r)
	}
	w.wantRows("begin /")
}

// newRows returns the rows written since the last call as "action path".
func (w *fixture) newRows() (out []string) {
	w.t.Helper()
	page, err := w.store.Rows(context.Background(), source, w.lastRow, 1_000_000)
	if err != nil {
		w.t.Fatal(err)
	}
	for _, r := range page.Rows {
		out = append(out, r.Action+" "+r.Path)
		w.lastRow = r.ID
	}
	return out
}

func (w *fixture) wantRows(want ...string) {
	w.t.Helper()
	if got := w.newRows(); !slices.Equal(got, want) {
		w.t.Errorf("rows\n got %q\nwant %q", got, want)
	}
}

// scanAndWantRows scans once and compares the new rows.
func (w *fixture) scanAndWantRows(want ...string) scan.Report {
	w.t.Helper()
	r := w.mustScan()
	w.wantRows(want...)
	return r
}

// addObjects adds objects of several kinds to the primary.
func (w *fixture) addObjects() {
	w.org.PutRole("base", `{"run_list":[]}`)
	w.org.PutRole("web", `{"run_list":["role[base]"]}`)
	w.org.PutEnvironment("prod", `{}`)
	w.org.PutEnvironment("test", `{}`)
	w.org.PutDataBagItem("users", "alice", `{"id":"alice","n":1}`)
	w.org.PutDataBagItem("users", "bob", `{"id":"bob","n":2}`)
	w.org.PutDataBagItem("one", "only", `{"id":"only"}`)
	w.org.PutDataBag("empty")
	w.org.PutCookbook("apt", "1.0.0", cookbookFiles("one"), false)
	w.org.PutCookbook("apt", "2.0.0", cookbookFiles("two"), true)
}

func cookbookFiles(text string) map[string][]byte {
	return map[string][]byte{"recipes/default.rb": []byte(text), "metadata.rb": []byte("m " + text)}
}

// takeRequests returns the requests since the last call as "METHOD path", without the
// negotiation of API versions.
func (w *fixture) takeRequests() (out []string) {
	for _, r := range w.primary.Requests() {
		if r.Path != "/server_api_version" {
			out = append(out, r.Method+" "+r.Path)
		}
	}
	w.primary.ResetRequests()
	return out
}

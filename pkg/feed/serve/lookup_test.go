package serve

import (
	"context"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"chefsync/pkg/chef"
	"chefsync/pkg/chef/cheftest"
)

// countLookups counts the requests that the primary got since it was last called.
func (w *testServer) countLookups() int {
	defer w.primary.ResetRequests()
	return len(w.primary.Requests())
}

// sendSigned sends a request with a signature of random bytes, which is right in all
// that can be checked without a key, and with changed headers.
func (w *testServer) sendSigned(user string, changed map[string]string) *http.Response {
	w.t.Helper()
	q, err := http.NewRequest(http.MethodGet, w.url+feedPath, nil)
	if err != nil {
		w.t.Fatal(err)
	}
	signature := make([]byte, 256)
	_, _ = rand.Read(signature) // never fails
	sum := sha256.Sum256(nil)
	for name, value := range map[string]string{"X-Ops-UserId": user, "X-Ops-Timestamp": w.now.UTC().Format(time.RFC3339),
		"X-Ops-Sign":         "algorithm=sha256;version=1.3",
		"X-Ops-Content-Hash": base64.StdEncoding.EncodeToString(sum[:]), "X-Ops-Authorization-1": base64.StdEncoding.EncodeToString(signature)} {
		q.Header.Set(name, value)
	}
	for name, value := range changed {
		q.Header.Set(name, value)
	}
	a, err := http.DefaultClient.Do(q)
	if err != nil {
		w.t.Fatal(err)
	}
	_, _ = io.Copy(io.Discard, a.Body)
	_ = a.Body.Close()
	return a
}

func TestInvalidRequestsDoNotReachThePrimary(t *testing.T) {
	w := newTestServer(t)
	w.org.AddClient("reader")
	w.config.Only = []string{"reader"}
	w.restart()
	w.countLookups()
	for name, c := range map[string]struct {
		user    string
		changed map[string]string
		status  int
	}{
		"a signature that no key makes": {"reader", map[string]string{"X-Ops-Authorization-1": "AAAA"}, 401},
		"the hash of another body":      {"reader", map[string]string{"X-Ops-Content-Hash": "AAAA"}, 401},
		"an old signature":              {"reader", map[string]string{"X-Ops-Timestamp": "2020-01-01T00:00:00Z"}, 401},
		"an unknown algorithm":          {"reader", map[string]string{"X-Ops-Sign": "algorithm=md5;version=1.3"}, 400},
		"who isn't among the readers":   {"member", nil, 403},
		"no name":                       {"a b", nil, 403},
	} {
		if a := w.sendSigned(c.user, c.changed); a.StatusCode != c.status || w.countLookups() != 0 {
			t.Errorf("%s: status %d, want %d without a request to the primary", name, a.StatusCode, c.status)
		}
	}
}

func TestMadeUpNamesCostThePrimaryFewRequests(t *testing.T) {
	w := newTestServer(t)
	known := w.org.AddClient("known")
	if _, err := w.getPath("known", known, feedPath); err != nil {
		t.Fatal(err)
	}
	w.now = w.now.Add(time.Minute)
	w.countLookups()
	refused := map[int]int{}
	for n := range 200 {
		a := w.sendSigned(fmt.Sprint("nobody-", n), nil)
		refused[a.StatusCode]++
		if a.StatusCode == http.StatusServiceUnavailable && a.Header.Get("Retry-After") != "1" {
			t.Fatalf("Retry-After %q, want 1", a.Header.Get("Retry-After"))
		}
	}
	if n := w.countLookups(); n != lookupBurst || refused[401] != lookupBurst || refused[503] != 200-lookupBurst {
		t.Errorf("%d requests to the primary, answers %v; want %d", n, refused, lookupBurst)
	}
	for range 50 { // a name that was looked up is remembered
		w.sendSigned("nobody-0", nil)
	}
	if n := w.countLookups(); n != 0 {
		t.Errorf("%d requests to the primary for a name that was looked up", n)
	}
	// Nobody whose key is known is concerned, not even when it is looked up again.
	for _, later := range []time.Duration{0, knownTTL} {
		w.now = w.now.Add(later)
		w.sendSigned("nobody-flood", nil)
		for n := range 20 {
			w.sendSigned(fmt.Sprint("nobody-later-", n), nil)
		}
		if _, err := w.getPath("known", known, feedPath); err != nil {
			t.Errorf("a reader that is known, %s later: %v", later, err)
		}
	}
	// A new reader comes in as soon as the budget allows.
	fresh := w.org.AddClient("fresh")
	if _, err := w.getPath("fresh", fresh, feedPath); chef.KindOf(err) != chef.KindUnavailable {
		t.Errorf("a new reader meanwhile: %v, want 503", err)
	}
	w.now = w.now.Add(lookupEvery)
	if _, err := w.getPath("fresh", fresh, feedPath); err != nil {
		t.Errorf("a new reader %s later: %v", lookupEvery, err)
	}
}

// TestBadSignaturesByKnownNamesHaveTheSameBudget: names of readers are no secret.
func TestBadSignaturesByKnownNamesHaveTheSameBudget(t *testing.T) {
	w := newTestServer(t)
	for n := range 12 {
		w.org.AddClient(fmt.Sprint("reader-", n))
	}
	for range 3 {
		w.now = w.now.Add(time.Hour)
		w.countLookups()
		for n := range 12 {
			w.sendSigned(fmt.Sprint("reader-", n), nil)
		}
		if n := w.countLookups(); n > lookupBurst {
			t.Errorf("%d requests to the primary for 12 bad signatures, want at most %d", n, lookupBurst)
		}
	}
}

// TestReaderOfManyOrganizationsIsLookedUpAtOnce: who signed with a key that a name
// has in one organization is known in the others.
func TestReaderOfManyOrganizationsIsLookedUpAtOnce(t *testing.T) {
	w := newTestServer(t)
	name, key := w.primary.Superuser()
	for n := range 3 * lookupBurst {
		org := fmt.Sprint("org", n)
		w.primary.AddOrg(org)
		w.config.Sources[org] = "src"
	}
	w.restart()
	for n := range 3 * lookupBurst {
		if _, err := w.getPath(name, key, fmt.Sprintf("/organizations/org%d/updated_since", n)); err != nil {
			t.Errorf("organization %d: %v", n, err)
		}
	}
}

func TestFailedLookupsAreNotRepeatedForUnknownKeys(t *testing.T) {
	w := newTestServer(t)
	known := w.org.AddClient("known")
	if _, err := w.getPath("known", known, feedPath); err != nil {
		t.Fatal(err)
	}
	w.now = w.now.Add(time.Hour)
	w.primary.SetMaintenance(true)
	w.log.Reset()
	w.countLookups()
	for n := range 30 { // half a minute of a name a second
		w.now = w.now.Add(time.Second)
		if a := w.sendSigned(fmt.Sprint("nobody-", n), nil); a.StatusCode != http.StatusServiceUnavailable {
			t.Errorf("status %d, want 503", a.StatusCode)
		}
	}
	if n, lines := w.countLookups(), strings.Count(w.log.String(), "level=ERROR"); n != 3 || lines != 3 {
		t.Errorf("%d requests to a primary that is down, %d lines in the log; want 3, one in ten seconds", n, lines)
	}
	w.primary.SetMaintenance(false)
	if _, err := w.getPath("known", known, feedPath); err != nil {
		t.Errorf("a reader that is known, as soon as the primary answers: %v", err)
	}
}

// TestConcurrentLookupsOfANameAreShared: however many ask at once.
func TestConcurrentLookupsOfANameAreShared(t *testing.T) {
	w := newTestServer(t, cheftest.Options{})
	key := w.org.AddClient("reader")
	w.countLookups()
	var all sync.WaitGroup
	for range 20 {
		all.Go(func() {
			if err := readFeed(w, "reader", key); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	if n := w.countLookups(); n != 1 {
		t.Errorf("%d requests to the primary for one name, want 1", n)
	}
}

func readFeed(w *testServer, name string, key *rsa.PrivateKey) error {
	_, err := w.getPath(name, key, feedPath)
	return err
}

func TestLookupBudgetIsRefilled(t *testing.T) {
	start := time.Date(2026, 11, 29, 12, 0, 0, 0, time.UTC)
	b := lookupBudget{left: lookupBurst, at: start}
	for _, step := range []struct {
		after time.Duration
		taken int // before the next one must wait
		wait  time.Duration
	}{{0, lookupBurst, lookupEvery}, {lookupEvery / 2, 0, lookupEvery / 2}, {lookupEvery, 1, lookupEvery},
		{-time.Hour, 0, lookupEvery}, {1000 * time.Hour, lookupBurst, lookupEvery}} {
		now, taken := start.Add(step.after), 0
		wait := b.takeToken(now)
		for ; wait == 0; wait = b.takeToken(now) {
			taken++
		}
		if taken != step.taken || wait != step.wait {
			t.Errorf("after %s: %d taken, then wait %s; want %d, %s", step.after, taken, wait, step.taken, step.wait)
		}
	}
}

// TestAReaderThatGivesUpKeepsNobodyOut: anybody can send requests under made-up names and
// close the connections at once.
func TestAReaderThatGivesUpKeepsNobodyOut(t *testing.T) {
	w := newTestServer(t)
	key := w.org.AddClient("reader")
	gaveUp, giveUp := context.WithCancel(t.Context())
	giveUp()
	for n := range lookupBurst - 1 {
		_, known, err := w.config.Principals.Signer(gaveUp, "acme", fmt.Sprint("nobody-", n), func(Principal) bool { return false })
		if known || err != nil {
			t.Errorf("a look-up for a canceled request: known %v, %v; want that it goes on", known, err)
		}
	}
	if err := readFeed(w, "reader", key); err != nil {
		t.Errorf("a new reader after others gave up: %v", err)
	}
}

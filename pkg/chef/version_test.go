package chef

import (
	"context"
	"crypto/rand"
	"crypto/rsa"
	"errors"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

func TestVersionComesFromTheFirstAnswerWithoutAnExtraRequest(t *testing.T) {
	s := answerInOrder(erchefAnswer(200, `{}`))
	c := newTestClient(t, s)
	a, err := c.Org("acme").Do(context.Background(), "GET", "/roles", nil)
	if err != nil {
		t.Fatal(err)
	}
	v, err := c.APIVersion(context.Background())
	if err != nil || v != 2 || a.APIVersion != 2 {
		t.Errorf("version %d, answer at %d, error %v, want 2", v, a.APIVersion, err)
	}
	equalStrings(t, "requests", s.requestLines(), []string{"GET /organizations/acme/roles"})
}

func TestWritesNegotiateBeforeTheyAreSent(t *testing.T) {
	s := answerAlways(erchefAnswer(200, `{}`))
	if _, err := newTestClient(t, s).Org("acme").Do(context.Background(), "PUT", "/roles/web", []byte(`{}`)); err != nil {
		t.Fatal(err)
	}
	equalStrings(t, "requests", s.requestLines(), []string{"GET /server_api_version", "PUT /organizations/acme/roles/web"})
}

// oldServer refuses versions above its own with 406, before anything else.
func oldServer(highest int) *scriptedTransport {
	versions := `{"min_version":"0","max_version":"` + strconv.Itoa(highest) + `"}`
	return &scriptedTransport{answer: func(_ int, s sentRequest) cannedAnswer {
		if v, _ := strconv.Atoi(s.version); v > highest {
			return cannedAnswer{status: 406, versions: versions,
				body: `{"error":"invalid-x-ops-server-api-version","min_version":0,"max_version":` + strconv.Itoa(highest) + `}`}
		}
		return cannedAnswer{status: 200, versions: versions, body: `{}`}
	}}
}

func TestVersionIsLoweredOn406(t *testing.T) {
	for highest := range 2 {
		s := oldServer(highest)
		c := newTestClient(t, s)
		for range 2 {
			a, err := c.Org("acme").Do(context.Background(), "GET", "/roles", nil)
			if err != nil || a.APIVersion != highest {
				t.Fatalf("highest %d: answer %+v, error %v", highest, a, err)
			}
		}
		if n := len(s.requestLines()); n != 3 {
			t.Errorf("highest %d: %d requests, want 3: the refused one and two good ones", highest, n)
		}
	}
}

// silentServer answers like goiardi: asked above its own version it leaves the
// header out, and unknown paths are an empty 200.
func silentServer() *scriptedTransport {
	return &scriptedTransport{answer: func(_ int, s sentRequest) cannedAnswer {
		a := cannedAnswer{status: 200, body: `{}`}
		if s.version != "2" {
			a.versions = `{"min_version": "0", "max_version": "1"}`
		}
		if s.uri == "/server_api_version" || strings.HasPrefix(s.uri, "/updated_since") {
			a.body = ""
		}
		if s.uri == "/roles/gone" {
			a.status, a.body = 404, `{"error":["Cannot load role gone"]}`
		}
		return a
	}}
}

func TestVersionOfAServerThatLeavesTheHeaderOut(t *testing.T) {
	s := silentServer()
	c := newTestClient(t, s, func(c *Config) { c.Orgless = true })
	a, err := c.Org("any").Do(context.Background(), "GET", "/roles", nil)
	if err != nil || a.APIVersion != 1 {
		t.Fatalf("answer %+v, error %v, want version 1", a, err)
	}
	equalStrings(t, "requests", s.requestLines(), []string{"GET /roles", "GET /server_api_version", "GET /server_api_version", "GET /roles"})
	_, err = c.Org("any").Do(context.Background(), "GET", "/roles/gone", nil)
	wantKind(t, err, KindAbsent)
	_, err = c.Org("any").Do(context.Background(), "GET", "/updated_since?seq=0", nil)
	wantKind(t, err, KindForeign)
}

func TestAbsenceOnTheFirstRequestOfSuchAServer(t *testing.T) {
	c := newTestClient(t, silentServer(), func(c *Config) { c.Orgless = true })
	_, err := c.Org("any").Do(context.Background(), "GET", "/roles/gone", nil)
	wantKind(t, err, KindAbsent)
}

func TestServerThatNeverSendsTheHeaderIsForeign(t *testing.T) {
	for name, a := range map[string]cannedAnswer{"JSON": {status: 200, body: `{}`}, "a page": pageAnswer(200), "404": pageAnswer(404),
		"nothing": {status: 200}} {
		s := answerInOrder(a)
		_, err := newTestClient(t, s).Org("acme").Do(context.Background(), "GET", "/roles", nil)
		if e := wantKind(t, err, KindForeign); e.Status != a.status {
			t.Errorf("%s: status %d, want %d", name, e.Status, a.status)
		}
	}
}

func TestServerThatSupportsOnlyNewerVersions(t *testing.T) {
	s := answerInOrder(cannedAnswer{status: 406, versions: `{"min_version":"3","max_version":"4"}`, body: `{}`})
	_, err := newTestClient(t, s).APIVersion(context.Background())
	wantKind(t, err, KindVersion)
	_, err = newTestClient(t, s).Org("acme").Do(context.Background(), "GET", "/roles", nil)
	wantKind(t, err, KindVersion)
}

func TestVersionOfAServerThatRefusesTheProbe(t *testing.T) {
	s := answerInOrder(erchefAnswer(401, `{"error":["Failed to authenticate as 'x'."]}`))
	v, err := newTestClient(t, s).APIVersion(context.Background())
	if err != nil || v != 2 {
		t.Errorf("version %d, error %v: an API client can't sign outside its organization, yet the header tells", v, err)
	}
}

func TestVersionFollowsTheServer(t *testing.T) {
	s := &scriptedTransport{}
	highest := 2
	s.answer = func(n int, x sentRequest) cannedAnswer { return oldServer(highest).answer(n, x) }
	c := newTestClient(t, s)
	for _, highest = range []int{2, 1, 2, 0} {
		if _, err := c.Org("acme").Do(context.Background(), "GET", "/roles", nil); err != nil {
			t.Fatalf("highest %d: %v", highest, err)
		}
		if v, _ := c.APIVersion(context.Background()); v != highest {
			t.Errorf("version %d, want %d", v, highest)
		}
	}
}

// acceptOnlyProtocol answers 401 or 400 to all protocols but one.
func acceptOnlyProtocol(accepted string, refusal cannedAnswer) *scriptedTransport {
	return &scriptedTransport{answer: func(_ int, s sentRequest) cannedAnswer {
		if s.proto == accepted {
			return erchefAnswer(200, `{}`)
		}
		return refusal
	}}
}

func TestSigningProtocolFallsBackAndIsRemembered(t *testing.T) {
	unsupported := erchefAnswer(400, `{"error":["Unsupported authentication protocol version"]}`)
	invalid := erchefAnswer(401, `{"error":["Invalid signature for user or client 'chef-sync'"]}`)
	for name, c := range map[string]struct {
		accepted string
		refusal  cannedAnswer
		requests int
	}{
		"1.3":                    {"1.3", unsupported, 2},
		"1.1 after unsupported":  {"1.1", unsupported, 3},
		"1.0 after unsupported":  {"1.0", unsupported, 4},
		"1.1 cures a bad answer": {"1.1", invalid, 3},
	} {
		s := acceptOnlyProtocol(c.accepted, c.refusal)
		client := newTestClient(t, s)
		for range 2 {
			if _, err := client.Org("acme").Do(context.Background(), "GET", "/roles", nil); err != nil {
				t.Fatalf("%s: %v", name, err)
			}
		}
		if n := len(s.requestLines()); n != c.requests {
			t.Errorf("%s: %d requests for two calls, want %d", name, n, c.requests)
		}
	}
}

func TestWrongKeyIsReportedAfterAllProtocols(t *testing.T) {
	s := acceptOnlyProtocol("none", erchefAnswer(401, `{"error":["Invalid signature for user or client 'chef-sync'"]}`))
	_, err := newTestClient(t, s).Org("acme").Do(context.Background(), "GET", "/roles", nil)
	e := wantKind(t, err, KindKey)
	if !strings.Contains(e.Message, "Invalid signature") {
		t.Errorf("message %q", e.Message)
	}
	if n := len(s.requestLines()); n != 3 {
		t.Errorf("%d requests, want one for each protocol", n)
	}
}

func TestKeyTooShortForOldProtocolsKeepsTheError(t *testing.T) {
	short, err := rsa.GenerateKey(rand.Reader, 1024)
	if err != nil {
		t.Fatal(err)
	}
	s := acceptOnlyProtocol("none", erchefAnswer(401, `{"error":["Invalid signature for user or client 'chef-sync'"]}`))
	_, err = newTestClient(t, s, func(c *Config) { c.Key = short }).Org("acme").Do(context.Background(), "GET", "/roles", nil)
	wantKind(t, err, KindKey)
}

func TestAcceptedKeyIsNotTriedWithOldProtocols(t *testing.T) {
	s := answerInOrder(erchefAnswer(200, `{}`), erchefAnswer(401, `{"error":["Invalid signature for user or client 'chef-sync'"]}`))
	o := newTestClient(t, s).Org("acme")
	if _, err := o.Do(context.Background(), "GET", "/roles", nil); err != nil {
		t.Fatal(err)
	}
	_, err := o.Do(context.Background(), "GET", "/roles", nil)
	wantKind(t, err, KindKey)
	if n := len(s.requestLines()); n != 2 {
		t.Errorf("%d requests, want 2: a revoked key isn't a reason to sign weaker", n)
	}
}

func TestClockSkewDoesNotFallBackToOldProtocols(t *testing.T) {
	s := answerInOrder(erchefAnswer(401, `{"error":["Failed to authenticate as chef-sync. Synchronize the clock on your host."]}`))
	_, err := newTestClient(t, s).Org("acme").Do(context.Background(), "GET", "/roles", nil)
	wantKind(t, err, KindClockSkew)
	if n := len(s.requestLines()); n != 1 {
		t.Errorf("%d requests, want 1", n)
	}
}

func TestCanceledCallerDoesNotWaitForAnotherNegotiation(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newTestClient(t, blockedTransport{})
		first, stop := context.WithCancel(context.Background())
		go func() { _, _ = c.APIVersion(first) }()
		synctest.Wait()
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		start := time.Now()
		_, err := c.APIVersion(ctx)
		if !errors.Is(err, context.DeadlineExceeded) || time.Since(start) != time.Second {
			t.Errorf("error %v after %v, want the deadline after 1s", err, time.Since(start))
		}
		stop()
	})
}

// blockedTransport never answers.
type blockedTransport struct{}

func (blockedTransport) RoundTrip(r *http.Request) (*http.Response, error) {
	<-r.Context().Done()
	return nil, r.Context().Err()
}

func FuzzVersionRange(f *testing.F) {
	f.Add(erchefVersions)
	f.Add(`{"min_version":0,"max_version":2}`)
	f.Add(`{"min_version":"9","max_version":"-1"}`)
	f.Fuzz(func(t *testing.T, text string) {
		lowest, highest, ok := readVersionRange(&reply{status: 406, header: http.Header{}, body: []byte(text)})
		if ok && (lowest < 0 || highest < lowest) {
			t.Errorf("range %d to %d", lowest, highest)
		}
	})
}

package chef

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"chefsync/pkg/fault"
	"chefsync/pkg/object"
	"chefsync/pkg/object/canonical"
)

// trialExpired is the body that Chef Infra Server 15.10.118 answers everything with when
// neither a license nor its trial is valid (chef_license_worker.erl, oc_chef_wm_base.erl).
const trialExpired = `{"error":"Your Progress Chef InfraServer license has expired or does not exist! You no longer have access to ` +
	`Chef InfraServer. Please contact the Account Team to upgrade to an Enterprise License.","message":"invalid-license"}`

func TestLicenseErrorsSayThatPermissionsAreNotTheReason(t *testing.T) {
	s := answerInOrder(cannedAnswer{status: 403, body: trialExpired})
	_, err := newTestClient(t, s).Org("acme").Do(context.Background(), "GET", "/roles", nil)
	e := wantKind(t, err, KindLicense)
	want := "GET /organizations/acme/roles on primary: no valid license (403): Your Progress Chef InfraServer license has expired"
	if !strings.HasPrefix(e.Error(), want) || !strings.HasPrefix(e.Hint, "this isn't about the user's permissions") {
		t.Errorf("error %v, hint %q", e, e.Hint)
	}
	if class := fault.ClassOf(e.Wrap("read", object.Ref{})); class != fault.Denied || len(s.sent) != 1 {
		t.Errorf("class %s after %d requests", class, len(s.sent))
	}
}

func TestALicenseInItsGracePeriodIsWarnedOf(t *testing.T) {
	const header = `{"licenseType":"commercial","expirationDateTime":"2026-11-01","warningMessage":"Your license expired on 2026-11-01",` +
		`"gracePeriod":true}`
	answer := erchefAnswer(200, `{}`)
	s := answerInOrder(answer.withHeader("X-Ops-License", header), answer.withHeader("X-Ops-License", "no JSON"), answer)
	c := newTestClient(t, s)
	for _, want := range []string{"Your license expired on 2026-11-01", "", ""} {
		if _, err := c.Org("acme").Do(context.Background(), "GET", "/roles", nil); err != nil {
			t.Fatal(err)
		}
		if got := c.LicenseWarning(); got != want {
			t.Errorf("warning %q, want %q", got, want)
		}
	}
}

func TestRefusalsWithoutAVersionAreNotNegotiatedAbout(t *testing.T) {
	for method, path := range map[string]string{"GET": "/organizations/acme/roles/web", "PUT": "/server_api_version"} {
		s := answerInOrder(cannedAnswer{status: 401, body: `{"error":["Invalid signature for user or client 'x'"]}`})
		_, err := newTestClient(t, s).Org("acme").Do(context.Background(), method, "/roles/web", []byte(`{}`))
		wantKind(t, err, KindKey)
		equalStrings(t, method, s.requestLines(), []string{"GET " + path})
	}
}

func TestAnswersAreClassified(t *testing.T) {
	const put, get = "PUT", "GET"
	for name, c := range map[string]struct {
		method, path string
		answer       cannedAnswer
		want         Kind
	}{
		"skew": {get, "/roles",
			erchefAnswer(401, `{"error":["Failed to authenticate as X. Synchronize the clock on your host."]}`), KindClockSkew},
		"skew of goiardi": {get, "/roles",
			erchefAnswer(401, `{"error":["Authentication failed. Please check your system's clock."]}`), KindClockSkew},
		"unknown user": {get, "/roles",
			erchefAnswer(401, `{"error":["Failed to authenticate as 'x'. Ensure that your node_name and client key are correct."]}`), KindKey},
		"wrong key": {get, "/roles", erchefAnswer(401, `{"error":["Invalid signature for user or client 'x'"]}`), KindKey},
		"401 page":  {get, "/roles", pageAnswer(401), KindFrontEnd},
		"unknown user of Cinc Server NG": {get, "/roles",
			cannedAnswer{status: 401, body: `{"error":["Failed to authenticate as 'x'. Ensure that your node_name and client key are correct."]}`}, KindKey},
		"wrong key for Cinc Server NG": {get, "/roles", cannedAnswer{status: 401, body: `{"error":["Invalid signature for user or client 'x'"]}`}, KindKey},
		"skew of Cinc Server NG": {get, "/roles",
			cannedAnswer{status: 401, body: `{"error":["Original request time stamp too far in the future or past."]}`}, KindClockSkew},
		"401 JSON of a gateway": {get, "/roles", cannedAnswer{status: 401, body: `{"error":"login required"}`}, KindFrontEnd},
		"not a member":          {get, "/roles", erchefAnswer(403, `{"error":["'u' not associated with organization 'o'"]}`), KindNotMember},
		"membership fault": {get, "/roles",
			erchefAnswer(403, `{"error":["Failed to verify user 'u' as a member of organization 'o'"]}`), KindMembershipFault},
		"license": {get, "/roles", erchefAnswer(403, trialExpired).withHeader("X-Ops-License",
			`{"licenseType":"trial","expirationDateTime":"","gracePeriod":false}`), KindLicense},
		"license, no version named": {get, "/roles", cannedAnswer{status: 403, body: trialExpired}, KindLicense},
		"license of a gateway":      {get, "/roles", cannedAnswer{status: 402, body: `{"message":"The license of this tenant has expired"}`}, KindLicense},
		"permission in the grace period": {get, "/roles", erchefAnswer(403, `{"error":["missing read permission"]}`).withHeader("X-Ops-License",
			`{"licenseType":"commercial","expirationDateTime":"2026-11-01","gracePeriod":true}`), KindPermission},
		"page about a license":    {get, "/roles", cannedAnswer{status: 403, body: "<html><title>License expired</title></html>"}, KindFrontEnd},
		"permission":              {put, "/roles/web", erchefAnswer(403, `{"error":["missing update permission"]}`), KindPermission},
		"403 page":                {get, "/roles", pageAnswer(403), KindFrontEnd},
		"no organization":         {get, "/roles", erchefAnswer(404, `{"error":["organization 'acme' does not exist."]}`), KindOrgMissing},
		"absent":                  {get, "/roles/web", erchefAnswer(404, `{"error":["Cannot load role web"]}`), KindAbsent},
		"absent policy":           {get, "/policies/p", cannedAnswer{status: 404, versions: erchefVersions, body: "<html></html>"}, KindAbsent},
		"absent, empty":           {get, "/policies/p", erchefAnswer(404, ``), KindAbsent},
		"404 page":                {get, "/updated_since", pageAnswer(404), KindForeign},
		"404 JSON without header": {get, "/roles/web", cannedAnswer{status: 404, body: `{"error":["Cannot load role web"]}`}, KindForeign},
		"200 page":                {get, "/roles", pageAnswer(200), KindForeign},
		"200 page with header":    {get, "/roles", cannedAnswer{status: 200, versions: erchefVersions, body: "<html>"}, KindForeign},
		"200 empty":               {get, "/roles", erchefAnswer(200, ``), KindForeign},
		"200 cut off":             {get, "/roles", erchefAnswer(200, `{"a":`), KindForeign},
		"200 too deep":            {get, "/roles", erchefAnswer(200, strings.Repeat("[", 1300)+strings.Repeat("]", 1300)), KindTooLarge},
		"redirect": {get, "/roles", cannedAnswer{status: 301}.withHeader("Location",
			"https://login.example.com/?token=x"), KindForeign},
		"exists": {"POST", "/roles", erchefAnswer(409, `{"error":["Role already exists"]}`), KindExists},
		"frozen": {put, "/cookbooks/a/1.0.0",
			erchefAnswer(409, `{"error":["The cookbook a at version 1.0.0 is frozen. Use the 'force' option to override."]}`), KindFrozen},
		"frozen through a proxy": {put, "/cookbooks/a/1.0.0", erchefAnswer(412, `{"error":"no"}`), KindFrozen},
		"412 elsewhere":          {put, "/environments/e", erchefAnswer(412, `{"error":"no"}`), KindInvalid},
		"invalid":                {put, "/roles/web", erchefAnswer(400, `{"error":["Invalid key zzz in request body"]}`), KindInvalid},
		"checksum, new cookbook": {put, "/cookbooks/a/1.0.0",
			erchefAnswer(400, `{"error":["Manifest has a checksum that hasn't been uploaded."]}`), KindMissingChecksum},
		"checksum, existing": {put, "/cookbooks/a/1.0.0",
			erchefAnswer(400, `{"error":["Manifest has checksum 900150983cd24fb0d6963f7d28e17f72 but it hasn't yet been uploaded"]}`),
			KindMissingChecksum},
		"400 page": {get, "/roles", pageAnswer(400), KindForeign},
		"not modifiable": {put, "/environments/_default",
			erchefAnswer(405, `{"error":["The '_default' environment cannot be modified."]}`), KindInvalid},
		"too large": {put, "/roles/web", erchefAnswer(413, `{"error":"JSON must be no more than 2000000 bytes."}`),
			KindTooLarge},
		"too large for nginx":       {put, "/roles/web", pageAnswer(413), KindTooLarge},
		"a URL too long for nginx":  {get, "/search/role", pageAnswer(414), KindTooLarge},
		"overloaded":                {get, "/roles", erchefAnswer(503, `{"error":"no"}`), KindUnavailable},
		"maintenance":               {get, "/roles", pageAnswer(503), KindUnavailable},
		"throttled":                 {get, "/roles", pageAnswer(429), KindUnavailable},
		"sent too slowly":           {get, "/roles", pageAnswer(408), KindUnavailable},
		"error with a lone message": {get, "/roles", erchefAnswer(400, `{"message":"what"}`), KindInvalid},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := newTestClient(t, answerAlways(c.answer), singleAttempt).Org("acme").Do(context.Background(), c.method, c.path, []byte(`{}`))
			e := wantKind(t, err, c.want)
			if e.Status != c.answer.status || e.Message == "" || e.Hint == "" && e.Kind != KindAbsent {
				t.Errorf("status %d, message %q, hint %q", e.Status, e.Message, e.Hint)
			}
			if strings.Contains(err.Error(), "token") {
				t.Errorf("the error quotes a query: %v", err)
			}
		})
	}
}

func TestClockSkewSaysHowFarTheClocksAreApart(t *testing.T) {
	now := time.Date(2026, 1, 1, 12, 0, 0, 0, time.UTC)
	for offset, want := range map[time.Duration]string{
		16*time.Minute + 40*time.Second: "16m40s ahead", -2 * time.Hour: "2h0m0s behind", 0: "agrees", -time.Second: "agrees",
	} {
		a := erchefAnswer(401, `{"error":["Synchronize the clock on your host."]}`).withHeader("Date", now.Add(offset).Format(http.TimeFormat))
		_, err := newTestClient(t, answerInOrder(a), func(c *Config) { c.Now = func() time.Time { return now } }).
			Org("acme").Do(context.Background(), "GET", "/roles", nil)
		if e := wantKind(t, err, KindClockSkew); !strings.Contains(e.Message, want) {
			t.Errorf("message %q, want it to say %q", e.Message, want)
		}
	}
}

func TestSuccessesWithoutContentAreAccepted(t *testing.T) {
	a, err := newTestClient(t, answerAlways(erchefAnswer(201, ``))).Org("acme").Do(context.Background(), "POST", "/users", []byte(`{}`))
	if err != nil || a.Status != 201 {
		t.Errorf("answer %+v, error %v", a, err)
	}
}

func TestServerTextIsCleanedAndCut(t *testing.T) {
	text, _ := errorText([]byte(`{"error":["a\nb\u001b[31mred\u0000", 7, "` + strings.Repeat("é", 1000) + `"]}`))
	if strings.ContainsAny(text, "\n\x1b\x00") {
		t.Errorf("control characters remain in %q", text)
	}
	if n := utf8.RuneCountInString(text); n > maxText+1 || !strings.HasSuffix(text, "…") {
		t.Errorf("%d characters, want %d and an ellipsis", n, maxText)
	}
	if !strings.HasPrefix(text, "a b [31mred ; é") {
		t.Errorf("text %q", text[:20])
	}
}

func FuzzErrorText(f *testing.F) {
	for _, s := range []string{`{"error":["a","b"]}`, `{"error":"x","message":"invalid-license"}`, `<html><TITLE>502</TITLE>`,
		`<Error><Code>AccessDenied</Code></Error>`, "\xff", "", `{"error":{"a":1}}`} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		text, message := errorText(body)
		for _, s := range []string{text, message} {
			if !utf8.ValidString(s) || utf8.RuneCountInString(s) > maxText+1 || strings.ContainsAny(s, "\n\r\x00\x1b") {
				t.Errorf("unclean text %q", s)
			}
		}
	})
}

// Chef reads a thousand levels, and so does canonical JSON: what is taken from a
// server isn't shallower.
func TestDeepJSONIsAccepted(t *testing.T) {
	nest := func(n int) []byte { return []byte(strings.Repeat("[", n) + strings.Repeat("]", n)) }
	if err := checkJSON(nest(1000)); err != nil {
		t.Errorf("1,000 levels: %v", err)
	}
	if err := checkJSON(nest(1001)); !errors.Is(err, errTooDeep) {
		t.Errorf("1,001 levels: %v", err)
	}
}

func FuzzDepth(f *testing.F) {
	f.Add([]byte(`{"a":[1,"]}\"",{}]}`))
	f.Add([]byte(strings.Repeat("[", 1250)))
	f.Add([]byte(`"\\"[[[`))
	f.Fuzz(func(t *testing.T, body []byte) {
		if checkJSON(body) == nil && naiveDepth(body) > canonical.MaxDepth {
			t.Error("valid JSON beyond the depth limit was accepted")
		}
	})
}

// naiveDepth is the nesting of valid JSON, found in another way.
func naiveDepth(b []byte) int {
	deepest, depth, quoted := 0, 0, false
	for i := range b {
		switch b[i] {
		case '"':
			slashes := 0
			for j := i - 1; j >= 0 && b[j] == '\\'; j-- {
				slashes++
			}
			if slashes%2 == 0 {
				quoted = !quoted
			}
		case '[', '{':
			if !quoted {
				depth++
				deepest = max(deepest, depth)
			}
		case ']', '}':
			if !quoted {
				depth--
			}
		}
	}
	return deepest
}

// Each kind has a class, and all but those that no operator can act on have a hint.
func TestEachKindHasAClass(t *testing.T) {
	for kind, want := range map[Kind]fault.Class{
		KindClockSkew: fault.Denied, KindKey: fault.Denied, KindNotMember: fault.Denied, KindLicense: fault.Denied, KindFrontEnd: fault.Denied,
		KindOrgMissing: fault.NoOrganization, KindPermission: fault.Forbidden, KindAbsent: fault.Absent,
		KindFrozen: fault.Rejected, KindInvalid: fault.Rejected, KindTooLarge: fault.Rejected, KindRequest: fault.Rejected,
		KindMembershipFault: fault.Transient, KindExists: fault.Transient, KindMissingChecksum: fault.Transient, KindExpired: fault.Transient,
		KindUnavailable: fault.Transient, KindCanceled: fault.Transient, KindUnreachable: fault.Unreachable,
		KindTLS: fault.Foreign, KindForeign: fault.Foreign, KindVersion: fault.Foreign, KindFileHost: fault.Local,
	} {
		err := &Error{Server: "eu", Kind: kind, Hint: kind.hint(), Method: "GET", Path: "/roles/web"}
		if got := fault.ClassOf(fmt.Errorf("a: %w", err)); got != want {
			t.Errorf("%s has class %s, want %s", kind, got, want)
		}
		switch kind {
		case KindAbsent, KindRequest, KindCanceled, KindFileHost:
		default:
			if fault.HintOf(err) == "" {
				t.Errorf("%s has no hint", kind)
			}
		}
		wrapped := err.Wrap("read", object.Ref{Kind: object.Role, Name: "web"})
		if got, want := wrapped.Error(), "read /roles/web on eu: "+string(kind); got != want || KindOf(wrapped) != kind || wrapped.Class != fault.ClassOf(err) {
			t.Errorf("%q of kind %s and class %s; want %q", got, KindOf(wrapped), wrapped.Class, want)
		}
	}
}

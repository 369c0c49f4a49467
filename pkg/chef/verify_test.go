package chef

import (
	"bytes"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

func signedHeaders(t testing.TB, key *rsa.PrivateKey, p protocol, s signingParts) http.Header {
	t.Helper()
	h := http.Header{}
	if err := signRequest(h, key, p, s); err != nil {
		t.Fatal(err)
	}
	return h
}

func protocols() []protocol { return []protocol{protocol13, protocol11, protocol10} }

func TestWhatWeSignIsVerified(t *testing.T) {
	v := testVector()
	for _, p := range protocols() {
		s, err := ReadSigned(signedHeaders(t, testKey(), p, v), v.time)
		if err != nil {
			t.Fatal(err)
		}
		if s.User != v.user || !s.VerifiedBy(&testKey().PublicKey, v.method, v.path, v.body) {
			t.Errorf("protocol %s isn't verified", p)
		}
		if !s.VerifiedBy(&testKey().PublicKey, v.method, "//organizations//acme/sandboxes/", v.body) {
			t.Errorf("protocol %s: the path isn't canonical", p)
		}
	}
}

func TestChangedRequestsAreRefused(t *testing.T) {
	v := testVector()
	other, err := rsa.GenerateKey(bytes.NewReader(bytes.Repeat([]byte("any bytes will do"), 4096)), 2048)
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range protocols() {
		for what, change := range map[string]func(h http.Header, s *signingParts, key **rsa.PublicKey){
			"method":  func(_ http.Header, s *signingParts, _ **rsa.PublicKey) { s.method = "GET" },
			"path":    func(_ http.Header, s *signingParts, _ **rsa.PublicKey) { s.path = "/organizations/other/sandboxes" },
			"body":    func(_ http.Header, s *signingParts, _ **rsa.PublicKey) { s.body = []byte("{}") },
			"no body": func(_ http.Header, s *signingParts, _ **rsa.PublicKey) { s.body = nil },
			"user":    func(h http.Header, _ *signingParts, _ **rsa.PublicKey) { h.Set("X-Ops-UserId", "another") },
			"time": func(h http.Header, _ *signingParts, _ **rsa.PublicKey) {
				h.Set("X-Ops-Timestamp", "2025-01-02T03:04:06Z")
			},
			"content hash": func(h http.Header, _ *signingParts, _ **rsa.PublicKey) { h.Set("X-Ops-Content-Hash", "AAAA") },
			"signature": func(h http.Header, _ *signingParts, _ **rsa.PublicKey) {
				h.Set("X-Ops-Authorization-1", strings.Repeat("A", 60))
			},
			"part of a signature": func(h http.Header, _ *signingParts, _ **rsa.PublicKey) { h.Del("X-Ops-Authorization-6") },
			"key":                 func(_ http.Header, _ *signingParts, key **rsa.PublicKey) { *key = &other.PublicKey },
			"no key":              func(_ http.Header, _ *signingParts, key **rsa.PublicKey) { *key = nil },
		} {
			h, seen, key := signedHeaders(t, testKey(), p, v), v, &testKey().PublicKey
			change(h, &seen, &key)
			s, err := ReadSigned(h, v.time)
			if err == nil && s.VerifiedBy(key, seen.method, seen.path, seen.body) {
				t.Errorf("protocol %s: verified although the %s was changed", p, what)
			}
		}
	}
	h := signedHeaders(t, testKey(), protocol13, v)
	for _, version := range []string{"1", "", "02", "x"} {
		h.Set("X-Ops-Server-API-Version", version)
		if s, err := ReadSigned(h, v.time); err != nil || s.VerifiedBy(&testKey().PublicKey, v.method, v.path, v.body) {
			t.Errorf("1.3 covers the API version; %q was verified (%v)", version, err)
		}
	}
}

func TestBadHeadersAreRefusedAsAChefServerDoes(t *testing.T) {
	v := testVector()
	for name, c := range map[string]struct {
		change func(h http.Header)
		now    time.Duration
		status int
		text   string
	}{
		"no user": {func(h http.Header) { h.Del("X-Ops-UserId") }, 0, 400, "missing required authentication header(s) 'X-Ops-UserId'"},
		"no signature": {func(h http.Header) { h.Del("X-Ops-Authorization-1") }, 0, 400,
			"missing required authentication header(s) 'X-Ops-Authorization-1'"},
		"protocol 1.2": {func(h http.Header) { h.Set("X-Ops-Sign", "algorithm=sha1;version=1.2;") }, 0, 400,
			"Unsupported authentication protocol version"},
		"1.3 with SHA-1": {func(h http.Header) { h.Set("X-Ops-Sign", "algorithm=sha1;version=1.3;") }, 0, 400,
			"Unsupported authentication protocol version"},
		"noise":          {func(h http.Header) { h.Set("X-Ops-Sign", "what?") }, 0, 400, "Unsupported authentication protocol version"},
		"a strange time": {func(h http.Header) { h.Set("X-Ops-Timestamp", "yesterday") }, 0, 401, "bad header(s) 'X-Ops-Timestamp'"},
		"not base64":     {func(h http.Header) { h.Set("X-Ops-Authorization-1", "!!!!") }, 0, 401, "bad header(s) 'X-Ops-Authorization'"},
		"too long": {func(h http.Header) { h.Set("X-Ops-Authorization-1", strings.Repeat("A", 4000)) }, 0, 401,
			"bad header(s) 'X-Ops-Authorization'"},
		"a clock ahead": {func(http.Header) {}, -900 * time.Second, 401,
			"Failed to authenticate as sync-user. Synchronize the clock on your host."},
		"a clock behind": {func(http.Header) {}, 900 * time.Second, 401,
			"Failed to authenticate as sync-user. Synchronize the clock on your host."},
		"within the skew": {func(http.Header) {}, 899 * time.Second, 0, ""},
	} {
		h := signedHeaders(t, testKey(), protocol13, v)
		c.change(h)
		_, err := ReadSigned(h, v.time.Truncate(time.Second).Add(c.now))
		var refusal *AuthError
		if errors.As(err, &refusal) != (c.status != 0) || refusal != nil && (refusal.Status != c.status || refusal.Message != c.text) {
			t.Errorf("%s: %+v, want %d %s", name, err, c.status, c.text)
		}
	}
}

func TestPublicKeysOfAllForms(t *testing.T) {
	pkix, err := x509.MarshalPKIXPublicKey(&testKey().PublicKey)
	if err != nil {
		t.Fatal(err)
	}
	block := func(kind string, der []byte) []byte { return pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}) }
	for name, text := range map[string][]byte{"PKIX": block("PUBLIC KEY", pkix),
		"PKCS#1": block("RSA PUBLIC KEY", x509.MarshalPKCS1PublicKey(&testKey().PublicKey))} {
		if key, err := ParsePublicKey(text); err != nil || !key.Equal(&testKey().PublicKey) {
			t.Errorf("%s: %v", name, err)
		}
	}
	private := block("RSA PRIVATE KEY", x509.MarshalPKCS1PrivateKey(testKey()))
	for name, text := range map[string][]byte{"nothing": nil, "text": []byte("key"), "a private key": private,
		"broken": block("PUBLIC KEY", []byte("x"))} {
		if _, err := ParsePublicKey(text); err == nil {
			t.Errorf("%s: no error", name)
		} else if strings.Contains(err.Error(), string(private[40:80])) {
			t.Errorf("%s: the error quotes the key", name)
		}
	}
}

func TestVerifyWhatMixlibSigns(t *testing.T) {
	requireMixlib(t)
	cases := map[string]signingParts{
		"vector":     testVector(),
		"empty body": {method: "GET", path: "/organizations/acme/updated_since", user: "u", apiVersion: 1, time: time.Unix(1700000000, 0)},
		"unicode":    {method: "PUT", path: "/data/b/i", user: "u", body: []byte(`{"id":"i","k":"ä€𝄞"}`), time: time.Unix(1, 0)},
		"slashes":    {method: "DELETE", path: "//roles//web/", user: "svc.user-1_x", apiVersion: 2, time: time.Unix(1800000000, 0)},
	}
	for name, parts := range cases {
		for _, p := range protocols() {
			theirs, _ := runMixlib(t, parts, p, signedHeaders(t, testKey(), p, parts))
			h := http.Header{}
			for k, v := range theirs {
				h.Set(k, v)
			}
			h.Set("X-Ops-Server-API-Version", signedHeaders(t, testKey(), p, parts).Get("X-Ops-Server-API-Version"))
			s, err := ReadSigned(h, parts.time)
			if err != nil || !s.VerifiedBy(&testKey().PublicKey, parts.method, parts.path, parts.body) {
				t.Errorf("%s with %s: what mixlib signed isn't verified: %v", name, p, err)
			}
			if err == nil && s.VerifiedBy(&testKey().PublicKey, parts.method, parts.path+"x", parts.body) {
				t.Errorf("%s with %s: another path is verified", name, p)
			}
		}
	}
}

func TestVerifyAndSignAgree(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		parts := signingParts{
			method: rapid.SampledFrom([]string{"GET", "PUT", "POST", "DELETE"}).Draw(rt, "method"),
			path:   "/" + rapid.StringMatching(`[a-z/:.%0-9]{0,40}`).Draw(rt, "path"),
			body:   rapid.SliceOf(rapid.Byte()).Draw(rt, "body"), user: rapid.StringMatching(`[a-z0-9_.-]{1,30}`).Draw(rt, "user"),
			time: time.Unix(rapid.Int64Range(0, 4e9).Draw(rt, "time"), 0), apiVersion: rapid.IntRange(0, 2).Draw(rt, "version"),
		}
		p := rapid.SampledFrom(protocols()).Draw(rt, "protocol")
		s, err := ReadSigned(signedHeaders(t, testKey(), p, parts), parts.time)
		if err != nil || !s.VerifiedBy(&testKey().PublicKey, parts.method, parts.path, parts.body) {
			rt.Errorf("not verified: %v", err)
		}
	})
}

func FuzzReadSigned(f *testing.F) {
	f.Add("algorithm=sha256;version=1.3;", "2025-01-02T03:04:05Z", "AAAA", "2")
	f.Fuzz(func(t *testing.T, sign, stamp, signature, version string) {
		h := http.Header{"X-Ops-Userid": {"u"}, "X-Ops-Content-Hash": {"x"}, "X-Ops-Sign": {sign}, "X-Ops-Timestamp": {stamp},
			"X-Ops-Authorization-1": {signature}, "X-Ops-Server-Api-Version": {version}}
		if s, err := ReadSigned(h, testVector().time); err == nil && s.VerifiedBy(&testKey().PublicKey, "GET", "/", nil) {
			t.Error("verified")
		}
	})
}

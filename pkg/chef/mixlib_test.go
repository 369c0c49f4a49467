package chef

import (
	"bytes"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"net/http"
	"os"
	"os/exec"
	"strconv"
	"testing"
	"time"
)

// mixlibScript signs a request as Chef's own clients do, and verifies one as
// older Chef Servers do, with the gem mixlib-authentication.
const mixlibScript = `
require "json"
require "openssl"
require "stringio"
require "mixlib/authentication/signatureverification"
include Mixlib::Authentication
job = JSON.parse(STDIN.read)
key = OpenSSL::PKey::RSA.new(job["key"])
signed = SignedHeaderAuth.signing_object(http_method: job["method"], path: job["path"], body: job["body"],
  timestamp: job["time"], user_id: job["user"], proto_version: job["proto"],
  headers: { "X-Ops-Server-API-Version" => job["api"] })
ours = signed.sign(key)

Request = Struct.new(:env, :method, :path, :params, :raw_post)
env = {}
job["headers"].each { |k, v| env["HTTP_" + k.upcase.tr("-", "_")] = v }
env["HTTP_HOST"] = "chef.example.com"
request = Request.new(env, job["method"], job["path"], {}, job["body"])
verifier = SignatureVerification.new
verified = verifier.authenticate_user_request(request, key.public_key, 10 ** 10)
puts JSON.generate("headers" => ours, "verified" => !verified.nil?)
`

// requireMixlib skips the test, unless CHEFSYNC_MIXLIB asks for it, when Ruby
// or the gem is missing.
func requireMixlib(t *testing.T) {
	t.Helper()
	if err := exec.Command("ruby", "-rmixlib/authentication", "-e", "").Run(); err != nil {
		if os.Getenv("CHEFSYNC_MIXLIB") != "" {
			t.Fatalf("CHEFSYNC_MIXLIB is set, but Ruby's mixlib-authentication doesn't run: %v", err)
		}
		t.Skip("SKIPPED: Ruby's mixlib-authentication isn't installed (set CHEFSYNC_MIXLIB=1 to demand it)")
	}
}

func TestSignaturesAgreeWithMixlibInBothDirections(t *testing.T) {
	requireMixlib(t)
	cases := map[string]signingParts{
		"vector":     testVector(),
		"empty body": {method: "GET", path: "/organizations/acme/roles/a:b", user: "u", apiVersion: 1, time: time.Unix(1700000000, 0)},
		"unicode":    {method: "PUT", path: "/data/b/i", user: "u", body: []byte(`{"id":"i","k":"ä€𝄞"}`), time: time.Unix(1, 0)},
		"slashes":    {method: "DELETE", path: "//roles//web/", user: "svc.user-1_x", apiVersion: 2, time: time.Unix(1800000000, 0)},
	}
	for name, parts := range cases {
		for _, p := range []protocol{protocol13, protocol11, protocol10} {
			t.Run(name+"/"+string(p), func(t *testing.T) {
				ours := http.Header{}
				if err := signRequest(ours, testKey(), p, parts); err != nil {
					t.Fatal(err)
				}
				theirs, verified := runMixlib(t, parts, p, ours)
				if !verified {
					t.Error("mixlib-authentication refuses our signature")
				}
				for k, v := range theirs {
					if got := ours.Get(k); got != v {
						t.Errorf("header %s: got %q, mixlib makes %q", k, got, v)
					}
				}
			})
		}
	}
}

func TestMixlibRefusesAChangedRequest(t *testing.T) {
	requireMixlib(t)
	ours := http.Header{}
	if err := signRequest(ours, testKey(), protocol13, testVector()); err != nil {
		t.Fatal(err)
	}
	changed := testVector()
	changed.path = "/organizations/other/sandboxes"
	if _, verified := runMixlib(t, changed, protocol13, ours); verified {
		t.Error("mixlib-authentication accepts a signature for another path")
	}
}

func runMixlib(t *testing.T, s signingParts, p protocol, ours http.Header) (headers map[string]string, verified bool) {
	t.Helper()
	flat := map[string]string{}
	for k := range ours {
		flat[k] = ours.Get(k)
	}
	job, err := json.Marshal(map[string]any{
		"method": s.method, "path": s.path, "body": string(s.body), "time": s.formatTime(), "user": s.user,
		"proto": string(p), "api": strconv.Itoa(s.apiVersion), "headers": flat,
		"key": string(pem.EncodeToMemory(&pem.Block{Type: "RSA PRIVATE KEY", Bytes: x509.MarshalPKCS1PrivateKey(testKey())})),
	})
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("ruby", "-W0", "-e", mixlibScript)
	var stderr bytes.Buffer
	cmd.Stdin, cmd.Stderr = bytes.NewReader(job), &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("ruby: %v\n%s", err, stderr.String())
	}
	var answer struct {
		Headers  map[string]string
		Verified bool
	}
	if err := json.Unmarshal(out, &answer); err != nil {
		t.Fatalf("%v in %s", err, out)
	}
	if len(answer.Headers) < 5 {
		t.Fatalf("mixlib made only %d headers", len(answer.Headers))
	}
	return answer.Headers, answer.Verified
}

package chef

import (
	"crypto"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"
)

// The testVector of docs/chef-server-api.md §1.2.
func testVector() signingParts {
	return signingParts{
		method: "POST", path: "/organizations/acme/sandboxes", user: "sync-user", apiVersion: 2,
		body: []byte(`{"checksums":{"d41d8cd98f00b204e9800998ecf8427e":null}}`),
		time: time.Date(2025, 1, 2, 3, 4, 5, 999, time.UTC),
	}
}

func TestCanonicalTextMatchesTheTestVectors(t *testing.T) {
	v := testVector()
	empty := signingParts{}
	for what, x := range map[string][2]string{
		"sha1 of the path":      {sha1Base64([]byte(v.path)), "Buw67Z0j9St1zLxf6enrRS3Rhdw="},
		"sha1 of the user":      {sha1Base64([]byte(v.user)), "cnSd2HJNv1O8GylTn00bd6pDB/s="},
		"sha1 of the body":      {v.contentHash(protocol11), "uyJouXvMSYJFLCPJc8K6uyI9jmA="},
		"sha256 of the body":    {v.contentHash(protocol13), "bZd+TH1czlGPOX2QSD91fWx06JATXfS2Vn3sWyGslYI="},
		"sha1 of no body":       {empty.contentHash(protocol10), "2jmj7l5rSw0yVb/vlWAYkK/YBwk="},
		"sha256 of no body":     {empty.contentHash(protocol13), "47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU="},
		"text of 1.1, hashed":   {hexSHA256(v.canonicalText(protocol11)), "03de9cb0ceeda9b1d1298167fa7ca70b1fc53bb0e9077f9aec71d366f7e57185"},
		"text of 1.3, hashed":   {hexSHA256(v.canonicalText(protocol13)), "ab5224bfa959e3f1533c692b77a9ea066314350a0bdc4d10ddfa55bea76d4f2f"},
		"length of 1.1's text":  {strconv.Itoa(len(v.canonicalText(protocol11))), "179"},
		"length of 1.3's text":  {strconv.Itoa(len(v.canonicalText(protocol13))), "220"},
		"end of 1.0's text":     {lastLine(v.canonicalText(protocol10)), "X-Ops-UserId:sync-user"},
		"timestamp":             {v.formatTime(), "2025-01-02T03:04:05Z"},
		"slashes are collapsed": {canonicalPath("//a///b/"), "/a/b"},
		"the root stays":        {canonicalPath("/"), "/"},
		"escapes stay":          {canonicalPath("/a%2Fb:c"), "/a%2Fb:c"},
	} {
		if x[0] != x[1] {
			t.Errorf("%s: got %s, want %s", what, x[0], x[1])
		}
	}
}

func TestSignatureVerifiesWithThePublicKey(t *testing.T) {
	key := testKey()
	for _, p := range []protocol{protocol13, protocol11, protocol10} {
		t.Run(string(p), func(t *testing.T) {
			h := http.Header{}
			if err := signRequest(h, key, p, testVector()); err != nil {
				t.Fatal(err)
			}
			var text string
			for n := 1; h.Get("X-Ops-Authorization-"+strconv.Itoa(n)) != ""; n++ {
				line := h.Get("X-Ops-Authorization-" + strconv.Itoa(n))
				if len(line) > 60 {
					t.Errorf("line %d has %d characters, want at most 60", n, len(line))
				}
				text += line
			}
			sig, err := base64.StdEncoding.DecodeString(text)
			if err != nil {
				t.Fatal(err)
			}
			hash, signed := crypto.Hash(0), []byte(testVector().canonicalText(p))
			if p == protocol13 {
				sum := sha256.Sum256(signed)
				hash, signed = crypto.SHA256, sum[:]
			}
			if err := rsa.VerifyPKCS1v15(&key.PublicKey, hash, signed, sig); err != nil {
				t.Errorf("the signature doesn't verify: %v", err)
			}
			if !strings.HasSuffix(h.Get("X-Ops-Sign"), "version="+string(p)+";") {
				t.Errorf("X-Ops-Sign is %q", h.Get("X-Ops-Sign"))
			}
		})
	}
}

func TestProtocol10RefusesNamesThatDoNotFitTheKey(t *testing.T) {
	v := testVector()
	v.user = strings.Repeat("u", 255)
	if err := signRequest(http.Header{}, testKey(), protocol10, v); err == nil {
		t.Error("signed a text that is longer than the key")
	}
	if err := signRequest(http.Header{}, testKey(), protocol11, v); err != nil {
		t.Errorf("protocol 1.1 hashes the name, but: %v", err)
	}
}

func hexSHA256(s string) string {
	sum := sha256.Sum256([]byte(s))
	return hex.EncodeToString(sum[:])
}

func lastLine(s string) string { return s[strings.LastIndexByte(s, '\n')+1:] }

package cheftest

import (
	"crypto/sha256"
	"encoding/hex"
	"net/http/httptest"
	"testing"
)

// The canonical texts that real signers make (docs/chef-server-api.md §1.2).
func TestCanonicalTexts(t *testing.T) {
	r := httptest.NewRequest("POST", "/organizations//acme/sandboxes/?x=1", nil)
	r.Header.Set("X-Ops-Server-API-Version", "2")
	q := &request{r: r, path: rawPath(r), body: []byte(`{"checksums":{"d41d8cd98f00b204e9800998ecf8427e":null}}`)}
	for version, want := range map[string]string{
		"1.1": "03de9cb0ceeda9b1d1298167fa7ca70b1fc53bb0e9077f9aec71d366f7e57185",
		"1.3": "ab5224bfa959e3f1533c692b77a9ea066314350a0bdc4d10ddfa55bea76d4f2f",
	} {
		g := &signature{version: version, user: "sync-user", stamp: "2025-01-02T03:04:05Z"}
		sum := sha256.Sum256([]byte(g.signedText(q)))
		if got := hex.EncodeToString(sum[:]); got != want {
			t.Errorf("%s: %q", version, g.signedText(q))
		}
	}
}

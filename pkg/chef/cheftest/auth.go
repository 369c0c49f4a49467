package cheftest

import (
	"crypto"
	"crypto/rsa"
	"crypto/sha1"
	"crypto/sha256"
	"encoding/base64"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// signature holds the headers of a signed request.
type signature struct {
	version string // 1.0, 1.1, 1.2 or 1.3
	user    string
	stamp   string
	sig     string // base64, the numbered headers joined
}

// checkHeaders checks the headers alone: what is missing, the protocol
// version, the clock (docs/chef-server-api.md §1.3).
func (s *Server) checkHeaders(r *http.Request) (*signature, *answer) {
	var missing []string
	for _, h := range []string{"X-Ops-UserId", "X-Ops-Timestamp", "X-Ops-Sign", "X-Ops-Content-Hash", "X-Ops-Authorization-1"} {
		if r.Header.Get(h) == "" {
			missing = append(missing, "'"+h+"'")
		}
	}
	if len(missing) > 0 {
		return nil, invalid("missing required authentication header(s) %s", strings.Join(missing, ", "))
	}
	version, known := signVersion(r.Header.Get("X-Ops-Sign"))
	if !known {
		return nil, invalid("Unsupported authentication protocol version")
	}
	q := &signature{version: version, user: r.Header.Get("X-Ops-UserId"), stamp: r.Header.Get("X-Ops-Timestamp")}
	at, err := time.Parse("2006-01-02T15:04:05Z", q.stamp)
	if err != nil {
		return nil, withChallenge(fail(http.StatusUnauthorized, "bad header(s) 'X-Ops-Timestamp'"))
	}
	if s.now().Sub(at).Abs() >= s.opts.AuthSkew {
		return nil, withChallenge(fail(http.StatusUnauthorized,
			"Failed to authenticate as %s. Synchronize the clock on your host.", q.user))
	}
	for i := 1; ; i++ {
		part := r.Header.Get("X-Ops-Authorization-" + strconv.Itoa(i))
		if part == "" {
			return q, nil
		}
		q.sig += part
	}
}

// signVersion reads X-Ops-Sign, such as "algorithm=sha256;version=1.3;".
func signVersion(header string) (string, bool) {
	version, algorithm := "1.0", ""
	for part := range strings.SplitSeq(header, ";") {
		key, val, _ := strings.Cut(strings.TrimSpace(part), "=")
		switch key {
		case "version":
			version = val
		case "algorithm":
			algorithm = val
		case "":
		default:
			return "", false
		}
	}
	switch version {
	case "1.0", "1.1", "1.2":
		return version, algorithm == "sha1" || algorithm == ""
	case "1.3":
		return version, algorithm == "sha256"
	}
	return "", false
}

func withChallenge(a *answer) *answer {
	return a.withHeader("WWW-Authenticate", `X-Ops-Sign version="1.0" version="1.1"`)
}

// authenticate finds the signer of the request and checks that it belongs to the
// organization.
func (s *Server) authenticate(q *request, sig *signature) *answer {
	candidates := s.candidateKeys(q.org, sig.user)
	if len(candidates) == 0 {
		return withChallenge(fail(http.StatusUnauthorized,
			"Failed to authenticate as '%s'. Ensure that your node_name and client key are correct.", sig.user))
	}
	for _, c := range candidates {
		if sig.verify(q, c.pub) {
			q.actor = c.owner
			return s.checkMembership(q)
		}
	}
	return withChallenge(fail(http.StatusUnauthorized, "Invalid signature for user or client '%s'", sig.user))
}

type candidate struct {
	owner *account
	pub   *rsa.PublicKey
}

// candidateKeys returns all keys that haven't expired of the user and the client of a
// name.
func (s *Server) candidateKeys(org *Org, name string) []candidate {
	s.mu.Lock()
	defer s.mu.Unlock()
	var found []candidate
	now := s.now()
	add := func(a *account) {
		if a == nil {
			return
		}
		for _, k := range a.keys {
			if k.pub != nil && (k.expires.IsZero() || now.Before(k.expires)) {
				found = append(found, candidate{a, k.pub})
			}
		}
	}
	add(s.users[name])
	if org != nil {
		add(org.clients[name])
	}
	return found
}

func (s *Server) checkMembership(q *request) *answer {
	if q.org == nil || q.org.name == "" || q.actor.kind == clientKind || q.actor.name == Superuser {
		return nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, member := q.org.members[q.actor.name]; member {
		return nil
	}
	return fail(http.StatusForbidden, "'%s' not associated with organization '%s'", q.actor.name, q.org.name)
}

// verify checks the signature over the canonical text of its version
// (docs/chef-server-api.md §1.2).
func (g *signature) verify(q *request, pub *rsa.PublicKey) bool {
	sig, err := base64.StdEncoding.DecodeString(g.sig)
	if err != nil {
		return false
	}
	text := g.signedText(q)
	switch g.version {
	case "1.3":
		sum := sha256.Sum256([]byte(text))
		return rsa.VerifyPKCS1v15(pub, crypto.SHA256, sum[:], sig) == nil
	case "1.2":
		sum := sha1.Sum([]byte(text))
		return rsa.VerifyPKCS1v15(pub, crypto.SHA1, sum[:], sig) == nil
	}
	return rsa.VerifyPKCS1v15(pub, crypto.Hash(0), []byte(text), sig) == nil
}

func (g *signature) signedText(q *request) string {
	path := "/" + strings.Join(splitPath(q.path), "/")
	if g.version == "1.3" {
		version := q.r.Header.Get("X-Ops-Server-API-Version")
		if version == "" {
			version = "0"
		}
		return strings.Join([]string{
			"Method:" + q.r.Method, "Path:" + path, "X-Ops-Content-Hash:" + sha256Base64(q.body),
			"X-Ops-Sign:version=1.3", "X-Ops-Timestamp:" + g.stamp, "X-Ops-UserId:" + g.user,
			"X-Ops-Server-API-Version:" + version,
		}, "\n")
	}
	user := g.user
	if g.version != "1.0" {
		user = sha1Base64([]byte(user))
	}
	return strings.Join([]string{
		"Method:" + q.r.Method, "Hashed Path:" + sha1Base64([]byte(path)), "X-Ops-Content-Hash:" + sha1Base64(q.body),
		"X-Ops-Timestamp:" + g.stamp, "X-Ops-UserId:" + user,
	}, "\n")
}

func sha1Base64(b []byte) string {
	sum := sha1.Sum(b)
	return base64.StdEncoding.EncodeToString(sum[:])
}

func sha256Base64(b []byte) string {
	sum := sha256.Sum256(b)
	return base64.StdEncoding.EncodeToString(sum[:])
}

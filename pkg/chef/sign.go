package chef

import (
	"crypto"
	"crypto/rsa"
	"crypto/sha1"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// protocol is a version of Chef's request signing, by its wire name.
type protocol string

// The protocols, newest first, as they are tried (docs/chef-server-api.md §1.2).
const (
	protocol13 protocol = "1.3"
	protocol11 protocol = "1.1"
	protocol10 protocol = "1.0"
)

// nextOlder returns the protocol to try when a server refuses p, or "".
func (p protocol) nextOlder() protocol {
	switch p {
	case protocol13:
		return protocol11
	case protocol11:
		return protocol10
	}
	return ""
}

// signingParts is what a signature covers.
type signingParts struct {
	method     string
	path       string // still percent-encoded, without the query
	body       []byte
	user       string
	time       time.Time
	apiVersion int
}

// formatTime returns the time in the form of X-Ops-Timestamp.
func (s signingParts) formatTime() string { return s.time.UTC().Format("2006-01-02T15:04:05Z") }

// contentHash returns the value of X-Ops-Content-Hash: an empty body is hashed, too.
func (s signingParts) contentHash(p protocol) string {
	if p == protocol13 {
		sum := sha256.Sum256(s.body)
		return base64.StdEncoding.EncodeToString(sum[:])
	}
	return sha1Base64(s.body)
}

// canonicalText returns the text that is signed (docs/chef-server-api.md §1.2).
func (s signingParts) canonicalText(p protocol) string {
	path := canonicalPath(s.path)
	switch p {
	case protocol13:
		return strings.Join([]string{
			"Method:" + s.method,
			"Path:" + path,
			"X-Ops-Content-Hash:" + s.contentHash(p),
			"X-Ops-Sign:version=1.3",
			"X-Ops-Timestamp:" + s.formatTime(),
			"X-Ops-UserId:" + s.user,
			"X-Ops-Server-API-Version:" + strconv.Itoa(s.apiVersion),
		}, "\n")
	case protocol11:
		return s.canonicalTextV1(path, sha1Base64([]byte(s.user)))
	default:
		return s.canonicalTextV1(path, s.user)
	}
}

func (s signingParts) canonicalTextV1(path, user string) string {
	return strings.Join([]string{
		"Method:" + s.method,
		"Hashed Path:" + sha1Base64([]byte(path)),
		"X-Ops-Content-Hash:" + s.contentHash(protocol11),
		"X-Ops-Timestamp:" + s.formatTime(),
		"X-Ops-UserId:" + user,
	}, "\n")
}

// canonicalPath collapses runs of slashes and drops one at the end.
func canonicalPath(path string) string {
	var b strings.Builder
	for i := range len(path) {
		if path[i] == '/' && i > 0 && path[i-1] == '/' {
			continue
		}
		b.WriteByte(path[i])
	}
	if p := b.String(); len(p) > 1 {
		return strings.TrimSuffix(p, "/")
	}
	return b.String()
}

// signRequest sets the authentication headers of one request.
func signRequest(h http.Header, key *rsa.PrivateKey, p protocol, s signingParts) error {
	sig, err := computeSignature(key, p, s.canonicalText(p))
	if err != nil {
		return fmt.Errorf("sign the request with protocol %s: %w", p, err)
	}
	algorithm := "sha1"
	if p == protocol13 {
		algorithm = "sha256"
	}
	h.Set("X-Ops-Sign", "algorithm="+algorithm+";version="+string(p)+";")
	h.Set("X-Ops-UserId", s.user)
	h.Set("X-Ops-Timestamp", s.formatTime())
	h.Set("X-Ops-Content-Hash", s.contentHash(p))
	h.Set("X-Ops-Server-API-Version", strconv.Itoa(s.apiVersion))
	text := base64.StdEncoding.EncodeToString(sig)
	for n := 1; text != ""; n++ {
		cut := min(60, len(text))
		h.Set("X-Ops-Authorization-"+strconv.Itoa(n), text[:cut])
		text = text[cut:]
	}
	return nil
}

// computeSignature signs with RSASSA-PKCS1-v1_5 over SHA-256 for 1.3; the older
// protocols pad and sign the text itself, as Ruby's private_encrypt does.
func computeSignature(key *rsa.PrivateKey, p protocol, text string) ([]byte, error) {
	if p == protocol13 {
		sum := sha256.Sum256([]byte(text))
		return rsa.SignPKCS1v15(nil, key, crypto.SHA256, sum[:])
	}
	return rsa.SignPKCS1v15(nil, key, crypto.Hash(0), []byte(text))
}

func sha1Base64(b []byte) string {
	sum := sha1.Sum(b)
	return base64.StdEncoding.EncodeToString(sum[:])
}

package chef

import (
	"crypto"
	"crypto/rsa"
	"crypto/subtle"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// AuthSkew is how far a signature's time may be from the verifier's clock: less
// than this, as on a Chef Server (docs/chef-server-api.md §1.3).
const AuthSkew = 900 * time.Second

// maxSignature bounds the base64 of a signature: RSA keys of 16,384 bits.
const maxSignature = 2736

// AuthError is the answer to a request that isn't properly signed: the status and
// the message of a Chef Server (docs/chef-server-api.md §1.3).
type AuthError struct {
	Status  int
	Message string
}

// Error returns the message.
func (r *AuthError) Error() string { return r.Message }

// Signed is what the headers of a signed request claim. None of it is proven before
// VerifiedBy has returned true.
type Signed struct {
	User string
	Time time.Time

	proto     protocol
	stamp     string // the time as it was sent, which is what was signed
	hash      string
	version   string // X-Ops-Server-API-Version
	signature []byte
}

// ReadSigned reads the headers of a signed request, of protocol 1.0, 1.1 or 1.3,
// and checks the time against now. A *Refusal says what a Chef Server would
// answer.
func ReadSigned(h http.Header, now time.Time) (*Signed, error) {
	var missing []string
	for _, name := range []string{"X-Ops-UserId", "X-Ops-Timestamp", "X-Ops-Sign", "X-Ops-Content-Hash", "X-Ops-Authorization-1"} {
		if h.Get(name) == "" {
			missing = append(missing, "'"+name+"'")
		}
	}
	if len(missing) > 0 {
		return nil, &AuthError{http.StatusBadRequest, "missing required authentication header(s) " + strings.Join(missing, ", ")}
	}
	proto, ok := readSign(h.Get("X-Ops-Sign"))
	if !ok {
		return nil, &AuthError{http.StatusBadRequest, "Unsupported authentication protocol version"}
	}
	s := &Signed{User: h.Get("X-Ops-UserId"), proto: proto, stamp: h.Get("X-Ops-Timestamp"), hash: h.Get("X-Ops-Content-Hash"),
		version: h.Get("X-Ops-Server-API-Version")}
	var err error
	if s.Time, err = time.Parse("2006-01-02T15:04:05Z", s.stamp); err != nil {
		return nil, &AuthError{http.StatusUnauthorized, "bad header(s) 'X-Ops-Timestamp'"}
	}
	if now.Sub(s.Time).Abs() >= AuthSkew {
		return nil, &AuthError{http.StatusUnauthorized,
			fmt.Sprintf("Failed to authenticate as %s. Synchronize the clock on your host.", cleanText(s.User, 60))}
	}
	var text strings.Builder
	for n := 1; text.Len() <= maxSignature; n++ {
		part := h.Get("X-Ops-Authorization-" + strconv.Itoa(n))
		if part == "" {
			break
		}
		text.WriteString(part)
	}
	if s.signature, err = base64.StdEncoding.DecodeString(text.String()); err != nil || text.Len() > maxSignature ||
		len(s.signature) < minKeyBits/8 {
		return nil, &AuthError{http.StatusUnauthorized, "bad header(s) 'X-Ops-Authorization'"}
	}
	return s, nil
}

// Covers reports whether a body has the hash that the headers name. That can be
// checked without a key, so before one is looked up.
func (s *Signed) Covers(body []byte) bool {
	return subtle.ConstantTimeCompare([]byte(s.hash), []byte(signingParts{body: body}.contentHash(s.proto))) == 1
}

// readSign reads X-Ops-Sign, such as algorithm=sha256;version=1.3;
func readSign(header string) (protocol, bool) {
	version, algorithm := "", ""
	for part := range strings.SplitSeq(header, ";") {
		switch key, value, _ := strings.Cut(strings.TrimSpace(part), "="); key {
		case "version":
			version = value
		case "algorithm":
			algorithm = value
		case "":
		default:
			return "", false
		}
	}
	switch p := protocol(version); p {
	case protocol13:
		return p, algorithm == "sha256"
	case protocol11, protocol10:
		return p, algorithm == "sha1" || algorithm == ""
	case "":
		return protocol10, algorithm == "sha1" || algorithm == ""
	}
	return "", false
}

// VerifiedBy reports whether the owner of a key signed this request: its method,
// its path as it came over the wire, still percent-encoded and without the
// query, and its whole body. Time and user are the ones that were read.
func (s *Signed) VerifiedBy(key *rsa.PublicKey, method, path string, body []byte) bool {
	parts := signingParts{method: method, path: path, body: body, user: s.User, time: s.Time}
	if s.version != "" {
		v, err := strconv.Atoi(s.version)
		if err != nil || strconv.Itoa(v) != s.version {
			return false
		}
		parts.apiVersion = v
	}
	if key == nil || !s.Covers(body) {
		return false
	}
	text := []byte(parts.canonicalText(s.proto))
	if s.proto == protocol13 {
		h := crypto.SHA256.New()
		_, _ = h.Write(text) // never fails
		return rsa.VerifyPKCS1v15(key, crypto.SHA256, h.Sum(nil), s.signature) == nil
	}
	return rsa.VerifyPKCS1v15(key, crypto.Hash(0), text, s.signature) == nil
}

// ParsePublicKey reads an RSA public key in PEM form, as a Chef Server hands
// them out: PKIX, PKCS#1, or a certificate.
func ParsePublicKey(data []byte) (*rsa.PublicKey, error) {
	block, _ := pem.Decode(data)
	if block == nil {
		return nil, errors.New("no public key found: expected PEM text that begins with -----BEGIN PUBLIC KEY-----")
	}
	var key any
	var err error
	switch block.Type {
	case "PUBLIC KEY":
		key, err = x509.ParsePKIXPublicKey(block.Bytes)
	case "RSA PUBLIC KEY":
		key, err = x509.ParsePKCS1PublicKey(block.Bytes)
	case "CERTIFICATE":
		var c *x509.Certificate
		if c, err = x509.ParseCertificate(block.Bytes); err == nil {
			key = c.PublicKey
		}
	default:
		return nil, fmt.Errorf("a PEM block %q isn't a public key", cleanText(block.Type, 40))
	}
	if err != nil {
		return nil, fmt.Errorf("the PEM block %s doesn't hold a valid key", block.Type)
	}
	public, ok := key.(*rsa.PublicKey)
	switch {
	case !ok:
		return nil, fmt.Errorf("the public key is a %T: Chef Servers use RSA keys", key)
	case public.N.BitLen() < minKeyBits:
		return nil, fmt.Errorf("the RSA key has %d bits: at least %d are needed", public.N.BitLen(), minKeyBits)
	}
	return public, nil
}

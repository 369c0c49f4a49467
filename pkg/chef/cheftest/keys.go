package cheftest

import (
	"crypto/md5"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/hex"
	"encoding/pem"
	"fmt"
	"strings"
	"time"
)

// The kinds of accounts.
const (
	userKind   = "user"
	clientKind = "client"
)

// account is a user of the server or an API client of an organization.
type account struct {
	name      string
	kind      string
	authz     string
	email     string
	display   string
	first     string
	last      string
	validator bool
	keys      []pubKey
}

// pubKey is one key of an account, parsed once.
type pubKey struct {
	name    string
	text    string
	pub     *rsa.PublicKey
	expires time.Time // zero: never
}

// newKey creates a key pair. It takes a while, so it is called without the lock where
// possible.
func (s *Server) newKey() *rsa.PrivateKey {
	key, err := rsa.GenerateKey(rand.Reader, s.opts.KeyBits)
	if err != nil {
		panic(fmt.Sprintf("cheftest: no key of %d bits: %v", s.opts.KeyBits, err)) // wrong Options
	}
	return key
}

// addKey sets the key of a name.
func (a *account) addKey(name string, pub *rsa.PublicKey) pubKey {
	k := pubKey{name: name, text: publicPEM(pub), pub: pub}
	a.setKey(k)
	return k
}

func (a *account) setKey(k pubKey) {
	for i := range a.keys {
		if a.keys[i].name == k.name {
			a.keys[i] = k
			return
		}
	}
	a.keys = append(a.keys, k)
}

func (a *account) findKey(name string) (pubKey, bool) {
	for _, k := range a.keys {
		if k.name == name {
			return k, true
		}
	}
	return pubKey{}, false
}

func (a *account) publicKey() string {
	if k, found := a.findKey("default"); found {
		return k.text
	}
	return ""
}

func publicPEM(pub *rsa.PublicKey) string {
	der, err := x509.MarshalPKIXPublicKey(pub)
	if err != nil {
		return ""
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}))
}

// PrivatePEM returns a private key in the form that Chef's tools read.
func PrivatePEM(key *rsa.PrivateKey) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "RSA PRIVATE KEY", Bytes: x509.MarshalPKCS1PrivateKey(key)})
}

func parsePublicPEM(text string) (*rsa.PublicKey, bool) {
	block, _ := pem.Decode([]byte(strings.TrimSpace(text) + "\n"))
	if block == nil {
		return nil, false
	}
	if pub, err := x509.ParsePKCS1PublicKey(block.Bytes); err == nil {
		return pub, true
	}
	if v, err := x509.ParsePKIXPublicKey(block.Bytes); err == nil {
		pub, isRSA := v.(*rsa.PublicKey)
		return pub, isRSA
	}
	cert, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		return nil, false
	}
	pub, isRSA := cert.PublicKey.(*rsa.PublicKey)
	return pub, isRSA
}

// guidOf returns 32 hexadecimal digits that depend on the parts only.
func guidOf(parts ...string) string {
	sum := md5.Sum([]byte(strings.Join(parts, "\x00")))
	return hex.EncodeToString(sum[:])
}

// randomGUID returns 32 random hexadecimal digits.
func randomGUID() string {
	b := make([]byte, 16)
	_, _ = rand.Read(b)
	return hex.EncodeToString(b)
}

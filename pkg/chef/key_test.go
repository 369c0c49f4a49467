package chef

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"strings"
	"testing"
)

func TestParseKeyReadsBothForms(t *testing.T) {
	key := testKey()
	pkcs1 := pem.EncodeToMemory(&pem.Block{Type: "RSA PRIVATE KEY", Bytes: x509.MarshalPKCS1PrivateKey(key)})
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	pkcs8 := pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})
	pub := pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: x509.MarshalPKCS1PublicKey(&key.PublicKey)})
	for name, data := range map[string][]byte{
		"PKCS#1": pkcs1, "PKCS#8": pkcs8,
		"byte order mark":  append([]byte("\ufeff"), pkcs1...),
		"Windows lines":    bytes.ReplaceAll(pkcs1, []byte("\n"), []byte("\r\n")),
		"text around":      append([]byte("a comment\n"), append(pkcs1, "\nmore"...)...),
		"after public key": append(pub, pkcs8...),
	} {
		got, err := ParseKey(data)
		if err != nil || !got.Equal(key) {
			t.Errorf("%s: got another key or error %v", name, err)
		}
	}
}

func TestParseKeyRefusesWithoutQuotingTheKey(t *testing.T) {
	good := string(pem.EncodeToMemory(&pem.Block{Type: "RSA PRIVATE KEY", Bytes: x509.MarshalPKCS1PrivateKey(testKey())}))
	ec, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	ecDER, err := x509.MarshalPKCS8PrivateKey(ec)
	if err != nil {
		t.Fatal(err)
	}
	secret := "MIIEsecret"
	for name, c := range map[string]struct{ data, want string }{
		"empty":      {" \n", "empty"},
		"no PEM":     {secret, "no private key found"},
		"cut off":    {good[:len(good)/2], "damaged"},
		"bad PKCS#1": {string(pem.EncodeToMemory(&pem.Block{Type: "RSA PRIVATE KEY", Bytes: []byte(secret)})), "PKCS#1"},
		"bad PKCS#8": {string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: []byte(secret)})), "PKCS#8"},
		"elliptic":   {string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: ecDER})), "RSA"},
		"public":     {string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: []byte("x")})), "found a PUBLIC KEY"},
		"passphrase": {string(pem.EncodeToMemory(&pem.Block{Type: "ENCRYPTED PRIVATE KEY", Bytes: []byte("x")})), "passphrase"},
		"other":      {string(pem.EncodeToMemory(&pem.Block{Type: "OPENSSH PRIVATE KEY", Bytes: []byte("x")})), "OPENSSH"},
	} {
		_, err := ParseKey([]byte(c.data))
		if err == nil {
			t.Errorf("%s: accepted", name)
			continue
		}
		if !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), secret) ||
			strings.Contains(err.Error(), "-----BEGIN") || len(err.Error()) > 150 {
			t.Errorf("%s: error %q, want one with %q and nothing of the key", name, err, c.want)
		}
	}
}

func FuzzParseKey(f *testing.F) {
	f.Add([]byte("-----BEGIN RSA PRIVATE KEY-----\nAAAA\n-----END RSA PRIVATE KEY-----"))
	f.Add([]byte("-----BEGIN PUBLIC KEY-----\n-----END PUBLIC KEY-----\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		if key, err := ParseKey(data); (key == nil) == (err == nil) {
			t.Errorf("key %v with error %v", key != nil, err)
		}
	})
}

package prepare

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"chefsync/pkg/chef"
	"chefsync/pkg/fileowner"
)

// KeyStore stores the actor's private key.
type KeyStore interface {
	// Where returns the name of the place, without the key.
	Where() string
	// Load returns the key, or an error that wraps fs.ErrNotExist.
	Load() (*rsa.PrivateKey, error)
	// Create creates and stores a key. It never replaces one.
	Create() (*rsa.PrivateKey, error)
}

// keyBits is the size of the keys that Chef Servers generate.
const keyBits = 2048

// NewKey returns a new private key, and its PEM form for key stores.
func NewKey() (key *rsa.PrivateKey, text []byte, err error) {
	if key, err = rsa.GenerateKey(rand.Reader, keyBits); err != nil {
		return nil, nil, err
	}
	return key, pem.EncodeToMemory(&pem.Block{Type: "RSA PRIVATE KEY", Bytes: x509.MarshalPKCS1PrivateKey(key)}), nil
}

// FileKey stores the key in a file.
type FileKey struct{ Path string }

// Where returns the reference as the configuration writes it.
func (f FileKey) Where() string { return "file:" + f.Path }

// Load reads the key.
func (f FileKey) Load() (*rsa.PrivateKey, error) {
	text, err := os.ReadFile(f.Path)
	if err != nil {
		return nil, err
	}
	return chef.ParseKey(text)
}

// Create writes a new key that only its owner can read. It creates the file
// atomically.
func (f FileKey) Create() (*rsa.PrivateKey, error) {
	key, text, err := NewKey()
	if err != nil {
		return nil, err
	}
	dir := filepath.Dir(f.Path)
	if err := fileowner.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	tmp, err := fileowner.CreateTemp(dir, ".chef-sync-key-") // 0600 from the start
	if err != nil {
		return nil, err
	}
	defer os.Remove(tmp.Name())
	_, err = tmp.Write(text)
	if err = errors.Join(err, tmp.Sync(), tmp.Close()); err != nil {
		return nil, err
	}
	if err := os.Link(tmp.Name(), f.Path); err != nil { // fails if the file exists
		return nil, fmt.Errorf("store the key: %w", err)
	}
	return key, nil
}

// publicPEM returns the public key in the form that Chef Servers accept.
func publicPEM(key *rsa.PrivateKey) string {
	der, err := x509.MarshalPKIXPublicKey(&key.PublicKey)
	if err != nil {
		return "" // can't happen for an RSA key
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}))
}

// samePublic reports whether a public key in PEM form, or in a certificate, belongs to a
// private key.
func samePublic(key *rsa.PrivateKey, text string) bool {
	public, err := chef.ParsePublicKey([]byte(text))
	return err == nil && key.PublicKey.Equal(public)
}

package chef

import (
	"bytes"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
)

// minKeyBits is the smallest RSA key accepted. Chef Servers make 2048-bit keys.
const minKeyBits = 1024

// ParseKey reads an RSA private key in PEM form, PKCS#1 or PKCS#8. Text around
// the PEM block is ignored. Errors never quote the input, nor the first line of a
// key, which scanners for leaked keys search logs for.
func ParseKey(data []byte) (*rsa.PrivateKey, error) {
	for rest := bytes.TrimPrefix(data, []byte("\ufeff")); ; { // editors on Windows begin files with this
		var block *pem.Block
		block, rest = pem.Decode(rest)
		if block == nil {
			return nil, noKeyError(data)
		}
		switch block.Type {
		case "RSA PRIVATE KEY":
			if isEncrypted(block) {
				return nil, errors.New("the private key is encrypted with a passphrase: store it without one")
			}
			key, err := x509.ParsePKCS1PrivateKey(block.Bytes)
			if err != nil {
				return nil, errors.New("the private key's PEM block doesn't hold a valid PKCS#1 key")
			}
			return checkKey(key)
		case "PRIVATE KEY":
			return parsePKCS8(block.Bytes)
		case "ENCRYPTED PRIVATE KEY":
			return nil, errors.New("the private key is encrypted with a passphrase: store it without one")
		case "PUBLIC KEY", "RSA PUBLIC KEY", "CERTIFICATE":
			// A file may hold other blocks besides the key.
			if len(bytes.TrimSpace(rest)) == 0 {
				return nil, fmt.Errorf("found a %s where a private key is needed", block.Type)
			}
		default:
			return nil, fmt.Errorf("a PEM block %q isn't an RSA private key", cleanText(block.Type, 40))
		}
	}
}

func parsePKCS8(der []byte) (*rsa.PrivateKey, error) {
	parsed, err := x509.ParsePKCS8PrivateKey(der)
	if err != nil {
		return nil, errors.New("the private key's PEM block doesn't hold a valid PKCS#8 key")
	}
	key, ok := parsed.(*rsa.PrivateKey)
	if !ok {
		return nil, fmt.Errorf("the private key is a %T: Chef Servers use RSA keys", parsed)
	}
	return checkKey(key)
}

func checkKey(key *rsa.PrivateKey) (*rsa.PrivateKey, error) {
	if bits := key.N.BitLen(); bits < minKeyBits {
		return nil, fmt.Errorf("the RSA key has %d bits: at least %d are needed", bits, minKeyBits)
	}
	return key, nil
}

func isEncrypted(block *pem.Block) bool {
	_, ok := block.Headers["DEK-Info"]
	return ok
}

func noKeyError(data []byte) error {
	if len(bytes.TrimSpace(data)) == 0 {
		return errors.New("the private key is empty")
	}
	if bytes.Contains(data, []byte(`-----BEGIN`)) {
		return errors.New("the private key's PEM block is damaged: check that its lines are complete")
	}
	return errors.New("no private key found: expected the PEM text of an RSA key, as chef-server-ctl and knife write it")
}

package object

import "chefsync/pkg/object/canonical"

// Canonicalize returns the canonical form of an object's body: equal for two bodies
// that mean the same. A data bag has no content but its name.
func Canonicalize(r Ref, body []byte) ([]byte, error) {
	f := r.Kind.properties().canonical
	if f == nil {
		return canonical.DataBag(r.Name), nil
	}
	return f(body)
}

// FingerprintOf returns the hash of the canonical form of an object's body.
func FingerprintOf(r Ref, body []byte) (string, error) {
	form, err := Canonicalize(r, body)
	if err != nil {
		return "", err
	}
	return canonical.Fingerprint(form), nil
}

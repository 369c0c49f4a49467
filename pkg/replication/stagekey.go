package replication

import (
	"crypto/md5"
	"fmt"
	"strings"
)

// StageKey names staged content: an MD5 within one source organization. Content
// isn't shared between organizations, since MD5 can be forged.
type StageKey struct {
	Space    string // names the source organization; safe in a file name or an S3 key
	Checksum string // lower-case hexadecimal MD5
}

const (
	digits  = "0123456789"
	letters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
)

// Check refuses keys that aren't safe as file names: a space is 1 to 128
// letters, digits, dots, dashes and underscores, and begins with a letter or
// digit; a checksum is a lower-case hexadecimal MD5. Every Stage refuses the
// same keys.
func (k StageKey) Check() error {
	if len(k.Space) > 128 || !consistsOf(k.Space, letters+digits+"._-") || strings.Trim(k.Space[:1], "._-") == "" {
		return fmt.Errorf("%q is not the name of a space in the stage", k.Space)
	}
	if len(k.Checksum) != 2*md5.Size || !consistsOf(k.Checksum, digits+"abcdef") {
		return fmt.Errorf("%q is not an MD5 in lower-case hexadecimal", k.Checksum)
	}
	return nil
}

// consistsOf reports whether text consists of some of the characters, and isn't empty.
func consistsOf(text, of string) bool {
	return text != "" && !strings.ContainsFunc(text, func(r rune) bool { return !strings.ContainsRune(of, r) })
}

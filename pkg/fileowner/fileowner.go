// Package fileowner creates files and folders. What root creates in a folder of another
// user belongs to that user and the folder's group, as if the user had created it: a
// service can use what an administrator's command created. Other users' files are their
// own, as always.
package fileowner

import (
	"crypto/rand"
	"io/fs"
	"os"
	"path/filepath"
)

// Create creates a file that doesn't exist yet, and opens it for writing.
func Create(path string, mode fs.FileMode) (*os.File, error) {
	return create(path, mode)
}

// CreateTemp creates a file for its owner only in a folder, with a name that begins with
// prefix, and opens it for writing.
func CreateTemp(dir, prefix string) (*os.File, error) {
	return create(filepath.Join(dir, prefix+rand.Text()), 0o600)
}

// MkdirAll creates a folder with the folders above it. Each new folder belongs to the
// owner of the one above it.
func MkdirAll(path string, mode fs.FileMode) error {
	return mkdirAll(path, mode)
}

// OtherUser returns the name of the user that a file belongs to, or "" if that is the user
// of this process or can't be told.
func OtherUser(path string) string {
	return otherUser(path)
}

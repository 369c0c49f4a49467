//go:build !unix

package fileowner

import (
	"io/fs"
	"os"
)

func create(path string, mode fs.FileMode) (*os.File, error) {
	return os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, mode)
}

func mkdirAll(path string, mode fs.FileMode) error { return os.MkdirAll(path, mode) }

func otherUser(string) string { return "" }

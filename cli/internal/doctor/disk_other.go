//go:build !unix

package doctor

import "errors"

// freeSpace isn't known on this system.
func freeSpace(string) (int64, error) { return 0, errors.ErrUnsupported }

//go:build unix

package stage

import "syscall"

// diskSize returns the size of the disk of a folder, in bytes; 0 if it isn't known.
func diskSize(folder string) int64 {
	var s syscall.Statfs_t
	if syscall.Statfs(folder, &s) != nil {
		return 0
	}
	return int64(s.Blocks) * int64(s.Bsize) //nolint:unconvert // the types differ between systems
}

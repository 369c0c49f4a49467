package s3stage

import (
	"errors"
	"os"
	"strings"
	"syscall"
	"testing"

	"chefsync/pkg/fault"
	"chefsync/pkg/replication"
)

// TestFullSpoolIsAFullStage: who puts content past it knows so that it must.
func TestFullSpoolIsAFullStage(t *testing.T) {
	s := Open(nil, "b", "")
	for cause, want := range map[error]bool{syscall.ENOSPC: true, syscall.EDQUOT: true, syscall.EACCES: false} {
		err := s.spoolError(replication.StageKey{Space: "a", Checksum: strings.Repeat("0", 32)},
			&os.PathError{Op: "write", Path: "f", Err: cause})
		if errors.Is(err, replication.ErrStageFull) != want || fault.ClassOf(err) != fault.Local || !errors.Is(err, cause) {
			t.Errorf("%v: %v, want a full stage: %t", cause, err, want)
		}
	}
}

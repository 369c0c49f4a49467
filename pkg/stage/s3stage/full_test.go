package s3stage

import (
	"crypto/md5"
	"encoding/hex"
	"errors"
	"io"
	"os"
	"runtime"
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

// TestSpoolFitsIntoAFunction: Lambda gives a function 512 MiB for temporary files, unless the
// stack says otherwise, which it doesn't. With more, a file would be read twice until there is
// no room, and then once more past the stage.
func TestSpoolFitsIntoAFunction(t *testing.T) {
	const storage = 512 << 20
	if maxSpooled > storage*9/10 {
		t.Errorf("%d bytes may be spooled, of %d", maxSpooled, storage)
	}
}

// TestAProcessThatIsKilledLeavesNoSpool: the temporary files of a function stay when it is
// killed, and take the room of the next ones.
func TestAProcessThatIsKilledLeavesNoSpool(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("SKIPPED: Windows removes no open file")
	}
	content := strings.Repeat("x", maxInMemory+1)
	sum := md5.Sum([]byte(content))
	spool := t.TempDir()
	s := Open(nil, "b", "").SetSpool(spool, maxSpooled)
	looked := false
	rest := readerFunc(func([]byte) (int, error) {
		looked = true
		if files, err := os.ReadDir(spool); err != nil || len(files) > 0 {
			t.Errorf("while content is spooled: %v, %v", files, err)
		}
		return 0, errors.New("killed")
	})
	_ = s.Put(t.Context(), replication.StageKey{Space: "a", Checksum: hex.EncodeToString(sum[:])}, io.MultiReader(strings.NewReader(content), rest), -1)
	if !looked {
		t.Error("nothing was spooled")
	}
}

type readerFunc func([]byte) (int, error)

func (f readerFunc) Read(p []byte) (int, error) { return f(p) }

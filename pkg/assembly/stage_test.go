package assembly_test

import (
	"bytes"
	"io/fs"
	"log/slog"
	"path/filepath"
	"strings"
	"testing"

	"chefsync/pkg/chef/cheftest"
)

// TestASmallStageReplicatesMoreThanItsLimit: with a real client on both
// sides, and without ever exceeding its limit.
func TestASmallStageReplicatesMoreThanItsLimit(t *testing.T) {
	var log bytes.Buffer
	w := newFixture(t, cheftest.Options{})
	w.log, w.stageLimit = slog.New(slog.NewTextHandler(&log, nil)), 1<<20
	for _, version := range []string{"1.0.0", "1.1.0", "1.2.0"} {
		w.org.PutCookbook("apt", version, map[string][]byte{
			"recipes/default.rb": []byte("recipe " + version),
			"files/half":         bytes.Repeat([]byte(version), 100_000),
			"files/large":        bytes.Repeat([]byte(version), 1<<20),
		}, false)
	}
	w.runPass(w.newFleet())
	w.wantEqual("a stage of 1 MiB")
	held := int64(0)
	err := filepath.WalkDir(filepath.Join(w.dir, "stage"), func(_ string, e fs.DirEntry, err error) error {
		if err == nil && e.Type().IsRegular() {
			info, _ := e.Info() // nothing is removed meanwhile
			held += info.Size()
		}
		return err
	})
	if err != nil || held == 0 || held > w.stageLimit {
		t.Errorf("%d bytes are staged, %v; want some, at most %d", held, err, w.stageLimit)
	}
	if n := strings.Count(log.String(), "the stage has no room"); n != 1 {
		t.Errorf("%d lines about the stage, want 1:\n%s", n, log.String())
	}
}

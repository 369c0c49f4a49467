package sqlite_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"chefsync/pkg/fault"
)

func TestAStateThatIsRemovedOrReplacedIsNoticed(t *testing.T) {
	for name, c := range map[string]struct {
		do   func(path string) error
		want string
	}{
		"nothing":  {func(string) error { return nil }, ""},
		"removed":  {os.Remove, "removed"},
		"moved":    {func(path string) error { return os.Rename(path, path+".old") }, "removed"},
		"restored": {replaceFile, "replaced"},
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "state.db")
			s := openState(t, path)
			if err := s.Present(); err != nil {
				t.Fatal(err)
			}
			if err := c.do(path); err != nil {
				t.Fatal(err)
			}
			_, _ = s.Pairs(t.Context()) // a new connection creates no file
			err := s.Present()
			if (err == nil) != (c.want == "") {
				t.Fatalf("error %v", err)
			}
			if err != nil && (!strings.Contains(err.Error(), c.want) || fault.ClassOf(err) != fault.Local || fault.HintOf(err) == "") {
				t.Errorf("error %v, hint %q", err, fault.HintOf(err))
			}
		})
	}
}

// replaceFile puts another state under the name, as a restore does.
func replaceFile(path string) error {
	if err := os.Rename(path, path+".old"); err != nil {
		return err
	}
	return os.WriteFile(path, nil, 0o600)
}

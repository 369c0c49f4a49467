package cli

import (
	"os"
	"regexp"
	"strings"
	"testing"
)

// Every command of the README is run: by make in CI, or by the session that
// follows it.
func TestReadmeCommandsAreRun(t *testing.T) {
	readme, makefile, script := read(t, "../README.md"), read(t, "../Makefile"), read(t, "testdata/script/readme.txtar")
	commands := 0
	for _, block := range regexp.MustCompile("(?s)```sh\n(.*?)```").FindAllStringSubmatch(readme, -1) {
		for line := range strings.Lines(block[1]) {
			line = strings.TrimSpace(line)
			commands++
			target, isMake := strings.CutPrefix(line, "make ")
			words, isProgram := strings.CutPrefix(line, "chef-sync-ctl ")
			switch {
			case isMake && strings.Contains(makefile, "\n"+target+": ##"):
			case isProgram && strings.Contains(script, "\ncode 0 "+words+"\n"):
			case strings.HasPrefix(line, "export PATH="):
			default:
				t.Errorf("nothing runs %q", line)
			}
		}
	}
	if commands < 8 {
		t.Errorf("only %d commands were found", commands)
	}
}

func read(t *testing.T, path string) string {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

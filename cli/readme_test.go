package cli

import (
	"os"
	"path/filepath"
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

// Every link of the README leads to a file that is there, and to a test that is
// in it.
func TestReadmeLinksLeadSomewhere(t *testing.T) {
	links := regexp.MustCompile(`\]\(([^)#]+)(?:#(\w+))?\)`).FindAllStringSubmatch(read(t, "../README.md"), -1)
	for _, link := range links {
		if strings.HasPrefix(link[1], "http") {
			continue
		}
		text := read(t, filepath.Join("..", link[1]))
		if test := link[2]; test != "" && !strings.Contains(text, "\nfunc "+test+"(t *testing.T) {") {
			t.Errorf("%s has no test %s", link[1], test)
		}
	}
	if len(links) < 20 {
		t.Errorf("only %d links were found", len(links))
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

package cli

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"chefsync/cli/internal/cmdline"
)

// example is a command of the README, with the output that it shows.
type example struct {
	command string
	output  []string
}

// readmeExamples returns the commands of the README's blocks: of sh, which show commands
// only, and of console, where a command follows a "$".
func readmeExamples(readme string) (commands []string, sessions []example) {
	for _, block := range regexp.MustCompile("(?s)```(sh|console)\n(.*?)```").FindAllStringSubmatch(readme, -1) {
		for line := range strings.Lines(strings.ReplaceAll(block[2], "\\\n", " ")) { // a backslash continues a command
			line = strings.TrimSpace(line)
			command, isCommand := strings.CutPrefix(line, "$ ")
			switch {
			case block[1] == "sh":
				commands = append(commands, line)
			case isCommand:
				sessions = append(sessions, example{command: command})
			case len(sessions) > 0 && line != "":
				last := &sessions[len(sessions)-1]
				last.output = append(last.output, line)
			}
		}
	}
	return commands, sessions
}

// Every command of the README is run: by make in CI, by the session that follows it, or
// with its output by the command readme of that session.
func TestReadmeCommandsAreRun(t *testing.T) {
	_, ci, _ := strings.Cut(read(t, "../Makefile"), "\nci: ")
	script, demo := read(t, "testdata/script/readme.txtar"), read(t, "demo_test.go")
	commands, sessions := readmeExamples(read(t, "../README.md"))
	for _, line := range commands {
		target, isMake := strings.CutPrefix(line, "make ")
		words, isProgram := strings.CutPrefix(strings.TrimPrefix(line, "bin/"), "chef-sync-ctl ")
		switch {
		case isMake && regexp.MustCompile(`for t in [a-z -]*\b`+target+`\b[a-z -]*;`).MatchString(ci):
		case isProgram && strings.Contains(script, "\nexec chef-sync-ctl "+words+" &"):
		case isProgram && strings.Contains(demo, fmt.Sprintf("%#v", strings.Fields(words))):
		case strings.HasPrefix(line, "export PATH="):
		default:
			t.Errorf("nothing runs %q", line)
		}
	}
	if len(commands) < 3 || len(sessions) < 6 {
		t.Errorf("only %d commands and %d with output were found", len(commands), len(sessions))
	}
	for _, s := range sessions {
		if len(s.output) == 0 {
			t.Errorf("%q shows no output", s.command)
		}
	}
}

// Beside commands there are configurations, which the session checks, and pictures.
func TestReadmeHasNoOtherBlocks(t *testing.T) {
	for _, block := range regexp.MustCompile("(?s)```([a-z]*)\n.*?```").FindAllStringSubmatch(read(t, "../README.md"), -1) {
		switch block[1] {
		case "sh", "console", "toml", "mermaid":
		default:
			t.Errorf("nothing checks a block of language %q:\n%s", block[1], block[0])
		}
	}
}

// readmeCommand runs what the README shows, and compares the output.
//
//	readme session       run the commands of console blocks, in their order
//	readme config FILE   write the TOML blocks to FILE, one after the other
func readmeCommand(ts *testscript.TestScript, neg bool, args []string) {
	readme, err := os.ReadFile("../README.md")
	ts.Check(err)
	switch {
	case !neg && len(args) == 1 && args[0] == "session":
		_, sessions := readmeExamples(string(readme))
		for _, e := range sessions {
			runExample(ts, e)
		}
	case !neg && len(args) == 2 && args[0] == "config":
		var text []byte
		for _, block := range regexp.MustCompile("(?s)```toml\n(.*?)```").FindAllSubmatch(readme, -1) {
			text = append(text, block[1]...)
		}
		writeFile(ts, args[1], text)
	default:
		ts.Fatalf("usage: readme session, or: readme config FILE")
	}
}

// exampleURLs are the servers of the README, by the variable with the URL of that of a
// script.
func exampleURLs() map[string]string {
	return map[string]string{"PRIMARY_URL": "https://chef.example.com", "EU_URL": "https://chef-eu.example.com"}
}

func runExample(ts *testscript.TestScript, e example) {
	words := strings.Fields(e.command)
	err := ts.Exec(words[0], words[1:]...)
	if len(words) > 1 && words[1] == "init" { // the servers of the script, and its folder
		config := ts.ReadFile("chef-sync.toml")
		for name, url := range exampleURLs() {
			config = strings.ReplaceAll(config, url, ts.Getenv(name))
		}
		writeFile(ts, "chef-sync.toml", []byte(config+ts.ReadFile("local.toml")))
	}
	got := ts.ReadFile("stdout") + ts.ReadFile("stderr")
	if err != nil {
		got += fmt.Sprintln(err)
	}
	for name, url := range exampleURLs() {
		got = strings.ReplaceAll(got, ts.Getenv(name), url)
	}
	if !matchOutput(e.output, strings.Split(strings.TrimSpace(got), "\n")) {
		ts.Fatalf("$ %s\nprints\n%s\nbut the README shows\n%s", e.command, got, strings.Join(e.output, "\n"))
	}
}

// matchOutput reports whether output is what the README shows, except times, durations,
// numbers of runs and the width of columns. A line "..." stands for any lines.
func matchOutput(want, got []string) bool {
	switch {
	case len(want) == 0:
		return len(got) == 0
	case want[0] == "...":
		return matchOutput(want[1:], got) || len(got) > 0 && matchOutput(want, got[1:])
	}
	return len(got) > 0 && stable(want[0]) == stable(got[0]) && matchOutput(want[1:], got[1:])
}

// stable returns a line without what differs from run to run.
func stable(line string) string {
	line = regexp.MustCompile(`\d{8}T\d{6}\.\d{3}Z-\d+`).ReplaceAllString(line, "RUN")
	line = regexp.MustCompile(`\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ|\b\d\d:\d\d:\d\d\b`).ReplaceAllString(line, "TIME")
	line = regexp.MustCompile(`\b\d+(\.\d+)? ?(ms|s|µs)\b( ago)?|\bnow\b`).ReplaceAllString(line, "AGE")
	return strings.Join(strings.Fields(line), " ")
}

func TestMatchOutput(t *testing.T) {
	for _, c := range []struct {
		want, got string
		match     bool
	}{
		{"a\nb", "a\nb", true},
		{"a\nb", "a", false},
		{"a", "a\nb", false},
		{"a\n...\nd", "a\nb\nc\nd", true},
		{"a\n...\nd", "a\nd", true},
		{"a\n...\nd", "a\nb", false},
		{"...", "a\nb", true},
		{"PAIR   TOOK\neu  12ms", "PAIR TOOK\neu        1.5s", true},
		{"1 created", "2 created", false},
	} {
		if got := matchOutput(strings.Split(c.want, "\n"), strings.Split(c.got, "\n")); got != c.match {
			t.Errorf("%q shows %q: %v, want %v", c.want, c.got, got, c.match)
		}
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

// A command that a document names in its text exists: those of the program with their
// flags, and those of make.
func TestCommandsOfDocumentsExist(t *testing.T) {
	makefile := read(t, "../Makefile")
	found := 0
	for _, pattern := range []string{"../*.md", "../docs/*.md", "../docs/*/*.md", "../infra/*.md", "../localstack/*.md"} {
		files, err := filepath.Glob(pattern)
		if err != nil || len(files) == 0 {
			t.Fatalf("%s: %v, error %v", pattern, files, err)
		}
		for _, file := range files {
			for _, command := range regexp.MustCompile("`((?:chef-sync-ctl|make) [^`\n]+)`").FindAllStringSubmatch(read(t, file), -1) {
				found++
				if err := checkCommand(command[1], makefile); err != nil && filepath.Base(file) != "CHANGELOG.md" {
					t.Errorf("%s names %q: %v", file, command[1], err)
				}
			}
		}
	}
	if found < 50 {
		t.Errorf("only %d commands were found", found)
	}
}

// checkCommand returns an error if there is no such command, target or flag.
func checkCommand(line, makefile string) error {
	words := strings.Fields(line)
	if words[0] == "make" {
		if !strings.Contains(makefile, "\n"+words[1]+": ##") {
			return errors.New("make has no such target")
		}
		return nil
	}
	if words[1] == "reconfigure" { // of the previous product; the program says what to do instead
		return nil
	}
	cmd, _, err := newRootCmd(cmdline.NewEnv(cmdline.Streams{Now: time.Now})).Find(words[1:])
	if err != nil || !cmd.HasParent() && !strings.HasPrefix(words[1], "-") {
		return errors.New("there is no such command")
	}
	cmd.InitDefaultHelpFlag()
	for _, flag := range regexp.MustCompile(`(?:^| )--([a-z-]+)`).FindAllStringSubmatch(line, -1) {
		if cmd.Flag(flag[1]) == nil {
			return fmt.Errorf("%s has no flag --%s", cmd.Name(), flag[1])
		}
	}
	return nil
}

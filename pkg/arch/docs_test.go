package arch

import (
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// documents returns the texts of all Markdown files by their slash-separated paths.
func documents(t *testing.T) map[string]string {
	t.Helper()
	base, found := root(t), map[string]string{}
	err := filepath.WalkDir(base, func(file string, e fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if e.IsDir() && file != base && (strings.HasPrefix(e.Name(), ".") || slices.Contains(builtFolders(), e.Name())) {
			return filepath.SkipDir
		}
		if filepath.Ext(file) == ".md" {
			text, err := os.ReadFile(file)
			if err != nil {
				return err
			}
			rel, _ := filepath.Rel(base, file)
			found[filepath.ToSlash(rel)] = string(text)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return found
}

// TestLinksOfDocuments: every link within the repository leads to a file that is
// there, and to a test, a function or a heading that is in it.
func TestLinksOfDocuments(t *testing.T) {
	files := os.DirFS(root(t))
	for name, text := range documents(t) {
		for _, problem := range brokenLinks(files, name, text) {
			t.Error(problem)
		}
	}
}

// TestTroubleshootingIsComplete: docs/troubleshooting.md has a row for every class of
// errors, every cause and every status that a pair may have.
func TestTroubleshootingIsComplete(t *testing.T) {
	text := documents(t)["docs/troubleshooting.md"]
	words := 0
	for file, typ := range map[string]string{
		"pkg/fault/fault.go": "Class", "pkg/status/status.go": "(?:Cause|replication\\.Status)", "pkg/replication/records.go": "Status",
	} {
		source, err := os.ReadFile(filepath.Join(root(t), filepath.FromSlash(file)))
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range regexp.MustCompile(`(?m)^\t\w+ +`+typ+` += "(\w+)"`).FindAllStringSubmatch(string(source), -1) {
			words++
			if !regexp.MustCompile("(?m)^\\| (`\\w+`, )?`" + m[1] + "`").MatchString(text) {
				t.Errorf("%s has %q, which the document doesn't explain", file, m[1])
			}
		}
	}
	if words < 30 {
		t.Errorf("only %d words were found in the source", words)
	}
}

// TestEveryPackageIsInTheArchitecture: docs/architecture.md names every package below
// pkg that isn't for tests alone, and no other.
func TestEveryPackageIsInTheArchitecture(t *testing.T) {
	named := map[string]bool{}
	for line := range strings.Lines(documents(t)["docs/architecture.md"]) {
		if cells := strings.Split(line, "|"); len(cells) == 4 {
			for _, folder := range regexp.MustCompile("`(pkg/[a-z0-9/]+)`").FindAllStringSubmatch(cells[1], -1) {
				named[folder[1]] = true
			}
		}
	}
	for folder := range arrows() {
		if !named[folder] && !strings.HasSuffix(folder, "test") && folder != "pkg/arch" && folder != "pkg/chef/contract" {
			t.Errorf("docs/architecture.md lacks %s", folder)
		}
	}
	for folder := range named {
		if _, exists := arrows()[folder]; !exists {
			t.Errorf("docs/architecture.md names %s, which doesn't exist", folder)
		}
	}
}

// TestEveryPromiseHasATest: every row of the table of promises links to a test.
func TestEveryPromiseHasATest(t *testing.T) {
	rows := 0
	for line := range strings.Lines(documents(t)["docs/promises.md"]) {
		cells := strings.Split(line, " | ")
		if len(cells) != 2 || strings.HasPrefix(line, "| promise ") {
			continue
		}
		rows++
		if !strings.Contains(cells[1], "_test.go#Test") {
			t.Errorf("no test proves: %s", strings.TrimPrefix(cells[0], "| "))
		}
	}
	if rows < 20 {
		t.Errorf("only %d promises were found", rows)
	}
}

// brokenLinks describes the links of a document that lead nowhere.
func brokenLinks(files fs.FS, name, text string) (problems []string) {
	for _, link := range regexp.MustCompile(`\]\(([^)\s]*)\)`).FindAllStringSubmatch(text, -1) {
		if strings.Contains(link[1], "://") || strings.HasPrefix(link[1], "mailto:") {
			continue
		}
		file, fragment, _ := strings.Cut(link[1], "#")
		target := path.Join(path.Dir(name), file)
		if file == "" {
			target = name
		}
		if _, err := fs.Stat(files, target); err != nil {
			problems = append(problems, fmt.Sprintf("%s links to %s, which doesn't exist", name, target))
			continue
		}
		if fragment == "" {
			continue
		}
		content, err := fs.ReadFile(files, target)
		if err != nil || !hasAnchor(target, string(content), fragment) {
			problems = append(problems, fmt.Sprintf("%s links to %s in %s, which isn't there", name, fragment, target))
		}
	}
	return problems
}

// hasAnchor reports whether a Go file declares the function, the type, or the method as
// Type.Method, that a fragment names, or a document has its heading.
func hasAnchor(name, content, fragment string) bool {
	if path.Ext(name) == ".go" {
		receiver := ""
		if typ, method, isMethod := strings.Cut(fragment, "."); isMethod {
			receiver, fragment = `\(\w+ \*?`+regexp.QuoteMeta(typ)+`\) `, method
		}
		declared := regexp.QuoteMeta(fragment)
		pattern := `(?m)^func ` + receiver + declared + `\(`
		if receiver == "" {
			pattern += `|^type ` + declared + ` `
		}
		return regexp.MustCompile(pattern).MatchString(content)
	}
	for _, heading := range regexp.MustCompile(`(?m)^#+ +(.*)$`).FindAllStringSubmatch(content, -1) {
		slug := regexp.MustCompile(`[^\p{L}\p{N}_ -]`).ReplaceAllString(strings.ToLower(heading[1]), "")
		if strings.ReplaceAll(slug, " ", "-") == fragment {
			return true
		}
	}
	return false
}

// TestBrokenLinks shows that the check can fail.
func TestBrokenLinks(t *testing.T) {
	files := os.DirFS(root(t))
	for link, broken := range map[string]bool{
		"../README.md":                                false,
		"../missing.md":                               true,
		"https://example.com/missing":                 false,
		"../CONTRIBUTING.md#testing":                  false,
		"../CONTRIBUTING.md#no-such-heading":          true,
		"../pkg/arch/docs_test.go#TestBrokenLinks":    false,
		"../pkg/arch/docs_test.go#hasAnchor":          false,
		"../pkg/chef/errors.go#Error.Error":           false,
		"../pkg/chef/errors.go#Error.Missing":         true,
		"../pkg/chef/errors.go#Error":                 false,
		"../pkg/chef/errors.go#Missing":               true,
		"../pkg/arch/docs_test.go#TestThatWasRenamed": true,
		"../pkg": false,
		"../pkg/arch/docs_test.go#TestEveryPromiseHasATest": false,
	} {
		got := brokenLinks(files, "docs/promises.md", "see [this]("+link+").")
		if (len(got) != 0) != broken {
			t.Errorf("%s: %q, want a problem: %v", link, got, broken)
		}
	}
}

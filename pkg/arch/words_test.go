package arch

import (
	"bytes"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"unicode"
)

// passage is a piece of text in a file: a comment, a string, or the whole of a
// document. A concatenation of strings is one passage, with "\x00" for its operands
// that are not literals.
type passage struct {
	line int // of its first character
	text string
}

// bannedPhrase is wording that no text of the project may contain.
type bannedPhrase struct {
	phrase  string // a regular expression that matches whole words, in either case; a space stands for any white space
	instead string // what to write
}

// wordException allows a phrase in one file.
type wordException struct{ file, phrase, reason string }

// TestNoBannedPhrase: no text of the project contains a phrase of the list in
// phrases_test.go, and every exception there is needed.
func TestNoBannedPhrase(t *testing.T) {
	banned, unused := bannedPhrases(), wordExceptions()
	for i := range unused {
		if !slices.ContainsFunc(banned, func(b bannedPhrase) bool { return b.phrase == unused[i].phrase }) {
			t.Errorf("the exception for %s is for %q, which is not in the list", unused[i].file, unused[i].phrase)
		}
	}
	checked := 0
	for name, source := range texts(t) {
		checked++
		found, err := findPhrases(name, source, banned)
		if err != nil {
			t.Error(err)
		}
		for _, f := range found {
			if slices.ContainsFunc(wordExceptions(), f.allowedBy) {
				unused = slices.DeleteFunc(unused, f.allowedBy)
				continue
			}
			t.Errorf("%s:%d: %q: write %s", f.file, f.line, f.match, f.banned.instead)
		}
	}
	for _, e := range unused {
		t.Errorf("%s no longer contains %q: remove the exception", e.file, e.phrase)
	}
	if checked < 800 {
		t.Errorf("only %d files were found", checked)
	}
}

// foundPhrase is one place where a banned phrase was found.
type foundPhrase struct {
	file   string
	line   int
	match  string
	banned bannedPhrase
}

func (f foundPhrase) allowedBy(e wordException) bool {
	return e.file == f.file && e.phrase == f.banned.phrase
}

// texts returns the files that contain text which somebody reads, by their
// slash-separated paths. The list of phrases is not among them.
func texts(t *testing.T) map[string][]byte {
	t.Helper()
	base, found := root(t), map[string][]byte{}
	err := filepath.WalkDir(base, func(file string, e fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, _ := filepath.Rel(base, file)
		name := filepath.ToSlash(rel)
		if e.IsDir() && (e.Name() == ".git" || e.Name() == "node_modules" || slices.Contains(builtFolders(), name)) {
			return filepath.SkipDir
		}
		if !e.Type().IsRegular() || name == "pkg/arch/phrases_test.go" {
			return nil
		}
		source, err := os.ReadFile(file)
		if err == nil && (hasWords(name) || path.Ext(name) == "" && bytes.HasPrefix(source, []byte("#!"))) {
			found[name] = source
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return found
}

// hasWords reports whether the name of a file says that it is written by hand. JSON
// counts for the descriptions in dashboards.
func hasWords(name string) bool {
	switch path.Base(name) {
	case "Makefile", "Dockerfile":
		return true
	}
	return slices.Contains([]string{
		".go", ".md", ".sh", ".toml", ".yaml", ".yml", ".txtar", ".json", ".html", ".js", ".css", ".service", ".conf",
	}, path.Ext(name))
}

// findPhrases returns all places in a file that contain a banned phrase.
func findPhrases(name string, source []byte, banned []bannedPhrase) (found []foundPhrase, err error) {
	all := []passage{{1, withoutMarkers(string(source))}}
	if path.Ext(name) == ".go" {
		if all, err = passagesOfGo(name, source); err != nil {
			return nil, err
		}
	}
	for _, b := range banned {
		pattern := b.pattern()
		for _, p := range all {
			for _, at := range pattern.FindAllStringIndex(p.text, -1) {
				match := strings.Join(strings.Fields(p.text[at[0]:at[1]]), " ")
				found = append(found, foundPhrase{name, p.line + strings.Count(p.text[:at[0]], "\n"), match, b})
			}
		}
	}
	return found, nil
}

func (b bannedPhrase) pattern() *regexp.Regexp {
	return regexp.MustCompile(`(?i)\b(?:` + strings.ReplaceAll(b.phrase, " ", `\s+`) + `)\b`)
}

// withoutMarkers removes what makes lines comments or list items, so that a phrase is
// found where a line breaks it.
func withoutMarkers(text string) string {
	return regexp.MustCompile(`(?m)^[ \t]*(?://|#+|\*|-)[ \t]`).ReplaceAllString(text, "")
}

// passagesOfGo returns the comments and strings of a Go file, and its identifiers as
// words: readOnly is "read Only".
func passagesOfGo(name string, source []byte) (all []passage, err error) {
	set := token.NewFileSet()
	file, err := parser.ParseFile(set, name, source, parser.ParseComments)
	if err != nil {
		return nil, err
	}
	for _, group := range file.Comments {
		var text []string
		for _, c := range group.List {
			text = append(text, strings.TrimPrefix(strings.TrimPrefix(c.Text, "//"), "/*"))
		}
		all = append(all, passage{set.Position(group.Pos()).Line, strings.Join(text, "\n")})
	}
	seen := map[string]bool{}
	var visit func(ast.Node) bool
	visit = func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.ImportSpec:
			return false
		case *ast.Field: // a tag holds the keys of stored records
			for _, name := range n.Names {
				ast.Inspect(name, visit)
			}
			ast.Inspect(n.Type, visit)
			return false
		case *ast.Ident:
			if !seen[n.Name] {
				seen[n.Name] = true
				all = append(all, passage{set.Position(n.Pos()).Line, wordsOf(n.Name)})
			}
		case *ast.BasicLit:
			if n.Kind == token.STRING {
				all = append(all, passage{set.Position(n.Pos()).Line, literal(n)})
			}
		case *ast.BinaryExpr:
			if n.Op == token.ADD {
				all = append(all, passage{set.Position(n.Pos()).Line, concatenated(n, visit)})
				return false
			}
		}
		return true
	}
	ast.Inspect(file, visit)
	return all, nil
}

// concatenated returns the text of a sum of strings, and visits its other operands.
func concatenated(e ast.Expr, visit func(ast.Node) bool) string {
	switch e := e.(type) {
	case *ast.BinaryExpr:
		if e.Op == token.ADD {
			return concatenated(e.X, visit) + concatenated(e.Y, visit)
		}
	case *ast.BasicLit:
		if e.Kind == token.STRING {
			return literal(e)
		}
	}
	ast.Inspect(e, visit)
	return "\x00"
}

func literal(l *ast.BasicLit) string {
	text, _ := strconv.Unquote(l.Value) // the parser has checked it
	return text
}

// wordsOf returns an identifier with a space before each capital that begins a word.
func wordsOf(identifier string) string {
	var words strings.Builder
	letters := []rune(identifier)
	for i, r := range letters {
		if i > 0 && unicode.IsUpper(r) && (!unicode.IsUpper(letters[i-1]) || i+1 < len(letters) && unicode.IsLower(letters[i+1])) {
			words.WriteByte(' ')
		}
		words.WriteRune(r)
	}
	return strings.ReplaceAll(words.String(), "_", " ")
}

// TestFindPhrases shows that the check finds a planted phrase wherever it stands, and
// says where.
func TestFindPhrases(t *testing.T) {
	banned := []bannedPhrase{{"green cheese", "brown bread"}}
	for name, c := range map[string]struct {
		file, source string
		lines        []int
	}{
		"a document":                   {"a.md", "# Moon\n\nIt is Green cheese.\n", []int{3}},
		"broken over lines":            {"a.md", "1\n2 green\ncheese, green\n  cheese", []int{2, 3}},
		"comments of a shell script":   {"run", "#!/bin/sh\n# of green\n# cheese\n", []int{2}},
		"comments of a configuration":  {"a.toml", "x = 1\n#green = cheese\n# green\n#   cheese\n", []int{3}},
		"part of other words":          {"a.md", "evergreen cheeses, green and cheese, green. Cheese\n", nil},
		"a comment":                    {"a.go", "package a\n\n// b is green\n// cheese.\nvar b int\n", []int{3}},
		"a comment of the older form":  {"a.go", "package a\n\n/* green\ncheese */\n", []int{3}},
		"a string":                     {"a.go", "package a\n\nconst b = \"green cheese\"\n", []int{3}},
		"a string of several lines":    {"a.go", "package a\n\nconst b = `1\n2 green\ncheese`\n", []int{4}},
		"a concatenation":              {"a.go", "package a\n\nconst b = \"green \" +\n\t\"cheese\"\n", []int{3}},
		"an operand in between":        {"a.go", "package a\n\nvar b = \"green \" + c(\"green cheese\") + \"cheese\"\n", []int{3}},
		"an identifier":                {"a.go", "package a\n\nvar greenCheese, GreenCheese, green_cheese int\n", []int{3, 3, 3}},
		"an identifier of capitals":    {"a.go", "package a\n\nvar aGREENCheese, agreenCheese int\n", []int{3}},
		"an identifier that is reused": {"a.go", "package a\n\nvar greenCheese = 1\nvar b = greenCheese\n", []int{3}},
		"keys of stored records":       {"a.go", "package a\n\ntype b struct {\n\tC int `json:\"green cheese\"`\n}\n", nil},
		"imports":                      {"a.go", "package a\n\nimport _ \"green cheese\"\n", nil},
	} {
		found, err := findPhrases(c.file, []byte(c.source), banned)
		if err != nil {
			t.Fatal(err)
		}
		var lines []int
		for _, f := range found {
			lines = append(lines, f.line)
		}
		slices.Sort(lines)
		if !slices.Equal(lines, c.lines) {
			t.Errorf("%s: found in lines %v, want %v", name, lines, c.lines)
		}
	}
	if _, err := findPhrases("a.go", []byte("no Go"), banned); err == nil {
		t.Error("a Go file that can't be parsed is no error")
	}
}

// TestWordExceptions: an exception is for one phrase in one file.
func TestWordExceptions(t *testing.T) {
	f := foundPhrase{file: "a.md", banned: bannedPhrase{phrase: "green cheese"}}
	for e, want := range map[wordException]bool{
		{"a.md", "green cheese", "it is quoted"}: true,
		{"b.md", "green cheese", "it is quoted"}: false,
		{"a.md", "blue cheese", "it is quoted"}:  false,
	} {
		if f.allowedBy(e) != want {
			t.Errorf("%v: %v, want %v", e, !want, want)
		}
	}
	for _, e := range wordExceptions() {
		if e.reason == "" {
			t.Errorf("the exception for %q in %s has no reason", e.phrase, e.file)
		}
	}
	for i, b := range bannedPhrases() {
		if b.instead == "" {
			t.Errorf("nothing is said about what to write instead of %q", b.phrase)
		}
		if slices.ContainsFunc(bannedPhrases()[:i], func(o bannedPhrase) bool { return o.phrase == b.phrase }) {
			t.Errorf("%q is listed twice", b.phrase)
		}
		if m := fmt.Sprint(b.pattern()); !strings.Contains(m, `\b`) {
			t.Errorf("%q doesn't match whole words", b.phrase)
		}
	}
}

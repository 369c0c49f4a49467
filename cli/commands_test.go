package cli

import (
	"go/ast"
	"go/parser"
	"go/token"
	"path/filepath"
	"strings"
	"testing"
)

// A command is one file and uses nothing of another: what several commands need is a
// package below internal.
func TestACommandUsesNoOtherCommand(t *testing.T) {
	files, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	declaredIn, parsed := map[string]string{}, map[string]*ast.File{}
	for _, name := range files {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		file, err := parser.ParseFile(token.NewFileSet(), name, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		parsed[name] = file
		for declared := range file.Scope.Objects {
			declaredIn[declared] = name
		}
	}
	if len(parsed) < 20 {
		t.Errorf("only %d files", len(parsed))
	}
	for name, file := range parsed {
		if name == "cli.go" || name == "root.go" {
			continue // they join the commands
		}
		for _, id := range file.Unresolved {
			if from, ours := declaredIn[id.Name]; ours {
				t.Errorf("%s uses %s of %s", name, id.Name, from)
			}
		}
	}
}

package arch

import (
	"bytes"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

const maxLines = 500

// sources calls f with every Go file of the project.
func sources(t *testing.T, f func(path string, source []byte)) {
	t.Helper()
	base := root(t)
	err := filepath.WalkDir(base, func(path string, e fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if e.IsDir() && path != base && (strings.HasPrefix(e.Name(), ".") || e.Name() == "testdata" || e.Name() == "cdk.out") {
			return filepath.SkipDir
		}
		if e.IsDir() || filepath.Ext(path) != ".go" {
			return nil
		}
		source, err := os.ReadFile(path)
		if err == nil {
			rel, _ := filepath.Rel(base, path)
			f(rel, source)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

func TestFilesAreShort(t *testing.T) {
	sources(t, func(path string, source []byte) {
		if n := bytes.Count(source, []byte("\n")); n > maxLines {
			t.Errorf("%s has %d lines, %d are enough", path, n, maxLines)
		}
	})
}

// TestNoGlobalState: no init functions, and no package-level variable that could
// change.
func TestNoGlobalState(t *testing.T) {
	set := token.NewFileSet()
	byPackage := map[string][]*ast.File{}
	sources(t, func(path string, source []byte) {
		if strings.HasSuffix(path, "_test.go") {
			return
		}
		file, err := parser.ParseFile(set, path, source, parser.ParseComments)
		if err != nil {
			t.Error(err)
			return
		}
		byPackage[filepath.Dir(path)] = append(byPackage[filepath.Dir(path)], file)
	})
	for _, files := range byPackage {
		for _, b := range globalState(files) {
			t.Errorf("%s: %s", set.Position(b.at), b.what)
		}
	}
}

type finding struct {
	at   token.Pos
	what string
}

// globalState finds init functions and suspicious variables of one package.
func globalState(files []*ast.File) (found []finding) {
	globals := map[string]bool{}
	specs := map[any]bool{}
	for _, file := range files {
		for _, decl := range file.Decls {
			switch d := decl.(type) {
			case *ast.FuncDecl:
				if d.Recv == nil && d.Name.Name == "init" {
					found = append(found, finding{d.Pos(), "an init function: do it in main or in a constructor"})
				}
			case *ast.GenDecl:
				if d.Tok != token.VAR {
					continue
				}
				for _, spec := range d.Specs {
					v := spec.(*ast.ValueSpec)
					specs[v] = true
					for _, name := range v.Names {
						globals[name.Name] = name.Name != "_"
					}
					if !constant(d, v) {
						found = append(found, finding{v.Pos(), fmt.Sprintf("package-level variable %s: only error sentinels, compiled regular expressions, embedded files, interface assertions and tables whose comment says \"read-only\" are allowed", v.Names[0].Name)})
					}
				}
			}
		}
	}
	for _, file := range files {
		found = append(found, assignments(file, globals, specs)...)
	}
	return found
}

// constant tells whether a variable is of a kind that nobody changes.
func constant(d *ast.GenDecl, v *ast.ValueSpec) bool {
	comment := d.Doc.Text() + v.Doc.Text() + v.Comment.Text()
	if strings.Contains(comment, "read-only") || embedded(d.Doc) || embedded(v.Doc) {
		return true
	}
	if len(v.Names) == 1 && v.Names[0].Name == "_" {
		return true
	}
	for _, value := range v.Values {
		if !madeBy(value, "errors.New", "fmt.Errorf", "regexp.MustCompile") {
			return false
		}
	}
	return len(v.Values) > 0
}

// embedded: the text of a comment leaves directives out, so its lines are checked.
func embedded(c *ast.CommentGroup) bool {
	if c == nil {
		return false
	}
	for _, line := range c.List {
		if strings.HasPrefix(line.Text, "//go:embed ") {
			return true
		}
	}
	return false
}

// madeBy tells whether an expression is a call of one of the functions.
func madeBy(e ast.Expr, functions ...string) bool {
	call, ok := e.(*ast.CallExpr)
	if !ok {
		return false
	}
	sel, ok := call.Fun.(*ast.SelectorExpr)
	if !ok {
		return false
	}
	pkg, ok := sel.X.(*ast.Ident)
	for _, f := range functions {
		if ok && pkg.Name+"."+sel.Sel.Name == f {
			return true
		}
	}
	return false
}

// assignments finds assignments to package-level variables, or to parts of them.
func assignments(file *ast.File, globals map[string]bool, specs map[any]bool) (found []finding) {
	check := func(target ast.Expr) {
		id := rootOf(target)
		if id == nil || !globals[id.Name] {
			return
		}
		// Names of the same file are resolved by the parser; one that isn't
		// resolved comes from another file of the package.
		if id.Obj == nil || specs[id.Obj.Decl] {
			found = append(found, finding{id.Pos(), "assignment to the package-level variable " + id.Name})
		}
	}
	ast.Inspect(file, func(n ast.Node) bool {
		switch s := n.(type) {
		case *ast.AssignStmt:
			for _, target := range s.Lhs {
				check(target)
			}
		case *ast.IncDecStmt:
			check(s.X)
		case *ast.UnaryExpr:
			if s.Op == token.AND {
				check(s.X)
			}
		}
		return true
	})
	return found
}

// rootOf is the variable at the root of an expression such as v[i].f.
func rootOf(e ast.Expr) *ast.Ident {
	for {
		switch x := e.(type) {
		case *ast.Ident:
			return x
		case *ast.IndexExpr:
			e = x.X
		case *ast.SelectorExpr:
			e = x.X
		case *ast.StarExpr:
			e = x.X
		case *ast.ParenExpr:
			e = x.X
		default:
			return nil
		}
	}
}

// TestGlobalState shows that the check can fail, and what it lets pass.
func TestGlobalState(t *testing.T) {
	for source, want := range map[string]int{
		"func init() {}":               1,
		"var cache = map[string]int{}": 1,
		"var count int":                1,
		"var mu sync.Mutex":            1,
		"var ErrX = errors.New(`x`)":   0,
		"var (\n\tA = errors.New(``)\n\tb = regexp.MustCompile(``)\n)": 0,
		"var _ I = (*T)(nil)":                                                                   0,
		"//go:embed x\nvar x string":                                                            0,
		"// table is read-only.\nvar table = []int{1}":                                          0,
		"// table is read-only.\nvar table = []int{1}\nfunc f() { table[0] = 2 }":               1,
		"// table is read-only.\nvar table = []int{1}\nfunc f() { table := 1; table = 2 }":      0,
		"// n is read-only.\nvar n = 1\nfunc f() { n++ }":                                       1,
		"// n is read-only.\nvar n = 1\nfunc f() *int { return &n }":                            1,
		"func f() { var count int; count++ }":                                                   0,
		"var ErrX = errors.New(`x`)\nfunc f() { ErrX = nil }":                                   1,
		"var _ I = (*T)(nil)\nfunc f() { _ = g() }":                                             0,
		"type t struct{}\nfunc (t) init() {}":                                                   0,
		"// n is read-only.\nvar n = struct{ m int }{1}\nfunc f(n struct{ m int }) { n.m = 2 }": 0,
	} {
		file, err := parser.ParseFile(token.NewFileSet(), "x.go", "package x\n"+source, parser.ParseComments)
		if err != nil {
			t.Fatal(err)
		}
		if got := globalState([]*ast.File{file}); len(got) != want {
			t.Errorf("%s\nfindings: %v, want %d", source, got, want)
		}
	}
}

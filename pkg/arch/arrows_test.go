// Package arch checks the rules of the project by tests: which package may import which, and
// what no source file may have.
package arch

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

const module = "chefsync"

// assembly and onaws join adapters for the main programs, and only they import
// them.
const (
	assembly = "pkg/assembly"
	onaws    = "pkg/assembly/onaws"
)

// arrows says what each package below pkg may import besides the standard
// library: packages of the module by their folder, others by their module's
// path. Test files aren't bound by it. A package that is missing here fails the
// test, so that its arrows are decided and not grown.
func arrows() map[string][]string {
	const (
		object      = "pkg/object"
		fault       = "pkg/fault"
		canonical   = "pkg/object/canonical"
		replication = "pkg/replication"
		chef        = "pkg/chef"
		changeLog   = "pkg/feed/changelog"
		health      = "pkg/health"
		fileOwner   = "pkg/fileowner"
		status      = "pkg/status"
		notify      = "pkg/notify"
		store       = "pkg/store"
		content     = "pkg/stage/content"
		cloud       = "pkg/cloud"
		awserr      = "pkg/cloud/awserr"
		rapid       = "pgregory.net/rapid"
		cmp         = "github.com/google/go-cmp"
		sync        = "golang.org/x/sync"
		aws         = "github.com/aws/aws-sdk-go-v2"
		smithy      = "github.com/aws/smithy-go"
	)
	return map[string][]string{
		// The heart and what is as pure: the standard library only.
		canonical:   {},
		object:      {canonical},
		fault:       {object},
		replication: {object, fault, sync},
		health:      {},
		fileOwner:   {"golang.org/x/sys"},
		chef:        {canonical, object, fault},

		// Adapters. None imports another.
		"pkg/config":   {object, fault, replication, "github.com/pelletier/go-toml/v2"},
		"pkg/endpoint": {chef, canonical, object, fault, replication},
		"pkg/feed":     {chef, object, fault, replication},
		"pkg/prepare":  {chef, object, fault, fileOwner},
		"pkg/stage":    {fault, fileOwner, replication, content},
		content:        {fault, replication},
		// What all that is recorded makes of a pair.
		status: {object, fault, replication, changeLog, health},
		// What an operator is told of it.
		notify:            {replication, health, status},
		"pkg/notify/send": {notify},

		// What is kept: the records, and the two stores of items that they are in.
		store:              {object, fault, replication, changeLog, health, notify},
		"pkg/store/sqlite": {object, fault, fileOwner, replication, changeLog, store, "modernc.org/sqlite"},
		"pkg/store/dynamo": {fault, store, awserr, aws, smithy},
		// What the previous version kept in a table.
		"pkg/store/dynamo/previous": {object, fault, replication, changeLog, store, aws},

		// The change log: its words and interfaces, what fills it and what serves it.
		changeLog:            {object, fault, replication},
		"pkg/feed/scan":      {object, fault, replication, changeLog, sync},
		"pkg/feed/collector": {chef, object, changeLog},
		"pkg/feed/serve":     {chef, changeLog, sync},

		// The same on AWS.
		"pkg/stage/s3stage":   {fault, replication, content, awserr, aws, smithy},
		cloud:                 {fault, replication},
		"pkg/store/transfer":  {object, fault, replication},
		"pkg/cloud/awserr":    {fault, smithy},
		"pkg/cloud/awsclient": {aws},
		"pkg/secret":          {fault, awserr, aws},

		// The one wiring that all main programs share.
		assembly: {sync, object, fault, replication, chef, changeLog, health, "pkg/config", "pkg/endpoint", "pkg/feed", "pkg/feed/scan", "pkg/feed/collector", "pkg/feed/serve"},
		onaws:    {assembly, fault, replication, changeLog, health, notify, cloud, awserr, "pkg/config", "pkg/secret", "pkg/stage/s3stage", store, "pkg/store/dynamo", "pkg/store/dynamo/previous", aws, smithy},

		// For tests, ours and others'.
		"pkg/arch":                         {},
		"pkg/chef/cheftest":                {},
		"pkg/chef/contract":                {chef},
		"pkg/chef/goiarditest":             {chef},
		"pkg/feed/changelog/changelogtest": {object, fault, replication, changeLog},
		"pkg/health/healthtest":            {health},
		"pkg/notify/notifytest":            {notify},
		"pkg/replication/replicationtest":  {object, fault, replication},
		"pkg/stage/stagetest":              {fault, replication},
		"pkg/store/storetest": {object, fault, replication, changeLog, changeLog + "/changelogtest", health, health + "/healthtest",
			notify, notify + "/notifytest", store, "pkg/store/kvtest", rapid, cmp},
		"pkg/store/kvtest":      {object, replication, changeLog, health, store, cmp},
		"pkg/cloud/cloudtest":   {cloud, "pkg/cloud/awsclient", "pkg/cloud/dynamotest", aws, "github.com/johannesboyne/gofakes3"},
		"pkg/cloud/dynamotest":  {"pkg/cloud/awsclient", aws, "github.com/truora/minidyn"},
		"pkg/cloud/runtimetest": {"github.com/aws/aws-lambda-go"},
	}
}

// wiring are the folders of the main programs: only they may import several
// adapters, and nothing imports them.
func wiring() []string { return []string{"cli", "functions", "infra", "localstack"} }

type listed struct {
	ImportPath string
	Imports    []string
}

func (p listed) folder() string { return strings.TrimPrefix(p.ImportPath, module+"/") }

// root is the folder of the module.
func root(t *testing.T) string {
	t.Helper()
	out, err := exec.Command("go", "list", "-m", "-f", "{{.Dir}}").Output()
	if err != nil {
		t.Fatalf("go list -m: %v", err)
	}
	return strings.TrimSpace(string(out))
}

func packages(t *testing.T) (all []listed) {
	t.Helper()
	cmd := exec.Command("go", "list", "-json=ImportPath,Imports", "./...")
	cmd.Dir, cmd.Stderr = root(t), os.Stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	for dec := json.NewDecoder(strings.NewReader(string(out))); ; {
		var p listed
		err := dec.Decode(&p)
		if err == io.EOF {
			return all
		}
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, p)
	}
}

// breach says what is wrong with an import, or "".
func breach(table map[string][]string, from, imported string) string {
	to, ours := strings.CutPrefix(imported, module+"/")
	external := strings.Contains(strings.Split(imported, "/")[0], ".")
	switch {
	case !ours && !external:
		return "" // the standard library
	case ours && of(to, wiring()) && !sameProgram(from, to):
		return fmt.Sprintf("%s imports %s: nothing imports a main program's packages", from, to)
	case of(from, wiring()):
		return ""
	}
	allowed, known := table[from]
	if !known {
		return fmt.Sprintf("%s has no arrows: decide in pkg/arch what it may import", from)
	}
	if ours && slices.Contains(allowed, to) {
		return ""
	}
	if external && slices.ContainsFunc(allowed, func(m string) bool { return imported == m || strings.HasPrefix(imported, m+"/") }) {
		return ""
	}
	return fmt.Sprintf("%s imports %s: the dependency rules allow it %v", from, imported, allowed)
}

// of tells whether a folder is one of some folders or below it.
func of(folder string, folders []string) bool {
	return slices.Contains(folders, strings.Split(folder, "/")[0])
}

// sameProgram: the packages of one main program may import each other.
func sameProgram(a, b string) bool { return strings.Split(a, "/")[0] == strings.Split(b, "/")[0] }

func TestArrows(t *testing.T) {
	table, seen := arrows(), map[string]bool{}
	for _, p := range packages(t) {
		seen[p.folder()] = true
		if _, known := table[p.folder()]; !known && !of(p.folder(), wiring()) {
			t.Errorf("%s has no arrows: decide in pkg/arch what it may import", p.folder())
			continue
		}
		for _, imported := range p.Imports {
			if b := breach(table, p.folder(), imported); b != "" {
				t.Error(b)
			}
		}
	}
	for folder := range table {
		if !seen[folder] {
			t.Logf("%s has arrows but isn't there (yet)", folder)
		}
	}
}

// The SDK of AWS is more than a third of what chef-sync-ctl takes to compile, and nobody
// shall wait for it who wants to see the demo.
func TestTheDemoLinksNoAWS(t *testing.T) {
	cmd := exec.Command("go", "list", "-deps", "./cli/demo")
	cmd.Dir, cmd.Stderr = root(t), os.Stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go list -deps: %v", err)
	}
	deps := strings.Fields(string(out))
	if !slices.Contains(deps, module+"/cli") {
		t.Errorf("the demo doesn't import %s/cli: this test looks at the wrong program", module)
	}
	for _, p := range deps {
		if strings.HasPrefix(p, "github.com/aws/") {
			t.Errorf("the demo links %s: only cli/internal/awsstack and what it imports may need it", p)
		}
	}
}

// TestTheTableItself: no row may allow one adapter another.
func TestTheTableItself(t *testing.T) {
	adapters := []string{"pkg/config", "pkg/endpoint", "pkg/feed", "pkg/prepare", "pkg/stage", "pkg/stage/s3stage", "pkg/store/sqlite", "pkg/store/dynamo", "pkg/secret"}
	for folder, allowed := range arrows() {
		for _, a := range allowed {
			joins := folder == assembly || folder == onaws
			if a == onaws || a == assembly && !joins || slices.Contains(adapters, a) && !joins {
				t.Errorf("%s may import %s", folder, a)
			}
		}
	}
}

// TestBreach shows that the check can fail.
func TestBreach(t *testing.T) {
	table := map[string][]string{"pkg/a": {"pkg/b", "example.org/lib/v2"}, "pkg/b": {}}
	for _, c := range []struct {
		from, imported string
		bad            bool
	}{
		{"pkg/a", "net/http", false},
		{"pkg/a", "chefsync/pkg/b", false},
		{"pkg/b", "chefsync/pkg/a", true},
		{"pkg/a", "example.org/lib/v2/sub", false},
		{"pkg/a", "example.org/lib/v3", true},
		{"pkg/b", "example.org/lib/v2", true},
		{"pkg/new", "chefsync/pkg/b", true},
		{"pkg/a", "chefsync/cli/internal/ui", true},
		{"cli", "chefsync/cli/internal/ui", false},
		{"functions/sync", "chefsync/cli/internal/ui", true},
		{"cli", "chefsync/pkg/a", false},
		{"cli/internal/app", "example.org/any", false},
	} {
		if got := breach(table, c.from, c.imported); (got != "") != c.bad {
			t.Errorf("%s imports %s: %q, want a breach: %v", c.from, c.imported, got, c.bad)
		}
	}
}

// builtFolders are those that .gitignore leaves out.
func builtFolders() []string { return []string{"bin", "dist", "cdk.out"} }

// TestTopLevel: no code folder but the agreed ones.
func TestTopLevel(t *testing.T) {
	built := builtFolders()
	entries, err := os.ReadDir(root(t))
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		name := e.Name()
		if e.IsDir() && !strings.HasPrefix(name, ".") && name != "pkg" && name != "docs" && !slices.Contains(wiring(), name) && !slices.Contains(built, name) {
			t.Errorf("%s is no folder of this project: code belongs in pkg or %v", name, wiring())
		}
		if !e.IsDir() && filepath.Ext(name) == ".go" {
			t.Errorf("%s lies at the top", name)
		}
	}
}

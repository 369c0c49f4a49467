//go:build infra

package chefsync

import (
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/aws/aws-cdk-go/awscdk/v2"
	"github.com/aws/aws-cdk-go/awscdk/v2/assertions"
	"github.com/aws/aws-cdk-go/awscdk/v2/awslambda"
	"github.com/aws/jsii-runtime-go"

	"chefsync/pkg/config"
)

// TestMain shares one jsii kernel, which takes seconds to start.
func TestMain(m *testing.M) {
	flag.Bool("update", false, "write the golden files again")
	code := m.Run()
	jsii.Close()
	os.Exit(code)
}

// exampleConfig returns the configuration that the variants are based on.
func exampleConfig(t *testing.T) string {
	t.Helper()
	text, err := os.ReadFile("../testdata/chef-sync.toml")
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// addLines inserts lines in a table of a configuration.
func addLines(text, table string, lines ...string) string {
	return strings.Replace(text, table+"\n", table+"\n"+strings.Join(lines, "\n")+"\n", 1)
}

// synthesized is a stack made from a configuration, with placeholders for the
// functions: only what is deployed needs them.
type synthesized struct {
	*ChefSync
	text     string // of the template
	template assertions.Template
}

// parseConfig reads a configuration as a deployment does.
func parseConfig(t *testing.T, text string) (*config.Config, error) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "chef-sync.toml")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	c, err := config.Loader{}.Load(path)
	if err != nil {
		return nil, err
	}
	return c, c.CheckAWS()
}

func mustSynthesize(t *testing.T, text string) synthesized {
	t.Helper()
	c, err := parseConfig(t, text)
	if err != nil {
		t.Fatal(err)
	}
	return synthesizeWith(t, func(app awscdk.App) *ChefSync {
		env := &awscdk.Environment{}
		if c.AWS.Region != "" {
			env.Region = &c.AWS.Region
		}
		return NewStack(app, env, &Props{Config: c, Code: func(function string) awslambda.Code { return placeholder(t, function) }})
	})
}

// placeholder is the code of a function: only what is deployed needs programs.
func placeholder(t *testing.T, function string) awslambda.Code {
	t.Helper()
	folder := t.TempDir()
	if err := os.WriteFile(filepath.Join(folder, "bootstrap"), []byte("placeholder of "+function), 0o700); err != nil {
		t.Fatal(err)
	}
	return awslambda.Code_FromAsset(&folder, nil)
}

// synthesizeWith synthesizes what add adds to an app with the feature flags of cdk.json.
func synthesizeWith(t *testing.T, add func(awscdk.App) *ChefSync) synthesized {
	t.Helper()
	var file struct {
		Context map[string]any `json:"context"`
	}
	text, err := os.ReadFile("../../cdk.json")
	if err == nil {
		err = json.Unmarshal(text, &file)
	}
	if err != nil {
		t.Fatal(err)
	}
	var s synthesized
	runAssertions(t, func() {
		outdir := t.TempDir()
		app := awscdk.NewApp(&awscdk.AppProps{Context: &file.Context, Outdir: &outdir})
		s.ChefSync = add(app)
		s.template = assertions.Template_FromStack(s.stack, nil)
	})
	if t.Failed() {
		t.FailNow()
	}
	document, err := json.MarshalIndent(*s.template.ToJSON(), "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	s.text = string(document)
	return s
}

// runAssertions runs assertions of CDK, which panic when they fail, and fails the test
// with their message.
func runAssertions(t *testing.T, assertion func()) {
	t.Helper()
	defer func() {
		t.Helper()
		if r := recover(); r != nil {
			what, _, _ := strings.Cut(fmt.Sprint(r), "\n    at ") // followed by a stack trace of JavaScript
			t.Error(what)
		}
	}()
	assertion()
}

// resource is a resource of a template.
type resource struct {
	Type           string
	Properties     map[string]any
	DependsOn      any
	DeletionPolicy string
}

type parsedTemplate struct {
	Resources map[string]resource
	Outputs   map[string]struct{ Value any }
}

func (s synthesized) parseTemplate(t *testing.T) parsedTemplate {
	t.Helper()
	var d parsedTemplate
	if err := json.Unmarshal([]byte(s.text), &d); err != nil {
		t.Fatal(err)
	}
	return d
}

// findResource returns the only resource of a type whose name begins with name.
func (d parsedTemplate) findResource(t *testing.T, kind, name string) resource {
	t.Helper()
	var found []resource
	for id, r := range d.Resources {
		if r.Type == kind && strings.HasPrefix(id, name) {
			found = append(found, r)
		}
	}
	if len(found) != 1 {
		t.Fatalf("%d resources of type %s are called %s*, want 1", len(found), kind, name)
	}
	return found[0]
}

// wantResource fails the test unless a resource of a type has these properties.
func (s synthesized) wantResource(t *testing.T, kind string, properties map[string]any) {
	t.Helper()
	runAssertions(t, func() { s.template.HasResourceProperties(&kind, &properties) })
}

func (s synthesized) wantCount(t *testing.T, kind string, want int) {
	t.Helper()
	runAssertions(t, func() { s.template.ResourceCountIs(&kind, jsii.Number(float64(want))) })
}

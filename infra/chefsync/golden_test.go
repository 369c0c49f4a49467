//go:build infra

package chefsync

import (
	"flag"
	"fmt"
	"maps"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"go.yaml.in/yaml/v3"
)

const golden = "../testdata/stack.golden.yaml"

// TestTheTemplateIsGolden shows a reviewer what a change of the code
// changes in the stack. Run it with -update to write the file again.
func TestTheTemplateIsGolden(t *testing.T) {
	got := normalizeTemplate(t, mustSynthesize(t, exampleConfig(t)).parseTemplate(t))
	if updateGolden() {
		if err := os.WriteFile(golden, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("the stack differs from %s (make test-infra UPDATE=-update accepts it):\n%s", golden, diff)
	}
}

// updateGolden reports whether golden files are to be written again.
func updateGolden() bool { return flag.Lookup("update").Value.String() == "true" }

// normalizeTemplate writes the resources by type and name, with their properties except
// tags, the layout of the dashboard, and hashes of uploaded files.
func normalizeTemplate(t *testing.T, d parsedTemplate) string {
	t.Helper()
	hash := regexp.MustCompile(`[0-9a-f]{64}`)
	byType := map[string]map[string]any{}
	for id, r := range d.Resources {
		properties := map[string]any{}
		for name, value := range r.Properties {
			if name != "Tags" && name != "DashboardBody" {
				properties[name] = normalizeValue(value)
			}
		}
		if r.DeletionPolicy != "" {
			properties["(when removed)"] = r.DeletionPolicy
		}
		if byType[r.Type] == nil {
			byType[r.Type] = map[string]any{}
		}
		byType[r.Type][id] = properties
	}
	outputs := map[string]any{}
	for name, o := range d.Outputs {
		outputs[name] = normalizeValue(o.Value)
	}
	text, err := yaml.Marshal(map[string]any{"Resources": byType, "Outputs": outputs})
	if err != nil {
		t.Fatal(err)
	}
	return hash.ReplaceAllString(string(text), "HASH")
}

// normalizeValue writes CloudFormation's functions as text: ${Table.Arn}/index.
func normalizeValue(value any) any {
	switch v := value.(type) {
	case []any:
		list := make([]any, len(v))
		for i := range v {
			list[i] = normalizeValue(v[i])
		}
		return list
	case map[string]any:
		if text, ok := resolveIntrinsic(v); ok {
			return text
		}
		object := map[string]any{}
		for k, e := range v {
			object[k] = normalizeValue(e)
		}
		return object
	}
	return value
}

func resolveIntrinsic(v map[string]any) (string, bool) {
	if len(v) != 1 {
		return "", false
	}
	switch name := slices.Collect(maps.Keys(v))[0]; name {
	case "Ref":
		return fmt.Sprintf("${%s}", v[name]), true
	case "Fn::GetAtt":
		part := v[name].([]any)
		return fmt.Sprintf("${%s.%s}", part[0], part[1]), true
	case "Fn::Sub":
		return fmt.Sprint(v[name]), true
	case "Fn::Join":
		args := v[name].([]any)
		var parts []string
		for _, p := range args[1].([]any) {
			parts = append(parts, fmt.Sprint(normalizeValue(p)))
		}
		return strings.Join(parts, args[0].(string)), true
	}
	return "", false
}

package cli

import (
	"encoding"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
	"github.com/spf13/cobra"

	"chefsync/cli/internal/buildinfo"
	"chefsync/cli/internal/control"
	"chefsync/cli/internal/doctor"
	"chefsync/cli/internal/logstore"
	"chefsync/cli/internal/pairstatus"
	"chefsync/cli/internal/prepared"
	"chefsync/pkg/config"
	"chefsync/pkg/replication"
	"chefsync/pkg/store/transfer"
)

// jsonDoc documents what commands write with -o json: a heading for each command, and a
// row for each field, "| `[].pair` | string | meaning |". A type that ends with ? may be
// missing.
const jsonDoc = "../docs/json.md"

// jsonValues are the values that commands write, by the heading that documents them, and
// those that are part of several.
func jsonValues() map[string]any {
	return map[string]any{
		"version":               buildinfo.Info{},
		"config show":           []config.Setting{},
		"config validate":       validation{},
		"prepare-org":           prepared.Row{},
		"doctor":                doctor.Diagnosis{},
		"sync-status":           []pairstatus.PairRow{},
		"sync-status --servers": []pairstatus.ServerRow{},
		"runs":                  []replication.Run{},
		"sync-log":              []logstore.Line{},
		"unsynced-objects":      []unsyncedRow{},
		"plan":                  []replication.Plan{},
		"diff":                  []diffRow{},
		"verify":                []replication.Report{},
		"verify --remote":       []remoteResult{},
		"sync-start":            []control.Answer{},
		"notify-test":           []notifyRow{},
		"state import":          []transfer.Result{},
		"run":                   replication.Run{},
		"failure":               replication.Failure{},
		"hold":                  replication.Hold{},
		"drift":                 replication.Drift{},
		"difference":            replication.Difference{},
		"unsynced":              replication.Unsynced{},
	}
}

// sharedType returns the heading that documents a type which is part of several values, or
// "".
func sharedType(typ reflect.Type) string {
	for _, name := range []string{"run", "failure", "hold", "drift", "difference", "unsynced"} {
		if reflect.TypeOf(jsonValues()[name]) == typ {
			return name
		}
	}
	return ""
}

// TestJSONIsDocumented: what a command can write is in the document, field by field, and
// nothing else is.
func TestJSONIsDocumented(t *testing.T) {
	documented := readJSONDoc(t)
	for heading, value := range jsonValues() {
		want := map[string]string{}
		addFields(want, "", reflect.TypeOf(value), false)
		for _, path := range slices.Sorted(maps.Keys(want)) {
			if got := documented[heading][path]; got != want[path] {
				t.Errorf("%s: %s is %s, the document says %q", heading, path, want[path], got)
			}
		}
		for path := range documented[heading] {
			if want[path] == "" {
				t.Errorf("%s: there is no %s", heading, path)
			}
		}
	}
}

// TestEveryCommandIsInTheJSONDocument: its table says what each command writes.
func TestEveryCommandIsInTheJSONDocument(t *testing.T) {
	text, err := os.ReadFile(jsonDoc)
	if err != nil {
		t.Fatal(err)
	}
	table, _, _ := strings.Cut(string(text), "\n## ")
	tree(t, func(c *cobra.Command) {
		name := strings.TrimPrefix(c.CommandPath(), "chef-sync-ctl ")
		name, _, _ = strings.Cut(name, "completion ") // its shells are the same
		if c.HasParent() && c.Runnable() && !c.HasSubCommands() && name != "" && !strings.Contains(table, "`"+name+"`") {
			t.Errorf("%s says nothing of %s", jsonDoc, name)
		}
	})
}

// addFields adds the fields of a type by their paths: those of the elements of a list below
// [], of a map below *.
func addFields(fields map[string]string, path string, typ reflect.Type, optional bool) {
	mark := ""
	if optional {
		mark = "?"
	}
	if typ.Kind() == reflect.Pointer {
		addFields(fields, path, typ.Elem(), optional)
		return
	}
	switch kind := typ.Kind(); {
	case path != "" && sharedType(typ) != "":
		fields[path] = sharedType(typ) + mark
	case typ == reflect.TypeFor[time.Time]():
		fields[path] = "time" + mark
	case typ == reflect.TypeFor[json.RawMessage]():
		fields[path] = "any" + mark
	case typ.Implements(reflect.TypeFor[encoding.TextMarshaler]()), kind == reflect.String:
		fields[path] = "string" + mark
	case kind == reflect.Bool:
		fields[path] = "boolean" + mark
	case kind == reflect.Slice || kind == reflect.Array:
		if path != "" {
			fields[path] = "list" + mark
		}
		addElement(fields, path+"[]", typ.Elem())
	case kind == reflect.Map:
		fields[path] = "object" + mark
		addElement(fields, path+".*", typ.Elem())
	case kind == reflect.Struct:
		if path != "" && !strings.HasSuffix(path, "[]") && !strings.HasSuffix(path, ".*") {
			fields[path] = "object" + mark
		}
		addStruct(fields, path, typ)
	default:
		fields[path] = "number" + mark
	}
}

// addElement adds the fields of the elements of a list or map; plain ones are one.
func addElement(fields map[string]string, path string, typ reflect.Type) {
	addFields(fields, path, typ, false)
}

func addStruct(fields map[string]string, path string, typ reflect.Type) {
	for f := range fieldsOf(typ) {
		tag := f.Tag.Get("json")
		name, options, _ := strings.Cut(tag, ",")
		switch {
		case name == "-" || !f.IsExported() && !f.Anonymous:
		case f.Anonymous && name == "":
			embedded := f.Type
			if embedded.Kind() == reflect.Pointer {
				embedded = embedded.Elem()
			}
			addStruct(fields, path, embedded)
		default:
			if name == "" {
				name = f.Name
			}
			addFields(fields, strings.TrimPrefix(path+"."+name, "."), f.Type, strings.Contains(options, "omit"))
			if f.Type.Kind() == reflect.Pointer && !strings.Contains(options, "omit") {
				fields[strings.TrimPrefix(path+"."+name, ".")] += " or null"
			}
		}
	}
}

func fieldsOf(typ reflect.Type) func(func(reflect.StructField) bool) {
	return func(yield func(reflect.StructField) bool) {
		for i := range typ.NumField() {
			if !yield(typ.Field(i)) {
				return
			}
		}
	}
}

// readJSONDoc reads the types of the documented fields by heading and path.
func readJSONDoc(t *testing.T) jsonTypes {
	t.Helper()
	text, err := os.ReadFile(jsonDoc)
	if err != nil {
		t.Fatal(err)
	}
	return parseJSONDoc(string(text))
}

func parseJSONDoc(text string) jsonTypes {
	documented := jsonTypes{}
	heading := ""
	row := regexp.MustCompile("^\\| `([^`]+)` \\| ([^|]+) \\| [^|]+ \\|$")
	for line := range strings.Lines(text) {
		line = strings.TrimRight(line, "\n")
		if h, ok := strings.CutPrefix(line, "## "); ok {
			heading = h
			documented[heading] = map[string]string{}
		}
		if m := row.FindStringSubmatch(line); m != nil && heading != "" {
			documented[heading][m[1]] = m[2]
		}
	}
	return documented
}

// jsonCommand runs a command with -o json, whatever its exit code is, and checks that its
// output is as the document says below a heading: json HEADING ARGS... What is missing must
// be allowed to be. An output that is a list of what is documented is fine, too.
func jsonCommand(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: json HEADING ARGS...")
	}
	_ = ts.Exec("chef-sync-ctl", append(args[1:], "-o", "json")...) // diff and others end with a code
	text, err := os.ReadFile(jsonDoc)
	ts.Check(err)
	d := parseJSONDoc(string(text))
	fields := d[args[0]]
	if len(fields) == 0 {
		ts.Fatalf("%s has no section %q", jsonDoc, args[0])
	}
	output := ts.ReadFile("stdout")
	if args[0] == "errors" {
		output = ts.ReadFile("stderr")
	}
	var value any
	ts.Check(json.Unmarshal([]byte(output), &value))
	values := []any{value}
	if list, ok := value.([]any); ok {
		if len(list) == 0 {
			ts.Fatalf("%q shows nothing", args[1:])
		}
		if !slices.ContainsFunc(slices.Collect(maps.Keys(fields)), func(path string) bool { return strings.HasPrefix(path, "[]") }) {
			values = list
		}
	}
	for _, v := range values {
		for _, problem := range d.compare(args[0], "", v) {
			ts.Fatalf("%q: %s", args[1:], problem)
		}
	}
}

// jsonTypes are the types of the documented fields, by heading and path.
type jsonTypes map[string]map[string]string

// compare compares a value with the fields that are documented below a heading and path.
func (d jsonTypes) compare(heading, path string, value any) (problems []string) {
	fields := d[heading]
	typ, documented := fields[path]
	if documented || path != "" && !strings.HasSuffix(path, "[]") && !strings.HasSuffix(path, ".*") {
		word, _, _ := strings.Cut(strings.TrimSuffix(typ, "?"), " ")
		switch {
		case d[word] != nil && value != nil:
			return d.compare(word, "", value)
		case !hasType(value, typ):
			return []string{fmt.Sprintf("%s: %s is %v, the document says %q", heading, path, value, typ)}
		case word == "any":
			return nil
		}
	}
	switch v := value.(type) {
	case []any:
		for _, e := range v {
			problems = append(problems, d.compare(heading, path+"[]", e)...)
		}
	case map[string]any:
		_, isMap := fields[path+".*"]
		for key, e := range v {
			if isMap {
				key = "*"
			}
			problems = append(problems, d.compare(heading, strings.TrimPrefix(path+"."+key, "."), e)...)
		}
		for below, typ := range fields {
			key, ok := strings.CutPrefix(below, strings.TrimPrefix(path+".", "."))
			if _, there := v[key]; ok && key != "" && !there && !strings.ContainsAny(key, ".[*") && !strings.HasSuffix(typ, "?") {
				problems = append(problems, fmt.Sprintf("%s: %s is missing", heading, below))
			}
		}
	}
	return problems
}

// hasType reports whether a value has a documented type.
func hasType(value any, typ string) bool {
	word, _, _ := strings.Cut(strings.TrimSuffix(typ, "?"), " ")
	switch v := value.(type) {
	case nil:
		return strings.HasSuffix(typ, "or null")
	case string:
		_, err := time.Parse(time.RFC3339Nano, v)
		return word == "string" || word == "any" || word == "time" && err == nil
	case float64:
		return word == "number" || word == "any"
	case bool:
		return word == "boolean" || word == "any"
	case []any:
		return word == "list" || word == "any"
	}
	return word == "object" || word == "any"
}

func TestUndocumentedJSONIsFound(t *testing.T) {
	d := parseJSONDoc("## x\n| `[].a` | string | m |\n| `[].b` | list? | m |\n| `[].b[]` | y | m |\n| `[].m` | object? | m |\n" +
		"| `[].m.*` | number | m |\n## y\n| `t` | time | m |\n")
	for text, want := range map[string]string{
		`[{"a":"s","b":[{"t":"2026-01-01T00:00:00Z"}],"m":{"k":1}}]`: "",
		`[{"a":"s","c":1}]`:           `x: [].c is 1, the document says ""`,
		`[{"b":[]}]`:                  "x: [].a is missing",
		`[{"a":1}]`:                   `x: [].a is 1, the document says "string"`,
		`[{"a":null}]`:                `x: [].a is <nil>, the document says "string"`,
		`[{"a":"s","b":[{}]}]`:        "y: t is missing",
		`[{"a":"s","b":[{"t":"x"}]}]`: `y: t is x, the document says "time"`,
		`[{"a":"s","m":{"k":"v"}}]`:   `x: [].m.* is v, the document says "number"`,
	} {
		var value any
		if err := json.Unmarshal([]byte(text), &value); err != nil {
			t.Fatal(err)
		}
		if got := strings.Join(d.compare("x", "", value), "; "); got != want {
			t.Errorf("%s: %q, want %q", text, got, want)
		}
	}
}

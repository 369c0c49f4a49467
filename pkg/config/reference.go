package config

import (
	"cmp"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"

	"github.com/pelletier/go-toml/v2"
)

// form is what the values of a key look like, and the environment variable that
// overrides the key, "" for none.
type form struct{ text, env string }

const (
	formList      = "array of strings"
	formReference = "reference"
	formTable     = "table of strings"
)

// anyName stands for the keys of a table whose names are up to the user.
const anyName = "NAME"

// Table is a table of the configuration file, as the reference documentation shows it.
type Table struct {
	Header string // such as [primary] or [[replica]]
	About  string
	Keys   []Key
}

// Key is a key of a table.
type Key struct {
	Name, Type string
	Default    string // in TOML, "" for none
	Required   bool
	About      string
	Env        string // the environment variable that overrides it, "" for none
}

// keyLine matches a line of the template: a key with its value and a comment after it.
var keyLine = regexp.MustCompile(`^#?([a-z_]+) *= (\[.*\]|\{.*\}|"[^"]*"|[^ ]+) *(?:# (.*))?$`)

// Reference returns the tables of the configuration with all their keys: what they mean
// from the template, their types from what reads them, and their defaults from reading
// the template.
func Reference() ([]Table, error) {
	defaults, err := Loader{}.Parse(FileName, []byte(template))
	if err != nil {
		return nil, err
	}
	unset := map[string]string{}
	for _, s := range defaults.settings {
		if s.IsDefault() {
			unset[s.Key] = s.Value
		}
	}
	forms := templateForms()
	tables := templateTables()
	for i := range tables {
		path := tablePath(tables[i].Header)
		for j := range tables[i].Keys {
			k := &tables[i].Keys[j]
			if _, ok := forms[joinKey(path, anyName)]; ok {
				k.About, k.Name = fmt.Sprintf("One for each name, such as %s = %s.", k.Name, k.Default), anyName
			}
			k.About = cmp.Or(k.About, aboutKey(tables, i, j))
			f := forms[joinKey(path, k.Name)]
			k.Type, k.Env = f.text, f.env
			if value := unset[joinKey(path, k.Name)]; value == "" || value == "[]" || k.Default == "{}" || strings.Contains(k.About, "y default") {
				k.Default = ""
			}
		}
		tables[i].Keys = append(tables[i].Keys, sharedKeys(tables, i, forms)...)
	}
	return tables, nil
}

// aboutKey returns what a key means that the template doesn't explain where it is: as under
// [primary], or with what comes before it.
func aboutKey(tables []Table, i, j int) string {
	keys := tables[i].Keys
	if p := slices.IndexFunc(tables[0].Keys, func(k Key) bool { return k.Name == keys[j].Name }); i > 0 && p >= 0 {
		return tables[0].Keys[p].About
	}
	if j == 0 {
		return "See above."
	}
	return "See " + keys[j-1].Name + "."
}

// sharedKeys returns the keys of a table that the template explains under [primary] only.
func sharedKeys(tables []Table, i int, forms map[string]form) (shared []Key) {
	path := tablePath(tables[i].Header) + "."
	for _, at := range slices.Sorted(maps.Keys(forms)) {
		name, below := strings.CutPrefix(at, path)
		has := func(k Key) bool { return k.Name == name }
		if !below || strings.Contains(name, ".") || slices.ContainsFunc(tables[i].Keys, has) {
			continue
		}
		k := Key{Name: name, About: "See above."}
		if j := slices.IndexFunc(tables[0].Keys, has); j >= 0 {
			k = tables[0].Keys[j]
		}
		k.Type, k.Env = forms[at].text, forms[at].env
		shared = append(shared, k)
	}
	return shared
}

// templateForms returns the forms of all keys, by reading the template with every key that
// is commented out. The examples that contradict each other don't matter to it.
func templateForms() map[string]form {
	var text strings.Builder
	for line := range strings.Lines(template) {
		if rest, ok := strings.CutPrefix(line, "#"); ok && !strings.HasPrefix(rest, " ") {
			line = rest
		}
		text.WriteString(line)
	}
	values := map[string]any{}
	if err := toml.Unmarshal([]byte(text.String()), &values); err != nil {
		return nil // the tests of the template would fail first
	}
	r := &reader{file: FileName, positions: map[string]position{}, forms: map[string]form{}}
	r.readConfig(&section{reader: r, values: values})
	return r.forms
}

// tablePath returns the path of the keys of a table, of the first one if there are several.
func tablePath(header string) string {
	if name, many := strings.CutPrefix(header, "[["); many {
		return indexKey(strings.TrimSuffix(name, "]]"), 0)
	}
	return strings.Trim(header, "[]")
}

// templateTables returns the tables of the template with their keys and comments.
func templateTables() (tables []Table) {
	var about []string
	for line := range strings.Lines(template) {
		line = strings.TrimSuffix(line, "\n")
		header := strings.TrimPrefix(line, "#")
		switch comment, isComment := strings.CutPrefix(line, "# "); {
		case isComment:
			about = append(about, comment)
		case strings.HasPrefix(header, "["):
			tables = append(tables, Table{Header: header, About: strings.Join(about, "\n")})
			about = nil
		case keyLine.MatchString(line):
			m := keyLine.FindStringSubmatch(line)
			keys := &tables[len(tables)-1].Keys
			k := Key{Name: m[1], Default: m[2], Required: !strings.HasPrefix(line, "#"), About: strings.Join(append(about, m[3:]...), "\n")}
			k.About = strings.TrimSpace(k.About)
			*keys, about = append(*keys, k), nil
		default:
			about = nil
		}
	}
	return tables
}

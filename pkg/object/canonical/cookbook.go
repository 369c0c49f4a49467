package canonical

import (
	"bytes"
	"cmp"
	"fmt"
	"slices"
)

// isSegment reports whether a quoted key is a segment of API versions 0 and 1, and
// which prefix version 2 puts before the names of its files
// (docs/chef-server-api.md §3.2).
func isSegment(key []byte) (prefix string, ok bool) {
	switch name := string(key); name {
	case `"attributes"`, `"definitions"`, `"files"`, `"libraries"`, `"providers"`, `"recipes"`, `"resources"`, `"root_files"`, `"templates"`:
		return name[1:len(name)-1] + "/", true
	}
	return "", false
}

// CookbookVersion returns the canonical form of a cookbook version: its name,
// version and frozen flag, its files by path, name, specificity and checksum in
// sorted order, and its metadata (docs/chef-server-api.md §3.6). Top-level keys
// beyond these, URLs and the order of files don't count.
//
// The manifest of API version 2 (all_files) and of versions 0 and 1 (segments)
// have the same canonical form as long as the older one didn't lose a file, and
// an empty segment equals a missing one. A file of all_files whose name has no
// folder is a root file, as servers and clients take it. metadata.attributes,
// .dependencies and .long_description are filled in, since erchef always returns
// them and goiardi returns what was sent. Nulls that newer servers refuse don't
// count.
func CookbookVersion(body []byte) ([]byte, error) {
	form, err := writeManifest(body, "cookbook_name", "version")
	if err != nil {
		return nil, fmt.Errorf("cookbook version: %w", err)
	}
	return form, nil
}

// CookbookArtifact returns the canonical form of a cookbook artifact: that of a
// cookbook version, with the artifact's name and identifier
// (docs/chef-server-api.md §5.1).
func CookbookArtifact(body []byte) ([]byte, error) {
	form, err := writeManifest(body, "identifier", "name", "version")
	if err != nil {
		return nil, fmt.Errorf("cookbook artifact: %w", err)
	}
	return form, nil
}

// writeManifest writes what counts of a manifest, with the keys that name it.
func writeManifest(body []byte, names ...string) ([]byte, error) {
	o, err := parseObject(body)
	if err != nil {
		return nil, err
	}
	out := object{{key: []byte(`"all_files"`)}}
	var files []file
	for _, m := range o {
		prefix, isSegment := isSegment(m.key)
		switch key := string(m.key); {
		case isSegment || key == `"all_files"`:
			files, err = appendFiles(files, m.value, prefix)
		case key == `"metadata"`:
			m.value, err = fillMetadata(m.value)
			out = append(out, m)
		case key == `"frozen?"`, slices.Contains(names, key[1:len(key)-1]):
			out = append(out, m)
		}
		if err != nil {
			return nil, err
		}
	}
	out.addDefault("frozen?", `false`)
	out.addDefault("metadata", `{"attributes":{},"dependencies":{},"long_description":""}`)
	out[0].value = joinFiles(files)
	return out.appendTo(make([]byte, 0, len(body))), nil
}

// fillMetadata fills in what servers fill in. A null in a field that newer servers
// check equals a missing one: they refuse it, an older one may still hold it, and
// clients read both alike (docs/chef-server-api.md §3.3, §10 gotcha 8).
func fillMetadata(v []byte) ([]byte, error) {
	m, ok := splitObject(v)
	if !ok {
		return nil, fmt.Errorf("metadata: %w", ErrShape)
	}
	m = slices.DeleteFunc(m, func(x member) bool { return string(x.value) == "null" && checkedMetadata(x.key) })
	m.addDefault("attributes", `{}`)
	m.addDefault("dependencies", `{}`)
	m.addDefault("long_description", `""`)
	return m.appendTo(make([]byte, 0, len(v)+64)), nil
}

// checkedMetadata reports whether newer servers check the field of a quoted key.
func checkedMetadata(key []byte) bool {
	switch string(key) {
	case `"name"`, `"version"`, `"description"`, `"long_description"`, `"maintainer"`, `"maintainer_email"`, `"license"`,
		`"dependencies"`, `"platforms"`, `"recommendations"`, `"suggestions"`, `"conflicting"`, `"replacing"`:
		return true
	}
	return false
}

// file is the canonical form of one entry of a manifest.
type file struct{ path, form []byte }

func appendFiles(files []file, list []byte, prefix string) ([]file, error) {
	entries, ok := splitArray(list)
	if !ok {
		return nil, fmt.Errorf("list of files: %w", ErrShape)
	}
	files = slices.Grow(files, len(entries))
	var keys object
	for _, entry := range entries {
		if !isObject(entry) {
			return nil, fmt.Errorf("file: %w", ErrShape)
		}
		keys = appendMembers(keys[:0], entry)
		files = append(files, file{path: keys.getMember("path"), form: fileForm(keys, prefix)})
	}
	return files, nil
}

// fileForm writes what counts of an entry.
func fileForm(keys object, prefix string) []byte {
	out := append(make([]byte, 0, 192), '{')
	for _, key := range [...]string{"checksum", "name", "path", "specificity"} {
		v := keys.getMember(key)
		if v == nil {
			continue
		}
		if len(out) > 1 {
			out = append(out, ',')
		}
		out = append(append(append(out, '"'), key...), `":`...)
		switch {
		case key == "checksum":
			v = bytes.ToLower(v) // hexadecimal
		case key == "name" && v[0] == '"':
			if prefix == "" && bytes.IndexByte(v, '/') < 0 {
				prefix = "root_files/"
			}
			out = append(append(out, '"'), prefix...)
			v = v[1:]
		}
		out = append(out, v...)
	}
	return append(out, '}')
}

func joinFiles(files []file) []byte {
	slices.SortFunc(files, func(a, b file) int {
		return cmp.Or(bytes.Compare(a.path, b.path), bytes.Compare(a.form, b.form))
	})
	size := 2
	for _, f := range files {
		size += len(f.form) + 1
	}
	out := append(make([]byte, 0, size), '[')
	for i, f := range files {
		if i > 0 {
			out = append(out, ',')
		}
		out = append(out, f.form...)
	}
	return append(out, ']')
}

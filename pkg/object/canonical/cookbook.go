package canonical

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
)

// Segments returns the keys of a manifest's lists of files at API versions 0 and 1, in the
// order in which they are written. Version 2 puts them before the names of the files
// (docs/chef-server-api.md §3.2).
func Segments() []string {
	return []string{"attributes", "definitions", "files", "libraries", "providers", "recipes", "resources", "root_files", "templates"}
}

// CheckedMetadata returns the keys of metadata whose null values newer servers refuse
// (docs/chef-server-api.md §3.3).
func CheckedMetadata() []string {
	return []string{"name", "version", "description", "long_description", "maintainer", "maintainer_email", "license",
		"dependencies", "platforms", "recommendations", "suggestions", "conflicting", "replacing"}
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
	return writeForm("cookbook version", body, func(o map[string]any) (map[string]any, error) {
		return manifestForm(o, "cookbook_name", "version")
	})
}

// CookbookArtifact returns the canonical form of a cookbook artifact: that of a
// cookbook version, with the artifact's name and identifier
// (docs/chef-server-api.md §5.1).
func CookbookArtifact(body []byte) ([]byte, error) {
	return writeForm("cookbook artifact", body, func(o map[string]any) (map[string]any, error) {
		return manifestForm(o, "identifier", "name", "version")
	})
}

// manifestForm returns what counts of a manifest, with the keys that name it.
func manifestForm(o map[string]any, names ...string) (map[string]any, error) {
	out := map[string]any{"frozen?": false}
	for _, key := range append(names, "frozen?") {
		if v, ok := o[key]; ok {
			out[key] = v
		}
	}
	files, err := appendFiles(nil, o, "all_files", "")
	for _, segment := range Segments() {
		if err == nil {
			files, err = appendFiles(files, o, segment, segment+"/")
		}
	}
	if err == nil {
		out["metadata"], err = fillMetadata(o)
	}
	slices.SortFunc(files, func(a, b file) int { return cmp.Or(bytes.Compare(a.path, b.path), bytes.Compare(a.form, b.form)) })
	list := make([]any, len(files))
	for i, f := range files {
		list[i] = json.RawMessage(f.form)
	}
	out["all_files"] = list
	return out, err
}

// fillMetadata returns the metadata of a manifest with what servers fill in. A null in a
// field that newer servers check equals a missing one: they refuse it, an older one may
// still hold it, and clients read both alike (docs/chef-server-api.md §3.3, §10 gotcha 8).
func fillMetadata(manifest map[string]any) (any, error) {
	m := map[string]any{}
	if v, ok := manifest["metadata"]; ok {
		if m, ok = v.(map[string]any); !ok {
			return nil, fmt.Errorf("metadata: %w", ErrShape)
		}
	}
	for _, key := range CheckedMetadata() {
		if m[key] == nil {
			delete(m, key)
		}
	}
	addDefaults(m, map[string]any{"attributes": map[string]any{}, "dependencies": map[string]any{}, "long_description": ""})
	return m, nil
}

// file is the canonical form of one entry of a manifest, and of its path.
type file struct{ path, form []byte }

// appendFiles appends the files of a list of a manifest, if it has that list.
func appendFiles(files []file, manifest map[string]any, list, prefix string) ([]file, error) {
	v, ok := manifest[list]
	if !ok {
		return files, nil
	}
	entries, ok := v.([]any)
	if !ok {
		return nil, fmt.Errorf("list of files: %w", ErrShape)
	}
	for _, entry := range entries {
		e, ok := entry.(map[string]any)
		if !ok {
			return nil, fmt.Errorf("file: %w", ErrShape)
		}
		f, form := file{}, map[string]any{}
		for _, key := range []string{"checksum", "name", "path", "specificity"} {
			if v, ok := e[key]; ok {
				form[key] = v
			}
		}
		if sum, ok := e["checksum"].(string); ok {
			form["checksum"] = strings.ToLower(sum) // hexadecimal
		}
		if name, ok := e["name"].(string); ok {
			form["name"] = fullName(prefix, name)
		}
		if path, ok := e["path"]; ok {
			f.path = appendValue(nil, path)
		}
		f.form = appendObject(nil, form)
		files = append(files, f)
	}
	return files, nil
}

// fullName returns a file's name of API version 2.
func fullName(prefix, name string) string {
	if prefix == "" && !strings.Contains(name, "/") {
		prefix = "root_files/"
	}
	return prefix + name
}

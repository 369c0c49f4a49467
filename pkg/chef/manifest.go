package chef

import (
	"cmp"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"chefsync/pkg/object/canonical"
)

// allFiles is the key of a manifest's files at API version 2.
const allFiles = "all_files"

// manifestKeys are the keys that a Chef Server accepts in a cookbook PUT
// besides the files (docs/chef-server-api.md §3.3).
func manifestKeys() []string {
	return []string{"chef_type", "cookbook_name", "frozen?", "json_class", "metadata", "name", "version"}
}

// WritableManifest makes the body of a GET of a cookbook version, in the form of any API
// version, fit for a PUT at one: the accepted keys alone, no url in the files, and frozen?
// present, which goiardi demands (docs/chef-server-api.md §3.3). Of a cookbook artifact,
// servers store any further keys (§5.2). Dropped are the paths of files that the form of
// API versions 0 and 1 can't hold. Key order, numbers and unknown keys of files stay as
// they are.
func WritableManifest(body []byte, apiVersion int, artifact bool) (out []byte, dropped []string, err error) {
	m, files, err := decodeManifest(body)
	if err != nil {
		return nil, nil, err
	}
	if !artifact {
		m = m.filterKeys(func(key string) bool { return slices.Contains(manifestKeys(), key) })
	}
	if _, ok := m.getMember("frozen?"); !ok {
		m = m.setMember("frozen?", json.RawMessage("false"))
	}
	keys := []string{allFiles}
	if apiVersion < 2 {
		keys = canonical.Segments()
	}
	lists := map[string][]json.RawMessage{}
	for _, f := range files {
		key, name := allFiles, f.name
		if apiVersion < 2 {
			key, name = splitSegment(f.name)
		}
		if !slices.Contains(keys, key) {
			dropped = append(dropped, f.path())
			continue
		}
		entry := f.setMember("name", encodeString(name)).filterKeys(func(key string) bool { return key != "url" })
		lists[key] = append(lists[key], entry.encode())
	}
	for _, key := range keys {
		m = append(m, member{key, encodeArray(lists[key])})
	}
	slices.Sort(dropped)
	return m.encode(), dropped, nil
}

// splitSegment returns the segment of a file of all_files and its name there, as erchef
// does: the name begins with the segment, whatever the path; without one the file
// is a root file (chef_cookbook_version.erl, remove_segment_from_filename).
func splitSegment(full string) (segment, name string) {
	if segment, name, ok := strings.Cut(full, "/"); ok {
		return segment, name
	}
	return "root_files", full
}

// DropNullMetadata removes those null values of a manifest's metadata that a
// Chef Server refuses and an older one may still hold (docs/chef-server-api.md §10,
// gotcha 8). It returns the names of what it dropped.
func DropNullMetadata(body []byte) (out []byte, dropped []string, err error) {
	m, err := decodeMembers(body)
	if err != nil {
		return nil, nil, fmt.Errorf("read a cookbook manifest: %w", err)
	}
	raw, ok := m.getMember("metadata")
	if !ok {
		return body, nil, nil
	}
	meta, err := decodeMembers(raw)
	if err != nil {
		return nil, nil, fmt.Errorf("the manifest's metadata: %w", err)
	}
	checked := canonical.CheckedMetadata()
	kept := members{}
	for _, x := range meta {
		if string(x.value) == "null" && slices.Contains(checked, x.key) {
			dropped = append(dropped, "metadata."+x.key)
			continue
		}
		kept = append(kept, x)
	}
	return m.setMember("metadata", kept.encode()).encode(), dropped, nil
}

// ManifestFile is one file of a cookbook version.
type ManifestFile struct {
	Path     string
	Checksum string // lower-case hexadecimal MD5
	URL      string // presigned; "" if the server gave none
}

// ManifestFiles lists the files of a cookbook version in either form, in the
// order of the manifest. A file without a valid checksum is an error.
func ManifestFiles(body []byte) ([]ManifestFile, error) {
	_, files, err := decodeManifest(body)
	if err != nil {
		return nil, err
	}
	out := make([]ManifestFile, len(files))
	for i, f := range files {
		sum, _ := f.getString("checksum")
		url, _ := f.getString("url")
		sum = strings.ToLower(sum)
		if !validChecksum(sum) {
			return nil, fmt.Errorf("the file %s has no valid checksum", f.path())
		}
		out[i] = ManifestFile{Path: f.path(), Checksum: sum, URL: url}
	}
	return out, nil
}

// manifestFile is an entry of a manifest, with the name that it has at API version 2.
type manifestFile struct {
	members
	name string
}

// path returns the file's path for messages, or its name if it has none.
func (f manifestFile) path() string {
	p, _ := f.getString("path")
	return cleanText(cmp.Or(p, f.name), maxText)
}

// decodeManifest decodes a manifest in either form. Rest is what isn't a list of files.
func decodeManifest(body []byte) (rest members, files []manifestFile, err error) {
	m, err := decodeMembers(body)
	if err != nil {
		return nil, nil, fmt.Errorf("read a cookbook manifest: %w", err)
	}
	for _, x := range m {
		prefix := x.key + "/"
		switch {
		case x.key == allFiles:
			prefix = ""
		case !slices.Contains(canonical.Segments(), x.key):
			rest = append(rest, x)
			continue
		}
		var list []json.RawMessage
		if err := json.Unmarshal(x.value, &list); err != nil {
			return nil, nil, fmt.Errorf("read a cookbook manifest: %s isn't an array", x.key)
		}
		for _, entry := range list {
			f, err := decodeMembers(entry)
			if err != nil {
				return nil, nil, fmt.Errorf("read a cookbook manifest: an entry of %s: %w", x.key, err)
			}
			name, ok := f.getString("name")
			if !ok {
				return nil, nil, fmt.Errorf("read a cookbook manifest: a file of %s has no name", x.key)
			}
			files = append(files, manifestFile{f, prefix + name})
		}
	}
	return rest, files, nil
}

// validChecksum reports whether s is a lower-case hexadecimal MD5.
func validChecksum(s string) bool {
	return len(s) == 32 && strings.Trim(s, "0123456789abcdef") == ""
}

// CleanRevision makes the body of a GET of a policy revision fit to be sent:
// policy_group_list, which servers add, would be stored (docs/chef-server-api.md §5.2).
func CleanRevision(body []byte) ([]byte, error) {
	m, err := decodeMembers(body)
	if err != nil {
		return nil, fmt.Errorf("read a policy revision: %w", err)
	}
	return m.filterKeys(func(key string) bool { return key != "policy_group_list" }).encode(), nil
}

package chef

import (
	"encoding/json"
	"errors"
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

// ManifestToSegments rewrites a cookbook version of API version 2 (all_files)
// in the form of versions 0 and 1. Dropped are the paths of files that this
// form can't hold. Key order, numbers and unknown keys stay as they are.
// A manifest that is in segments already is returned unchanged.
func ManifestToSegments(body []byte) (out []byte, dropped []string, err error) {
	m, err := decodeManifest(body)
	if err != nil {
		return nil, nil, err
	}
	raw, ok := m.getMember(allFiles)
	if !ok {
		return body, nil, nil
	}
	files, err := decodeFiles(allFiles, raw)
	if err != nil {
		return nil, nil, err
	}
	bySegment := map[string][]json.RawMessage{}
	for _, f := range files {
		segment, name := splitSegment(f)
		if !slices.Contains(canonical.Segments(), segment) {
			dropped = append(dropped, filePath(f))
			continue
		}
		f = f.setMember("name", encodeString(name))
		bySegment[segment] = append(bySegment[segment], f.encode())
	}
	var res members
	for _, x := range m {
		switch {
		case x.key == allFiles:
			for _, s := range canonical.Segments() {
				res = append(res, member{s, encodeArray(bySegment[s])})
			}
		case !slices.Contains(canonical.Segments(), x.key):
			res = append(res, x)
		}
	}
	slices.Sort(dropped)
	return res.encode(), dropped, nil
}

// splitSegment returns the segment of a file of all_files and its name there, as erchef
// does: the name begins with the segment, whatever the path; without one the file
// is a root file (chef_cookbook_version.erl, remove_segment_from_filename).
func splitSegment(f members) (segment, name string) {
	full, _ := f.getString("name")
	if segment, name, ok := strings.Cut(full, "/"); ok {
		return segment, name
	}
	return "root_files", full
}

func filePath(f members) string {
	if p, ok := f.getString("path"); ok && p != "" {
		return cleanText(p, maxText)
	}
	name, _ := f.getString("name")
	return cleanText(name, maxText)
}

// ManifestToAllFiles rewrites a cookbook version of API version 0 or 1 in the
// form of version 2, as a Chef Server does when asked for it: the segment's
// name goes before the file's name. A manifest that has all_files already is
// returned unchanged.
func ManifestToAllFiles(body []byte) ([]byte, error) {
	m, err := decodeManifest(body)
	if err != nil {
		return nil, err
	}
	if _, ok := m.getMember(allFiles); ok {
		return body, nil
	}
	var all []json.RawMessage
	for _, s := range canonical.Segments() {
		raw, ok := m.getMember(s)
		if !ok {
			continue
		}
		files, err := decodeFiles(s, raw)
		if err != nil {
			return nil, err
		}
		for _, f := range files {
			name, _ := f.getString("name")
			all = append(all, f.setMember("name", encodeString(s+"/"+name)).encode())
		}
	}
	res := m.filterKeys(func(key string) bool { return !slices.Contains(canonical.Segments(), key) })
	return res.setMember(allFiles, encodeArray(all)).encode(), nil
}

// CleanManifest makes the body of a GET of a cookbook version fit for a PUT at
// an API version: exactly the accepted keys, no url in the files, and frozen?
// present, which goiardi demands (docs/chef-server-api.md §3.3). The manifest must
// already have the form of that version.
func CleanManifest(body []byte, apiVersion int) ([]byte, error) {
	return cleanManifest(body, apiVersion, func(key string) bool { return slices.Contains(manifestKeys(), key) })
}

// CleanArtifact is CleanManifest for a cookbook artifact, of which servers store
// any further keys (docs/chef-server-api.md §5.2).
func CleanArtifact(body []byte, apiVersion int) ([]byte, error) {
	return cleanManifest(body, apiVersion, func(key string) bool { return key != allFiles && !slices.Contains(canonical.Segments(), key) })
}

// cleanManifest keeps the files and the other keys that are accepted.
func cleanManifest(body []byte, apiVersion int, accepted func(string) bool) ([]byte, error) {
	m, err := decodeManifest(body)
	if err != nil {
		return nil, err
	}
	fileKeys := canonical.Segments()
	if apiVersion >= 2 {
		fileKeys = []string{allFiles}
	}
	_, isV2 := m.getMember(allFiles)
	hasSegments := slices.ContainsFunc(canonical.Segments(), func(s string) bool { _, ok := m.getMember(s); return ok })
	if isV2 && apiVersion < 2 || !isV2 && hasSegments && apiVersion >= 2 {
		return nil, fmt.Errorf("the manifest doesn't have the form of API version %d", apiVersion)
	}
	m = m.filterKeys(func(key string) bool { return accepted(key) || slices.Contains(fileKeys, key) })
	for i, x := range m {
		if slices.Contains(fileKeys, x.key) {
			if m[i].value, err = withoutURLs(x.key, x.value); err != nil {
				return nil, err
			}
		}
	}
	if _, ok := m.getMember("frozen?"); !ok {
		m = m.setMember("frozen?", json.RawMessage("false"))
	}
	return m.encode(), nil
}

func withoutURLs(key string, raw json.RawMessage) (json.RawMessage, error) {
	files, err := decodeFiles(key, raw)
	if err != nil {
		return nil, err
	}
	out := make([]json.RawMessage, len(files))
	for i, f := range files {
		out[i] = f.filterKeys(func(key string) bool { return key != "url" }).encode()
	}
	return encodeArray(out), nil
}

// DropNullMetadata removes those null values of a manifest's metadata that a
// Chef Server refuses and an older one may still hold (docs/chef-server-api.md §10,
// gotcha 8). It returns the names of what it dropped.
func DropNullMetadata(body []byte) (out []byte, dropped []string, err error) {
	m, err := decodeManifest(body)
	if err != nil {
		return nil, nil, err
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
	m, err := decodeManifest(body)
	if err != nil {
		return nil, err
	}
	keys := append([]string{allFiles}, canonical.Segments()...)
	var out []ManifestFile
	for _, x := range m {
		if !slices.Contains(keys, x.key) {
			continue
		}
		files, err := decodeFiles(x.key, x.value)
		if err != nil {
			return nil, err
		}
		for _, f := range files {
			sum, _ := f.getString("checksum")
			url, _ := f.getString("url")
			sum = strings.ToLower(sum)
			if !validChecksum(sum) {
				return nil, fmt.Errorf("the file %s has no valid checksum", filePath(f))
			}
			out = append(out, ManifestFile{Path: filePath(f), Checksum: sum, URL: url})
		}
	}
	return out, nil
}

func decodeManifest(body []byte) (members, error) {
	if err := checkJSON(body); err != nil {
		return nil, fmt.Errorf("read a cookbook manifest: %w", err)
	}
	m, err := decodeMembers(body)
	if err != nil {
		return nil, fmt.Errorf("read a cookbook manifest: %w", err)
	}
	return m, nil
}

func decodeFiles(key string, raw json.RawMessage) ([]members, error) {
	var list []json.RawMessage
	if err := json.Unmarshal(raw, &list); err != nil {
		return nil, fmt.Errorf("read a cookbook manifest: %s isn't an array", key)
	}
	out := make([]members, len(list))
	for i, f := range list {
		m, err := decodeMembers(f)
		if err != nil {
			return nil, fmt.Errorf("read a cookbook manifest: an entry of %s: %w", key, err)
		}
		if _, ok := m.getString("name"); !ok {
			return nil, errors.New("read a cookbook manifest: a file of " + key + " has no name")
		}
		out[i] = m
	}
	return out, nil
}

// validChecksum reports whether s is a lower-case hexadecimal MD5.
func validChecksum(s string) bool {
	return len(s) == 32 && strings.Trim(s, "0123456789abcdef") == ""
}

package chef

import (
	"encoding/json"
	"regexp"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"chefsync/pkg/object/canonical"
)

const v2Manifest = `{"version":"1.0.0","name":"a-1.0.0","cookbook_name":"a","json_class":"Chef::CookbookVersion",` +
	`"chef_type":"cookbook_version","frozen?":true,` +
	`"metadata":{"name":"a","big":123456789012345678901234567890,"f":1.50,"html":"<&>"},` +
	`"all_files":[{"name":"recipes/default.rb","path":"recipes/default.rb","checksum":"` + sumA +
	`","specificity":"default","url":"https://x"},` +
	`{"name":"root_files/metadata.rb","path":"metadata.rb","checksum":"` + sumB + `","specificity":"default","url":"https://y"},` +
	`{"name":"templates/x.erb","path":"templates/host/x.erb","checksum":"` + sumB + `","specificity":"host","extra":1e3},` +
	`{"name":"ohai/p.rb","path":"ohai/p.rb","checksum":"` + sumA + `","specificity":"default"}]}`

const v0Manifest = `{"version":"1.0.0","name":"a-1.0.0","cookbook_name":"a","json_class":"Chef::CookbookVersion",` +
	`"chef_type":"cookbook_version","frozen?":true,` +
	`"metadata":{"name":"a","big":123456789012345678901234567890,"f":1.50,"html":"<&>"},` +
	`"attributes":[],"definitions":[],"files":[],"libraries":[],"providers":[],` +
	`"recipes":[{"name":"default.rb","path":"recipes/default.rb","checksum":"` + sumA +
	`","specificity":"default","url":"https://x"}],"resources":[],` +
	`"root_files":[{"name":"metadata.rb","path":"metadata.rb","checksum":"` + sumB + `","specificity":"default","url":"https://y"}],` +
	`"templates":[{"name":"x.erb","path":"templates/host/x.erb","checksum":"` + sumB + `","specificity":"host","extra":1e3}]}`

// withoutURLs returns a manifest without the URLs of its files.
func withoutURLs(manifest string) string {
	return regexp.MustCompile(`,"url":"[^"]*"`).ReplaceAllString(manifest, "")
}

// reordered returns a manifest with the keys in the order of WritableManifest: the lists
// of files at the end.
func reordered(t *testing.T, manifest string) string {
	t.Helper()
	m, _, err := decodeManifest([]byte(manifest))
	if err != nil {
		t.Fatal(err)
	}
	all, err := decodeMembers([]byte(manifest))
	if err != nil {
		t.Fatal(err)
	}
	return string(append(m, all.filterKeys(func(key string) bool { _, ok := m.getMember(key); return !ok })...).encode())
}

func TestManifestsAreWrittenInTheFormOfAnAPIVersion(t *testing.T) {
	shared := strings.Replace(v2Manifest, `,{"name":"ohai/p.rb","path":"ohai/p.rb","checksum":"`+sumA+`","specificity":"default"}`, "", 1)
	for name, c := range map[string]struct {
		body    string
		version int
		want    string
		dropped []string
	}{
		"2 to 2": {v2Manifest, 2, v2Manifest, nil},
		"2 to 1": {v2Manifest, 1, v0Manifest, []string{"ohai/p.rb"}},
		"2 to 0": {v2Manifest, 0, v0Manifest, []string{"ohai/p.rb"}},
		"1 to 1": {v0Manifest, 1, v0Manifest, nil},
		"1 to 2": {v0Manifest, 2, shared, nil},
	} {
		got, dropped, err := WritableManifest([]byte(c.body), c.version, false)
		if want := withoutURLs(reordered(t, c.want)); err != nil || string(got) != want {
			t.Errorf("%s: error %v\ngot  %s\nwant %s", name, err, got, want)
		}
		equalStrings(t, name+": dropped", dropped, c.dropped)
	}
}

func TestManifestFilesWithoutASegmentInTheirName(t *testing.T) {
	body := `{"all_files":[{"name":"metadata.rb","path":"metadata.rb"},{"name":"x.rb","path":"recipes/x.rb"},{"name":"spec.rb",` +
		`"path":"spec/spec.rb"}]}`
	got, dropped, err := WritableManifest([]byte(body), 1, false)
	if err != nil {
		t.Fatal(err)
	}
	want := `"root_files":[{"name":"metadata.rb","path":"metadata.rb"},{"name":"x.rb","path":"recipes/x.rb"},{"name":"spec.rb",` +
		`"path":"spec/spec.rb"}]`
	if !strings.Contains(string(got), want) || !strings.Contains(string(got), `"recipes":[]`) {
		t.Errorf("%s lacks %s: a server puts files by their name, not by their path", got, want)
	}
	equalStrings(t, "dropped", dropped, nil)
}

func TestManifestsKeepExactlyTheAcceptedKeys(t *testing.T) {
	const body = `{"name":"a-1.0.0","access":{"read":true},"cookbook_name":"a","version":"1.0.0","metadata":{"x":1.0},"identifier":"z",` +
		`"all_files":[{"name":"recipes/d.rb","url":"https://x?secret","path":"recipes/d.rb","checksum":"` + sumA +
		`","specificity":"default","extra":1}]}`
	const files = `"frozen?":false,"all_files":[{"name":"recipes/d.rb","path":"recipes/d.rb","checksum":"` + sumA +
		`","specificity":"default","extra":1}]}`
	for artifact, want := range map[bool]string{
		false: `{"name":"a-1.0.0","cookbook_name":"a","version":"1.0.0","metadata":{"x":1.0},` + files,
		true:  `{"name":"a-1.0.0","access":{"read":true},"cookbook_name":"a","version":"1.0.0","metadata":{"x":1.0},"identifier":"z",` + files,
	} {
		got, _, err := WritableManifest([]byte(body), 2, artifact)
		if err != nil || string(got) != want {
			t.Errorf("artifact %v: error %v\ngot  %s\nwant %s", artifact, err, got, want)
		}
	}
}

func TestDropNullMetadataDropsOnlyWhatServersRefuse(t *testing.T) {
	got, dropped, err := DropNullMetadata([]byte(`{"name":"a-1","metadata":{"maintainer":null,"license":"x","mine":null,` +
		`"description":null}}`))
	if err != nil || string(got) != `{"name":"a-1","metadata":{"license":"x","mine":null}}` {
		t.Errorf("got %s, error %v", got, err)
	}
	equalStrings(t, "dropped", dropped, []string{"metadata.maintainer", "metadata.description"})
}

func TestManifestFilesListsBothForms(t *testing.T) {
	for form, want := range map[string]int{v2Manifest: 4, v0Manifest: 3} {
		files, err := ManifestFiles([]byte(form))
		if err != nil || len(files) != want || files[0] != (ManifestFile{Path: "recipes/default.rb", Checksum: sumA, URL: "https://x"}) {
			t.Errorf("files %+v, error %v", files, err)
		}
	}
	for _, bad := range []string{`{"all_files":[{"name":"x","checksum":"short"}]}`, `{"all_files":[{"name":"x"}]}`,
		`{"all_files":{}}`, `[]`, `{"recipes":[1]}`} {
		if _, err := ManifestFiles([]byte(bad)); err == nil {
			t.Errorf("%s was accepted", bad)
		}
	}
}

func TestConversionRoundTripChangesNothing(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		body := segmentManifest(t)
		v2, _, err := WritableManifest(body, 2, true)
		if err != nil {
			t.Fatal(err)
		}
		back, dropped, err := WritableManifest(v2, 1, true)
		if err != nil || len(dropped) > 0 {
			t.Fatalf("dropped %v, error %v", dropped, err)
		}
		if string(back) != string(body) {
			t.Fatalf("there and back:\n%s\n%s", body, back)
		}
	})
}

// segmentManifest draws a manifest with its segments at the end.
func segmentManifest(t *rapid.T) []byte {
	m := members{{"name", json.RawMessage(`"a-1.0.0"`)}, {"frozen?", json.RawMessage("true")},
		{"n", json.RawMessage(rapid.SampledFrom([]string{"1.0", "1e400", "12345678901234567890", "null"}).Draw(t, "number"))}}
	for _, s := range canonical.Segments() {
		var files []json.RawMessage
		for _, n := range rapid.SliceOfN(rapid.StringMatching(`[a-zA-Z0-9_.<&>ü-]{1,8}(/[a-z]{1,3})?`), 0, 3).Draw(t, s) {
			f := members{{"specificity", json.RawMessage(`"default"`)}, {"name", encodeString(n)}, {"path", encodeString(s + "/" + n)}}
			files = append(files, f.encode())
		}
		m = append(m, member{s, encodeArray(files)})
	}
	return m.encode()
}

func FuzzManifest(f *testing.F) {
	for _, s := range []string{v2Manifest, v0Manifest, `{"all_files":null}`,
		`{"recipes":[{"name":"a"},{"name":"a"}],"recipes":[]}`, `{"metadata":{"name":null}}`} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		for version := range 3 {
			checkWritable(t, body, version)
		}
		if out, _, err := DropNullMetadata(body); err == nil && !json.Valid(out) {
			t.Errorf("invalid JSON %q", out)
		}
		_, _ = ManifestFiles(body)
	})
}

func checkWritable(t *testing.T, body []byte, version int) {
	clean, _, err := WritableManifest(body, version, false)
	if err != nil {
		return
	}
	var doc map[string]json.RawMessage
	if err := json.Unmarshal(clean, &doc); err != nil {
		t.Fatalf("%v in %q", err, clean)
	}
	for key := range doc {
		if !slices.Contains(slices.Concat(manifestKeys(), canonical.Segments(), []string{allFiles}), key) {
			t.Errorf("the key %q is left", key)
		}
	}
	if again, _, err := WritableManifest(clean, version, false); err != nil || string(again) != string(clean) {
		t.Errorf("%q becomes %q, error %v", clean, again, err)
	}
}

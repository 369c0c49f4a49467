package main

import (
	"archive/tar"
	"archive/zip"
	"bytes"
	"compress/gzip"
	"crypto/x509"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/v1/layout"
)

// testRelease returns a release with one program for each of some platforms, which isn't
// really one.
func testRelease(t *testing.T, platforms ...string) (*release, []program) {
	t.Helper()
	r := &release{dist: t.TempDir(), work: t.TempDir(), log: io.Discard, version: "1.2.3", commit: "a8c9d96",
		time: time.Date(2026, 11, 30, 7, 30, 12, 0, time.UTC)}
	var programs []program
	for _, platform := range platforms {
		system, architecture, _ := strings.Cut(platform, "/")
		p := program{system: system, architecture: architecture, path: filepath.Join(r.work, system+architecture)}
		if err := os.WriteFile(p.path, []byte("the program for "+platform), 0o700); err != nil {
			t.Fatal(err)
		}
		programs = append(programs, p)
	}
	return r, programs
}

// releasedFiles returns the content of the files of a release by their names.
func releasedFiles(t *testing.T, r *release) map[string]string {
	t.Helper()
	files := map[string]string{}
	entries, err := os.ReadDir(r.dist)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		data, err := os.ReadFile(filepath.Join(r.dist, e.Name()))
		if err != nil {
			t.Fatal(err)
		}
		files[e.Name()] = string(data)
	}
	return files
}

// Files as they are on another machine: of other times, in another folder.
func TestTheSameProgramsGiveTheSameFiles(t *testing.T) {
	platforms := []string{"linux/amd64", "linux/arm64", "windows/amd64"}
	var releases []map[string]string
	for range 2 {
		r, programs := testRelease(t, platforms...)
		shared := []file{{name: "README.md", content: []byte("read me"), mode: 0o644}}
		for _, p := range programs {
			if err := os.Chtimes(p.path, time.Now(), time.Now().Add(-time.Duration(len(releases))*time.Hour)); err != nil {
				t.Fatal(err)
			}
			if err := r.archive(p, shared); err != nil {
				t.Fatal(err)
			}
		}
		if err := r.buildImage(programs[:2]); err != nil {
			t.Fatal(err)
		}
		if err := r.writeSums(); err != nil {
			t.Fatal(err)
		}
		releases = append(releases, releasedFiles(t, r))
	}
	if len(releases[0]) != len(platforms)+2 {
		t.Errorf("the release has %d files", len(releases[0]))
	}
	for name, content := range releases[0] {
		if releases[1][name] != content {
			t.Errorf("%s differs", name)
		}
	}
}

func TestArchives(t *testing.T) {
	r, programs := testRelease(t, "linux/arm64", "windows/amd64")
	for _, p := range programs {
		if err := r.archive(p, []file{{name: "man/x.1", content: []byte("page"), mode: 0o644}}); err != nil {
			t.Fatal(err)
		}
	}
	released := releasedFiles(t, r)
	unzipped, err := gzip.NewReader(strings.NewReader(released["chef-sync-ctl_1.2.3_linux_arm64.tar.gz"]))
	if err != nil {
		t.Fatal(err)
	}
	archive := tar.NewReader(unzipped)
	header, err := archive.Next()
	if err != nil {
		t.Fatal(err)
	}
	if header.Name != "chef-sync-ctl_1.2.3_linux_arm64/chef-sync-ctl" || header.Mode != 0o755 || header.Uid != 0 || !header.ModTime.Equal(r.time) {
		t.Errorf("%+v", header)
	}
	windows := released["chef-sync-ctl_1.2.3_windows_amd64.zip"]
	files, err := zip.NewReader(strings.NewReader(windows), int64(len(windows)))
	if err != nil {
		t.Fatal(err)
	}
	if f := files.File[0]; f.Name != "chef-sync-ctl_1.2.3_windows_amd64/chef-sync-ctl.exe" || f.Mode() != 0o755 || len(files.File) != 2 {
		t.Errorf("%+v", f)
	}
}

func TestImage(t *testing.T) {
	r, programs := testRelease(t, "linux/amd64", "linux/arm64")
	if err := r.buildImage(programs); err != nil {
		t.Fatal(err)
	}
	unpacked := t.TempDir()
	archive := tar.NewReader(strings.NewReader(releasedFiles(t, r)["chef-sync_1.2.3_image.oci.tar"]))
	for {
		header, err := archive.Next()
		if err == io.EOF {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		path := filepath.Join(unpacked, header.Name)
		if header.Typeflag == tar.TypeDir {
			err = os.MkdirAll(path, 0o755)
		} else {
			data, _ := io.ReadAll(archive)
			err = os.WriteFile(path, data, 0o600)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	index, err := layout.ImageIndexFromPath(unpacked)
	if err != nil {
		t.Fatal(err)
	}
	manifest, err := index.IndexManifest()
	if err != nil || len(manifest.Manifests) != 1 || manifest.Manifests[0].Annotations["org.opencontainers.image.ref.name"] != "chef-sync:1.2.3" {
		t.Fatalf("%+v, %v", manifest, err)
	}
	if index, err = index.ImageIndex(manifest.Manifests[0].Digest); err != nil {
		t.Fatal(err)
	}
	images, err := index.IndexManifest()
	if err != nil || len(images.Manifests) != 2 {
		t.Fatalf("%+v, %v", images, err)
	}
	arm := images.Manifests[1]
	if arm.Platform.Architecture != "arm64" {
		t.Errorf("platform %s", arm.Platform)
	}
	image, err := index.Image(arm.Digest)
	if err != nil {
		t.Fatal(err)
	}
	config, err := image.ConfigFile()
	if err != nil {
		t.Fatal(err)
	}
	if config.Config.User != "65532:65532" || config.Architecture != "arm64" || config.Config.Labels["org.opencontainers.image.revision"] != "a8c9d96" {
		t.Errorf("%+v", config)
	}
	layers, err := image.Layers()
	if err != nil || len(layers) != 1 {
		t.Fatalf("%d layers, %v", len(layers), err)
	}
	content, err := layers[0].Uncompressed()
	if err != nil {
		t.Fatal(err)
	}
	defer content.Close()
	checkImageFiles(t, tar.NewReader(content))
}

func checkImageFiles(t *testing.T, archive *tar.Reader) {
	t.Helper()
	found := map[string]*tar.Header{}
	var authorities []byte
	for {
		header, err := archive.Next()
		if err == io.EOF {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		found[header.Name] = header
		if header.Name == "etc/ssl/certs/ca-certificates.crt" {
			authorities, _ = io.ReadAll(archive)
		}
	}
	if h := found["usr/bin/chef-sync-ctl"]; h == nil || h.Mode != 0o755 || h.Size != int64(len("the program for linux/arm64")) {
		t.Errorf("the program: %+v", h)
	}
	if h := found["var/lib/chef-sync/"]; h == nil || h.Uid != imageUser || h.Gid != imageUser || h.Mode != 0o750 {
		t.Errorf("the folder of the state: %+v", h)
	}
	if h := found["tmp/"]; h == nil || h.Mode != 0o1777 {
		t.Errorf("/tmp: %+v", h)
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(authorities) || bytes.Count(authorities, []byte("BEGIN CERTIFICATE")) < 100 {
		t.Error("the image lacks certificate authorities")
	}
}

func TestSharedFiles(t *testing.T) {
	t.Chdir(filepath.Join("..", "..", ".."))
	files, err := (&release{}).sharedFiles()
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, f := range files {
		content, err := f.read()
		if err != nil || len(content) == 0 {
			t.Errorf("%s: %d bytes, %v", f.name, len(content), err)
		}
		names = append(names, f.name)
	}
	for _, want := range []string{"LICENSE", "man/chef-sync-ctl.1", "man/chef-sync-ctl-sync-status.1", "completions/chef-sync-ctl.bash", "completions/chef-sync-ctl.zsh"} {
		if !slices.Contains(names, want) {
			t.Errorf("%s is missing", want)
		}
	}
	if !slices.IsSorted(names) {
		t.Errorf("not in order: %q", names)
	}
}

func TestModuleListsDontDependOnTheMachine(t *testing.T) {
	got, err := withoutToolHashes([]byte(`{"metadata": {"tools": [{"name": "x", "hashes": [{"alg": "MD5", "content": "1"}]}]}, "components": [{"hashes": [2]}]}`))
	if err != nil {
		t.Fatal(err)
	}
	want := `{
  "components": [
    {
      "hashes": [
        2
      ]
    }
  ],
  "metadata": {
    "tools": [
      {
        "name": "x"
      }
    ]
  }
}
`
	if string(got) != want {
		t.Errorf("got %s", got)
	}
	for _, text := range []string{"", "{}"} {
		if _, err := withoutToolHashes([]byte(text)); err == nil {
			t.Errorf("%q is taken", text)
		}
	}
}

func TestTemplate(t *testing.T) {
	r, _ := testRelease(t)
	folder := t.TempDir()
	for _, name := range []string{"chef-sync.template.json", "deploy.sh"} {
		if err := os.WriteFile(filepath.Join(folder, name), []byte("text"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := r.packTemplate(folder); err != nil {
		t.Fatal(err)
	}
	packed := releasedFiles(t, r)["chef-sync-aws_1.2.3.zip"]
	archive, err := zip.NewReader(strings.NewReader(packed), int64(len(packed)))
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]string{}
	for _, f := range archive.File {
		got[f.Name] = f.Mode().String()
	}
	want := map[string]string{"chef-sync-aws_1.2.3/chef-sync.template.json": "-rw-r--r--", "chef-sync-aws_1.2.3/deploy.sh": "-rwxr-xr-x"}
	if !maps.Equal(got, want) {
		t.Errorf("got %v", got)
	}
	if err := r.packTemplate(filepath.Join(folder, "missing")); err == nil {
		t.Error("a release without the template passes")
	}
}

func TestSums(t *testing.T) {
	r, _ := testRelease(t)
	if err := os.WriteFile(filepath.Join(r.dist, "file"), []byte("text"), 0o600); err != nil {
		t.Fatal(err)
	}
	for range 2 { // the second time the sums are there already
		if err := r.writeSums(); err != nil {
			t.Fatal(err)
		}
	}
	const sum = "982d9e3eb996f559e633f4d194def3761d909f5a3b647d1a851fead67c32c9d1"
	if got := releasedFiles(t, r)["SHA256SUMS"]; got != sum+"  file\n" {
		t.Errorf("sums %q", got)
	}
}

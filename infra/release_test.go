//go:build infra

package main

import (
	"archive/zip"
	"bytes"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"chefsync/pkg/config"
)

// A ZIP file that differs, or has another name, would replace a function for nothing.
func TestTheSameProgramMakesTheSameZIPFile(t *testing.T) {
	program := filepath.Join(t.TempDir(), "bootstrap")
	var names, contents []string
	for _, text := range []string{"one", "one", "two"} {
		if err := os.WriteFile(program, []byte(text), 0o755); err != nil {
			t.Fatal(err)
		}
		folder := t.TempDir()
		name, err := writeZip(folder, "sync", program)
		if err != nil {
			t.Fatal(err)
		}
		content, err := os.ReadFile(filepath.Join(folder, name))
		if err != nil {
			t.Fatal(err)
		}
		names, contents = append(names, name), append(contents, string(content))
		checkZip(t, content, text)
	}
	if names[0] != names[1] || contents[0] != contents[1] || names[0] == names[2] {
		t.Errorf("names %q", names)
	}
	if !regexp.MustCompile(`^sync-[0-9a-f]{16}\.zip$`).MatchString(names[0]) { // as deploy.sh expects
		t.Errorf("name %s", names[0])
	}
}

// checkZip verifies that Lambda can run what is in a ZIP file.
func checkZip(t *testing.T, content []byte, want string) {
	t.Helper()
	z, err := zip.NewReader(bytes.NewReader(content), int64(len(content)))
	if err != nil {
		t.Fatal(err)
	}
	if len(z.File) != 1 || z.File[0].Name != "bootstrap" || z.File[0].Mode() != 0o755 {
		t.Fatalf("files %+v", z.File)
	}
	f, err := z.File[0].Open()
	if err != nil {
		t.Fatal(err)
	}
	got, err := io.ReadAll(f)
	if err != nil || want != "" && string(got) != want {
		t.Errorf("content %q, %v", got, err)
	}
}

func TestTheReleaseHasTheFilesThatItsTemplateNames(t *testing.T) {
	t.Chdir("..")
	context, err := readContext("cdk.json")
	if err != nil {
		t.Fatal(err)
	}
	folder := t.TempDir()
	if err := writeRelease(t.Output(), context, folder, config.X8664); err != nil {
		t.Fatal(err)
	}
	template, err := os.ReadFile(filepath.Join(folder, templateFile))
	if err != nil {
		t.Fatal(err)
	}
	var files []string
	for _, key := range regexp.MustCompile(`functions/[a-z]+-[0-9a-f]+\.zip`).FindAllString(string(template), -1) {
		name := strings.TrimPrefix(key, functionsFolder+"/")
		content, err := os.ReadFile(filepath.Join(folder, name))
		if err != nil {
			t.Error(err)
			continue
		}
		checkZip(t, content, "")
		function, _, _ := strings.Cut(name, "-")
		files = append(files, function)
	}
	slices.Sort(files)
	files = slices.Compact(files) // the resource of the configuration names the manager's, too
	if !slices.Equal(files, []string{"changes", "manager", "sync", "web"}) {
		t.Errorf("the template names the functions %q", files)
	}
	if !strings.Contains(string(template), `"Architectures":["x86_64"]`) || strings.Contains(string(template), "arm64") {
		t.Error("the template has another architecture than the functions")
	}
}

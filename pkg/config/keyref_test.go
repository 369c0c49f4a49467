package config

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestSecretsAreNeverPrinted(t *testing.T) {
	s := NewSecret([]byte("hunter2"))
	holder := struct {
		Key  Secret
		Refs []*Secret
	}{s, []*Secret{&s}}
	var logged strings.Builder
	slog.New(slog.NewJSONHandler(&logged, nil)).Info("x", "key", s, "all", holder)
	encoded, err := json.Marshal(holder)
	if err != nil {
		t.Fatal(err)
	}
	texts := []string{string(encoded), logged.String(), s.String(), s.GoString()}
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d"} {
		texts = append(texts, fmt.Sprintf(verb, s), fmt.Sprintf(verb, holder))
	}
	for _, text := range texts {
		if strings.Contains(text, "hunter2") || strings.Contains(text, "68756e746572") || strings.Contains(text, "104 117") ||
			strings.Contains(text, "aHVudGVy") {
			t.Errorf("the secret shows: %s", text)
		}
	}
	if string(s.Reveal()) != "hunter2" {
		t.Error("Reveal doesn't return the content")
	}
}

// TestFilesOfWindows: its editors begin a file with a byte order mark.
func TestFilesOfWindows(t *testing.T) {
	folder := t.TempDir()
	write := func(name, text string) string {
		path := filepath.Join(folder, name)
		if err := os.WriteFile(path, []byte("\ufeff"+text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	c, err := Loader{}.Load(write("chef-sync.toml", strings.ReplaceAll(minimalConfig, "env:KEY", "file:token")))
	if err != nil {
		t.Fatal(err)
	}
	write("token", "hunter2")
	if s, err := c.Primary.Key.Resolve(t.Context(), nil); err != nil || string(s.Reveal()) != "hunter2" {
		t.Errorf("got %q, %v", s.Reveal(), err)
	}
	if _, err := (Loader{}).Parse(FileName, []byte("\ufeff"+minimalConfig)); err != nil { // as a stack reads it
		t.Error(err)
	}
}

func TestModesOfWindowsSayNothing(t *testing.T) {
	if ReadableByOthers("windows", 0o666) || !ReadableByOthers("linux", 0o640) || ReadableByOthers("linux", 0o600) {
		t.Error("the mode is misread")
	}
}

func TestResolve(t *testing.T) {
	path := filepath.Join(t.TempDir(), "k.pem")
	if err := os.WriteFile(path, []byte("from a file"), 0o600); err != nil {
		t.Fatal(err)
	}
	resolvers := map[string]Resolver{"ssm": func(_ context.Context, name string) ([]byte, error) { return []byte("from " + name), nil }}
	l := Loader{Env: lookupIn(map[string]string{"KEY": `line\nline`, "EMPTY": " \n"})}
	tests := []struct{ ref, want, problem string }{
		{"file:" + path, "from a file", ""},
		{"env:KEY", "line\nline", ""},
		{"ssm:/a/b", "from /a/b", ""},
		{"env:OTHER", "", "read env:OTHER: the environment variable isn't set"},
		{"env:EMPTY", "", "read env:EMPTY: it is empty"},
		{"file:" + path + "x", "", "no such file"},
		{"secretsmanager:a", "", "need AWS, which isn't used here; use file or env"},
	}
	for _, tt := range tests {
		ref, err := (&reader{Loader: l, file: "/f"}).parseRef(tt.ref)
		if err != nil {
			t.Fatal(err)
		}
		got, err := ref.Resolve(t.Context(), resolvers)
		if string(got.Reveal()) != tt.want || tt.problem == "" && err != nil || tt.problem != "" &&
			(err == nil || !strings.Contains(err.Error(), tt.problem)) {
			t.Errorf("%s: %q, %v; want %q, %s", tt.ref, got.Reveal(), err, tt.want, tt.problem)
		}
	}
	if _, err := (KeyRef{}).Resolve(t.Context(), nil); err == nil {
		t.Error("a reference to nothing was resolved")
	}
}

func TestDurations(t *testing.T) {
	for text, want := range map[string]string{"90s": "1m30s", "5m": "5m", "2h": "2h", "3d": "3d", "1d12h": "1d12h",
		"1h30m": "1h30m", "0": "0", "0s": "0",
		"1.5d": "1d12h", "1500ms": "1.5s", "0.5h": "30m", "1m0s": "1m"} {
		d, err := ParseDuration(text)
		if err != nil || FormatDuration(d) != want {
			t.Errorf("%s: %s, %v; want %s", text, FormatDuration(d), err, want)
		}
		if again, err := ParseDuration(FormatDuration(d)); again != d || err != nil {
			t.Errorf("%s doesn't survive being written: %v, %v", text, again, err)
		}
	}
	for _, text := range []string{"", "5", "m", "-5m", "1d-2h", "5 m", "1w", "d", "1e9d", "NaNd", "Infd", "0x1pd", "999999999d",
		"106751d24h1h99999999h", "1d2"} {
		if d, err := ParseDuration(text); err == nil {
			t.Errorf("%q was taken as %v", text, d)
		}
	}
}

func FuzzParseDuration(f *testing.F) {
	f.Add("1d12h")
	f.Add("106751d23h")
	f.Fuzz(func(t *testing.T, text string) {
		d, err := ParseDuration(text)
		if err != nil {
			return
		}
		if again, err := ParseDuration(FormatDuration(d)); d < 0 || err != nil || again != d {
			t.Fatalf("%q is %d, written %s, read %d (%v)", text, d, FormatDuration(d), again, err)
		}
	})
}

//go:build infra

package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"chefsync/pkg/config"
)

func TestAConfigurationThatFunctionsCouldNotUseIsRefusedBeforeAnythingIsMade(t *testing.T) {
	folder := t.TempDir()
	for name, c := range map[string]struct{ file, text, want string }{
		"unknown key": {"a.toml", under(example(t), "[aws]", "memry = 1"), "a.toml:21:1: aws.memry: unknown key; did you mean memory?"},
		"file key":    {"a.toml", strings.Replace(example(t), "secretsmanager:chef-sync/eu", "file:eu.pem", 1), "a.toml:11:1: replica[0].key: the functions on AWS can't read file: references"},
		"other name":  {"a.conf", example(t), "a.conf: the name of the configuration must end in .toml"},
	} {
		path := filepath.Join(folder, c.file)
		if err := os.WriteFile(path, []byte(c.text), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := readConfig(path); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %s", name, err, c.want)
		}
	}
	if _, err := readConfig(filepath.Join(folder, "none.toml")); err == nil || !strings.Contains(err.Error(), "chef-sync-ctl init") {
		t.Errorf("no file: %v", err)
	}
}

func TestTheFileIsTheOneThatTheContextNames(t *testing.T) {
	for context, want := range map[string]string{"": "chef-sync.toml", `{"other": 1}`: "chef-sync.toml", `{"config": "eu.toml"}`: "eu.toml"} {
		if got, err := configPath(context); err != nil || got != want {
			t.Errorf("context %s: %q, %v; want %q", context, got, err, want)
		}
	}
	if _, err := configPath("{"); err == nil {
		t.Error("a broken context was taken")
	}
}

func TestAFunctionThatDoesNotBuildIsNamedWithTheCompilersWords(t *testing.T) {
	var log bytes.Buffer
	_, err := buildFunctions(&log, t.TempDir(), config.AWS{}) // ./functions isn't here
	if err == nil || !strings.Contains(err.Error(), "build functions/sync") || !strings.Contains(log.String(), "functions/sync") {
		t.Errorf("error %v, log %s", err, &log)
	}
}

// Where people deploy who share their machine with others, umask is 077.
func TestFunctionsCanBeRunByOthersThanWhoBuiltThem(t *testing.T) {
	t.Chdir("..")
	defer syscall.Umask(syscall.Umask(0o077))
	folders, err := buildFunctions(t.Output(), t.TempDir(), config.AWS{Architecture: config.ARM64})
	if err != nil {
		t.Fatal(err)
	}
	for name, folder := range folders {
		if info, err := os.Stat(filepath.Join(folder, "bootstrap")); err != nil || info.Mode().Perm() != 0o755 {
			t.Errorf("%s: %v, %v", name, info, err)
		}
	}
}

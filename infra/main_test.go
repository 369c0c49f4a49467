//go:build infra

package main

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/aws/aws-cdk-go/awscdk/v2"
	"github.com/aws/jsii-runtime-go"

	"chefsync/pkg/config"
)

// TestMain ends the jsii kernel, which synthesis starts.
func TestMain(m *testing.M) {
	code := m.Run()
	jsii.Close()
	os.Exit(code)
}

// exampleConfig returns the configuration that the tests change.
func exampleConfig(t *testing.T) string {
	t.Helper()
	text, err := os.ReadFile("testdata/chef-sync.toml")
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// addLine inserts a line in the table [aws] of a configuration.
func addLine(text, line string) string {
	return strings.Replace(text, "[aws]\n", "[aws]\n"+line+"\n", 1)
}

func TestUnusableConfigurationsAreRefused(t *testing.T) {
	folder := t.TempDir()
	for name, c := range map[string]struct{ file, text, want string }{
		"unknown key": {"a.toml", addLine(exampleConfig(t), "memry = 1"), "a.toml:21:1: aws.memry: unknown key; did you mean memory?"},
		"file key":    {"a.toml", strings.Replace(exampleConfig(t), "secretsmanager:chef-sync/eu", "file:eu.pem", 1), "a.toml:11:1: replica[0].key: the functions on AWS can't read file: references"},
		"other name":  {"a.conf", exampleConfig(t), "a.conf: the name of the configuration must end in .toml"},
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

func TestTheContextNamesTheFile(t *testing.T) {
	for context, want := range map[string]string{"": "chef-sync.toml", `{"other": 1}`: "chef-sync.toml", `{"config": "eu.toml"}`: "eu.toml"} {
		if got, err := readRequest(context); err != nil || got.Config != want || got.removesStack() {
			t.Errorf("context %s: %+v, %v; want %q", context, got, err, want)
		}
	}
	if _, err := readRequest("{"); err == nil {
		t.Error("a broken context was taken")
	}
}

// Removing a stack builds nothing and wants no more than its name.
func TestAStackIsRemovedByItsName(t *testing.T) {
	folder := t.TempDir()
	file := filepath.Join(folder, "undeployable.toml")
	text := addLine(strings.Replace(exampleConfig(t), "secretsmanager:chef-sync/eu", "env:KEY", 1), `stack = "from-file"`)
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	for want, o := range map[string]buildRequest{
		"by-name":   {Config: filepath.Join(folder, "none.toml"), Stack: "by-name"},
		"from-file": {Config: file},
	} {
		out := t.TempDir()
		app := awscdk.NewApp(&awscdk.AppProps{Outdir: &out})
		if err := addRemoved(app, o); err != nil {
			t.Fatal(err)
		}
		app.Synth(nil)
		if _, err := os.Stat(filepath.Join(out, want+".template.json")); err != nil {
			t.Error(err)
		}
	}
	err := addRemoved(awscdk.NewApp(nil), buildRequest{Config: "none.toml"})
	if err == nil || !strings.Contains(err.Error(), "make destroy STACK=NAME") {
		t.Errorf("without a name and a file: %v", err)
	}
	if o, err := readRequest(`{"config": "chef-sync.toml", "remove": "true", "stack": "x"}`); err != nil || !o.removesStack() || o.Stack != "x" {
		t.Errorf("order %+v, %v", o, err)
	}
}

// Where nobody can be asked, CDK is told not to ask.
func TestMakeRunsWithoutATerminal(t *testing.T) {
	for target, want := range map[string][]string{
		"deploy":  {"deploy", "--require-approval never", "-c config=chef-sync.toml", "--profile x"},
		"destroy": {"destroy", "--force", "-c remove=true", "--profile x"},
		"diff":    {"diff", "-c config=chef-sync.toml", "--profile x"},
	} {
		cmd := exec.Command("make", target, "CDK=echo", "CDK_FLAGS=--profile x") // its standard input is /dev/null
		cmd.Dir = ".."
		out, err := cmd.CombinedOutput()
		for _, w := range want {
			if err != nil || !strings.Contains(string(out), w) {
				t.Errorf("make %s: %v\n%s\nwant %s", target, err, out, w)
			}
		}
	}
}

func TestFunctionsAreBuiltForTheArchitecture(t *testing.T) {
	for architecture, want := range map[string]string{config.ARM64: "arm64", config.X8664: "amd64"} {
		if got := goArch(config.AWS{Architecture: architecture}); got != want {
			t.Errorf("%s: GOARCH %s, want %s", architecture, got, want)
		}
	}
}

func TestBuildErrorsNameTheFunction(t *testing.T) {
	var log bytes.Buffer
	_, err := buildFunctions(&log, t.TempDir(), config.AWS{}) // ./functions isn't here
	if err == nil || !strings.Contains(err.Error(), "build functions/cmd/sync") || !strings.Contains(log.String(), "functions/cmd/sync") {
		t.Errorf("error %v, log %s", err, &log)
	}
}

// On shared machines umask may be 077.
func TestBuiltFunctionsAreExecutableByAllUsers(t *testing.T) {
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

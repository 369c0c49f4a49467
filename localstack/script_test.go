package localstack

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"chefsync/pkg/config"
)

func readFile(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func TestTheScriptIsExecutable(t *testing.T) {
	info, err := os.Stat("run")
	if err != nil {
		t.Fatal(err)
	}
	if info.Mode()&0o111 != 0o111 {
		t.Errorf("run has mode %v; want everybody to be able to execute it", info.Mode())
	}
	if out, err := exec.Command("bash", "-n", "run").CombinedOutput(); err != nil {
		t.Errorf("bash -n run: %v\n%s", err, out)
	}
}

// Every step is told by the usage and by README.md, and every step that they tell
// is there.
func TestEveryStepIsDocumented(t *testing.T) {
	var steps []string
	for _, line := range regexp.MustCompile(`(?m)^([a-z |]+)\) .*;;$`).FindAllStringSubmatch(mainCase(t), -1) {
		steps = append(steps, strings.Split(line[1], " | ")...)
	}
	slices.Sort(steps)
	_, usage, err := runStep(t, nil)
	if err == nil {
		t.Error("without a step it does something")
	}
	_, table, _ := strings.Cut(readFile(t, "README.md"), "| step |")
	table, _, _ = strings.Cut(table, "\n\n")
	for name, found := range map[string][][]string{
		"usage":     regexp.MustCompile(`(?m)^  ([a-z]+) `).FindAllStringSubmatch(usage, -1),
		"README.md": regexp.MustCompile("(?m)^\\| `([a-z]+)").FindAllStringSubmatch(table, -1),
	} {
		var told []string
		for _, f := range found {
			told = append(told, f[1])
		}
		if slices.Sort(told); !slices.Equal(told, steps) || len(told) == 0 {
			t.Errorf("%s tells the steps %q, there are %q", name, told, steps)
		}
	}
}

// mainCase is the end of the script, where a step is chosen.
func mainCase(t *testing.T) string {
	_, choice, found := strings.Cut(readFile(t, "run"), "case ${1:-} in\n")
	if !found {
		t.Fatal("the script doesn't choose a step")
	}
	return choice
}

// Every command line of chef-sync-ctl in the script and in README.md is of a
// command that is there, with flags that it has; make targets likewise.
func TestCommandsExist(t *testing.T) {
	program, makefile := programs.Build(t, "chefsync/cli/chef-sync-ctl"), readFile(t, "../Makefile")
	commands, targets := 0, 0
	for _, file := range []string{"run", "README.md"} {
		text := readFile(t, file)
		for _, m := range regexp.MustCompile(`(?m)(?:^\t+ctl|run ctl|\x60chef-sync-ctl) ([a-z]+(?:-[a-z]+)*)((?: +(?:"\$pair"|--?[a-z-]+|[A-Z]+|jsonl))*)`).FindAllStringSubmatch(text, -1) {
			commands++
			help, err := exec.Command(program, m[1], "--help").CombinedOutput()
			if err != nil || !bytes.Contains(help, []byte("chef-sync-ctl "+m[1])) {
				t.Errorf("%s: %s: %v\n%s", file, m[0], err, help)
			}
			for _, flag := range regexp.MustCompile(`--?[a-z-]+`).FindAllString(m[2], -1) {
				if !regexp.MustCompile(`(?m)(^|[ ,])` + flag + `[ ,=\n]`).Match(help) {
					t.Errorf("%s: %s: there is no flag %s", file, m[0], flag)
				}
			}
		}
		for _, m := range regexp.MustCompile(`\bmake ([a-z-]+)`).FindAllStringSubmatch(text, -1) {
			targets++
			if !strings.Contains(makefile, "\n"+m[1]+": ## ") {
				t.Errorf("%s: make %s is no target", file, m[1])
			}
		}
	}
	if commands < 8 || targets < 2 {
		t.Errorf("only %d commands and %d targets were found", commands, targets)
	}
}

func TestMissingToolsAreNamed(t *testing.T) {
	bare := map[string]string{"PATH": programPath(t)}
	elsewhere := map[string]string{"PATH": programPath(t), "AWS_ENDPOINT_URL": "http://127.0.0.1:1", "TOOLS": t.TempDir()}
	noCompose := map[string]string{"PATH": programPath(t, `docker [ "$1" != compose ]`)}
	noDaemon := map[string]string{"PATH": programPath(t, `docker [ "$1" != info ]`)}
	for _, c := range []struct {
		env  map[string]string
		step string
		want string
	}{
		{bare, "all", "docker is missing; install"},
		{bare, "up", "docker is missing; install"},
		{bare, "smoke", "docker is missing; install"},
		{bare, "down", "docker is missing; install"},
		{bare, "build", "go is missing; "},
		{bare, "deploy", "go is missing; "},
		{map[string]string{"PATH": programPath(t, "go true")}, "deploy", "node is missing; "},
		{map[string]string{"PATH": programPath(t, "go true", "node true")}, "deploy", "npx is missing; "},
		{noCompose, "up", "docker has no compose"},
		{noDaemon, "up", "docker can't reach its daemon"},
		{elsewhere, "up", "AWS_ENDPOINT_URL is http://127.0.0.1:1: up is for LocalStack in Docker"},
		{elsewhere, "down", "down is for LocalStack in Docker"},
		{elsewhere, "keys", "chef-sync-ctl is missing; localstack/run build"},
		{map[string]string{"AWS_ENDPOINT_URL": "http://aws.example.com:1", "PATH": programPath(t, "go true", "node true", "npx true")}, "deploy", "AWS_ENDPOINT_URL_S3 is missing"},
		{map[string]string{"AWS_ENDPOINT_URL": "http://127.0.0.1:1", "PATH": programPath(t), "TOOLS": toolsDir(t)}, "keys", "PRIMARY_KEY: names the key file of admin on the primary"},
		{map[string]string{"PATH": programPath(t, "uname echo riscv64")}, "config", "functions can't run on riscv64"},
	} {
		out, problems, err := runStep(t, c.env, c.step)
		if err == nil || !strings.Contains(problems, c.want) {
			t.Errorf("%s: error %v, %q, want %q", c.step, err, problems, c.want)
		}
		if strings.Contains(out, "== ") && c.step != "keys" {
			t.Errorf("%s: it began to work: %q", c.step, out)
		}
	}
}

// programPath is a folder for PATH: what every system has, and programs given as their
// name and a line of bash.
func programPath(t *testing.T, extra ...string) string {
	t.Helper()
	dir := t.TempDir()
	for _, program := range extra {
		name, line, _ := strings.Cut(program, " ")
		if err := os.WriteFile(filepath.Join(dir, name), []byte("#!/usr/bin/env bash\n"+line+"\n"), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range []string{"bash", "dirname", "uname", "mkdir", "cat", "sed", "touch", "chmod"} {
		real, err := exec.LookPath(name)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.Symlink(real, filepath.Join(dir, name)); err != nil && !os.IsExist(err) {
			t.Fatal(err)
		}
	}
	return dir
}

// TestAllStepsInDocker runs all of it with recorders in place of docker, go, node
// and npx.
func TestAllStepsInDocker(t *testing.T) {
	root := t.TempDir()
	log, script := filepath.Join(root, "log"), filepath.Join(root, "localstack", "run")
	if err := os.Mkdir(filepath.Dir(script), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(script, []byte(readFile(t, "run")), 0o755); err != nil {
		t.Fatal(err)
	}
	record := ` echo "${0##*/} $*" >> ` + log + "; "
	env := map[string]string{"AWS_PROFILE": "mine", "AWS_ACCESS_KEY_ID": "AKIAMINE", "PATH": programPath(t,
		`docker case $1 in version) echo arm64 ;; info) ;; *) [ "$2" = version ] || {`+record+`} ;; esac`,
		`go`+record+`echo "$CGO_ENABLED $GOOS/$GOARCH" >> `+log+`; touch "$4"; chmod +x "$4"`,
		`node echo 20`,
		`npx`+record+`echo "$PWD $AWS_ENDPOINT_URL $AWS_ENDPOINT_URL_S3 ${AWS_PROFILE:-none} $AWS_ACCESS_KEY_ID" >> `+log)}
	if out, problems, err := runScript(t, script, env, "all"); err != nil {
		t.Fatalf("all: %v\n%s%s", err, out, problems)
	}
	if out, problems, err := runScript(t, script, env, "down"); err != nil {
		t.Fatalf("down: %v\n%s%s", err, out, problems)
	}
	cdk, at := "npx --yes --package aws-cdk-local@3.0.4 --package aws-cdk@2.1148.1 cdklocal", " http://localhost:4566 http://s3.localhost.localstack.cloud:4566 none test"
	compose := "docker compose --file ROOT/localstack/compose.yaml "
	want := []string{
		compose + "up --build --detach --wait",
		"go build -trimpath -o ROOT/bin/localstack/chef-sync-ctl ./cli/chef-sync-ctl", "0 linux/arm64",
		"go build -trimpath -o ROOT/bin/localstack/seed ./localstack/seed", "0 linux/arm64",
		compose + "run --rm -T tools keys",
		cdk + " bootstrap --no-notices aws://000000000000/us-east-1", "ROOT/localstack" + at,
		cdk + " deploy --no-notices --require-approval never -c config=bin/localstack/chef-sync.toml", "ROOT" + at,
		compose + "run --rm -T tools smoke",
		compose + "--profile tools down --volumes --remove-orphans",
	}
	if got := strings.Split(strings.TrimSpace(strings.ReplaceAll(readFile(t, log), root, "ROOT")), "\n"); !slices.Equal(got, want) {
		t.Errorf("it ran\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	c, err := config.Loader{}.Load(filepath.Join(root, "bin", "localstack", "chef-sync.toml"))
	if err == nil {
		err = c.CheckAWS()
	}
	if err != nil || c.AWS.Architecture != config.ARM64 || c.AWS.Stack != "chef-sync" {
		t.Errorf("the configuration that is deployed: %v, %+v", err, c)
	}
}

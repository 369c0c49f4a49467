package localstack

import (
	"encoding/json"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"go.yaml.in/yaml/v3"

	"chefsync/pkg/chef/goiarditest"
)

// service is what is asserted of a service of compose.yaml.
type service struct {
	Image, Build             string
	Command, Entrypoint      []string
	Ports, Profiles, Volumes []string
	Environment              map[string]string
	HealthCheck              struct{ Test []string }
}

type composeFile struct {
	Name     string
	Services map[string]service
	Networks map[string]struct{ Name string }
	Volumes  map[string]any
}

func readCompose(t *testing.T) composeFile {
	t.Helper()
	var c composeFile
	if err := yaml.Unmarshal([]byte(readFile(t, "compose.yaml")), &c); err != nil {
		t.Fatal(err)
	}
	return c
}

func TestLocalStackIsPinnedToAFreeImage(t *testing.T) {
	c := readCompose(t)
	aws := c.Services["localstack"]
	if aws.Image != "localstack/localstack:4.14.0" {
		t.Errorf("image %s; later ones need a token", aws.Image)
	}
	for name := range aws.Environment {
		if strings.Contains(name, "TOKEN") || strings.Contains(name, "API_KEY") {
			t.Errorf("it is given %s", name)
		}
	}
	if !slices.Contains(aws.Volumes, "/var/run/docker.sock:/var/run/docker.sock") {
		t.Error("without Docker's socket it can't run functions")
	}
	if network := c.Networks["default"].Name; network == "" || aws.Environment["LAMBDA_DOCKER_NETWORK"] != network {
		t.Errorf("functions run in network %q, the Chef Servers in %q", aws.Environment["LAMBDA_DOCKER_NETWORK"], network)
	}
	for name, s := range c.Services {
		for _, port := range s.Ports {
			if !strings.HasPrefix(port, "127.0.0.1:") {
				t.Errorf("%s: port %s is open to others than this machine", name, port)
			}
		}
	}
}

// A Chef Server hands out URLs with the name that it is told: that by which the
// functions reach it, which is the name of its service and in the configuration.
func TestChefServersHaveTheNamesOfTheirServices(t *testing.T) {
	c, config := readCompose(t), mustRun(t, nil, "config")
	for _, name := range []string{"primary", "replica"} {
		s := c.Services[name]
		if !slices.Equal(s.Command, []string{"-H", name}) {
			t.Errorf("%s is told %q", name, s.Command)
		}
		if url := `url = "http://` + name + `:4545"`; !strings.Contains(config, url) {
			t.Errorf("the configuration has no %s:\n%s", url, config)
		}
		if _, err := os.Stat(filepath.Join(s.Build, "Dockerfile")); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if s.Image != c.Services["tools"].Image {
			t.Errorf("%s has image %s, the tools %s", name, s.Image, c.Services["tools"].Image)
		}
		if key := c.Services["tools"].Environment[strings.ToUpper(name)+"_KEY"]; key != "/servers/"+name+"/conf/admin.pem" {
			t.Errorf("the tools look for the key of %s in %q", name, key)
		}
		if !slices.Contains(s.Volumes, name+":/srv/chef") || !slices.Contains(c.Services["tools"].Volumes, name+":/servers/"+name+":ro") {
			t.Errorf("the tools don't see the files of %s: %q, %q", name, s.Volumes, c.Services["tools"].Volumes)
		}
	}
}

func TestToolsRunTheScriptInTheNetwork(t *testing.T) {
	tools := readCompose(t).Services["tools"]
	for _, volume := range []string{"./:/localstack:ro", "../bin/localstack:/tools:ro"} {
		if !slices.Contains(tools.Volumes, volume) {
			t.Errorf("volumes %q, want %s", tools.Volumes, volume)
		}
	}
	if !slices.Equal(tools.Entrypoint, []string{"/localstack/run"}) || tools.Environment["TOOLS"] != "/tools" || tools.Environment["AWS_ENDPOINT_URL"] != "http://localstack:4566" {
		t.Errorf("tools: %+v", tools)
	}
	if len(tools.Profiles) == 0 {
		t.Error("up starts the tools, which would end with an error")
	}
}

// TestTheChefServerOfTheImageStarts runs what the Dockerfile and compose.yaml say,
// without Docker.
func TestTheChefServerOfTheImageStarts(t *testing.T) {
	goiarditest.Require(t)
	var command []string
	text := strings.ReplaceAll(readFile(t, "goiardi/Dockerfile"), "\\\n", "")
	if err := json.Unmarshal([]byte(regexp.MustCompile(`(?m)^ENTRYPOINT (.*)$`).FindStringSubmatch(text)[1]), &command); err != nil {
		t.Fatal(err)
	}
	_, port, _ := net.SplitHostPort(goiarditest.FreeAddress(t))
	dir := t.TempDir()
	here := strings.NewReplacer("/srv/chef", dir, "4545", port, "0.0.0.0", "127.0.0.1")
	for _, sub := range []string{"conf", "files"} { // as the image makes them
		if !strings.Contains(text, "/srv/chef/"+sub+" ") && !strings.Contains(text, "/srv/chef/"+sub+"\n") {
			t.Errorf("the image has no folder %s", sub)
		}
		if err := os.Mkdir(filepath.Join(dir, sub), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	primary := readCompose(t).Services["primary"]
	var args []string
	for _, a := range append(command[1:], primary.Command...) {
		args = append(args, here.Replace(a))
	}
	cmd := exec.CommandContext(t.Context(), command[0], args...)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	check := func() error {
		var test []string
		for _, a := range primary.HealthCheck.Test[1:] { // behind CMD
			test = append(test, here.Replace(a))
		}
		return exec.Command(test[0], test[1:]...).Run()
	}
	for end := time.Now().Add(20 * time.Second); check() != nil; {
		if time.Now().After(end) {
			t.Fatal("it isn't healthy after 20 s")
		}
		time.Sleep(100 * time.Millisecond)
	}
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait() // it was killed
	if check() == nil {
		t.Error("it is healthy although it is dead")
	}
}

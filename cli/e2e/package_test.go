package e2e

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/match"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/partial"

	"chefsync/pkg/chef/cheftest"
)

const (
	unitFile   = "/lib/systemd/system/chef-sync.service"
	configFile = "/etc/chef-sync/chef-sync.toml"
)

// machine is a Debian system that packages are installed on.
type machine struct {
	t    *testing.T
	root string // folder of its root
	// packages has the packages of two releases, in the folders before and after.
	packages string
}

// installMachine returns the machine that .ci/test-package prepared: a copy of this one
// that nobody else sees.
func installMachine(t *testing.T) *machine {
	t.Helper()
	m := &machine{t: t, root: os.Getenv("CHEFSYNC_PACKAGE_ROOT"), packages: os.Getenv("CHEFSYNC_PACKAGES")}
	if m.root == "" || m.packages == "" {
		t.Skip("SKIPPED: make test-package runs the tests of packages")
	}
	return m
}

// command returns a command on the machine, as a user.
func (m *machine) command(user string, args ...string) *exec.Cmd {
	cmd := exec.Command("chroot", append([]string{"--userspec=" + user + ":" + user, m.root}, args...)...)
	// What systemd gives a service.
	cmd.Env = []string{"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "LANG=C.UTF-8", "DEBIAN_FRONTEND=noninteractive",
		"USER=" + user, "HOME=/var/lib/chef-sync"}
	return cmd
}

// must runs a command and returns what it prints.
func (m *machine) must(user string, args ...string) string {
	m.t.Helper()
	var stderr bytes.Buffer
	cmd := m.command(user, args...)
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		m.t.Fatalf("%s: %v\n%s%s", strings.Join(args, " "), err, out, stderr.Bytes())
	}
	return string(out)
}

// copyPackage copies the package of a release, "before" or "after", to the machine, and
// returns its path there.
func (m *machine) copyPackage(release, packager string) string {
	m.t.Helper()
	found, err := filepath.Glob(filepath.Join(m.packages, release, "*."+packager))
	if err != nil || len(found) != 1 {
		m.t.Fatalf("packages %q, %v", found, err)
	}
	content, err := os.ReadFile(found[0])
	if err != nil {
		m.t.Fatal(err)
	}
	inside := "/root/chef-sync." + packager
	m.write(inside, content, 0o600)
	return inside
}

// install installs the package of a release.
func (m *machine) install(release, packager string, args ...string) {
	m.t.Helper()
	m.must("root", append(args, m.copyPackage(release, packager))...)
}

func (m *machine) path(name string) string { return filepath.Join(m.root, name) }

func (m *machine) write(name string, content []byte, mode fs.FileMode) {
	m.t.Helper()
	if err := os.WriteFile(m.path(name), content, mode); err != nil {
		m.t.Fatal(err)
	}
}

func (m *machine) exists(name string) bool {
	_, err := os.Lstat(m.path(name))
	return err == nil
}

// wantFiles checks that files exist, or that none does.
func (m *machine) wantFiles(exist bool, names ...string) {
	m.t.Helper()
	for _, name := range names {
		if m.exists(name) != exist {
			m.t.Errorf("%s: exists %v, want %v", name, !exist, exist)
		}
	}
}

// service is the program as the unit starts it.
type service struct {
	m    *machine
	cmd  *exec.Cmd
	log  *bytes.Buffer
	done chan error
}

// startService runs the ExecStart of the unit as its user: there is no systemd here.
func (m *machine) startService() *service {
	m.t.Helper()
	unit, err := os.ReadFile(m.path(unitFile))
	if err != nil {
		m.t.Fatal(err)
	}
	settings := map[string]string{}
	for line := range strings.Lines(string(unit)) {
		if key, value, ok := strings.Cut(strings.TrimSpace(line), "="); ok {
			settings[key] = value
		}
	}
	m.wantFiles(true, settings["ConditionPathExists"])
	s := &service{m: m, cmd: m.command(settings["User"], strings.Fields(settings["ExecStart"])...), log: &bytes.Buffer{}, done: make(chan error, 1)}
	s.cmd.Stdout, s.cmd.Stderr = s.log, s.log
	if err := s.cmd.Start(); err != nil {
		m.t.Fatal(err)
	}
	go func() { s.done <- s.cmd.Wait() }()
	m.t.Cleanup(func() { _ = s.cmd.Process.Kill() })
	return s
}

// stop stops the service as systemd does.
func (s *service) stop() {
	s.m.t.Helper()
	if err := s.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		s.m.t.Fatal(err)
	}
	if err := <-s.done; err != nil {
		s.m.t.Fatalf("the service ended with %v\n%s", err, s.log)
	}
}

// waitRole waits until the replica has a text as the description of the role web.
func (s *service) waitRole(replica *server, text string) {
	s.m.t.Helper()
	org := replica.client(s.m.t)
	for deadline := time.Now().Add(2 * time.Minute); ; {
		var role struct{ Description string }
		answer, err := org.Do(s.m.t.Context(), "GET", "/roles/web", nil)
		if err == nil && json.Unmarshal(answer.Body, &role) == nil && role.Description == text {
			return
		}
		select {
		case err := <-s.done:
			s.m.t.Fatalf("the service ended with %v\n%s", err, s.log)
		case <-time.After(100 * time.Millisecond):
		}
		if time.Now().After(deadline) {
			s.m.t.Fatalf("the role on the replica is %q, want %q (%v)\n%s", role.Description, text, err, s.log)
		}
	}
}

func putRole(t *testing.T, primary *server, text string) {
	t.Helper()
	body := fmt.Sprintf(`{"name": "web", "description": %q, "json_class": "Chef::Role", "chef_type": "role", "default_attributes": {}, "override_attributes": {}, "run_list": [], "env_run_lists": {}}`, text)
	if _, err := primary.client(t).Do(t.Context(), "PUT", "/roles/web", []byte(body)); err != nil {
		t.Fatal(err)
	}
}

// configure writes a configuration for two servers, as an operator would.
func (m *machine) configure(primary, replica *server) {
	m.t.Helper()
	m.writeConfig(primary, replica)
	m.must("root", "chown", "-R", "chef-sync:chef-sync", "/etc/chef-sync")
}

func (m *machine) writeConfig(primary, replica *server) {
	m.t.Helper()
	for name, content := range configFor(primary, replica) {
		m.write("/etc/chef-sync/"+name, content, 0o600)
	}
}

// configFor returns a configuration and its keys by the names of their files.
func configFor(primary, replica *server) map[string][]byte {
	return map[string][]byte{
		primary.name + ".pem": cheftest.PrivatePEM(primary.key),
		replica.name + ".pem": cheftest.PrivatePEM(replica.key),
		"chef-sync.toml": fmt.Appendf(nil, `[primary]
url = %q
user = %q
key = "file:goiardi-1.pem"
organizations = false
[[replica]]
name = "eu"
url = %q
user = %q
key = "file:goiardi-2.pem"
organizations = false
[[organization]]
destination = "default"
interval = "1s"
`, primary.url, primary.user, replica.url, replica.user)}
}

// created returns how many objects all passes created together.
func (m *machine) created() int {
	m.t.Helper()
	var runs []struct{ Counts struct{ Created int } }
	text := m.must("root", "chef-sync-ctl", "runs", "-o", "json")
	if err := json.Unmarshal([]byte(text), &runs); err != nil {
		m.t.Fatalf("%v: %s", err, text)
	}
	sum := 0
	for _, r := range runs {
		sum += r.Counts.Created
	}
	return sum
}

// filledServers starts two servers, and fills the first.
func filledServers(t *testing.T) (primary, replica *server) {
	t.Helper()
	primary, replica = goiardi(t, "goiardi-1"), goiardi(t, "goiardi-2")
	seed := newRig(t, inMemory(t, "primary", cheftest.Options{UpdatedSince: true}), primary)
	cheftest.Fill(seed.primary.org)
	seed.mustPass()
	return primary, replica
}

// TestDebianPackage installs the package of one release, replicates between two servers,
// upgrades to another release and goes on, then removes and purges it.
func TestDebianPackage(t *testing.T) {
	m := installMachine(t)
	primary, replica := filledServers(t)
	// Slim images leave documents and manuals out.
	dpkg := []string{"dpkg", "--path-include=/usr/share/man/*", "--path-include=/usr/share/doc/*", "--install"}

	m.install("before", "deb", dpkg...)
	m.checkInstalled()
	if v := m.must("root", "chef-sync-ctl", "version"); !strings.HasPrefix(v, "chef-sync-ctl v0.0.1 (commit ") {
		t.Errorf("version %q", v)
	}
	m.configure(primary, replica)
	putRole(t, primary, "first")
	s := m.startService()
	s.waitRole(replica, "first")
	putRole(t, primary, "second")
	s.waitRole(replica, "second")
	s.stop()
	created := m.created()
	if created < cheftest.Filled {
		t.Errorf("%d objects were created, want %d at least", created, cheftest.Filled)
	}
	config, err := os.ReadFile(m.path(configFile))
	if err != nil {
		t.Fatal(err)
	}

	m.install("after", "deb", dpkg...)
	if v := m.must("root", "chef-sync-ctl", "version"); !strings.HasPrefix(v, "chef-sync-ctl v0.0.2 (commit ") {
		t.Errorf("version %q", v)
	}
	if now, err := os.ReadFile(m.path(configFile)); err != nil || !bytes.Equal(now, config) {
		t.Errorf("the upgrade changed the configuration: %s, %v", now, err)
	}
	putRole(t, primary, "third")
	s = m.startService()
	s.waitRole(replica, "third")
	s.stop()
	if n := m.created(); n != created {
		t.Errorf("the new release created %d objects again", n-created)
	}
	if out := m.must("root", "chef-sync-ctl", "verify", "default"); !strings.Contains(out, "equal") {
		t.Errorf("verify: %s", out)
	}
	m.must("chef-sync", "chef-sync-ctl", "sync-status", "--exit-code", "eu/default")

	kept := []string{configFile, "/etc/chef-sync/goiardi-1.pem", "/var/lib/chef-sync/state.db"}
	m.must("root", "dpkg", "--remove", "chef-sync")
	m.wantFiles(false, "/usr/bin/chef-sync-ctl", unitFile)
	m.wantFiles(true, kept...)
	m.install("after", "deb", dpkg...)
	m.must("chef-sync", "chef-sync-ctl", "sync-status", "eu/default")
	m.must("root", "dpkg", "--purge", "chef-sync")
	m.wantFiles(false, "/usr/bin/chef-sync-ctl", unitFile, "/etc/chef-sync", "/var/lib/chef-sync")
}

// checkInstalled checks what the package brings beside the program.
func (m *machine) checkInstalled() {
	t := m.t
	for _, folder := range []string{"/etc/chef-sync", "/var/lib/chef-sync"} {
		if got := m.must("root", "stat", "--format=%U:%G %a", folder); got != "chef-sync:chef-sync 750\n" {
			t.Errorf("%s is %s", folder, got)
		}
	}
	page := strings.Join(strings.Fields(m.must("root", "man", "-P", "cat", "chef-sync-ctl")), " ")
	if !strings.Contains(page, "NAME chef-sync-ctl - Replicate Chef Infra Server objects") {
		t.Errorf("the manual page is %q", page)
	}
	m.must("root", "bash", "-n", "/usr/share/bash-completion/completions/chef-sync-ctl")
	m.wantFiles(true, "/usr/share/zsh/vendor-completions/_chef-sync-ctl", "/usr/share/fish/vendor_completions.d/chef-sync-ctl.fish",
		"/usr/share/doc/chef-sync/copyright", "/usr/share/doc/chef-sync/changelog.gz")
	// The unit is understood, and its exposure is 2.0 at most.
	if out := m.must("root", "systemd-analyze", "verify", unitFile); out != "" {
		t.Errorf("systemd-analyze verify: %s", out)
	}
	out := m.must("root", "systemd-analyze", "security", "--offline=true", "--no-pager", "--threshold=20", unitFile)
	lines := strings.Split(strings.TrimSpace(out), "\n")
	t.Log(lines[len(lines)-1])
}

// TestRPM installs, upgrades and removes the package of the other family of systems. Only
// the files and scripts are tried: Debian has no packages that it could depend on.
func TestRPM(t *testing.T) {
	m := installMachine(t)
	m.install("before", "rpm", "rpm", "--install", "--nodeps")
	m.wantFiles(true, "/usr/bin/chef-sync-ctl", "/usr/lib/systemd/system/chef-sync.service", "/usr/share/man/man1/chef-sync-ctl.1.gz",
		"/usr/share/zsh/site-functions/_chef-sync-ctl", "/usr/share/licenses/chef-sync/LICENSE")
	m.write("/var/lib/chef-sync/state.db", []byte("kept"), 0o600)
	m.write(configFile, []byte("kept"), 0o600)
	m.install("after", "rpm", "rpm", "--upgrade", "--nodeps")
	if v := m.must("root", "chef-sync-ctl", "version"); !strings.HasPrefix(v, "chef-sync-ctl v0.0.2 (commit ") {
		t.Errorf("version %q", v)
	}
	got := m.must("root", "stat", "--format=%U:%G %a", "/var/lib/chef-sync", "/var/lib/chef-sync/state.db")
	if got != "chef-sync:chef-sync 750\nchef-sync:chef-sync 600\n" {
		t.Errorf("the folder of the state and the state, which root created, are %s", got)
	}
	m.must("root", "rpm", "--erase", "chef-sync")
	m.wantFiles(false, "/usr/bin/chef-sync-ctl", "/usr/lib/systemd/system/chef-sync.service")
	m.wantFiles(true, "/var/lib/chef-sync/state.db", configFile)
}

// TestReleasedImage replicates with the program of the image, in its file system and as its
// user: there is nothing there but what the image has.
func TestReleasedImage(t *testing.T) {
	m := installMachine(t)
	root, config := unpackImage(t, filepath.Join(m.packages, "after", "*.oci.tar"))
	primary, replica := filledServers(t)
	for name, content := range configFor(primary, replica) {
		path := filepath.Join(root, "etc", "chef-sync", name)
		if err := os.WriteFile(path, content, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	run := func(args ...string) string {
		t.Helper()
		cmd := exec.Command("chroot", append([]string{"--userspec=" + config.User, root, config.Entrypoint[0]}, args...)...)
		cmd.Env = config.Env
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Fatalf("%q: %v\n%s", args, err, out)
		}
		return string(out)
	}
	if v := run("version"); !strings.HasPrefix(v, "chef-sync-ctl v0.0.2 (commit ") {
		t.Errorf("version %q", v)
	}
	run("run", "--once")
	if out := run("verify", "default"); !strings.Contains(out, "equal") {
		t.Errorf("verify: %s", out)
	}
	if _, err := os.Stat(filepath.Join(root, "var", "lib", "chef-sync", "state.db")); err != nil {
		t.Error(err)
	}
}

// unpackImage unpacks the image of this architecture into a folder, as a container engine
// does.
func unpackImage(t *testing.T, pattern string) (root string, config v1.Config) {
	t.Helper()
	found, err := filepath.Glob(pattern)
	if err != nil || len(found) != 1 {
		t.Fatalf("images %q, %v", found, err)
	}
	dir := t.TempDir()
	if out, err := exec.Command("tar", "--extract", "--file="+found[0], "--directory="+dir).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	images, err := layout.Path(dir).ImageIndex()
	if err != nil {
		t.Fatal(err)
	}
	manifest, err := images.IndexManifest()
	if err != nil || len(manifest.Manifests) != 1 {
		t.Fatalf("%+v, %v", manifest, err)
	}
	if images, err = images.ImageIndex(manifest.Manifests[0].Digest); err != nil {
		t.Fatal(err)
	}
	platforms, err := partial.FindImages(images, match.Platforms(v1.Platform{OS: "linux", Architecture: runtime.GOARCH}))
	if err != nil || len(platforms) != 1 {
		t.Fatalf("%d images for %s, %v", len(platforms), runtime.GOARCH, err)
	}
	file, err := platforms[0].ConfigFile()
	if err != nil {
		t.Fatal(err)
	}
	content := mutate.Extract(platforms[0])
	defer content.Close()
	root = t.TempDir()
	if err := os.Chmod(root, 0o755); err != nil {
		t.Fatal(err)
	}
	unpack := exec.Command("tar", "--extract", "--preserve-permissions", "--same-owner", "--directory="+root)
	unpack.Stdin = content
	if out, err := unpack.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	return root, file.Config
}

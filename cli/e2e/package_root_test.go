package e2e

import (
	"slices"
	"strings"
	"testing"

	"chefsync/pkg/chef/cheftest"
)

// notOfService returns what in the folders of the package doesn't belong to the user of the
// service.
func (m *machine) notOfService() []string {
	m.t.Helper()
	return strings.Fields(m.must("root", "find", "/etc/chef-sync", "/var/lib/chef-sync", "-not", "(", "-user", "chef-sync", "-group", "chef-sync", ")"))
}

// wantStagedFiles checks that cookbook files were staged.
func (m *machine) wantStagedFiles() {
	m.t.Helper()
	if files := m.must("root", "find", "/var/lib/chef-sync/stage", "-type", "f"); files == "" {
		m.t.Error("nothing is staged")
	}
}

// TestCommandsAsRoot: what they create before the service is started belongs to its user.
func TestCommandsAsRoot(t *testing.T) {
	m := installMachine(t)
	primary, replica := filledServers(t)
	m.install("after", "deb", "dpkg", "--install")
	t.Cleanup(func() { m.must("root", "dpkg", "--purge", "chef-sync") })

	m.must("root", "chef-sync-ctl", "init", "--sample", "--config", configFile)
	if found := m.notOfService(); len(found) > 0 {
		t.Errorf("after init, %q don't belong to the service", found)
	}
	m.configure(primary, replica)
	m.must("root", "chef-sync-ctl", "doctor")
	if found := m.notOfService(); len(found) > 0 {
		t.Errorf("after doctor, %q don't belong to the service", found)
	}
	m.must("root", "chef-sync-ctl", "run", "--once")
	m.wantStagedFiles()
	if found := m.notOfService(); len(found) > 0 {
		t.Errorf("after run, %q don't belong to the service", found)
	}

	putRole(t, primary, "by the service")
	s := m.startService()
	s.waitRole(replica, "by the service")
	s.stop()
}

// TestStateOfRoot: the package gives the service what root's commands created before it was
// installed, and nothing else.
func TestStateOfRoot(t *testing.T) {
	m := installMachine(t)
	primary, replica := filledServers(t)
	m.must("root", "dpkg-deb", "--extract", m.copyPackage("after", "deb"), "/root/unpacked")
	m.must("root", "mkdir", "/etc/chef-sync", "/root/others")
	m.writeConfig(primary, replica)
	m.must("root", "/root/unpacked/usr/bin/chef-sync-ctl", "--config", configFile, "run", "--once")
	m.wantStagedFiles()
	m.write("/root/others/linked", nil, 0o600)
	m.must("root", "ln", "/root/others/linked", "/var/lib/chef-sync/link")
	m.must("root", "ln", "--symbolic", "/root/others", "/var/lib/chef-sync/symlink")
	m.write("/var/lib/chef-sync/of-games", nil, 0o600)
	m.must("root", "chown", "games:games", "/var/lib/chef-sync/of-games")

	m.install("after", "deb", "dpkg", "--install")
	t.Cleanup(func() { m.must("root", "dpkg", "--purge", "chef-sync") })
	want := []string{configFile, "/etc/chef-sync/goiardi-1.pem", "/etc/chef-sync/goiardi-2.pem",
		"/var/lib/chef-sync/link", "/var/lib/chef-sync/of-games", "/var/lib/chef-sync/symlink"}
	found := m.notOfService()
	slices.Sort(found)
	if !slices.Equal(found, want) {
		t.Errorf("%q don't belong to the service, want %q", found, want)
	}
	if owners := m.must("root", "stat", "--format=%U", "/root/others", "/root/others/linked"); owners != "root\nroot\n" {
		t.Errorf("owners outside: %q", owners)
	}

	m.must("root", "chown", "-R", "chef-sync:chef-sync", "/etc/chef-sync")
	putRole(t, primary, "by the service")
	created := m.created()
	s := m.startService()
	s.waitRole(replica, "by the service")
	s.stop()
	if n := m.created(); n != created || created < cheftest.Filled {
		t.Errorf("root created %d objects and the service %d, want %d or more and none", created, n-created, cheftest.Filled)
	}
}

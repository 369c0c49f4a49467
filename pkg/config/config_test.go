package config

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"chefsync/pkg/object"
	"chefsync/pkg/replication"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

// full is a typical configuration.
const full = `[primary]
url  = "https://chef.example.com"
user = "ec_sync_user"
key  = "file:/etc/chef-sync/ec_sync_user.pem"
feed = "auto"                    # auto | updated_since | journal

[[replica]]
name = "eu"
url  = "https://chef-eu.example.com"
user = "ec_sync_user"
key  = "secretsmanager:chef-sync/eu"

[[organization]]
source      = "engineering"
destination = "engineering"      # default: source
replicas    = ["eu"]             # default: all
interval    = "1m"
kinds       = ["cookbooks", "environments", "roles", "data_bags"]
prune       = "replicated"
max_delete  = "20%"
`

// minimalConfig is the shortest configuration; tests put more below it.
const minimalConfig = `[primary]
url = "https://chef.example.com"
user = "u"
key = "env:KEY"
[[replica]]
name = "eu"
url = "https://eu.example.com"
user = "u"
key = "env:KEY"
[[organization]]
source = "acme"
`

func mustParse(t *testing.T, l Loader, text string) *Config {
	t.Helper()
	c, err := l.Parse("/etc/chef-sync/chef-sync.toml", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestBackupsForUndoCanBeSwitchedOff(t *testing.T) {
	silent := strings.Replace(full, "[[organization]]", "[[organization]]\nundo = false", 1)
	if p := mustParse(t, Loader{}, silent).Pairs()[0]; !p.NoUndo {
		t.Errorf("pair %+v", p.Pair)
	}
	if p := mustParse(t, Loader{}, full).Pairs()[0]; p.NoUndo {
		t.Errorf("by default, pair %+v", p.Pair)
	}
}

func TestExampleConfiguration(t *testing.T) {
	c := mustParse(t, Loader{}, full)
	want := &Config{
		File: "/etc/chef-sync/chef-sync.toml",
		Primary: Server{Name: "primary", URL: "https://chef.example.com", User: "ec_sync_user",
			Key: KeyRef{Scheme: "file", Name: "/etc/chef-sync/ec_sync_user.pem"}, Connections: 10, ConnectTimeout: 5 * time.Second,
			ResponseTimeout: 30 * time.Second},
		Feed: "auto",
		Replicas: []Server{{Name: "eu", URL: "https://chef-eu.example.com", User: "ec_sync_user",
			Key: KeyRef{Scheme: "secretsmanager", Name: "chef-sync/eu"}, Connections: 10, ConnectTimeout: 5 * time.Second,
			ResponseTimeout: 30 * time.Second}},
		Organizations: []Organization{{Destination: "engineering", Replicas: []string{"eu"}, Pair: replication.Pair{
			SourceOrg: "engineering", Interval: time.Minute,
			Kinds: []object.Kind{object.Cookbook, object.Environment, object.Role, object.DataBag},
			Prune: replication.PruneReplicated, MaxDelete: replication.Limit{Percent: 20}, CompareEvery: 15 * time.Minute,
			ReconcileEvery: 24 * time.Hour, VerifyEvery: 24 * time.Hour, FilesEvery: 7 * 24 * time.Hour, Drift: replication.DriftReport}}},

		ChangeLog: ChangeLog{ScanEvery: time.Minute, Rotation: 24 * time.Hour, Keep: 30 * 24 * time.Hour},
		StatePath: "/var/lib/chef-sync/state.db", StagePath: "/var/lib/chef-sync/stage", StageSize: SizeAuto, LogLevel: "info",
		Notify: Notify{After: 5 * time.Minute, ExecTimeout: 10 * time.Second, PingEvery: time.Minute},
		AWS: AWS{Stack: "chef-sync", Architecture: "arm64", Memory: 256, Timeout: 10 * time.Minute, ChangeLogConcurrency: Auto, ChangeLog: true,
			LogRetention: 30 * 24 * time.Hour, AlarmAge: time.Hour, Removal: "retain"},
	}
	if diff := cmp.Diff(want, c, cmpopts.IgnoreUnexported(Config{}, KeyRef{}, Organization{}, SecretURL{})); diff != "" {
		t.Error(diff)
	}
}

func TestDefaultsAreThoseOfTheExample(t *testing.T) {
	short := mustParse(t, Loader{}, strings.Replace(minimalConfig, "acme", "engineering", 1)).Organizations[0]
	long := mustParse(t, Loader{}, full).Organizations[0]
	long.Destination = ""
	if diff := cmp.Diff(long, short, cmpopts.IgnoreUnexported(Organization{})); diff != "" {
		t.Error(diff)
	}
}

func TestEveryKey(t *testing.T) {
	c := mustParse(t, Loader{Home: "/home/me"}, `
[primary]
url = "HTTPS://Chef.Example.COM:443/"
user = "u"
key = "ssm:/chef/key"
ca = "file:ca.pem"
feed = "journal"
organizations = false
insecure_skip_verify = true
connections = 3
[[replica]]
name = "a-1_B"
url = "http://[::1]:4545"
user = "u"
key = "file:~/key.pem"
connections = 20
[[organization]]
destination = "acme"
interval = "90s"
kinds = ["roles", "cookbooks"]
include = ["roles/web-*", "cookbooks/apt/1.*"]
exclude = ["/roles/web-test?"]
prune = "none"
max_delete = 7
compare_every = "1d12h"
reconcile_every = "12h"
verify_every = "3d"
verify_files_every = "0"
drift = "repair"
[state]
path = "state/s.db"
[stage]
path = "~/stage"
size = "1.5GiB"
[log]
level = "debug"
`)
	if c.Primary.URL != "https://chef.example.com" || !c.Primary.Orgless || !c.Primary.InsecureSkipVerify ||
		c.Primary.CA.String() != "file:/etc/chef-sync/ca.pem" || c.Feed != "journal" {
		t.Errorf("primary %+v, feed %s", c.Primary, c.Feed)
	}
	if c.Replicas[0].URL != "http://[::1]:4545" || c.Replicas[0].Key.Name != "/home/me/key.pem" {
		t.Errorf("replica %+v", c.Replicas[0])
	}
	if c.StatePath != "/etc/chef-sync/state/s.db" || c.StagePath != "/home/me/stage" || c.StageSize != 3<<29 || c.LogLevel != "debug" {
		t.Errorf("paths %s, %s, size %d, level %s", c.StatePath, c.StagePath, c.StageSize, c.LogLevel)
	}
	p := c.Pairs()
	if len(p) != 1 {
		t.Fatalf("%d pairs, want 1", len(p))
	}
	p[0].Space = ""
	want := PairConfig{
		Pair: replication.Pair{ID: replication.PairID{Replica: "a-1_B", Org: "acme"}, SourceOrg: OrglessName,
			Kinds: []object.Kind{object.Role, object.Cookbook},
			Selection: replication.Selection{
				Include: []replication.Pattern{{Kind: object.Role, Name: "web-*"}, {Kind: object.Cookbook, Name: "apt", Sub: "1.*"}},
				Exclude: []replication.Pattern{{Kind: object.Role, Name: "web-test?"}},
			},
			Prune: replication.PruneNone, MaxDelete: replication.Limit{Count: 7}, Interval: 90 * time.Second,
			CompareEvery: 36 * time.Hour, ReconcileEvery: 12 * time.Hour, VerifyEvery: 72 * time.Hour, Drift: replication.DriftRepair,
			Concurrency: 3},
		Replica: c.Replicas[0],
	}
	if diff := cmp.Diff(want, p[0], cmpopts.IgnoreUnexported(KeyRef{})); diff != "" {
		t.Error(diff)
	}
}

func TestPairs(t *testing.T) {
	c := mustParse(t, Loader{}, minimalConfig+`
[[replica]]
name = "goiardi"
url = "http://localhost:4545"
organizations = false
user = "u"
key = "env:KEY"
[[organization]]
source = "other"
destination = "acme2"
replicas = ["eu"]
`)
	var ids []string
	spaces := map[string]string{}
	for _, p := range c.Pairs() {
		ids = append(ids, p.ID.String()+" from "+p.SourceOrg)
		spaces[p.Space] = p.SourceOrg
		if strings.ContainsAny(p.Space, `/\:`) {
			t.Errorf("space %q isn't safe in a file name", p.Space)
		}
	}
	if want := []string{"eu/acme from acme", "goiardi/default from acme", "eu/acme2 from other"}; !slices.Equal(ids, want) {
		t.Errorf("pairs %q, want %q", ids, want)
	}
	if len(spaces) != 2 {
		t.Errorf("spaces %v, want one for each source organization", spaces)
	}
	other := mustParse(t, Loader{}, strings.Replace(minimalConfig, "chef.example.com", "chef2.example.com", 1))
	if spaces[other.Pairs()[0].Space] != "" {
		t.Error("organizations of one name on two primaries share a space")
	}
}

func TestEnvironmentOverridesTheFile(t *testing.T) {
	env := map[string]string{"CHEF_SYNC_PRIMARY_URL": "https://other.example.com", "CHEF_SYNC_PRIMARY_KEY": "env:OTHER",
		"CHEF_SYNC_PRIMARY_ORGANIZATIONS": "true",
		"CHEF_SYNC_PRIMARY_CONNECTIONS":   "5", "CHEF_SYNC_PRIMARY_CONNECT_TIMEOUT": "2s", "CHEF_SYNC_STATE_PATH": "/tmp/s.db",
		"CHEF_SYNC_LOG_LEVEL": "warn", "CHEF_SYNC_STAGE_PATH": ""}
	c := mustParse(t, Loader{Env: lookupIn(env)}, minimalConfig)
	if c.Primary.URL != "https://other.example.com" || c.Primary.Key.String() != "env:OTHER" || c.Primary.Connections != 5 ||
		c.Primary.ConnectTimeout != 2*time.Second || c.StatePath != "/tmp/s.db" ||
		c.LogLevel != "warn" || c.StagePath != "/tmp/stage" {
		t.Errorf("%+v", c)
	}
	want := map[string]Setting{
		"primary.url":              {"primary.url", "https://other.example.com", "env CHEF_SYNC_PRIMARY_URL"},
		"primary.user":             {"primary.user", "u", "/etc/chef-sync/chef-sync.toml:3"},
		"primary.connections":      {"primary.connections", "5", "env CHEF_SYNC_PRIMARY_CONNECTIONS"},
		"primary.feed":             {"primary.feed", "auto", "default"},
		"replica[0].name":          {"replica[0].name", "eu", "/etc/chef-sync/chef-sync.toml:6"},
		"organization[0].source":   {"organization[0].source", "acme", "/etc/chef-sync/chef-sync.toml:11"},
		"organization[0].interval": {"organization[0].interval", "1m", "default"},
		"organization[0].kinds":    {"organization[0].kinds", `["cookbooks" "environments" "roles" "data_bags"]`, "default"},
		"organization[0].include":  {"organization[0].include", `["*"]`, "default"},
		"organization[0].exclude":  {"organization[0].exclude", `[]`, "default"},
		"log.level":                {"log.level", "warn", "env CHEF_SYNC_LOG_LEVEL"},
	}
	for _, s := range c.Effective() {
		if w, ok := want[s.Key]; ok {
			if s != w {
				t.Errorf("%+v, want %+v", s, w)
			}
			delete(want, s.Key)
		}
	}
	if len(want) > 0 {
		t.Errorf("not shown: %v", want)
	}
	_, err := Loader{Env: lookupIn(map[string]string{"CHEF_SYNC_LOG_LEVEL": "loud",
		"CHEF_SYNC_PRIMARY_CONNECTIONS": "many"})}.Parse("f", []byte(minimalConfig))
	if err == nil || !strings.Contains(err.Error(), "environment variable CHEF_SYNC_LOG_LEVEL: log.level:") ||
		!strings.Contains(err.Error(), "environment variable CHEF_SYNC_PRIMARY_CONNECTIONS: primary.connections:") {
		t.Errorf("bad variables: %v, want them named", err)
	}
}

func TestEnvironmentCanReplaceThePrimaryTable(t *testing.T) {
	_, rest, _ := strings.Cut(minimalConfig, `key = "env:KEY"`)
	c := mustParse(t, Loader{Env: lookupIn(map[string]string{"CHEF_SYNC_PRIMARY_URL": "https://p", "CHEF_SYNC_PRIMARY_USER": "u",
		"CHEF_SYNC_PRIMARY_KEY": "env:K"})}, rest)
	if c.Primary.URL != "https://p" {
		t.Errorf("primary %+v", c.Primary)
	}
}

func lookupIn(env map[string]string) func(string) (string, bool) {
	return func(name string) (string, bool) { v, ok := env[name]; return v, ok }
}

func TestDefaultStateFolder(t *testing.T) {
	tests := []struct {
		l    Loader
		want string
	}{
		{Loader{}, "/var/lib/chef-sync/state.db"},
		{Loader{Home: "/home/me"}, "/home/me/.local/state/chef-sync/state.db"},
		{Loader{Home: "/root", System: true}, "/var/lib/chef-sync/state.db"},
		{Loader{Home: "/h", Env: lookupIn(map[string]string{"XDG_STATE_HOME": "/x"})}, "/x/chef-sync/state.db"},
		{Loader{Home: "/h", Env: lookupIn(map[string]string{"XDG_STATE_HOME": "relative"})}, "/h/.local/state/chef-sync/state.db"},
	}
	for _, tt := range tests {
		c, err := tt.l.Parse("chef-sync.toml", []byte(minimalConfig))
		if err != nil {
			t.Fatal(err)
		}
		if c.StatePath != tt.want || c.StagePath != filepath.Join(filepath.Dir(tt.want), "stage") {
			t.Errorf("state %s, stage %s; want %s", c.StatePath, c.StagePath, tt.want)
		}
	}
}

// The service runs as its own user, and an operator asks for the status as another.
func TestStateOfASystemConfigurationIsTheSameForEveryUser(t *testing.T) {
	for _, l := range []Loader{{Home: "/root", System: true}, {Home: "/var/lib/chef-sync"}, {Home: "/home/me"},
		{Home: "/h", Env: lookupIn(map[string]string{"XDG_STATE_HOME": "/x"})}} {
		c, err := l.Parse("/etc/chef-sync/chef-sync.toml", []byte(minimalConfig))
		if err != nil {
			t.Fatal(err)
		}
		if c.StatePath != "/var/lib/chef-sync/state.db" || c.StagePath != "/var/lib/chef-sync/stage" {
			t.Errorf("%+v: state %s, stage %s", l, c.StatePath, c.StagePath)
		}
	}
}

func TestTemplateIsValidAndShowsTheDefaults(t *testing.T) {
	c := mustParse(t, Loader{}, Template())
	// Each #key = value line is the default, so taking the # away changes nothing;
	// except the examples of what there is no default for.
	examples := []string{"profile", "ca", "token", "tls_cert", "tls_key", "[journal.keys]", "ec_sync_user", "exec", "ping",
		"[[notify.webhook]]", "url", "format"}
	var lines []string
	for line := range strings.Lines(Template()) {
		rest, commented := strings.CutPrefix(line, "#")
		word, _, _ := strings.Cut(strings.TrimSpace(rest), " ")
		if commented && !strings.HasPrefix(rest, " ") && rest != "\n" && !slices.Contains(examples, word) {
			line = rest
		}
		lines = append(lines, line)
	}
	all := mustParse(t, Loader{}, strings.Join(lines, ""))
	all.Organizations[0].Destination = ""
	if diff := cmp.Diff(c, all, cmpopts.IgnoreUnexported(Config{}, KeyRef{}, Organization{}, SecretURL{})); diff != "" {
		t.Errorf("uncommented lines change something:\n%s", diff)
	}
	for _, s := range all.Effective() {
		_, key, _ := strings.Cut(s.Key, ".")
		if s.Origin == "default" && !slices.Contains(examples, key) && !strings.HasPrefix(s.Key, "replica[0]") {
			t.Errorf("%s isn't in the template", s.Key)
		}
	}
}

func TestLoadReadsAFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), FileName)
	if err := os.WriteFile(path, []byte(strings.Replace(minimalConfig, "env:KEY", "file:key.pem", 1)), 0o600); err != nil {
		t.Fatal(err)
	}
	c, err := Loader{}.Load(path)
	if err != nil {
		t.Fatal(err)
	}
	if want := filepath.Join(filepath.Dir(path), "key.pem"); c.Primary.Key.Name != want {
		t.Errorf("key %s, want it beside the file: %s", c.Primary.Key.Name, want)
	}
	if _, err := (Loader{}).Load(path + ".missing"); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a missing file: %v", err)
	}
	if _, err := (Loader{}).Parse("f", make([]byte, maxSize+1)); err == nil {
		t.Error("a huge file was taken")
	}
}

func TestWarnings(t *testing.T) {
	dir := t.TempDir()
	for name, mode := range map[string]os.FileMode{"open.pem": 0o644, "own.pem": 0o600} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte("x"), mode); err != nil {
			t.Fatal(err)
		}
	}
	text := strings.Replace(minimalConfig, "env:KEY", "file:"+dir+"/open.pem", 1)
	text = strings.Replace(text, "env:KEY", "file:"+dir+"/own.pem", 1) + `
replicas = ["eu"]
drift = "repair"
verify_every = "0"
reconcile_every = "0"
kinds = ["roles", "environments"]
include = ["roles/*"]
[[replica]]
name = "idle"
url = "https://idle"
user = "u"
key = "file:/nowhere.pem"
insecure_skip_verify = true
`
	got := strings.Join(mustParse(t, Loader{}, text).Warnings(), "\n")
	for _, want := range []string{"key of primary: file:" + dir + "/open.pem can be read by other users (mode 0644)",
		"idle: the server's certificate isn't verified", "replica idle: no organization is replicated to it",
		`organization[0]: drift = "repair" has no effect without verify_every`,
		"organization[0]: kinds contains environments, but include and exclude select none of them"} {
		if !strings.Contains(got, want) {
			t.Errorf("warnings\n%s\nwant %q", got, want)
		}
	}
	if strings.Count(got, "\n") != 4 {
		t.Errorf("warnings\n%s\nwant five", got)
	}
}

func TestPolicyfilesAreChosenByKinds(t *testing.T) {
	c := mustParse(t, Loader{}, minimalConfig+"kinds = [\"roles\", \"policies\", \"policy_groups\", "+
		"\"cookbook_artifacts\"]\nexclude = [\"policies/test-*\"]\n")
	want := []object.Kind{object.Role, object.Policy, object.PolicyGroup, object.CookbookArtifact}
	if got := c.Pairs()[0].Kinds; !slices.Equal(got, want) || len(c.Warnings()) != 0 {
		t.Errorf("kinds %v, warnings %q", got, c.Warnings())
	}
	c = mustParse(t, Loader{}, minimalConfig+"kinds = [\"policies\"]\n")
	if w := c.Warnings(); len(w) != 1 || !strings.Contains(w[0], "without cookbook_artifacts") {
		t.Errorf("warnings %q, want what policies without artifacts mean", w)
	}
}

package setup

import (
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"chefsync/pkg/config"
)

func write(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "chef-sync.rb")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestSettingsOfARubyFile(t *testing.T) {
	for text, want := range map[string]setting{
		`role :replica`:                        {name: "role", value: "replica"},
		`master "https://m"`:                   {name: "master", value: "https://m"},
		`master = 'it\'s'`:                     {name: "master", value: "it's"},
		`master("https://m")`:                  {name: "master"},
		`ec_sync_client['sync_user'] = 'sync'`: {name: "ec_sync_client.sync_user", value: "sync"},
		`user[:home] = nil # none`:             {name: "user.home", value: "nil"},
		`master ENV['MASTER']`:                 {name: "master"},
		`master "https://#{host}"`:             {name: "master"},
		`master "a" + "b"`:                     {name: "master"},
		`port 99_96`:                           {name: "port", value: "99_96"},
		`organizations %w[a b]`:                {name: "organizations", value: []any{"a", "b"}},
		`organizations [ "a", ]`:               {name: "organizations", value: []any{"a"}},
		"organizations [\n {\n # comment\n :destination => \"d\",\n 'source' => :s } ]": {name: "organizations",
			value: []any{map[string]string{"destination": "d", "source": "s"}}},
		`organizations [{source: "s", destination: "d"}]`: {name: "organizations",
			value: []any{map[string]string{"destination": "d", "source": "s"}}},
		`organizations [{source: ENV['X']}]`: {name: "organizations"},
	} {
		got := parseRuby("# a comment\n" + text + "\n")
		if len(got) == 0 || got[0].name != want.name || !reflect.DeepEqual(got[0].value, want.value) || got[0].line != 2 {
			t.Errorf("%s: %+v, want %+v", text, got, want)
		}
	}
}

// TestRubyFileOfWindows: its editors begin a file with a byte order mark.
func TestRubyFileOfWindows(t *testing.T) {
	got := parseRuby("\ufeffmaster 'https://m'\r\nrole :replica\r\n")
	if len(got) != 2 || got[0].name != "master" || got[0].value != "https://m" || got[1].value != "replica" {
		t.Errorf("got %+v", got)
	}
}

func TestConvertingTheFilesOfTwoReplicas(t *testing.T) {
	eu := write(t, `# replica
role :replica
master "https://CHEF.example.com"
replica "https://chef-eu.example.com"
organizations [
  {
    :destination => "engineering",
    :source => "engineering"
  },
  { :destination => "sales-copy", :source => "sales" }
]
ec_sync_client['sync_key'] = '/etc/chef-sync/own.pem'
ec_sync_client['dir'] = '/srv/sync'
ec_sync_client['replica'] = 'https://127.0.0.1'
bootstrap true
`)
	us := write(t, `role :master_and_replica
master "chef.example.com"
organizations [{:destination => "engineering", :source => "engineering"}]
log_level ENV['LEVEL']
`)
	f := &File{}
	if err := f.AddChefSync(eu, "", ""); err != nil {
		t.Fatal(err)
	}
	if err := f.AddChefSync(us, "us", "https://chef-us.example.com"); err != nil {
		t.Fatal(err)
	}
	other := write(t, "master 'https://other.example.com'\n")
	if err := f.AddChefSync(other, "ap", "https://chef-ap.example.com"); err == nil || !strings.Contains(err.Error(), "has a different master") {
		t.Errorf("another master: %v", err)
	}
	got := strings.NewReplacer(eu, "EU", us, "US").Replace(f.TOML())
	if got != converted {
		t.Errorf("got\n%s", got)
	}
	if _, err := (config.Loader{}).Parse("f.toml", []byte(got)); err != nil {
		t.Error(err)
	}
}

// TestAnOrganizationOfAllReplicasStaysOne: a flag has named it, and a file names it for one.
func TestAnOrganizationOfAllReplicasStaysOne(t *testing.T) {
	f := &File{Organizations: []Organization{{Source: "a"}}}
	path := write(t, "master 'chef.example.com'\nreplica 'chef-eu.example.com'\norganizations %w[a b]\n")
	if err := f.AddChefSync(path, "eu", ""); err != nil {
		t.Fatal(err)
	}
	f.Replicas = append(f.Replicas, Server{Name: "us", URL: "https://chef-us.example.com"})
	c, err := (config.Loader{}).Parse("f.toml", []byte(f.TOML()))
	if err != nil {
		t.Fatal(err)
	}
	var pairs []string
	for _, p := range c.Pairs() {
		pairs = append(pairs, p.ID.String())
	}
	if want := []string{"eu/a", "us/a", "eu/b"}; !reflect.DeepEqual(pairs, want) {
		t.Errorf("pairs %v, want %v", pairs, want)
	}
}

const converted = `# Written by chef-sync-ctl init. The other keys are explained in the file that
# init --sample writes. Check this file with: chef-sync-ctl config validate
#
# not converted, EU:13: progress is kept at path under [state]
#   ec_sync_client['dir'] = '/srv/sync'
#
# not converted, EU:15: it concerned the installation of the earlier product
#   bootstrap true
#
# not converted, US:4: it is not a plain value
#   log_level ENV['LEVEL']

# The server to replicate from. It is only read, never written.
[primary]
url  = "https://chef.example.com"
user = "ec_sync_user"
key  = "file:/etc/chef-sync/ec_sync_user.pem"

# A server to replicate to.
[[replica]]
name = "chef-eu"
url  = "https://chef-eu.example.com"
user = "ec_sync_user"
key  = "file:/etc/chef-sync/own.pem"

# A server to replicate to.
[[replica]]
name = "us"
url  = "https://chef-us.example.com"
user = "ec_sync_user"
key  = "file:/etc/chef-sync/ec_sync_user.pem"

[[organization]]
source = "engineering"

[[organization]]
source = "sales"
destination = "sales-copy"
replicas = ["chef-eu"]
`

func TestWhatCannotBeConverted(t *testing.T) {
	for text, want := range map[string]string{
		"role :master\n":    "lists no organizations: convert the file of each replica",
		"role :replica\n":   "names no master",
		"master ENV['X']\n": "names no master",
	} {
		if err := (&File{}).AddChefSync(write(t, text), "", ""); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %q", text, err, want)
		}
	}
	f := &File{}
	path := write(t, "master 'https://m.example.com'\n")
	if err := f.AddChefSync(path, "", ""); err != nil {
		t.Fatal(err)
	}
	if got := f.TOML(); !strings.Contains(got, `url  = "`+unknownURL+`"`) || !strings.Contains(got, "# or run init with --replica NAME=URL") ||
		!strings.Contains(got, "lists no organizations") {
		t.Errorf("got\n%s", got)
	}
	if err := f.AddChefSync(path, "", ""); err == nil || !strings.Contains(err.Error(), "--from NAME=FILE") {
		t.Errorf("a second file for one name: %v", err)
	}
}

func TestQuotedStringsAreTOML(t *testing.T) {
	for _, name := range []string{`a"b\c`, "tab\tnul\x00", "ü\u2028", `\x41`} {
		f := File{Primary: Server{Name: "primary", URL: "https://a.example.com", User: name}}
		_, err := (config.Loader{}).Parse("f.toml", []byte(f.TOML()))
		if err == nil || strings.Contains(err.Error(), "must be TOML") {
			t.Errorf("%q: %v", name, err)
		}
	}
}

func FuzzParseRuby(f *testing.F) {
	f.Add("role :replica\nmaster \"https://m\"\norganizations [{:destination => \"d\", :source => \"s\"}]\n")
	f.Add("a['b'] = { c: %w[d e], 'f' => 1 }")
	f.Fuzz(func(t *testing.T, text string) {
		for _, s := range parseRuby(text) {
			if s.name == "" || s.line < 1 || s.line > 1+strings.Count(text, "\n") {
				t.Errorf("%+v", s)
			}
		}
	})
}

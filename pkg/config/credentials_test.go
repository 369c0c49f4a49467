package config

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// newHome makes a home folder with files below .chef.
func newHome(t *testing.T, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	if err := os.Mkdir(filepath.Join(dir, ".chef"), 0o700); err != nil {
		t.Fatal(err)
	}
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(dir, ".chef", name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

const credentials = `
[default]
client_name = "me"
client_key = "me.pem"
chef_server_url = "https://Chef.example.com/organizations/acme"
[node]
node_name = "old"
client_key = "/keys/old.pem"
[inline]
client_name = "new"
node_name = "unused"
client_key = """
-----BEGIN RSA PRIVATE KEY-----
hunter2
-----END RSA PRIVATE KEY-----
"""
knife = { ssh_user = "x" }
['a.dot']
client_name = "dot"
client_key = "~/d.pem"
[unquoted.dot]
client_name = "x"
client_key = "x"
[empty]
`

func TestCredentials(t *testing.T) {
	dir := newHome(t, map[string]string{"credentials": credentials})
	l := Loader{Home: dir}
	tests := []struct{ profile, user, key, url, org string }{
		{"default", "me", "file:" + dir + "/.chef/me.pem", "https://chef.example.com", "acme"},
		{"", "me", "file:" + dir + "/.chef/me.pem", "https://chef.example.com", "acme"},
		{"node", "old", "file:/keys/old.pem", "", ""},
		{"inline", "new", "(inline key of profile inline)", "", ""},
		{"a.dot", "dot", "file:" + dir + "/d.pem", "", ""},
	}
	for _, tt := range tests {
		c, err := l.Credentials(tt.profile)
		if err != nil || c.User != tt.user || c.Key.String() != tt.key || c.URL != tt.url || c.Org != tt.org {
			t.Errorf("%q: %+v, %v; want %+v", tt.profile, c, err, tt)
		}
	}
	c, err := l.Credentials("inline")
	if err != nil {
		t.Fatal(err)
	}
	if key, err := c.Key.Resolve(t.Context(), nil); err != nil || !strings.Contains(string(key.Reveal()), "hunter2") {
		t.Errorf("the inline key can't be read: %v", err)
	}
}

func TestProfileIsChosenAsByKnife(t *testing.T) {
	text := strings.ReplaceAll("[NAME]\nclient_name='NAME'\nclient_key='k'\n", "NAME", "default")
	for _, name := range []string{"env", "context", "flag"} {
		text += strings.ReplaceAll("[NAME]\nclient_name='NAME'\nclient_key='k'\n", "NAME", name)
	}
	with := newHome(t, map[string]string{"credentials": text, "context": "context\n"})
	without := newHome(t, map[string]string{"credentials": text})
	env := lookupIn(map[string]string{"CHEF_PROFILE": "env"})
	for want, got := range map[string]func() (Credentials, error){
		"flag":    func() (Credentials, error) { return Loader{Home: with, Env: env}.Credentials("flag") },
		"env":     func() (Credentials, error) { return Loader{Home: with, Env: env}.Credentials("") },
		"context": func() (Credentials, error) { return Loader{Home: with}.Credentials("") },
		"default": func() (Credentials, error) { return Loader{Home: without}.Credentials("") },
	} {
		if c, err := got(); err != nil || c.User != want || c.Profile != want {
			t.Errorf("%+v, %v; want profile %s", c, err, want)
		}
	}
}

func TestKeysOfAnotherCredentialsFileAreBelowHome(t *testing.T) {
	dir := newHome(t, nil)
	file := filepath.Join(t.TempDir(), "c.toml")
	if err := os.WriteFile(file, []byte(credentials), 0o600); err != nil {
		t.Fatal(err)
	}
	c, err := Loader{Home: dir, Env: lookupIn(map[string]string{"CHEF_CREDENTIALS_FILE": file})}.Credentials("")
	if err != nil || c.File != file || c.Key.Name != dir+"/.chef/me.pem" {
		t.Errorf("%+v, %v", c, err)
	}
}

func TestErrorsOfCredentials(t *testing.T) {
	good := newHome(t, map[string]string{"credentials": credentials})
	tests := []struct {
		name, home, profile, want string
	}{
		{"unknown profile", good, "defualt", `there is no profile "defualt"; did you mean "default"?`},
		{"dots without quotes", good, "unquoted.dot", `the name of profile "unquoted.dot" has a dot and needs quotes: ['unquoted.dot']`},
		{"an empty profile", good, "empty", `profile "empty": client_name is missing`},
		{"no file", newHome(t, nil), "", `credentials doesn't exist`},
		{"Ruby instead", newHome(t, map[string]string{"knife.rb": ""}), "",
			`it is a Ruby program and isn't read: write its node_name, client_key and chef_server_url into`},
		{"broken file", newHome(t, map[string]string{"credentials": "[default]\nclient_key = hunter2\n"}), "",
			`credentials:2:14: not valid TOML`},
		{"no key", newHome(t, map[string]string{"credentials": "[default]\nclient_name = 'x'\n"}), "", `client_key is missing`},
		{"half a key", newHome(t, map[string]string{"credentials": "[default]\nclient_name = 'x'\nclient_key = \"hunter2\\nx\"\n"}),
			"", `client_key is neither a path nor a key`},
		{"bad URL", newHome(t, map[string]string{
			"credentials": "[default]\nclient_name='x'\nclient_key='k'\nchef_server_url='chef'\n",
		}), "", `chef_server_url: not the URL of a server`},
		{"no home", "", "", `the home folder isn't known; set CHEF_CREDENTIALS_FILE`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := Loader{Home: tt.home}.Credentials(tt.profile)
			if err == nil || !strings.Contains(err.Error(), tt.want) || strings.Contains(err.Error(), "hunter2") {
				t.Errorf("%v, want %s", err, tt.want)
			}
		})
	}
}

func TestServerTakesUserAndKeyFromAProfile(t *testing.T) {
	dir := newHome(t, map[string]string{"credentials": credentials})
	text := strings.Replace(minimalConfig, "url = \"https://chef.example.com\"\nuser = \"u\"\nkey = \"env:KEY\"", `profile = "default"`, 1)
	c := mustParse(t, Loader{Home: dir}, text)
	if c.Primary.URL != "https://chef.example.com" || c.Primary.User != "me" || c.Primary.Key.Name != dir+"/.chef/me.pem" {
		t.Errorf("primary %+v", c.Primary)
	}
	for _, s := range c.Effective() {
		if s.Key == "primary.user" && s != (Setting{"primary.user", "me", "profile default"}) {
			t.Errorf("shown as %+v", s)
		}
	}
	both := mustParse(t, Loader{Home: dir}, strings.Replace(text, `profile = "default"`, "profile = \"default\"\nuser = \"own\"", 1))
	if both.Primary.User != "own" || both.Primary.Key.Name != dir+"/.chef/me.pem" {
		t.Errorf("what stands in the file goes first: %+v", both.Primary)
	}
	_, err := Loader{Home: dir}.Parse("f.toml", []byte(strings.Replace(text, `"default"`, `"other"`, 1)))
	if err == nil || !strings.Contains(err.Error(), `f.toml:2:1: primary.profile: `) {
		t.Errorf("unknown profile: %v", err)
	}
	_, err = Loader{Home: dir}.Parse("f.toml", []byte(strings.Replace(text, `"default"`, `"node"`, 1)))
	if err == nil || !strings.Contains(err.Error(), `primary.url: is missing`) {
		t.Errorf("a profile without URL: %v", err)
	}
	asked := mustParse(t, Loader{Home: dir, ChefProfile: "node"}, strings.Replace(minimalConfig, "user = \"u\"\nkey = \"env:KEY\"\n", "", 1))
	if asked.Primary.User != "old" || asked.Primary.URL != "https://chef.example.com" {
		t.Errorf("the profile asked for isn't used: %+v", asked.Primary)
	}
	if named := mustParse(t, Loader{Home: dir, ChefProfile: "node"}, minimalConfig); named.Primary.User != "u" {
		t.Errorf("the profile asked for replaces what the file says: %+v", named.Primary)
	}
}

func TestNormalizeURL(t *testing.T) {
	for in, want := range map[string]string{
		"https://h": "https://h", "https://h/": "https://h", "HTTPS://H.:443//": "https://h", "http://h:80": "http://h",
		"http://h:443":          "http://h:443",
		"https://[FE80::1]:443": "https://[fe80::1]", " https://h ": "https://h", "https://h:8443": "https://h:8443",
	} {
		if got, org, err := NormalizeURL(in); got != want || org != "" || err != nil {
			t.Errorf("%s: %s, %s, %v; want %s", in, got, org, err, want)
		}
	}
	if got, org, err := NormalizeURL("https://h/organizations/acme/"); got != "https://h" || org != "acme" || err != nil {
		t.Errorf("with an organization: %s, %s, %v", got, org, err)
	}
	for _, in := range []string{"", "h", "h:443", "ftp://h", "https://", "https:h", "https://u:p@h", "https://h?x", "https://h#x",
		"https://h/organizations", "https://h/organizations/a/b", "https://h h", "https://h:x", "://"} {
		if got, _, err := NormalizeURL(in); err == nil {
			t.Errorf("%q was taken as %s", in, got)
		}
	}
}

func TestProfilesOfAServer(t *testing.T) {
	dir := newHome(t, map[string]string{"credentials": `[a]
client_name = "me"
client_key = "me.pem"
chef_server_url = "https://CHEF.example.com:443/organizations/acme"
[b]
client_name = "you"
client_key = "you.pem"
chef_server_url = "https://chef.example.com"
[elsewhere]
client_name = "me"
client_key = "me.pem"
chef_server_url = "https://eu.example.com"
[broken]
chef_server_url = "https://chef.example.com"
`})
	var got []string
	for _, c := range (Loader{Home: dir}).ProfilesOf("https://chef.example.com") {
		got = append(got, c.Profile+" "+c.User+" "+c.Org)
	}
	if want := []string{"a me acme", "b you "}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	if list := (Loader{Home: t.TempDir()}).ProfilesOf("https://chef.example.com"); len(list) > 0 {
		t.Errorf("without a file: %v", list)
	}
}

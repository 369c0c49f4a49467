package config

import (
	"errors"
	"fmt"
	"strings"
	"testing"
)

// problemsOf parses a text that must be refused.
func problemsOf(t *testing.T, text string) Problems {
	t.Helper()
	c, err := Loader{}.Parse("f.toml", []byte(text))
	var ps Problems
	if !errors.As(err, &ps) || c != nil {
		t.Fatalf("got %+v, %v; want problems\n%s", c, err, text)
	}
	return ps
}

// editTemplate returns the shortest configuration with one piece replaced.
func editTemplate(t *testing.T, old, new string) string {
	t.Helper()
	if !strings.Contains(minimalConfig, old) {
		t.Fatalf("%q isn't in the example", old)
	}
	return strings.Replace(minimalConfig, old, new, 1)
}

func TestEachProblemHasItsPositionAndASuggestion(t *testing.T) {
	const second = "[[replica]]\nname = \"us\"\nurl = \"https://us\"\nuser = \"u\"\nkey = \"env:K\"\n"
	tests := []struct{ name, text, want string }{
		{"unknown key", editTemplate(t, `user = "u"`, `usr = "u"`), `f.toml:3:1: primary.usr: unknown key; did you mean user?`},
		{"key of knife", minimalConfig + "[log]\nx = 1\nlevel = \"info\"\n", `f.toml:13:1: log.x: unknown key; known here: level`},
		{"knife's word", editTemplate(t, `url = "https://chef`, `chef_server_url = "https://chef`),
			`f.toml:2:1: primary.chef_server_url: unknown key; it is called url here`},
		{"unknown table", minimalConfig + "[organisation]\n", `f.toml:12:2: organisation: unknown key; did you mean organization?`},
		{"old word", minimalConfig + "[master]\n", `f.toml:12:2: master: unknown key; it is called [primary] here`},
		{"wrong type", editTemplate(t, `user = "u"`, `user = 5`), `f.toml:3:1: primary.user: must be a string; write user = "..."`},
		{"single brackets", editTemplate(t, `[[organization]]`, `[organization]`),
			`f.toml:10:2: organization: there can be several of these; write [[organization]], with double brackets`},
		{"double brackets", editTemplate(t, `[primary]`, `[[primary]]`),
			`f.toml:1:3: primary: there can only be one primary; write [primary] once, with single brackets`},
		{"duplicate key", editTemplate(t, `user = "u"`, "user = \"u\"\nuser = \"v\""), `f.toml:4:1: user: `},
		{"broken TOML", editTemplate(t, `[[replica]]`, `[[replica]`), `f.toml:5:`},
		{"no URL", editTemplate(t, `url = "https://chef.example.com"`, ``),
			`f.toml:1:2: primary.url: is missing; write url = "https://chef.example.com"`},
		{"URL with organization", editTemplate(t, `https://eu.example.com`, `https://eu.example.com/organizations/acme/`),
			`f.toml:7:1: replica[0].url: contains the organization "acme"; write "https://eu.example.com" here,` +
				` and the organization under [[organization]]`},
		{"URL with a path", editTemplate(t, `https://eu.example.com`, `https://eu.example.com/chef`), `f.toml:7:1: replica[0].url: has a path`},
		{"URL without scheme", editTemplate(t, `https://eu.example.com`, `eu.example.com`),
			`f.toml:7:1: replica[0].url: not the URL of a server`},
		{"URL with a password", editTemplate(t, `https://eu.example.com`, `https://u:hunter2@eu.example.com`),
			`f.toml:7:1: replica[0].url: a URL with a user or password isn't allowed`},
		{"URL with a wrong port", editTemplate(t, `https://eu.example.com`, `https://eu.example.com:4433443`),
			`f.toml:7:1: replica[0].url: has an invalid port`},
		{"full name as user", editTemplate(t, `user = "u"`, `user = "Jo Doe"`),
			`f.toml:3:1: primary.user: "Jo Doe" contains spaces or control characters; write the name of a user or client`},
		{"wrong port to listen on", minimalConfig + "[status]\nlisten = \"127.0.0.1:99970\"\n",
			`f.toml:13:1: status.listen: "127.0.0.1:99970" isn't an address to listen on; write an address and a port`},
		{"text as headers", editTemplate(t, `name = "eu"`, "name = \"eu\"\nheaders = \"Tenant-Id: 1\""),
			`f.toml:7:1: replica[0].headers: must be a table; write [replica.headers] and its keys below`},
		{"text as webhook", minimalConfig + "[notify]\nwebhook = [\"https://chat\"]\n",
			`f.toml:13:12: notify.webhook[0]: must be a table; write [[notify.webhook]] and its keys below`},
		{"bare path as key", editTemplate(t, `env:KEY`, `/etc/x.pem`),
			`f.toml:4:1: primary.key: a reference needs a scheme; write "file:/etc/x.pem"`},
		{"key itself", editTemplate(t, `env:KEY`, `-----BEGIN RSA PRIVATE KEY-----hunter2`),
			`f.toml:4:1: primary.key: the key itself doesn't belong here; store the key in a file`},
		{"unknown scheme", editTemplate(t, `env:KEY`, `vault:hunter2`),
			`f.toml:4:1: primary.key: unknown scheme; write file:PATH, env:NAME`},
		{"text as key", editTemplate(t, `env:KEY`, `hunter2`), `f.toml:4:1: primary.key: not a reference; write file:PATH`},
		{"variable with $", editTemplate(t, `env:KEY`, `env:$KEY`),
			`f.toml:4:1: primary.key: not the name of an environment variable; write env:NAME, without $`},
		{"feed", editTemplate(t, `key = "env:KEY"`, "key = \"env:KEY\"\nfeed = \"journel\""),
			`f.toml:5:1: primary.feed: "journel" isn't known; did you mean "journal"?`},
		{"connections", editTemplate(t, `key = "env:KEY"`, "key = \"env:KEY\"\nconnections = 0"),
			`f.toml:5:1: primary.connections: must be between 1 and 256`},
		{"no patience", editTemplate(t, `key = "env:KEY"`, "key = \"env:KEY\"\nresponse_timeout = \"0\""),
			`f.toml:5:1: primary.response_timeout: "0" is too short: at least 1s`},
		{"a timeout of another name", editTemplate(t, `key = "env:KEY"`, "key = \"env:KEY\"\ntimeout = \"5s\""),
			`f.toml:5:1: primary.timeout: unknown key; it is called response_timeout here`},
		{"flag in quotes", editTemplate(t, `key = "env:KEY"`, "key = \"env:KEY\"\norganizations = \"false\""),
			`f.toml:5:1: primary.organizations: must be true or false; write true or false, without quotes`},
		{"interval without unit", minimalConfig + "interval = 60",
			`f.toml:12:1: organization[0].interval: must be a duration; write a string with a unit, such as "60s"`},
		{"bad interval", minimalConfig + `interval = "1 minute"`,
			`f.toml:12:1: organization[0].interval: "1 minute" isn't a duration; write a number and a unit`},
		{"short interval", minimalConfig + `interval = "10ms"`, `f.toml:12:1: organization[0].interval: "10ms" is too short: at least 1s`},
		{"no interval", minimalConfig + `interval = "0"`, `f.toml:12:1: organization[0].interval: "0" is too short: at least 1s`},
		{"kind", minimalConfig + `kinds = ["roles", "databags"]`,
			`f.toml:12:19: organization[0].kinds[1]: "databags" isn't a kind of object; did you mean "data_bags"?`},
		{"kind that isn't replicated", minimalConfig + `kinds = ["nodes"]`,
			`f.toml:12:10: organization[0].kinds[0]: nodes are not replicated; kinds are "cookbooks", "environments"`},
		{"policy groups alone", minimalConfig + `kinds = ["policy_groups", "cookbook_artifacts"]`,
			`f.toml:12:1: organization[0].kinds: selects policy_groups without policies; add "policies"`},
		{"pattern of a kind to choose", minimalConfig + `include = ["policies/app"]`,
			`f.toml:12:12: organization[0].include[0]: "policies/app" is of a kind that isn't replicated; add "policies" to kinds`},
		{"no kinds", minimalConfig + `kinds = []`, `f.toml:12:1: organization[0].kinds: selects nothing; write some of "cookbooks"`},
		{"kind twice", minimalConfig + `kinds = ["roles", "roles"]`, `f.toml:12:19: organization[0].kinds[1]: "roles" is listed twice`},
		{"kinds as text", minimalConfig + `kinds = "roles"`,
			`f.toml:12:1: organization[0].kinds: must be an array of strings; write kinds = ["roles"]`},
		{"include without kind", minimalConfig + `include = ["apt"]`,
			`f.toml:12:12: organization[0].include[0]: "apt" isn't a pattern; begin with a kind, as in cookbooks/apt`},
		{"include of nothing", minimalConfig + `include = []`,
			`f.toml:12:1: organization[0].include: selects nothing; write patterns such as "roles/web-*", or leave the key out for all`},
		{"include of everything and more", minimalConfig + `include = ["roles/a", "*"]`,
			`f.toml:12:23: organization[0].include[1]: "*" selects everything; leave the other patterns out, or this one`},
		{"exclude of everything", minimalConfig + `exclude = ["*"]`,
			`f.toml:12:12: organization[0].exclude[0]: "*" isn't a pattern; begin with a kind`},
		{"exclude with a class", minimalConfig + `exclude = ["roles/ok", "roles/[ab]"]`,
			`f.toml:12:24: organization[0].exclude[1]: "roles/[ab]" isn't a pattern; names have letters`},
		{"exclude of a whole kind", minimalConfig + `exclude = ["roles"]`,
			`f.toml:12:12: organization[0].exclude[0]: "roles" isn't a pattern; write roles/* for all of them`},
		{"pattern of another kind", minimalConfig + "kinds = [\"roles\"]\ninclude = [\"cookbooks/a\"]",
			`f.toml:13:12: organization[0].include[0]: "cookbooks/a" is of a kind that isn't replicated; add "cookbooks" to kinds,` +
				` or leave the pattern out`},
		{"pattern twice", minimalConfig + `exclude = ["data_bags/a", "/data/a"]`,
			`f.toml:12:27: organization[0].exclude[1]: "/data/a" is listed twice`},
		{"included and excluded", minimalConfig + "include = [\"roles/a\"]\nexclude = [\"roles/a\"]",
			`f.toml:13:12: organization[0].exclude[0]: "roles/a" is included and excluded; exclude takes precedence over include`},
		{"pattern as text", minimalConfig + `exclude = "roles/a"`,
			`f.toml:12:1: organization[0].exclude: must be an array of strings; write exclude = ["roles/a"]`},
		{"another word for exclude", minimalConfig + `skip = ["roles/a"]`,
			`f.toml:12:1: organization[0].skip: unknown key; it is called exclude here`},
		{"prune", minimalConfig + `prune = "yes"`, `f.toml:12:1: organization[0].prune: "yes" isn't known; write "replicated", "all" or "none"`},
		{"drift", minimalConfig + `drift = "fix"`, `f.toml:12:1: organization[0].drift: "fix" isn't known; write "report" or "repair"`},
		{"limit", minimalConfig + `max_delete = "120%"`,
			`f.toml:12:1: organization[0].max_delete: "120%" isn't a limit; write "20%", "50" or "20%,50"`},
		{"limit of nothing", minimalConfig + `max_delete = 0`,
			`f.toml:12:1: organization[0].max_delete: "0" isn't a limit; write prune = "none"`},
		{"limit of another type", minimalConfig + `max_delete = 0.5`,
			`f.toml:12:1: organization[0].max_delete: must be a limit; write max_delete = "20%"`},
		{"name of an organization", editTemplate(t, `"acme"`, `"Acme"`),
			`f.toml:11:1: organization[0].source: "Acme" isn't the name of an organization; did you mean "acme"?`},
		{"display name", editTemplate(t, `"acme"`, `"Acme Inc"`), // "acme inc" is no name either
			`f.toml:11:1: organization[0].source: "Acme Inc" isn't the name of an organization; names of organizations consist of a-z`},
		{"impossible name", minimalConfig + `destination = "a.b"`,
			`f.toml:12:1: organization[0].destination: "a.b" isn't the name of an organization; names of organizations consist of a-z`},
		{"no source", editTemplate(t, `source = "acme"`, ``),
			`f.toml:10:3: organization[0].source: is missing; write the name of an organization of the primary`},
		{"name of a replica", editTemplate(t, `name = "eu"`, `name = "e u"`),
			`f.toml:6:1: replica[0].name: "e u" can't be the name of a replica; use up to 32 of`},
		{"replica called primary", editTemplate(t, `name = "eu"`, `name = "primary"`),
			`f.toml:6:1: replica[0].name: would be mistaken for the primary`},
		{"replica without name", editTemplate(t, `name = "eu"`, ``), `f.toml:5:3: replica[0].name: is missing; write a short name`},
		{"unknown replica", minimalConfig + `replicas = ["ue"]`,
			`f.toml:12:13: organization[0].replicas[0]: there is no replica "ue"; did you mean "eu"?`},
		{"no replicas", minimalConfig + `replicas = []`,
			`f.toml:12:1: organization[0].replicas: names no replica; name a replica, or leave the key out for all`},
		{"replica twice", minimalConfig + `replicas = ["eu", "eu"]`, `f.toml:12:19: organization[0].replicas[1]: "eu" is listed twice`},
		{"two replicas with one name", minimalConfig + strings.Replace(second, "us", "eu", 1),
			`f.toml:13:1: replica[1].name: two replicas are called "eu"`},
		{"one server as two replicas", minimalConfig + strings.Replace(second, "https://us", "https://EU.example.com:443", 1),
			`f.toml:14:1: replica[1].url: is the same server as replica "eu"; list the server once`},
		{"the primary as its replica", editTemplate(t, `https://eu.example.com`, `HTTPS://CHEF.example.com:443/`),
			`f.toml:7:1: replica[0].url: is the primary itself,` +
				` https://chef.example.com; a replica must be a different server; a replica can't be a primary`},
		{"two pairs on one destination", minimalConfig + "[[organization]]\nsource = \"other\"\ndestination = \"acme\"\n",
			`f.toml:14:1: organization[1].destination: eu/acme is already the destination of organization[0] (line 10): a destination ` +
				`can belong to only one pair; give one of them a different destination`},
		{"one organization twice", minimalConfig + "[[organization]]\nsource = \"acme\"\n",
			`f.toml:12:3: organization[1]: eu/acme is already the destination of organization[0]`},
		{"destination on a server without organizations", editTemplate(t, `name = "eu"`, "name = \"eu\"\norganizations = false") +
			`destination = "acme"`,
			`f.toml:13:1: organization[0].destination: replica "eu" has no organizations, so it can't hold "acme"; leave destination out`},
		{"two on a server without organizations", editTemplate(t, `name = "eu"`, "name = \"eu\"\norganizations = false") +
			"[[organization]]\nsource = \"b\"\n",
			`f.toml:13:3: organization[1]: eu/default is already the destination of organization[0]`},
		{"source on a server without organizations", editTemplate(t, `user = "u"`, "user = \"u\"\norganizations = false"),
			`f.toml:12:1: organization[0].source: the primary has no organizations; leave source out, or write "default"`},
		{"no destination for a server without organizations",
			strings.Replace(editTemplate(t, `user = "u"`, "user = \"u\"\norganizations = false"), `source = "acme"`, ``, 1),
			`f.toml:11:3: organization[0]: the primary has no organizations, so there is no name to use on replica "eu"; write destination`},
		{"no replica", "[primary]\nurl=\"https://p\"\nuser=\"u\"\nkey=\"env:K\"\n[[organization]]\nsource=\"a\"\n",
			`f.toml: replica: there is none; write [[replica]]`},
		{"nothing", "", `f.toml: primary: is missing; write [primary] with url, user and key`},
		{"no organization", strings.Split(minimalConfig, "[[organization]]")[0],
			`f.toml: organization: there is none, so nothing would be replicated; write [[organization]]`},
		{"empty path", minimalConfig + "[state]\npath = \"\"", `f.toml:13:1: state.path: must not be empty`},
		{"inline tables", "replica = [{name = \"eu\", colour = 1}]\n", `f.toml:1:26: replica[0].colour: unknown key`},
		{"dotted keys", "primary.usr = 1\n", `f.toml:1:9: primary.usr: unknown key; did you mean user?`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got := problemsOf(t, tt.text).Error()
			if !strings.Contains("\n"+got, "\n"+tt.want) {
				t.Errorf("got\n%s\nwant\n%s", got, tt.want)
			}
			if strings.Contains(got, "hunter2") {
				t.Errorf("a secret shows: %s", got)
			}
		})
	}
}

func TestAllProblemsAreReportedAtOnceInOrder(t *testing.T) {
	ps := problemsOf(t, `[primary]
url = "nothing"
usr = "u"
key = 5
[[replica]]
name = "a b"
[[organization]]
source = "X"
interval = "often"
kinds = ["all"]
`)
	if len(ps) < 9 {
		t.Errorf("%d problems, want at least 9:\n%s", len(ps), ps)
	}
	for i := 1; i < len(ps); i++ {
		if ps[i].Line < ps[i-1].Line {
			t.Errorf("line %d comes after line %d", ps[i].Line, ps[i-1].Line)
		}
	}
}

func TestDidYouMean(t *testing.T) {
	words := []string{"roles", "cookbooks", "data_bags"}
	for word, want := range map[string]string{"role": "roles", "Roles": "roles", "orles": "roles", "cookbok": "cookbooks",
		"databag": "data_bags", "x": "", "something": "", "": ""} {
		if got := DidYouMean(word, words); got != want {
			t.Errorf("DidYouMean(%q) = %q, want %q", word, got, want)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add(full)
	f.Add(Template())
	f.Add("[[a]]\n[[a.b]]\nc = [1, [2, {d = 1}]]\n[a.e.\"f.g\"]\nh.i = 1.5\n")
	f.Add("replica = [{name = \"x\"}, 5]\nprimary = []\norganization = [[]]\n")
	f.Fuzz(func(t *testing.T, text string) {
		c, err := Loader{}.Parse("f.toml", []byte(text))
		if err == nil {
			if len(c.Pairs()) == 0 || c.Primary.URL == "" || len(c.Effective()) == 0 {
				t.Fatalf("accepted, but nothing to do: %+v", c)
			}
			return
		}
		var ps Problems
		if !errors.As(err, &ps) || len(ps) == 0 {
			t.Fatalf("error %v, want problems", err)
		}
		lines := strings.Count(text, "\n") + 1
		for _, p := range ps {
			if p.Message == "" || p.Line < 0 || p.Line > lines || (p.Line > 0) != (p.Column > 0) {
				t.Fatalf("problem %+v of a text with %d lines", p, lines)
			}
		}
	})
}

func ExampleProblem() {
	_, err := Loader{}.Parse("chef-sync.toml", []byte("[primary]\nusr = \"u\"\n"))
	lines := strings.Split(err.Error(), "\n")
	fmt.Println(lines[len(lines)-1])
	// Output: chef-sync.toml:2:1: primary.usr: unknown key; did you mean user?
}

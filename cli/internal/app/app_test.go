package app_test

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"chefsync/cli/internal/app"
	"chefsync/cli/internal/exit"
	"chefsync/pkg/chef/cheftest"
	"chefsync/pkg/config"
	"chefsync/pkg/fault"
	"chefsync/pkg/replication"
)

const text = `[primary]
url = %q
user = "sync"
key = "file:primary.pem"
feed = %q
[[replica]]
name = "eu"
url = "https://eu.example.com"
user = "sync"
key = "file:eu.pem"
[[replica]]
name = "us"
url = "https://us.example.com"
user = "sync"
key = "env:US_KEY"
[[organization]]
source = "acme"
[[organization]]
source = "lab"
destination = "lab-copy"
replicas = ["us"]
[state]
path = "state.db"
`

func open(t *testing.T, url, feed string, env map[string]string) *app.App {
	t.Helper()
	path := filepath.Join(t.TempDir(), "chef-sync.toml")
	if err := os.WriteFile(path, fmt.Appendf(nil, text, url, feed), 0o600); err != nil {
		t.Fatal(err)
	}
	a, err := app.Open(t.Context(), app.Options{
		ConfigPath: path, Now: time.Now, Log: app.LogOptions{Stderr: &bytes.Buffer{}},
		Env: func(k string) (string, bool) { v, ok := env[k]; return v, ok },
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = a.Close() })
	return a
}

func TestArgumentsSelectPairs(t *testing.T) {
	a := open(t, "https://chef.example.com", "auto", nil)
	for _, c := range []struct{ args, want string }{
		{"", "eu/acme us/acme us/lab-copy"},
		{"acme", "eu/acme us/acme"},
		{"us/acme", "us/acme"},
		{"lab-copy", "us/lab-copy"},
		{"lab", "us/lab-copy"}, // by its source
		{"us/acme acme", "us/acme eu/acme"},
		{"us/*", "us/acme us/lab-copy"},
		{"us/", "us/acme us/lab-copy"},
		{"*/acme", "eu/acme us/acme"},
		{"lab*", "us/lab-copy"},
		{"*", "eu/acme us/acme us/lab-copy"},
	} {
		pairs, err := a.Select(strings.Fields(c.args)...)
		var names []string
		for _, p := range pairs {
			names = append(names, p.ID.String())
		}
		if got := strings.Join(names, " "); err != nil || got != c.want {
			t.Errorf("Select(%s) = %s, %v; want %s", c.args, got, err, c.want)
		}
	}
	if _, err := a.Select("as/*"); exit.Of(err) != exit.NotFound {
		t.Errorf("a pattern that matches nothing: %v", err)
	}
	if _, err := a.Select("acme", "eu/lab-copy"); exit.Of(err) != exit.NotFound || !strings.HasSuffix(err.Error(), "; did you mean us/lab-copy?") {
		t.Errorf("an unknown pair: %v", err)
	}
}

func TestPairsOfOneServerShareItsClient(t *testing.T) {
	key := cheftest.PrivatePEM(cheftest.New(cheftest.Options{}).AddUser("sync"))
	a := open(t, "https://chef.example.com", "auto", map[string]string{"US_KEY": string(key)})
	pairs, err := a.Select("us/acme", "us/lab-copy")
	if err != nil {
		t.Fatal(err)
	}
	first, err := a.Client(t.Context(), pairs[0].Replica)
	if err != nil {
		t.Fatal(err)
	}
	if second, err := a.Client(t.Context(), pairs[1].Replica); err != nil || second != first {
		t.Errorf("second client %p, %v; want %p", second, err, first)
	}
	a.DropClients()
	if third, err := a.Client(t.Context(), pairs[1].Replica); err != nil || third == first {
		t.Errorf("after Forget: %p, %v; want a fresh client", third, err)
	}
}

func TestAKeyThatCannotBeReadIsDeniedWithAHint(t *testing.T) {
	a := open(t, "https://chef.example.com", "auto", nil)
	_, err := a.Client(t.Context(), a.Primary)
	if exit.Of(err) != exit.Denied || exit.Hint(err) == "" {
		t.Errorf("error %v of code %d with hint %q", err, exit.Of(err), exit.Hint(err))
	}
}

func TestTheFeedIsProbedAsConfigured(t *testing.T) {
	for _, c := range []struct {
		name    string
		feed    string
		options cheftest.Options
		fault   *cheftest.Fault
		noFeed  bool
		class   fault.Class // of the error; "" for none
	}{
		{"served", "auto", cheftest.Options{UpdatedSince: true}, nil, false, ""},
		{"404 of the front end", "auto", cheftest.Options{}, nil, true, ""},
		{"empty 200, as goiardi", "auto", cheftest.Options{EmptyUnknown: true}, nil, true, ""},
		{"HTML with 200", "auto", cheftest.Options{}, &cheftest.Fault{Path: "*/updated_since", HTML: true}, true, ""},
		{"demanded but not served", "updated_since", cheftest.Options{}, nil, false, fault.Denied},
		{"refused", "auto", cheftest.Options{UpdatedSince: true}, &cheftest.Fault{Path: "*/updated_since", Status: 403}, false, fault.Forbidden},
		{"failing", "auto", cheftest.Options{UpdatedSince: true}, &cheftest.Fault{Path: "*/updated_since", Status: 500, Times: 99}, false, fault.Transient},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			s := cheftest.Start(t, c.options)
			key := s.AddUser("sync")
			s.AddOrg("acme").Associate("sync")
			if c.fault != nil {
				s.Fault(*c.fault)
			}
			a := open(t, s.URL, c.feed, nil)
			if err := os.WriteFile(filepath.Join(filepath.Dir(a.File), "primary.pem"), cheftest.PrivatePEM(key), 0o600); err != nil {
				t.Fatal(err)
			}
			note, err := a.DescribeFeed(t.Context(), "acme")
			if errors.Is(err, replication.ErrNoFeed) != c.noFeed {
				t.Errorf("note %q, error %v; no feed: want %v", note, err, c.noFeed)
			}
			if !c.noFeed && (err == nil) != (c.class == "") || c.class != "" && fault.ClassOf(err) != c.class {
				t.Errorf("error %v of class %s, want class %q", err, fault.ClassOf(err), c.class)
			}
		})
	}
}

// TestAConfigurationThatCannotBeLookedAtIsUsed: a folder of the service, /etc/chef-sync,
// may be closed to the operator. A link to itself is as impossible to look at, for root too.
func TestAConfigurationThatCannotBeLookedAtIsUsed(t *testing.T) {
	t.Chdir(t.TempDir())
	if err := os.Symlink(config.FileName, config.FileName); err != nil {
		t.Fatal(err)
	}
	if path, err := app.FindConfig(""); path != config.FileName || err != nil {
		t.Errorf("found %q, %v; want %s", path, err, config.FileName)
	}
}

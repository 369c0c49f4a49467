package config

import (
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

func TestTheStatusPage(t *testing.T) {
	c := mustParse(t, Loader{}, minimalConfig+"[status]\nlisten = \":9997\"\ntoken = \"file:status-token\"\n")
	want := StatusPage{Listen: ":9997", Token: KeyRef{Scheme: "file", Name: "/etc/chef-sync/status-token"}}
	if diff := cmp.Diff(want, c.StatusPage, cmpopts.IgnoreUnexported(KeyRef{})); diff != "" {
		t.Error(diff)
	}
	if !slices.ContainsFunc(c.Warnings(), func(w string) bool { return strings.HasPrefix(w, "status.listen: the token crosses the network") }) {
		t.Errorf("warnings %q", c.Warnings())
	}
	if c = mustParse(t, Loader{}, minimalConfig); c.StatusPage.Listen != "" {
		t.Errorf("without [status] it listens on %s", c.StatusPage.Listen)
	}
	c = mustParse(t, Loader{}, minimalConfig+"[status]\nlisten = \"127.0.0.1:9997\"\n")
	if c.StatusPage.Listen != "127.0.0.1:9997" || strings.Contains(strings.Join(c.Warnings(), "\n"), "status") {
		t.Errorf("%+v, warnings %q", c.StatusPage, c.Warnings())
	}
}

func TestProblemsOfTheStatusPage(t *testing.T) {
	for name, c := range map[string]struct{ text, says string }{
		"no token":           {`listen = ":9997"`, `status.listen: ":9997" can be reached from other machines, and no token is configured; also write token = "file:PATH"`},
		"no such port":       {`listen = "127.0.0.1:99999"`, `status.listen: "127.0.0.1:99999" isn't an address to listen on`},
		"the port of pushes": {"listen = \"127.0.0.1:9996\"\n[journal]\nlisten = \":9996\"", `status.listen: "127.0.0.1:9996" is the address of journal.listen, too; choose another port`},
		"no port":            {`listen = "localhost"`, `write an address and a port, such as listen = ":9997" or "127.0.0.1:9997"`},
		"the token itself":   {`token = "s3cret"`, "status.token: not a reference"},
		"another's word":     {`token_file = "x"`, "it is called token here"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := Loader{}.Parse("/etc/chef-sync/chef-sync.toml", []byte(minimalConfig+"[status]\n"+c.text+"\n"))
			if err == nil || !strings.Contains(err.Error(), c.says) {
				t.Errorf("%v, want %q", err, c.says)
			}
			if err != nil && strings.Contains(err.Error(), "s3cret") {
				t.Errorf("the token is in %v", err)
			}
		})
	}
}

func TestIsLoopback(t *testing.T) {
	for address, want := range map[string]bool{"127.0.0.1:1": true, "127.9.9.9:1": true, "[::1]:1": true, "localhost:1": true, ":1": false, "0.0.0.0:1": false,
		"[::]:1": false, "10.0.0.1:1": false, "example.com:1": false, "127.0.0.1": false, "": false} {
		if got := IsLoopback(address); got != want {
			t.Errorf("%q: %v", address, got)
		}
	}
}

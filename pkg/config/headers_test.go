package config

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// headersFile is a configuration whose primary has headers.
func headersFile(headers string) string {
	return fmt.Sprintf(`[primary]
url = "https://chef.example.com"
user = "u"
key = "ssm:/chef/key"
headers = %s
[[replica]]
name = "eu"
url = "https://eu.example.com"
user = "u"
key = "ssm:/chef/eu"
[replica.headers]
"Tenant-Id" = "ssm:/chef/tenant"
[[organization]]
source = "acme"
`, headers)
}

func TestHeadersOfAServer(t *testing.T) {
	c := mustParse(t, Loader{Env: lookupIn(map[string]string{"COOKIE": " a=b\n"})}, headersFile(`{ "tenant-id" = "very-secret", Cookie = "env:COOKIE" }`))
	got, err := c.Primary.ResolveHeaders(context.Background(), nil)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(http.Header{"Tenant-Id": {"very-secret"}, "Cookie": {"a=b"}}, got); diff != "" {
		t.Error(diff)
	}
	ssm := func(context.Context, string) ([]byte, error) { return []byte("tenant-1"), nil }
	if got, err = c.Replicas[0].ResolveHeaders(context.Background(), map[string]Resolver{"ssm": ssm}); err != nil || got.Get("Tenant-Id") != "tenant-1" {
		t.Errorf("headers of the replica %v, %v", got, err)
	}
}

func TestHeadersAreRedacted(t *testing.T) {
	c := mustParse(t, Loader{}, headersFile(`{ "Tenant-Id" = "very-secret" }`))
	values := map[string]string{}
	for _, s := range c.Effective() {
		values[s.Key] = s.Value + " " + s.Origin
	}
	if got, want := values["primary.headers.Tenant-Id"], "(secret) /etc/chef-sync/chef-sync.toml:5"; got != want {
		t.Errorf("config show has %q, want %q", got, want)
	}
	if got := values["replica[0].headers.Tenant-Id"]; !strings.HasPrefix(got, "ssm:/chef/tenant ") {
		t.Errorf("config show has %q for the reference", got)
	}
	text, err := json.Marshal(c)
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range []string{fmt.Sprintf("%v %+v %#v", c, c, c), fmt.Sprint(values), string(text)} {
		if strings.Contains(s, "very-secret") || strings.Contains(s, fmt.Sprintf("%#v", []byte("very-secret"))) {
			t.Errorf("the value is shown: %s", s)
		}
	}
}

func TestHeadersThatCannotBeSent(t *testing.T) {
	for headers, want := range map[string]string{
		`{ "X-Ops-UserId" = "s3cret" }`:                 "5:13: primary.headers.X-Ops-UserId: is a header that this program sets or signs itself",
		`{ authorization = "s3cret" }`:                  "primary.headers.authorization: is a header that this program sets",
		`{ Host = "s3cret" }`:                           "primary.headers.Host: is a header that this program sets",
		`{ Content-MD5 = "s3cret" }`:                    "primary.headers.Content-MD5: is a header that this program sets",
		`{ "Accept-Encoding" = "s3cret" }`:              "primary.headers.Accept-Encoding: is a header that this program sets",
		`{ "Tenant Id" = "s3cret" }`:                    `primary.headers."Tenant Id": can't be the name of a header`,
		`{ "Tenant-Id" = "s3cret\r\nX-Ops-UserId: y" }`: "primary.headers.Tenant-Id: contains a line break",
		`{ "Tenant-Id" = "" }`:                          "primary.headers.Tenant-Id: must not be empty",
		`{ "Tenant-Id" = 7 }`:                           "primary.headers.Tenant-Id: must be a string",
		`{ "Tenant-Id" = "a", "tenant-id" = "s3cret" }`: "primary.headers.tenant-id: Tenant-Id is given twice",
		`"Tenant-Id: s3cret"`:                           "primary.headers: must be a table",
		`{ "Tenant-Id" = "env:" }`:                      "primary.headers.Tenant-Id: the reference has no name; write file:PATH, env:NAME, secretsmanager:NAME or ssm:NAME",
	} {
		_, err := Loader{}.Parse("f", []byte(headersFile(headers)))
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %s", headers, err, want)
		}
		if err != nil && strings.Contains(err.Error(), "s3cret") {
			t.Errorf("%s: the error quotes the value: %v", headers, err)
		}
	}
}

func TestHeaderOfAReferenceMustBeOneLine(t *testing.T) {
	c := mustParse(t, Loader{Env: lookupIn(map[string]string{"TENANT": "s3cret\nX: y"})}, headersFile(`{ "Tenant-Id" = "env:TENANT" }`))
	_, err := c.Primary.ResolveHeaders(context.Background(), nil)
	if err == nil || !strings.Contains(err.Error(), "read env:TENANT on primary: contains a line break") || strings.Contains(err.Error(), "s3cret") {
		t.Error(err)
	}
}

func TestAHeaderFileThatOthersMayReadIsWarnedOf(t *testing.T) {
	file := filepath.Join(t.TempDir(), "tenant")
	if err := os.WriteFile(file, []byte("t"), 0o644); err != nil {
		t.Fatal(err)
	}
	c := mustParse(t, Loader{}, headersFile(fmt.Sprintf(`{ "Tenant-Id" = "file:%s" }`, file)))
	if got := strings.Join(c.Warnings(), "\n"); !strings.Contains(got, "header Tenant-Id of primary: file:"+file) {
		t.Errorf("warnings: %s", got)
	}
}

func TestHeadersOnAWS(t *testing.T) {
	names := func(refs []KeyRef) (list []string) {
		for _, r := range refs {
			list = append(list, r.String())
		}
		return list
	}
	c := mustParse(t, Loader{}, headersFile(`{ "Tenant-Id" = "secretsmanager:tenant" }`))
	if err := c.CheckAWS(); err != nil {
		t.Error(err)
	}
	want := []string{"ssm:/chef/key", "secretsmanager:tenant", "ssm:/chef/eu", "ssm:/chef/tenant"}
	if diff := cmp.Diff(want, names(c.SyncSecrets())); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff(want[:2], names(c.ScanSecrets())); diff != "" {
		t.Error(diff)
	}
	c = mustParse(t, Loader{}, headersFile(`{ "Tenant-Id" = "env:TENANT" }`))
	if err := c.CheckAWS(); err == nil || !strings.Contains(err.Error(), "primary.headers.Tenant-Id: the functions on AWS can't read env: references") {
		t.Error(err)
	}
}

package main

import (
	"bytes"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"chefsync/pkg/chef/cheftest"
	"chefsync/pkg/chef/goiarditest"
	"chefsync/pkg/cloud/cloudtest"
)

// runSeed runs the program and returns its output.
func runSeed(t *testing.T, args ...string) string {
	t.Helper()
	var out bytes.Buffer
	if err := runCommand(t.Context(), args, &out); err != nil {
		t.Fatalf("seed %q: %v", args, err)
	}
	return out.String()
}

func keyFile(t *testing.T, pem []byte) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "admin.pem")
	if err := os.WriteFile(file, pem, 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

// filledSnapshot returns the snapshot of an organization with the sample.
func filledSnapshot(t *testing.T, changed bool) map[string]string {
	org := cheftest.Start(t).AddOrg("acme")
	cheftest.Fill(org)
	if changed {
		cheftest.Edit(org)
	}
	return org.Snapshot()
}

func TestFillAndChange(t *testing.T) {
	srv := cheftest.Start(t)
	org := srv.AddOrg("acme")
	org.PutRole("mine", `{"description":"not of the sample"}`)
	user, key := srv.Superuser()
	on := []string{"-url", srv.URL, "-user", user, "-organization", "acme", "-key", keyFile(t, cheftest.PrivatePEM(key))}
	for i, verb := range []string{"fill", "change", "fill", "change"} {
		runSeed(t, append([]string{verb}, on...)...)
		got, want := org.Snapshot(), filledSnapshot(t, verb == "change")
		if got["/roles/mine"] == "" {
			t.Errorf("%s: a role of others is gone", verb)
		}
		delete(got, "/roles/mine")
		if !maps.Equal(got, want) {
			t.Errorf("%d, %s: the server shows %q, want %q", i, verb, slices.Sorted(maps.Keys(got)), slices.Sorted(maps.Keys(want)))
		}
	}
	if got := runSeed(t, append([]string{"change"}, on...)...); !strings.HasSuffix(got, ": 0 objects written, 0 deleted\n") {
		t.Errorf("the second time: %q", got)
	}
}

func TestFillAndChangeWithoutOrganizations(t *testing.T) {
	like := cheftest.Start(t, cheftest.Options{Orgless: true, MaxAPIVersion: 1, EmptyUnknown: true})
	user, key := like.Superuser()
	fillAndChange(t, like.URL, user, cheftest.PrivatePEM(key))
}

func TestFillAndChangeGoiardi(t *testing.T) {
	g := goiarditest.Start(t)
	fillAndChange(t, g.URL, goiarditest.AdminUser, cheftest.PrivatePEM(g.AdminKey))
}

// fillAndChange checks that a server has each form of the sample after it was written:
// nothing is left to write.
func fillAndChange(t *testing.T, url, user string, pem []byte) {
	key := keyFile(t, pem)
	for _, verb := range []string{"fill", "change", "fill"} {
		args := []string{verb, "-url", url, "-user", user, "-key", key}
		if first := runSeed(t, args...); strings.Contains(first, ": 0 objects written") {
			t.Errorf("%s: %s", verb, first)
		}
		if second := runSeed(t, args...); !strings.HasSuffix(second, ": 0 objects written, 0 deleted\n") {
			t.Errorf("%s once more: %s", verb, second)
		}
	}
}

func TestAKeyIsStoredAndReplaced(t *testing.T) {
	fake := cloudtest.Start()
	defer fake.Close()
	for name, value := range cloudtest.Environment(fake.URL) {
		t.Setenv(name, value)
	}
	for range 2 {
		_, key := cheftest.Start(t).Superuser()
		pem := cheftest.PrivatePEM(key)
		file := keyFile(t, pem)
		if got := runSeed(t, "keep", "-secret", "chef-sync/primary", "-key", file); strings.Contains(got, "PRIVATE") {
			t.Errorf("it says the key: %q", got)
		}
		if got := fake.Secret("chef-sync/primary"); got != string(pem) {
			t.Error("the secret isn't the key of the file")
		}
	}
}

func TestErrorsNameTheirCause(t *testing.T) {
	for name := range cloudtest.Environment("") {
		t.Setenv(name, "")
	}
	_, key := cheftest.Start(t).Superuser()
	good, bad := keyFile(t, cheftest.PrivatePEM(key)), keyFile(t, []byte("no key"))
	for want, args := range map[string][]string{
		"a command is missing":       {},
		`unknown command "empty"`:    {"empty"},
		"-url is missing":            {"fill", "-key", good},
		"-key is missing":            {"keep", "-secret", "s"},
		"-secret":                    {"keep", "-key", good},
		"not defined: -secret":       {"fill", "-secret", "s"},
		`unexpected argument "more"`: {"fill", "-url", "http://127.0.0.1:1", "-key", good, "more"},
		"read the key of admin":      {"fill", "-url", "http://127.0.0.1:1", "-key", good + "x"},
		"key file " + bad:            {"keep", "-secret", "s", "-key", bad},
		"AWS_ENDPOINT_URL isn't set": {"keep", "-secret", "s", "-key", good},
	} {
		var out bytes.Buffer
		if err := runCommand(t.Context(), args, &out); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("seed %q: error %v, want %q", args, err, want)
		}
		if out.Len() > 0 {
			t.Errorf("seed %q: output %q", args, out.String())
		}
	}
}

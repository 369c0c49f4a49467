package canonical

import (
	"bytes"
	"errors"
	"os"
	"regexp"
	"strings"
	"testing"
)

// form is one of the functions of this package.
type form func([]byte) ([]byte, error)

func mustForm(t *testing.T, f form, body string) string {
	t.Helper()
	c, err := f([]byte(body))
	if err != nil {
		t.Fatalf("%s: %v", body, err)
	}
	return string(c)
}

func equal(t *testing.T, f form, a, b string) {
	t.Helper()
	if ca, cb := mustForm(t, f, a), mustForm(t, f, b); ca != cb {
		t.Errorf("want equal forms:\n%s\n%s", ca, cb)
	}
}

func differ(t *testing.T, f form, a, b string) {
	t.Helper()
	if ca, cb := mustForm(t, f, a), mustForm(t, f, b); ca == cb {
		t.Errorf("%s\n%s\nwant different forms, both are %s", a, b, ca)
	}
}

const fullRole = `{"name":"web","description":"","json_class":"Chef::Role","chef_type":"role","default_attributes":{},"override_attributes":{},"run_list":[],"env_run_lists":{}}`

func TestRole(t *testing.T) {
	t.Run("keys left out have their defaults", func(t *testing.T) { equal(t, Role, `{"name":"web"}`, fullRole) })
	t.Run("a bare name in a run list is a recipe, repetitions count once", func(t *testing.T) {
		equal(t, Role, `{"name":"web","run_list":["apache2","role[base]","recipe[apache2]","role[base]"],"env_run_lists":{"prod":["a::b@1.0.0"]}}`,
			`{"name":"web","run_list":["recipe[apache2]","role[base]"],"env_run_lists":{"prod":["recipe[a::b@1.0.0]"]}}`)
	})
	for name, other := range map[string]string{
		"name":                `{"name":"web2"}`,
		"description":         `{"name":"web","description":"x"}`,
		"attribute":           `{"name":"web","default_attributes":{"a":1}}`,
		"override is another": `{"name":"web","override_attributes":{"a":1}}`,
		"run list":            `{"name":"web","run_list":["recipe[a]"]}`,
		"role isn't recipe":   `{"name":"web","run_list":["role[a]"]}`,
		"environment list":    `{"name":"web","env_run_lists":{"prod":[]}}`,
		"unknown key":         `{"name":"web","zzz":1}`,
		"null attribute":      `{"name":"web","default_attributes":{"a":null}}`,
		"null isn't {}":       `{"name":"web","default_attributes":null}`,
	} {
		t.Run("another "+name+" is another role", func(t *testing.T) { differ(t, Role, fullRole, other) })
	}
	t.Run("order of the run list counts", func(t *testing.T) {
		differ(t, Role, `{"run_list":["recipe[a]","recipe[b]"]}`, `{"run_list":["recipe[b]","recipe[a]"]}`)
	})
	t.Run("a run list of another shape is kept", func(t *testing.T) {
		differ(t, Role, `{"run_list":[1,1],"env_run_lists":[]}`, `{"run_list":[1],"env_run_lists":[]}`)
	})
}

func TestEnvironment(t *testing.T) {
	const full = `{"name":"prod","description":"","json_class":"Chef::Environment","chef_type":"environment","cookbook_versions":{},"default_attributes":{},"override_attributes":{}}`
	equal(t, Environment, `{"name":"prod"}`, full)
	differ(t, Environment, full, `{"name":"prod","cookbook_versions":{"a":"= 1.0.0"}}`)
	differ(t, Environment, `{"name":"prod","cookbook_versions":{"a":"= 1.0.1"}}`, `{"name":"prod","cookbook_versions":{"a":"= 1.0.0"}}`)
}

func TestDataBagItem(t *testing.T) {
	t.Run("a wrapped item is the item", func(t *testing.T) {
		equal(t, DataBagItem, `{"id":"i","k":1}`, `{"name":"data_bag_item_b_i","json_class":"Chef::DataBagItem","chef_type":"data_bag_item","data_bag":"b","raw_data":{"k":1,"id":"i"}}`)
	})
	t.Run("stored chef_type and data_bag count", func(t *testing.T) {
		differ(t, DataBagItem, `{"id":"i"}`, `{"id":"i","chef_type":"data_bag_item"}`)
		differ(t, DataBagItem, `{"id":"i"}`, `{"id":"i","data_bag":"b"}`)
	})
	t.Run("a raw item that looks wrapped is taken as it is", func(t *testing.T) {
		differ(t, DataBagItem, `{"id":"i","json_class":"Chef::DataBagItem","raw_data":{"id":"i"}}`, `{"id":"i"}`)
		differ(t, DataBagItem, `{"id":"i","json_class":"Chef::DataBagItem","raw_data":{"id":"i"},"more":1}`, `{"id":"i","json_class":"Chef::DataBagItem","raw_data":{"id":"i"},"more":2}`)
	})
	t.Run("integers beyond a double count", func(t *testing.T) {
		differ(t, DataBagItem, `{"id":"i","n":12345678901234567890}`, `{"id":"i","n":12345678901234567891}`)
	})
}

func TestDataBag(t *testing.T) {
	if got := string(DataBag("users")); got != `{"name":"users"}` {
		t.Errorf("DataBag = %s", got)
	}
	if bytes.Equal(DataBag("a"), DataBag("b")) {
		t.Error("two bags have one form")
	}
	if got := string(DataBag(`<"\` + "\xff")); got != `{"name":"<\"\\`+"\ufffd"+`"}` {
		t.Errorf("DataBag of an odd name = %s", got)
	}
}

func TestCookbookVersion(t *testing.T) {
	v2, err := os.ReadFile("testdata/cookbook_v2.json")
	if err != nil {
		t.Fatal(err)
	}
	v0, err := os.ReadFile("testdata/cookbook_v0.json")
	if err != nil {
		t.Fatal(err)
	}
	body := string(v2)
	t.Run("both manifest formats have one form", func(t *testing.T) { equal(t, CookbookVersion, body, string(v0)) })
	t.Run("form", func(t *testing.T) {
		want := `{"all_files":[` +
			`{"checksum":"00000000000000000000000000000002","name":"root_files/metadata.rb","path":"metadata.rb","specificity":"default"},` +
			`{"checksum":"00000000000000000000000000000001","name":"recipes/default.rb","path":"recipes/default.rb","specificity":"default"},` +
			`{"checksum":"00000000000000000000000000000003","name":"templates/a.erb","path":"templates/ubuntu/a.erb","specificity":"ubuntu"}],` +
			`"cookbook_name":"apache2","frozen?":true,` +
			`"metadata":{"attributes":{},"dependencies":{"apt":">= 1.0.0"},"long_description":"","name":"apache2","version":"1.0.0"},"version":"1.0.0"}`
		if got := mustForm(t, CookbookVersion, body); got != want {
			t.Errorf("got\n%s\nwant\n%s", got, want)
		}
	})
	replaced := func(old, new string) string {
		t.Helper()
		if !strings.Contains(body, old) {
			t.Fatalf("%s isn't in the example", old)
		}
		return strings.Replace(body, old, new, 1)
	}
	for name, other := range map[string]string{
		"url":        regexp.MustCompile(`"url": "[^"]*"`).ReplaceAllString(body, `"url":"https://other/x?sig=1"`),
		"json_class": replaced(`"json_class": "Chef::CookbookVersion",`, ``),
		"chef_type":  replaced(`"chef_type": "cookbook_version",`, ``),
		"name":       replaced(`"name": "apache2-1.0.0",`, ``),
		"root_files": replaced(`"name": "root_files/metadata.rb"`, `"name": "metadata.rb"`),
	} {
		t.Run(name+" doesn't count", func(t *testing.T) { equal(t, CookbookVersion, body, other) })
	}
	for name, other := range map[string]string{
		"frozen flag":    replaced(`"frozen?": true`, `"frozen?": false`),
		"version":        replaced(`"version": "1.0.0"`, `"version": "1.0"`),
		"cookbook name":  replaced(`"cookbook_name": "apache2"`, `"cookbook_name": "apache"`),
		"file content":   replaced(`00000000000000000000000000000001`, `000000000000000000000000000000ff`),
		"file name":      replaced(`"name": "recipes/default.rb"`, `"name": "recipes/other.rb"`),
		"file path":      replaced(`"path": "metadata.rb"`, `"path": "metadata.json"`),
		"specificity":    replaced(`"specificity": "ubuntu"`, `"specificity": "debian"`),
		"dependency":     replaced(`">= 1.0.0"`, `">= 1.0.1"`),
		"metadata field": replaced(`"dependencies"`, `"maintainer": "me", "dependencies"`),
	} {
		t.Run("another "+name+" is another version", func(t *testing.T) { differ(t, CookbookVersion, body, other) })
	}
	t.Run("no files, no metadata, no frozen flag", func(t *testing.T) {
		equal(t, CookbookVersion, `{"cookbook_name":"a","version":"1.0.0"}`,
			`{"cookbook_name":"a","version":"1.0.0","frozen?":false,"recipes":[],"all_files":[],"metadata":{"long_description":"","attributes":{},"dependencies":{}}}`)
	})
	t.Run("a null that newer servers refuse doesn't count", func(t *testing.T) {
		for _, key := range []string{"name", "license", "long_description", "dependencies", "replacing"} {
			equal(t, CookbookVersion, `{"metadata":{"x":1}}`, `{"metadata":{"x":1,"`+key+`":null}}`)
		}
		differ(t, CookbookVersion, `{"metadata":{}}`, `{"metadata":{"x":null}}`)
		differ(t, CookbookVersion, `{"metadata":{}}`, `{"metadata":{"attributes":null}}`)
		differ(t, CookbookVersion, `{"metadata":{"license":""}}`, `{"metadata":{"license":null}}`)
	})
	t.Run("the case of a checksum doesn't count", func(t *testing.T) {
		equal(t, CookbookVersion, `{"recipes":[{"checksum":"AB"}]}`, `{"recipes":[{"checksum":"ab"}]}`)
	})
}

func TestOtherShapesAreRefused(t *testing.T) {
	for name, f := range map[string]form{"role": Role, "environment": Environment, "data bag item": DataBagItem, "cookbook version": CookbookVersion} {
		for _, body := range []string{`[]`, `"x"`, `null`, `1`} {
			if _, err := f([]byte(body)); !errors.Is(err, ErrShape) || !strings.HasPrefix(err.Error(), name) {
				t.Errorf("%s of %s: %v, want ErrShape of a %s", name, body, err, name)
			}
		}
		if _, err := f([]byte(`<html>`)); err == nil || errors.Is(err, ErrShape) {
			t.Errorf("%s of HTML: %v, want a syntax error", name, err)
		}
	}
	for _, body := range []string{`{"metadata":[]}`, `{"all_files":{}}`, `{"recipes":null}`, `{"all_files":["x"]}`} {
		if _, err := CookbookVersion([]byte(body)); !errors.Is(err, ErrShape) {
			t.Errorf("CookbookVersion(%s): %v, want ErrShape", body, err)
		}
	}
}

func TestFingerprint(t *testing.T) {
	a, b := Fingerprint([]byte("a")), Fingerprint([]byte("b"))
	if a == b {
		t.Error("two forms have one fingerprint")
	}
	if !regexp.MustCompile(`^[A-Za-z0-9_-]{22}$`).MatchString(a) || len(a) != FingerprintLen {
		t.Errorf("fingerprint %q isn't 22 characters of base64url", a)
	}
	if want := "ypeBEsobvcr6wjGzmiPcTQ"; a != want {
		t.Errorf("Fingerprint(a) = %s, want %s: stored fingerprints would be lost", a, want)
	}
}

func FuzzKinds(f *testing.F) {
	f.Add([]byte(fullRole))
	f.Add([]byte(`{"all_files":[{"name":"recipes/a","path":"recipes/a","checksum":"00","url":"x"}],"metadata":{}}`))
	f.Add([]byte(`{"recipes":[{"name":"a"}],"run_list":["a","a"],"env_run_lists":{"p":["b"]},"raw_data":{},"json_class":"Chef::DataBagItem"}`))
	f.Fuzz(func(t *testing.T, body []byte) {
		for _, f := range []form{Role, Environment, CookbookVersion} {
			c, err := f(body)
			if err != nil {
				continue
			}
			again, err := f(c)
			if err != nil || !bytes.Equal(c, again) {
				t.Fatalf("the form of %q is %s, and of that %s, %v", body, c, again, err)
			}
		}
		if c, err := DataBagItem(body); err == nil {
			if _, err := JSON(c); err != nil {
				t.Fatalf("the form of %q is %s: %v", body, c, err)
			}
		}
	})
}

// TestStoredFingerprintsStayValid: with another form, every object of a ledger would differ.
func TestStoredFingerprintsStayValid(t *testing.T) {
	manifest, err := os.ReadFile("testdata/cookbook_v0.json")
	if err != nil {
		t.Fatal(err)
	}
	for want, c := range map[string]struct {
		form form
		body string
	}{
		"rV4qTLMMnuoAw6cyg0jE6A": {Role, `{"name":"web","run_list":["a"],"default_attributes":{"a b":1.50,"a":"\u00e9\b\u2028","a\"":-0}}`},
		"CVTn_NAuLv8k7csxvDwSSw": {Environment, `{"name":"prod","cookbook_versions":{"apt":"= 1.0.0"}}`},
		"v9OC5_1SeydA3aUkuW1ijw": {DataBagItem, `{"id":"alice","uid":12345678901234567890,"rate":1e400,"small":1e-8}`},
		"UETIuC27CwjM95SX1JUt1Q": {PolicyRevision, `{"revision_id":"1","name":"web","policy_group_list":["x"]}`},
		"1F0-aAAPFRnePff9Lw7QRg": {CookbookVersion, string(manifest)},
		"KJFXgKN_oYca_cNdNW7nvA": {CookbookArtifact, `{"name":"a","identifier":"1","all_files":[{"name":"x"},{"name":"recipes/b","path":"b","checksum":"AB"}]}`},
	} {
		if got := Fingerprint([]byte(mustForm(t, c.form, c.body))); got != want {
			t.Errorf("%s: fingerprint %s, want %s", c.body, got, want)
		}
	}
}

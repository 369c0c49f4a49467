package config

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"
)

const notifyText = `
[notify]
after = "90s"
exec = ["bin/page", "--team", "chef"]
exec_timeout = "30s"
ping = "https://ping.example.com/s3cret"
ping_every = "2m"
[[notify.webhook]]
url = "HTTPS://hooks.example.com:8443/services/s3cret?token=s3cret"
format = "slack"
[[notify.webhook]]
url = "env:HOOK"
`

func TestNotify(t *testing.T) {
	env := lookupIn(map[string]string{"HOOK": " https://env.example.com/s3cret\n"})
	c := mustParse(t, Loader{Env: env}, minimalConfig+notifyText)
	n := c.Notify
	if n.After != 90*time.Second || n.ExecTimeout != 30*time.Second || n.PingEvery != 2*time.Minute ||
		!slices.Equal(n.Exec, []string{"/etc/chef-sync/bin/page", "--team", "chef"}) {
		t.Errorf("%+v", n)
	}
	for i, want := range []string{"https://hooks.example.com:8443/services/s3cret?token=s3cret", "https://env.example.com/s3cret"} {
		u, err := n.Webhooks[i].URL.Resolve(t.Context(), nil)
		if err != nil || u.String() != want {
			t.Errorf("webhook %d: %v, %v", i, u, err)
		}
	}
	if n.Webhooks[0].Format != FormatSlack || n.Webhooks[1].Format != FormatJSON {
		t.Errorf("formats %q and %q", n.Webhooks[0].Format, n.Webhooks[1].Format)
	}
	shown := map[string]string{}
	for _, s := range c.Effective() {
		shown[s.Key] = s.Value
	}
	for key, value := range map[string]string{"notify.webhook[0].url": "https://hooks.example.com:8443", "notify.webhook[1].url": "env:HOOK",
		"notify.ping": "https://ping.example.com", "notify.after": "1m30s"} {
		if shown[key] != value {
			t.Errorf("%s is shown as %q, want %q", key, shown[key], value)
		}
	}
	if text := fmt.Sprintf("%v %+v %#v %s", n, n, n, n.Webhooks[0].URL.ID()) + fmt.Sprint(c.Effective()); strings.Contains(text, "s3cret") {
		t.Errorf("the secret is shown: %s", text)
	}
}

// TestTheNameOfAURLStaysTheSame: what a channel was told is recorded under it.
func TestTheNameOfAURLStaysTheSame(t *testing.T) {
	first, second := mustParse(t, Loader{}, minimalConfig+notifyText).Notify, mustParse(t, Loader{}, minimalConfig+notifyText).Notify
	for i := range first.Webhooks {
		if a, b := first.Webhooks[i].URL.ID(), second.Webhooks[i].URL.ID(); a != b || a == "" {
			t.Errorf("%q and %q", a, b)
		}
	}
	other := mustParse(t, Loader{}, minimalConfig+strings.Replace(notifyText, "token=s3cret", "token=s3cret2", 1)).Notify
	if a, b := first.Webhooks[0].URL.ID(), other.Webhooks[0].URL.ID(); a == b {
		t.Errorf("two URLs of one server are called %q", a)
	}
}

func TestProblemsOfNotify(t *testing.T) {
	for name, c := range map[string]struct{ text, says string }{
		"no URL":             {"[[notify.webhook]]\nformat = \"json\"", "notify.webhook[0].url: is missing"},
		"an empty URL":       {"[[notify.webhook]]\nurl = \"\"", "notify.webhook[0].url: must not be empty"},
		"a path":             {"[[notify.webhook]]\nurl = \"/s3cret/x\"", "a reference needs a scheme"},
		"the token itself":   {"[notify]\nping = \"s3cret\"", "notify.ping: not a reference"},
		"no host":            {"[notify]\nping = \"https:///s3cret\"", "notify.ping: not a URL that starts with https://"},
		"a broken URL":       {"[notify]\nping = \"https://x/%zzs3cret\"", "notify.ping: not a URL that starts with https://"},
		"another format":     {"[[notify.webhook]]\nurl = \"https://x\"\nformat = \"slak\"", `did you mean "slack"?`},
		"one table":          {"[notify.webhook]\nurl = \"https://x/s3cret\"", "write [[notify.webhook]]"},
		"twice the same":     {"[[notify.webhook]]\nurl = \"https://x/s3cret\"\n[[notify.webhook]]\nurl = \"https://x/s3cret\"", "the same as that of another webhook"},
		"no program":         {"[notify]\nexec = []", "notify.exec: names no program"},
		"a line of a shell":  {"[notify]\nexec = \"page --x\"", `write exec = ["page --x"]`},
		"a long program":     {"[notify]\nexec_timeout = \"2m\"", "at most 1m"},
		"another's word":     {"[notify]\nslack = \"https://x/s3cret\"", "it is called [[notify.webhook]] here"},
		"a table of another": {"[alerts]\n", "it is called [notify] here"},
	} {
		_, err := Loader{}.Parse("f", []byte(minimalConfig+c.text))
		if err == nil || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: %v, want %q", name, err, c.says)
		}
		if err != nil && strings.Contains(err.Error(), "s3cret") {
			t.Errorf("%s: the secret is shown: %v", name, err)
		}
	}
}

// TestAReferenceToSomethingElseThanAURL is told without what it refers to.
func TestAReferenceToSomethingElseThanAURL(t *testing.T) {
	env := lookupIn(map[string]string{"P": "ftp://s3cret"})
	_, err := mustParse(t, Loader{Env: env}, minimalConfig+"[notify]\nping = \"env:P\"").Notify.Ping.Resolve(t.Context(), nil)
	if err == nil || err.Error() != "env:P: not a URL that starts with https:// or http://" {
		t.Error(err)
	}
}

func TestWarningsOfNotify(t *testing.T) {
	for url, want := range map[string]string{
		"http://example.com/x":   "notify.ping: http://example.com is plain HTTP",
		"http://127.0.0.1:1/x":   "",
		"http://localhost/x":     "",
		"https://example.com/x":  "",
		"file:/nowhere/at/all/x": "",
	} {
		got := strings.Join(mustParse(t, Loader{}, minimalConfig+"[notify]\nping = \""+url+"\"").Warnings(), "\n")
		if want == "" && got != "" || !strings.Contains(got, want) {
			t.Errorf("%s: warnings %q, want %q", url, got, want)
		}
	}
}

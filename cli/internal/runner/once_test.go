package runner

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"
	"time"

	"chefsync/cli/internal/app"
	"chefsync/pkg/replication"
)

const configuration = `[primary]
url = "https://chef.example.com"
user = "sync"
key = "file:missing.pem"
[[replica]]
name = "eu"
url = "https://eu.example.com"
user = "sync"
key = "file:missing.pem"
[[organization]]
source = "acme"
[state]
path = "state.db"
`

// A pass or verification that can't begin has failed, too: metrics count it by its outcome.
func TestWorkThatCannotBeginHasFailed(t *testing.T) {
	path := filepath.Join(t.TempDir(), "chef-sync.toml")
	if err := os.WriteFile(path, []byte(configuration), 0o600); err != nil {
		t.Fatal(err)
	}
	a, err := app.Open(t.Context(), app.Options{ConfigPath: path, Now: time.Now, Log: app.LogOptions{Stderr: &bytes.Buffer{}},
		Env: func(string) (string, bool) { return "", false }})
	if err != nil {
		t.Fatal(err)
	}
	defer a.Close()
	p := a.Pairs()[0]
	run, err := runPass(t.Context(), a, p, replication.PassOptions{})
	if run.Outcome != replication.OutcomeFailed || err == nil {
		t.Errorf("pass: %+v, %v", run, err)
	}
	report, err := verifyPair(t.Context(), a, p, replication.VerifyOptions{})
	if report.Outcome != replication.OutcomeFailed || report.Pair != p.ID || err == nil {
		t.Errorf("verification: %+v, %v", report, err)
	}
}

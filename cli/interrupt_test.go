package cli

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"chefsync/cli/internal/app"
	"chefsync/cli/internal/cmdline"
	"chefsync/cli/internal/exit"
	"chefsync/pkg/chef/cheftest"
	"chefsync/pkg/replication"
)

func TestAnInterruptedRunEndsWithCode130AndIsDoneNextTime(t *testing.T) {
	dir := t.TempDir()
	primary, eu := cheftest.Start(t, cheftest.Options{UpdatedSince: true}), cheftest.Start(t)
	for name, s := range map[string]*cheftest.Server{"primary": primary, "eu": eu} {
		key := s.AddUser("sync")
		s.AddOrg("acme").Associate("sync")
		if err := os.WriteFile(filepath.Join(dir, name+".pem"), cheftest.PrivatePEM(key), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for i := range 30 {
		primary.Org("acme").PutRole(fmt.Sprintf("r%d", i), `{}`)
	}
	config := filepath.Join(dir, "chef-sync.toml")
	if err := os.WriteFile(config, fmt.Appendf(nil, pairConfig, primary.URL, eu.URL, "acme"), 0o600); err != nil {
		t.Fatal(err)
	}
	var stderr bytes.Buffer
	runOnce := func(ctx context.Context, args ...string) int {
		stderr.Reset()
		return executeArgs(ctx, append([]string{"run", "--once", "-c", config}, args...), cmdline.Streams{
			In: strings.NewReader(""), Out: &bytes.Buffer{}, Err: &stderr, Now: time.Now,
			LookupEnv: func(string) (string, bool) { return "", false },
		})
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	fault := eu.Fault(cheftest.Fault{Method: http.MethodPost, Path: "/roles", Nth: 20, Do: func(*http.Request) { cancel() }, Drop: true})
	if code := runOnce(ctx); code != 130 {
		t.Errorf("exit code %d, want 130\n%s", code, stderr.String())
	}
	said := regexp.MustCompile(`(?m)^Error: stopped: (\d+) of 30 objects copied; run again to go on$`).FindStringSubmatch(stderr.String())
	if there := len(eu.Org("acme").Snapshot()); said == nil {
		t.Errorf("stderr says %q", stderr.String())
	} else if n, err := strconv.Atoi(said[1]); err != nil || n > there {
		t.Errorf("%s objects are said to be copied, and %d are on the replica", said[1], there)
	}
	if fault.Hits() == 0 {
		t.Error("the run wasn't interrupted while it wrote")
	}
	eu.ClearFaults()
	if code := runOnce(t.Context()); code != 0 {
		t.Errorf("the next run ended with code %d\n%s", code, stderr.String())
	}
	if got := len(eu.Org("acme").Snapshot()); got != 30 {
		t.Errorf("%d objects on the replica, want 30", got)
	}

	// One that only compares has copied nothing.
	again, stop := context.WithCancel(t.Context())
	defer stop()
	for i := range 300 { // windows of a comparison have 100
		primary.Org("acme").PutRole(fmt.Sprintf("more%d", i), `{}`)
		eu.Org("acme").PutRole(fmt.Sprintf("more%d", i), `{}`)
	}
	eu.Fault(cheftest.Fault{Path: "/search/*", Status: http.StatusNotFound}) // objects are read one by one
	eu.Fault(cheftest.Fault{Method: http.MethodGet, Path: "/roles/*", Nth: 150, Do: func(*http.Request) { stop() }})
	if code := runOnce(again, "--full"); code != 130 {
		t.Errorf("exit code %d, want 130\n%s", code, stderr.String())
	}
	if !regexp.MustCompile(`(?m)^Error: stopped: \d+ of 330 objects compared; run again to go on$`).MatchString(stderr.String()) {
		t.Errorf("stderr says %q", stderr.String())
	}
}

func TestASignalBetweenTwoPairsIsNoSuccess(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	pairs := []app.Pair{{Pair: replication.Pair{ID: replication.PairID{Replica: "eu", Org: "a"}}}, {Pair: replication.Pair{ID: replication.PairID{Replica: "eu", Org: "b"}}}}
	var done []string
	err := app.ForEachPair(ctx, pairs, func(p app.Pair) error {
		done = append(done, p.ID.String())
		cancel()
		return nil
	})
	if exit.Of(err) != exit.Interrupted || len(done) != 1 {
		t.Errorf("after %v: error %v, code %d", done, err, exit.Of(err))
	}
}

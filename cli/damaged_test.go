package cli

import (
	"bytes"
	"context"
	"database/sql"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"chefsync/cli/internal/cmdline"
	"chefsync/pkg/config"
	"chefsync/pkg/feed/changelog"
	"chefsync/pkg/replication"
)

// One record that can't be read hides no other pair, and keeps none from being
// stopped, started or asked for.
func TestADamagedRecordConcernsItsPairAlone(t *testing.T) {
	dir, s := followState(t)
	appendFile(t, filepath.Join(dir, "chef-sync.toml"), "[[replica]]\nname = \"asia\"\nurl = \"https://asia.example.com\"\nuser = \"sync\"\nkey = \"file:k.pem\"\n")
	good, bad := replication.PairID{Replica: "asia", Org: "acme"}, replication.PairID{Replica: "eu", Org: "acme"}
	for _, id := range []replication.PairID{good, bad} {
		if err := s.ChangeDesired(t.Context(), id, replication.DesiredChange{Reason: new(""), At: time.Now()}); err != nil {
			t.Fatal(err)
		}
	}
	damage(t, dir, "partition = 'PAIRS' AND sort = 'eu/acme'")
	for _, c := range []struct {
		args []string
		want string // on stdout
		done func(replication.Desired) bool
	}{
		{[]string{"sync-status"}, "acme          asia     waiting", nil},
		{[]string{"sync-stop", "acme"}, "asia/acme  stopped", func(d replication.Desired) bool { return d.Stopped }},
		{[]string{"resync", "acme", "--yes"}, "asia/acme  full comparison requested", func(d replication.Desired) bool { return !d.ResyncAt.IsZero() }},
		{[]string{"sync-start", "acme"}, "asia/acme  started", func(d replication.Desired) bool { return !d.Stopped }},
	} {
		var out, stderr bytes.Buffer
		code := executeArgs(context.Background(), append(c.args, "-c", filepath.Join(dir, "chef-sync.toml")), cmdline.Streams{
			In: strings.NewReader(""), Out: &out, Err: &stderr, Now: time.Now,
			LookupEnv: func(string) (string, bool) { return "", false },
		})
		if code != 1 || !strings.Contains(out.String(), c.want) || !strings.Contains(stderr.String(), "Error: pair eu/acme: ") {
			t.Errorf("%v: code %d, stdout\n%s\nstderr\n%s", c.args, code, out.String(), stderr.String())
		}
		st, err := s.Pair(t.Context(), good)
		if err != nil || c.done != nil && !c.done(st.Desired) {
			t.Errorf("%v: error %v, the other pair is as %+v", c.args, err, st.Desired)
		}
	}
}

// What isn't known of the scans of a source isn't fine: its pairs aren't shown as if there
// were no scans.
func TestAPairWhoseScansAreUnknownIsNotShownAsSynced(t *testing.T) {
	dir, s := followState(t)
	id, now := replication.PairID{Replica: "eu", Org: "acme"}, time.Now()
	progress := replication.Progress{Status: replication.Synced, Feed: changelog.Name, LastAttempt: now, LastSuccess: now, LastCompare: now,
		NextRun: now.Add(time.Hour)}
	if err := s.SaveProgress(t.Context(), id, 0, now, progress); err != nil {
		t.Fatal(err)
	}
	c, err := config.Loader{}.Load(filepath.Join(dir, "chef-sync.toml"))
	if err != nil {
		t.Fatal(err)
	}
	if err := s.ChangeLogs().RecordScan(t.Context(), c.Pairs()[0].Space, changelog.LastScan{Ended: now, Good: now}); err != nil {
		t.Fatal(err)
	}
	show := func() (code int, stdout, stderr string) {
		var out, errs bytes.Buffer
		code = executeArgs(t.Context(), []string{"sync-status", "acme", "-c", filepath.Join(dir, "chef-sync.toml")}, cmdline.Streams{
			In: strings.NewReader(""), Out: &out, Err: &errs, Now: time.Now, LookupEnv: func(string) (string, bool) { return "", false },
		})
		return code, out.String(), errs.String()
	}
	if code, stdout, stderr := show(); code != 0 || !strings.Contains(stdout, "synced") {
		t.Fatalf("code %d, stdout\n%s\nstderr\n%s", code, stdout, stderr)
	}
	damage(t, dir, "partition = 'SCANS'")
	if code, stdout, stderr := show(); code != 1 || strings.Contains(stdout, "synced") || !strings.Contains(stderr, "Error: pair eu/acme: ") {
		t.Errorf("code %d, stdout\n%s\nstderr\n%s", code, stdout, stderr)
	}
}

// damage makes one record of a state unreadable.
func damage(t *testing.T, dir, which string) {
	t.Helper()
	db, err := sql.Open("sqlite", filepath.Join(dir, "state.db"))
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	if r, err := db.Exec("UPDATE items SET data = 'x' WHERE " + which); err != nil {
		t.Fatal(err)
	} else if n, _ := r.RowsAffected(); n != 1 {
		t.Fatalf("%d records were damaged", n)
	}
}

func appendFile(t *testing.T, path, text string) {
	t.Helper()
	f, err := os.OpenFile(path, os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.WriteString(text); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
}

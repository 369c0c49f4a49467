package pairstatus

import (
	"bytes"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"chefsync/cli/internal/app"
	"chefsync/cli/internal/ui"
	"chefsync/pkg/health"
	"chefsync/pkg/replication"
	"chefsync/pkg/status"
)

func TestWhatIsSaidOfTheProcesses(t *testing.T) {
	now := time.Date(2026, 11, 30, 12, 0, 0, 0, time.UTC) // a Monday
	ago := func(d time.Duration) time.Time { return now.Add(-d) }
	run := health.Process{Role: health.RoleDaemon, Owner: "vm:1", Host: "vm", Started: time.Date(2026, 11, 30, 9, 12, 0, 0, time.UTC), Seen: ago(10 * time.Second), Pairs: 240}
	with := func(change func(p *health.Process)) health.Process { p := run; change(&p); return p }
	dead := func(owner string) bool { return owner == "dead" }
	for name, c := range map[string]struct {
		processes []health.Process
		stack     bool
		lines     string
		problem   string
	}{
		"never seen": {nil, false, "daemon: not running, never seen|  Try: chef-sync-ctl run", ""},
		"running":    {[]health.Process{run}, false, "daemon: running on vm since Mon 09:12 UTC, 240 pairs", ""},
		"running for long": {[]health.Process{with(func(p *health.Process) { p.Started, p.Pairs = now.AddDate(0, -1, 0), 1 })}, false,
			"daemon: running on vm since 2026-10-30 12:00 UTC, 1 pair", ""},
		"two, and one of before": {[]health.Process{run, with(func(p *health.Process) { p.Host = "vm2" }), with(func(p *health.Process) { p.Seen = ago(time.Hour) })}, false,
			"daemon: running on vm since Mon 09:12 UTC, 240 pairs|daemon: running on vm2 since Mon 09:12 UTC, 240 pairs", ""},
		"silent": {[]health.Process{with(func(p *health.Process) { p.Seen = ago(3 * time.Minute) })}, false,
			"daemon: NOT RUNNING, last seen 3m ago on vm|  Try: chef-sync-ctl run", "not running, last seen 3m ago on vm"},
		"killed a moment ago": {[]health.Process{with(func(p *health.Process) { p.Owner = "dead" })}, false,
			"daemon: NOT RUNNING, last seen 10s ago on vm|  Try: chef-sync-ctl run", "not running, last seen 10s ago on vm"},
		"stopped": {[]health.Process{with(func(p *health.Process) { p.Stopped = ago(10 * time.Second) })}, false,
			"daemon: not running, stopped 10s ago on vm|  Try: chef-sync-ctl run", "not running, stopped 10s ago on vm"},
		"seen in the future, by a clock that was ahead": {[]health.Process{with(func(p *health.Process) { p.Seen = now.AddDate(1, 0, 0) }), with(func(p *health.Process) { p.Seen = ago(time.Hour) })}, false,
			"daemon: NOT RUNNING, last seen 1h ago on vm|  Try: chef-sync-ctl run", "not running, last seen 1h ago on vm"},
		"a stack": {[]health.Process{{Role: health.RoleManager, Seen: ago(2 * time.Minute)}}, true, "manager: last run 2m ago", ""},
		"a stack and a daemon": {[]health.Process{run, {Role: health.RoleManager, Seen: ago(2 * time.Minute)}}, true,
			"manager: last run 2m ago|daemon: running on vm since Mon 09:12 UTC, 240 pairs", ""},
		"a stack whose manager is silent": {[]health.Process{{Role: health.RoleManager, Seen: ago(16 * time.Minute)}}, true,
			"manager: NOT RUNNING, last run 16m ago|  Try: chef-sync-ctl doctor, then: chef-sync-ctl manager-log", "the manager is not running, last run 16m ago"},
		"a new stack": {nil, true, "manager: no run seen yet", ""},
	} {
		t.Run(name, func(t *testing.T) {
			d := Processes{OnStack: c.stack}
			for _, p := range c.processes {
				d.addProcess(p, now, dead)
			}
			var out bytes.Buffer
			o := ui.Output{Out: &out, Format: ui.Table}
			if err := o.Emit(nil, func(g *ui.Grid) { d.print(g, now) }); err != nil {
				t.Fatal(err)
			}
			if got := strings.ReplaceAll(strings.TrimRight(out.String(), "\n"), "\n", "|"); got != c.lines {
				t.Errorf("lines %q, want %q", got, c.lines)
			}
			if got := d.Problem(now); got != c.problem {
				t.Errorf("problem %q, want %q", got, c.problem)
			}
		})
	}
}

// With a dead daemon one line says it, not a note for each of hundreds of pairs.
func TestADeadDaemonIsSaidOnce(t *testing.T) {
	now := time.Date(2026, 11, 30, 12, 0, 0, 0, time.UTC)
	running := []health.Process{{Host: "vm", Pairs: 1}}
	because := func(c status.Cause, text, hint string) []status.Reason {
		return []status.Reason{{Cause: c, Text: text, Hint: hint}}
	}
	overdue := PairRow{Overdue: true, Reasons: because(status.CauseNoPass, "last pass 1h ago", "look"), NextRun: now.Add(-time.Hour)}
	fresh := PairRow{Pair: replication.PairID{Replica: "eu", Org: "acme"}, Reasons: because(status.CauseNeverRun, "never run", "chef-sync-ctl run")}
	failing := PairRow{Reasons: because(status.CausePassFailed, "no route to host", "check the network"), NextRun: now.Add(time.Minute)}
	for name, c := range map[string]struct {
		daemon           Processes
		row              PairRow
		note, hint, next string
	}{
		"overdue, no daemon":               {Processes{}, overdue, "", "", "-"},
		"overdue, with a daemon":           {Processes{Running: running}, overdue, "last pass 1h ago", "look", "overdue"},
		"overdue, on a stack":              {Processes{OnStack: true}, overdue, "last pass 1h ago", "look", "overdue"},
		"never run, no daemon":             {Processes{}, fresh, "", "", "-"},
		"never run, with a daemon":         {Processes{Running: running, pairs: 1}, fresh, "", "", "-"},
		"never run, another file":          {Processes{Running: running, pairs: 2, ConfigChanged: now}, fresh, "never run; added after the daemon started", "", "-"},
		"never run, not of the daemon":     {Processes{Running: running, pairs: 2}, fresh, "never run; the daemon runs 1 of 2 pairs", "chef-sync-ctl run eu/acme", "-"},
		"never run, of another daemon":     {Processes{Running: slices.Repeat(running, 2), pairs: 2}, fresh, "", "", "-"},
		"never run, on a stack":            {Processes{OnStack: true}, fresh, "never run", "chef-sync-ctl run", "-"},
		"failing, no daemon":               {Processes{}, failing, "no route to host", "check the network", "-"},
		"failing, with a daemon":           {Processes{Running: running}, failing, "no route to host", "check the network", "in 1m"},
		"a pass from elsewhere, no daemon": {Processes{}, PairRow{RunningOn: "vm:1:x"}, "", "", "now"},
	} {
		note, hint := "", ""
		for _, why := range c.daemon.shownReasons(c.row) {
			note, hint = why.Text, why.Hint
		}
		if next := c.daemon.nextRunText(c.row, now); note != c.note || hint != c.hint || next != c.next {
			t.Errorf("%s: %q, %q, next run %q; want %q, %q, %q", name, note, hint, next, c.note, c.hint, c.next)
		}
	}
}

// A file that is put back, such as a backup or one of an earlier version, keeps its old time.
func TestADaemonWithAnotherConfigurationFileIsTold(t *testing.T) {
	file := filepath.Join(t.TempDir(), "chef-sync.toml")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	read := time.Date(2026, 11, 30, 12, 0, 0, 0, time.UTC)
	for name, modified := range map[string]time.Time{"unchanged": read, "edited": read.Add(time.Second), "put back": read.Add(-time.Hour)} {
		if err := os.Chtimes(file, modified, modified); err != nil {
			t.Fatal(err)
		}
		d := Processes{Running: []health.Process{{Config: file, ConfigModified: read}}}
		d.checkConfigFile(file)
		if changed := name != "unchanged"; changed != !d.ConfigChanged.IsZero() {
			t.Errorf("%s: changed at %s", name, d.ConfigChanged)
		}
	}
}

// Times of a clock that was ahead promise nothing far away.
func TestStatusOfAClockThatWasAhead(t *testing.T) {
	now := time.Date(2026, 11, 30, 12, 0, 0, 0, time.UTC)
	p := app.Pair{Pair: replication.Pair{Interval: time.Minute, CompareEvery: time.Hour}}
	for ahead, want := range map[time.Duration]time.Time{
		50 * time.Minute: now.Add(50 * time.Minute), 365 * 24 * time.Hour: now, -time.Hour: now.Add(-time.Hour),
	} {
		st := replication.PairState{Progress: replication.Progress{LastAttempt: now, NextRun: now.Add(ahead)}}
		if row := newPairRow(p, status.Facts{State: st, Now: now}); !row.NextRun.Equal(want) {
			t.Errorf("a run %s ahead is shown as of %s, want %s", ahead, row.NextRun, want)
		}
	}
}

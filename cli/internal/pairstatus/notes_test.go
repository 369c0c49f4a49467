package pairstatus

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"chefsync/cli/internal/app"
	"chefsync/cli/internal/ui"
	"chefsync/pkg/replication"
	"chefsync/pkg/status"
)

// fleet returns the pairs of organizations on replicas.
func fleet(replicas, orgs string) (pairs []app.Pair) {
	for _, org := range strings.Fields(orgs) {
		for _, r := range strings.Fields(replicas) {
			pairs = append(pairs, app.Pair{Pair: replication.Pair{ID: replication.PairID{Replica: r, Org: org}, SourceOrg: org}})
		}
	}
	return pairs
}

// notesOf returns the notes of the pairs for which reason returns a text.
func notesOf(all []app.Pair, reason func(replication.PairID) (text, hint string)) string {
	var rows []PairRow
	for _, p := range all {
		if text, hint := reason(p.ID); text != "" {
			rows = append(rows, PairRow{Pair: p.ID, Organization: p.ID.Org, Replica: p.ID.Replica, Status: replication.Retrying,
				Reasons: []status.Reason{{Cause: status.CausePassFailed, Text: text, Hint: hint}}})
		}
	}
	var lines []string
	notes := notesOfRows(rows, &Processes{}, time.Time{})
	for _, line := range notes.Lines(&ui.Output{Format: ui.Table}, all) {
		lines = append(lines, string(line))
	}
	return strings.Join(lines, "\n")
}

func TestPairsThatShareAReasonShareANote(t *testing.T) {
	all := fleet("eu us", "a b c d")
	plan := func(id replication.PairID) string {
		return "chef-sync-ctl plan " + id.String() + ", then: chef-sync-ctl sync-start " + id.String() + " --allow-deletes 8"
	}
	for name, c := range map[string]struct {
		reason func(replication.PairID) (string, string)
		want   string
	}{
		"one pair": {func(id replication.PairID) (string, string) {
			if id.String() == "eu/a" {
				return "8 of 38 objects", plan(id)
			}
			return "", ""
		}, "eu/a: 8 of 38 objects\n  Try: chef-sync-ctl plan eu/a, then: chef-sync-ctl sync-start eu/a --allow-deletes 8"},
		"an organization": {func(id replication.PairID) (string, string) {
			if id.Org == "a" {
				return "8 of 38 objects", plan(id)
			}
			return "", ""
		}, "a (2 pairs): 8 of 38 objects\n  Try: chef-sync-ctl plan a, then: chef-sync-ctl sync-start a --allow-deletes 8"},
		"a replica": {func(id replication.PairID) (string, string) {
			if id.Replica == "eu" {
				return "unavailable (503)", ""
			}
			return "", ""
		}, "eu/ (4 pairs): unavailable (503)"},
		"all": {func(id replication.PairID) (string, string) {
			return "unavailable", "chef-sync-ctl verify " + id.String()
		},
			"all 8 pairs: unavailable\n  Try: chef-sync-ctl verify '*'"},
		"a few": {func(id replication.PairID) (string, string) {
			if id.Replica == "eu" && id.Org < "d" {
				return "unavailable", "chef-sync-ctl verify " + id.String()
			}
			return "", ""
		}, "eu/a, eu/b, eu/c: unavailable\n  Try: chef-sync-ctl verify eu/a eu/b eu/c"},
		"others": {func(id replication.PairID) (string, string) {
			if id.String() != "us/d" {
				return "unavailable", "chef-sync-ctl verify " + id.String()
			}
			return "", ""
		}, "eu/a, us/a and 5 more pairs: unavailable\n  Try: chef-sync-ctl verify PAIR"},
		"counts, ages and their own names differ": {func(id replication.PairID) (string, string) {
			return fmt.Sprintf("%d objects of %s: last pass %dm%ds ago", len(id.Org)+int(id.Org[0]), id.Org, id.Org[0], 2), ""
		}, "all 8 pairs: … objects of … last pass … ago"},
		"other reasons, other hints": {func(id replication.PairID) (string, string) {
			switch id.String() {
			case "eu/a":
				return "refused (401)", ""
			case "eu/b":
				return "refused (403)", ""
			case "eu/c":
				return "refused (403)", "chef-sync-ctl prepare-org"
			}
			return "", ""
		}, "eu/a: refused (401)\neu/b: refused (403)\neu/c: refused (403)\n  Try: chef-sync-ctl prepare-org"},
	} {
		if got := notesOf(all, c.reason); got != c.want {
			t.Errorf("%s: got\n%s\nwant\n%s", name, got, c.want)
		}
	}
}

// A selector in a hint must not select a pair that the note isn't about.
func TestASelectorSelectsJustThePairsOfTheNote(t *testing.T) {
	all := fleet("eu us", "a")
	all = append(all, app.Pair{Pair: replication.Pair{ID: replication.PairID{Replica: "us", Org: "copy-of-a"}, SourceOrg: "a"}})
	ids := []replication.PairID{all[0].ID, all[1].ID}
	if label, selector := nameGroup(ids, all); label != "eu/a, us/a" || selector != "eu/a us/a" {
		t.Errorf("%q, %q, though a selects copy-of-a too", label, selector)
	}
}

func TestANameIsReplacedAsAWhole(t *testing.T) {
	for s, want := range map[string]string{
		"plan eu/a, then: start eu/a": "plan X, then: start X",
		"plan eu/ab":                  "plan eu/ab",
		"plan neu/a":                  "plan neu/a",
		"eu/a-b eu/a_b eu/a1 eu/a":    "eu/a-b eu/a_b eu/a1 X",
		"":                            "",
	} {
		if got := replaceName(s, "eu/a", "X"); got != want {
			t.Errorf("%q: %q, want %q", s, got, want)
		}
	}
}

func TestEachStatusHasItsPlaceInTables(t *testing.T) {
	for _, s := range []replication.Status{replication.Bootstrapping, replication.Synced, replication.Syncing, replication.Retrying, replication.Blocked,
		replication.Held, replication.Stopped, status.Unreachable, status.Stale, status.Drifted, Waiting} {
		if !slices.Contains(ShownStatuses(), s) {
			t.Errorf("%s has no place", s)
		}
	}
}

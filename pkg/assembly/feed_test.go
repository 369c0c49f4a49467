package assembly_test

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"chefsync/pkg/assembly"
	"chefsync/pkg/chef/cheftest"
	"chefsync/pkg/fault"
	"chefsync/pkg/replication"
)

func TestAPrimaryWithoutAFeedIsProbedOnceAnHour(t *testing.T) {
	w := newFixture(t, cheftest.Options{})
	f := w.newFleet()
	w.runScan(f)
	w.runPass(f)
	if p := w.readProgress(f); p.Feed != "journal" || !strings.Contains(p.FeedNote, "serves no updated_since") {
		t.Fatalf("feed %s (%s)", p.Feed, p.FeedNote)
	}
	if feed, _ := w.takeRequests(); feed != 1 {
		t.Errorf("asked for the feed %d times at first, want once", feed)
	}
	for range 55 {
		if need, err := f.NeedsChangeLog(t.Context(), "acme"); !need || err != nil {
			t.Fatalf("NeedsChangeLog: %v, %v", need, err)
		}
		w.runPass(f)
	}
	if _, all := w.takeRequests(); all != 0 {
		t.Errorf("%d requests to the primary in 55 polls through the change log, want none", all)
	}
	w.clock.advance(10 * time.Minute)
	w.runPass(f)
	w.runPass(f)
	if feed, _ := w.takeRequests(); feed != 1 {
		t.Errorf("asked for the feed %d times after an hour, want once", feed)
	}
}

func TestNeedsChangeLog(t *testing.T) {
	for name, c := range map[string]struct {
		top    string
		serves bool
		need   bool
	}{
		"auto, and the primary serves none":  {"", false, true},
		"auto, and it serves one":            {"", true, false},
		"the change log, whatever it serves": {`feed = "journal"`, true, true},
		"updated_since, whatever it serves":  {`feed = "updated_since"`, false, false},
	} {
		t.Run(name, func(t *testing.T) {
			w := newFixture(t, cheftest.Options{UpdatedSince: c.serves})
			w.top = c.top
			if need, err := w.newFleet().NeedsChangeLog(t.Context(), "acme"); err != nil || need != c.need {
				t.Errorf("%v, %v; want %v", need, err, c.need)
			}
		})
	}
	t.Run("a failure says nothing", func(t *testing.T) {
		w := newFixture(t, cheftest.Options{})
		w.primary.Fault(cheftest.Fault{Path: "*/updated_since", Status: 403})
		f := w.newFleet()
		if need, err := f.NeedsChangeLog(t.Context(), "acme"); err == nil || need {
			t.Errorf("%v, %v; want an error", need, err)
		}
		w.primary.ClearFaults()
		if need, err := f.NeedsChangeLog(t.Context(), "acme"); err != nil || !need {
			t.Errorf("%v, %v; want it asked again at once", need, err)
		}
	})
}

// TestChangingTheFeedLosesNoChange: the primary is upgraded to one that
// serves its changes, and back, and the configuration is changed; each time with
// changes that only one of the feeds, or neither, has seen.
func TestChangingTheFeedLosesNoChange(t *testing.T) {
	w := newFixture(t, cheftest.Options{})
	cheftest.Fill(w.org)
	f := w.newFleet()
	w.runScan(f)
	w.runPass(f)
	n := 0
	change := func(what string) {
		n++
		w.org.PutRole(what, fmt.Sprintf(`{"description":"%d"}`, n))
		w.org.PutRole("every", fmt.Sprintf(`{"description":"%d"}`, n))
		w.org.DeleteRole(fmt.Sprint("seen", n-1))
	}
	for _, step := range []struct {
		what string
		do   func()
		feed string
	}{
		{"the primary serves its changes", func() { w.primary.SetUpdatedSince(true); w.clock.advance(2 * time.Hour) }, "updated_since"},
		{"it doesn't any more", func() { w.primary.SetUpdatedSince(false) }, "journal"},
		{"it does again", func() { w.primary.SetUpdatedSince(true); w.clock.advance(2 * time.Hour) }, "updated_since"},
		{"the change log is asked for", func() { w.top = `feed = "journal"`; f = w.newFleet() }, "journal"},
		{"updated_since is asked for", func() { w.top = `feed = "updated_since"`; f = w.newFleet() }, "updated_since"},
		{"either will do", func() { w.top = ""; f = w.newFleet() }, "updated_since"},
	} {
		change("unscanned")
		step.do()
		before := w.readProgress(f).Feed
		run := w.runPass(f)
		if got := w.readProgress(f); got.Feed != step.feed || before != step.feed && run.Mode != "compare" {
			t.Errorf("%s: feed %s by a %s, want %s by a compare", step.what, got.Feed, run.Mode, step.feed)
		}
		w.wantEqual(step.what)
		change("seen")
		w.runScan(f)
		if run := w.runPass(f); run.Mode != "changes" {
			t.Errorf("%s: goes on with %q, want changes", step.what, run.Mode)
		}
		w.wantEqual(step.what + ", and goes on")
	}
}

// TestAChangeBetweenScansIsReverted: a change that is undone before the next scan sees it
// may have been replicated in between.
func TestAChangeBetweenScansIsReverted(t *testing.T) {
	full := replication.PassOptions{Full: true}
	for _, c := range []struct {
		name, top string
		look      func(w *fixture, f *assembly.Fleet)
	}{
		{"a compare, where the change log is what is left", "", func(w *fixture, f *assembly.Fleet) { w.runPassWith(f, full) }},
		{"a compare, where it was asked for", `feed = "journal"`, func(w *fixture, f *assembly.Fleet) { w.runPassWith(f, full) }},
		{"a compare that another process ends, which asks no feed", "", func(w *fixture, f *assembly.Fleet) {
			w.primary.Fault(cheftest.Fault{Path: "*/roles/*", Times: 1, Status: 401, Do: func(*http.Request) { w.primary.Fault(cheftest.Fault{Path: "*", Status: 401}) }})
			if run, err := w.newEngine(f).Pass(w.t.Context(), full); err == nil {
				w.t.Fatalf("it was not broken off: %+v", run)
			}
			w.primary.ClearFaults()
			w.clock.advance(time.Hour)
			if run := w.runPass(w.newFleet()); run.Mode != "compare" {
				w.t.Fatalf("%+v", run)
			}
		}},
		{"a repair, which asks no feed either", "", func(w *fixture, f *assembly.Fleet) {
			w.copy.DeleteRole("web")
			if report, err := w.newEngine(f).Verify(w.t.Context(), replication.VerifyOptions{Repair: true}); err != nil || len(report.Repaired) != 1 {
				w.t.Fatalf("%+v, %v", report, err)
			}
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newFixture(t, cheftest.Options{})
			cheftest.Fill(w.org)
			w.top = c.top
			f := w.newFleet()
			w.runScan(f)
			w.runPass(f)
			w.org.PutRole("web", `{"description":"for good"}`)
			w.runScan(f)
			w.runPass(f)
			w.org.PutRole("web", `{"description":"for a moment"}`)
			c.look(w, f)
			w.wantEqual("in between")
			w.org.PutRole("web", `{"description":"for good"}`)
			f = w.newFleet()
			w.runScan(f)
			w.runPass(f)
			w.wantEqual("gone back")
		})
	}
}

func TestAPairGetsAPositionAfterTheFirstScan(t *testing.T) {
	w := newFixture(t, cheftest.Options{})
	f := w.newFleet()
	w.runPass(f)
	if p := w.readProgress(f); p.Feed != "none" || !strings.Contains(p.FeedNote, "no change log of this organization yet") {
		t.Errorf("before a scan: feed %s (%s)", p.Feed, p.FeedNote)
	}
	w.takeRequests()
	if run := w.runPass(f); run.Mode != "" {
		t.Errorf("a poll meanwhile: %+v", run)
	}
	if _, all := w.takeRequests(); all != 0 {
		t.Errorf("%d requests to the primary, want none", all)
	}
	w.runScan(f)
	if run := w.runPass(f); run.Mode != "compare" || w.readProgress(f).Position == nil {
		t.Errorf("after a scan: %+v", run)
	}
	if run := w.runPass(f); run.Mode != "" {
		t.Errorf("and then: %+v", run)
	}
}

func TestFeedURLNamesAnotherServer(t *testing.T) {
	w := newFixture(t, cheftest.Options{})
	other := newFixture(t, cheftest.Options{UpdatedSince: true})
	w.top = fmt.Sprintf("feed = \"updated_since\"\nfeed_url = %q", other.primary.URL)
	f := w.newFleet()
	if _, err := f.DescribeFeed(t.Context(), "acme"); fault.ClassOf(err) != fault.Denied {
		t.Errorf("a server that doesn't know the key: %v, want it denied", err)
	}
	other.env["PRIMARY"], w.env["PRIMARY"] = w.env["PRIMARY"], other.env["PRIMARY"]
	note, err := w.newFleet().DescribeFeed(t.Context(), "acme")
	if err != nil || note != "updated_since, "+other.primary.URL+" serves it" {
		t.Errorf("%q, %v", note, err)
	}
}

func TestUnconfiguredOrganizationsAreRefused(t *testing.T) {
	f := newFixture(t, cheftest.Options{}).newFleet()
	_, scanErr := f.Scan(t.Context(), "other")
	_, probeErr := f.DescribeFeed(t.Context(), "other")
	if scanErr == nil || probeErr == nil || errors.Is(probeErr, replication.ErrNoFeed) {
		t.Errorf("%v, %v", scanErr, probeErr)
	}
}

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

func TestAPrimaryWithoutAFeedIsAskedForOneOnceAnHour(t *testing.T) {
	w := newWorld(t, cheftest.Options{})
	f := w.fleet()
	w.scan(f)
	w.pass(f)
	if p := w.progress(f); p.Feed != "journal" || !strings.Contains(p.FeedNote, "serves no updated_since") {
		t.Fatalf("feed %s (%s)", p.Feed, p.FeedNote)
	}
	if feed, _ := w.asked(); feed != 1 {
		t.Errorf("asked for the feed %d times at first, want once", feed)
	}
	for range 55 {
		if need, err := f.NeedsJournal(t.Context(), "acme"); !need || err != nil {
			t.Fatalf("NeedsJournal: %v, %v", need, err)
		}
		w.pass(f)
	}
	if _, all := w.asked(); all != 0 {
		t.Errorf("%d requests to the primary in 55 polls through the journal, want none", all)
	}
	w.clock.later(10 * time.Minute)
	w.pass(f)
	w.pass(f)
	if feed, _ := w.asked(); feed != 1 {
		t.Errorf("asked for the feed %d times after an hour, want once", feed)
	}
}

func TestWhetherAJournalIsNeeded(t *testing.T) {
	for name, c := range map[string]struct {
		top    string
		serves bool
		need   bool
	}{
		"auto, and the primary serves none": {"", false, true},
		"auto, and it serves one":           {"", true, false},
		"the journal, whatever it serves":   {`feed = "journal"`, true, true},
		"updated_since, whatever it serves": {`feed = "updated_since"`, false, false},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, cheftest.Options{UpdatedSince: c.serves})
			w.top = c.top
			if need, err := w.fleet().NeedsJournal(t.Context(), "acme"); err != nil || need != c.need {
				t.Errorf("%v, %v; want %v", need, err, c.need)
			}
		})
	}
	t.Run("a failure says nothing", func(t *testing.T) {
		w := newWorld(t, cheftest.Options{})
		w.primary.Fault(cheftest.Fault{Path: "*/updated_since", Status: 403})
		f := w.fleet()
		if need, err := f.NeedsJournal(t.Context(), "acme"); err == nil || need {
			t.Errorf("%v, %v; want an error", need, err)
		}
		w.primary.ClearFaults()
		if need, err := f.NeedsJournal(t.Context(), "acme"); err != nil || !need {
			t.Errorf("%v, %v; want it asked again at once", need, err)
		}
	})
}

// TestGoingFromOneFeedToTheOtherLosesNothing: the primary is upgraded to one that
// serves its changes, and back, and the configuration is changed; each time with
// changes that only one of the feeds, or neither, has seen.
func TestGoingFromOneFeedToTheOtherLosesNothing(t *testing.T) {
	w := newWorld(t, cheftest.Options{})
	cheftest.Fill(w.org)
	f := w.fleet()
	w.scan(f)
	w.pass(f)
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
		{"the primary serves its changes", func() { w.primary.SetUpdatedSince(true); w.clock.later(2 * time.Hour) }, "updated_since"},
		{"it doesn't any more", func() { w.primary.SetUpdatedSince(false) }, "journal"},
		{"it does again", func() { w.primary.SetUpdatedSince(true); w.clock.later(2 * time.Hour) }, "updated_since"},
		{"the journal is asked for", func() { w.top = `feed = "journal"`; f = w.fleet() }, "journal"},
		{"updated_since is asked for", func() { w.top = `feed = "updated_since"`; f = w.fleet() }, "updated_since"},
		{"either will do", func() { w.top = ""; f = w.fleet() }, "updated_since"},
	} {
		change("unscanned")
		step.do()
		before := w.progress(f).Feed
		run := w.pass(f)
		if got := w.progress(f); got.Feed != step.feed || before != step.feed && run.Mode != "compare" {
			t.Errorf("%s: feed %s by a %s, want %s by a compare", step.what, got.Feed, run.Mode, step.feed)
		}
		w.wantSame(step.what)
		change("seen")
		w.scan(f)
		if run := w.pass(f); run.Mode != "changes" {
			t.Errorf("%s: goes on with %q, want changes", step.what, run.Mode)
		}
		w.wantSame(step.what + ", and goes on")
	}
}

// TestAChangeThatNoScanSawIsTakenBack, whatever read it in between.
func TestAChangeThatNoScanSawIsTakenBack(t *testing.T) {
	full := replication.PassOptions{Full: true}
	for _, c := range []struct {
		name, top string
		look      func(w *world, f *assembly.Fleet)
	}{
		{"a compare, where the journal is what is left", "", func(w *world, f *assembly.Fleet) { w.passWith(f, full) }},
		{"a compare, where it was asked for", `feed = "journal"`, func(w *world, f *assembly.Fleet) { w.passWith(f, full) }},
		{"a compare that another process ends, which asks no feed", "", func(w *world, f *assembly.Fleet) {
			w.primary.Fault(cheftest.Fault{Path: "*/roles/*", Times: 1, Status: 401, Do: func(*http.Request) { w.primary.Fault(cheftest.Fault{Path: "*", Status: 401}) }})
			if run, err := w.engine(f).Pass(w.t.Context(), full); err == nil {
				w.t.Fatalf("it was not broken off: %+v", run)
			}
			w.primary.ClearFaults()
			w.clock.later(time.Hour)
			if run := w.pass(w.fleet()); run.Mode != "compare" {
				w.t.Fatalf("%+v", run)
			}
		}},
		{"a repair, which asks no feed either", "", func(w *world, f *assembly.Fleet) {
			w.copy.DeleteRole("web")
			if report, err := w.engine(f).Verify(w.t.Context(), replication.VerifyOptions{Repair: true}); err != nil || len(report.Repaired) != 1 {
				w.t.Fatalf("%+v, %v", report, err)
			}
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newWorld(t, cheftest.Options{})
			cheftest.Fill(w.org)
			w.top = c.top
			f := w.fleet()
			w.scan(f)
			w.pass(f)
			w.org.PutRole("web", `{"description":"for good"}`)
			w.scan(f)
			w.pass(f)
			w.org.PutRole("web", `{"description":"for a moment"}`)
			c.look(w, f)
			w.wantSame("in between")
			w.org.PutRole("web", `{"description":"for good"}`)
			f = w.fleet()
			w.scan(f)
			w.pass(f)
			w.wantSame("gone back")
		})
	}
}

func TestAPairTakesAPositionSoonAfterTheJournalBegan(t *testing.T) {
	w := newWorld(t, cheftest.Options{})
	f := w.fleet()
	w.pass(f)
	if p := w.progress(f); p.Feed != "none" || !strings.Contains(p.FeedNote, "no journal of this organization yet") {
		t.Errorf("before a scan: feed %s (%s)", p.Feed, p.FeedNote)
	}
	w.asked()
	if run := w.pass(f); run.Mode != "" {
		t.Errorf("a poll meanwhile: %+v", run)
	}
	if _, all := w.asked(); all != 0 {
		t.Errorf("%d requests to the primary, want none", all)
	}
	w.scan(f)
	if run := w.pass(f); run.Mode != "compare" || w.progress(f).Position == nil {
		t.Errorf("after a scan: %+v", run)
	}
	if run := w.pass(f); run.Mode != "" {
		t.Errorf("and then: %+v", run)
	}
}

func TestAFeedMayBeServedElsewhere(t *testing.T) {
	w := newWorld(t, cheftest.Options{})
	other := newWorld(t, cheftest.Options{UpdatedSince: true})
	w.top = fmt.Sprintf("feed = \"updated_since\"\nfeed_url = %q", other.primary.URL)
	f := w.fleet()
	if _, err := f.ProbeFeed(t.Context(), "acme"); fault.ClassOf(err) != fault.Denied {
		t.Errorf("a server that doesn't know the key: %v, want it denied", err)
	}
	other.env["PRIMARY"], w.env["PRIMARY"] = w.env["PRIMARY"], other.env["PRIMARY"]
	note, err := w.fleet().ProbeFeed(t.Context(), "acme")
	if err != nil || note != "updated_since, "+other.primary.URL+" serves it" {
		t.Errorf("%q, %v", note, err)
	}
}

func TestAnOrganizationThatNobodyReadsIsRefused(t *testing.T) {
	f := newWorld(t, cheftest.Options{}).fleet()
	_, scanErr := f.Scan(t.Context(), "other")
	_, probeErr := f.ProbeFeed(t.Context(), "other")
	if scanErr == nil || probeErr == nil || errors.Is(probeErr, replication.ErrNoFeed) {
		t.Errorf("%v, %v", scanErr, probeErr)
	}
}

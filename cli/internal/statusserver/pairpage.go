package statusserver

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"chefsync/cli/internal/logstore"
	"chefsync/cli/internal/pairstatus"
	"chefsync/cli/internal/runlist"
	"chefsync/cli/internal/ui"
	"chefsync/pkg/replication"
	"chefsync/pkg/status"
)

// pairPage is the data of the page of one pair.
type pairPage struct {
	layout
	Pair, Replica, Organization, Source string
	Status, Since, Summary              string
	Reasons                             []reasonRow
	Activity                            *activity
	Facts                               []fact
	Error                               string
	Held                                []string
	HeldTitle                           string
	MoreHeld                            int
	Unsynced                            []unsyncedRow
	UnsyncedTitle                       string
	MoreUnsynced                        int
	Runs                                []runRow
	Log                                 []logRow
	LogError                            string
}

// fact is one thing that is known of a pair.
type fact struct{ Name, Value string }

type reasonRow struct{ Status, Text, Hint string }

type unsyncedRow struct{ Object, Reason, Hint, Attempts, FirstSeen, NextTry string }

type runRow struct {
	Started, Took, What, Outcome, Tone, Error, Hint string
	Created, Updated, Deleted, Unsynced             string
}

type logRow struct {
	Time                                time.Time
	Stamp, Level, Tone, Message, Object string
	Attrs                               []fact
}

// shownObjects bounds the unsynced objects, and the held deletions, of a page.
const shownObjects = 200

func (p *pages) servePair(w http.ResponseWriter, r *http.Request) {
	id := replication.PairID{Replica: r.PathValue("replica"), Org: r.PathValue("organization")}
	st, ok := p.readStatus(w, r)
	if !ok {
		return
	}
	for _, row := range st.Pairs {
		if row.Pair != id {
			continue
		}
		ctx, cancel := context.WithTimeout(r.Context(), readTimeout)
		defer cancel()
		records, err := p.Reader.Pair(ctx, id)
		writePage(w, http.StatusOK, p.newPairPage(st, pairRow{row}, records, err).node())
		return
	}
	if slices.Contains(st.Unreadable, id) {
		p.writeProblem(w, http.StatusServiceUnavailable, shown(id.String())+" can’t be read", shown(st.Error))
		return
	}
	p.writeProblem(w, http.StatusNotFound, "Not found", "There is no pair "+shown(id.String())+".")
}

func (p *pages) newPairPage(st Status, r pairRow, records PairRecords, err error) pairPage {
	now := st.At
	page := pairPage{layout: p.newLayout(fmt.Sprintf("%s: %s · %s", shown(r.Pair.String()), r.shownStatus(), programTitle), now),
		Pair: shown(r.Pair.String()), Replica: shown(r.Replica), Organization: shown(r.Organization), Source: shown(r.Source),
		Status: r.shownStatus(), Summary: summarizeStatus(r.Status), Activity: p.newActivity(r, now), Facts: pairFacts(r, now), LogError: shown(records.LogError)}
	page.Scheduler = newScheduler(st.Processes, now)
	if !r.Since.IsZero() {
		page.Since = ui.Span(now.Sub(r.Since))
	}
	for _, why := range r.Reasons {
		if why.Cause == status.CauseNeverRun {
			why.Status = pairstatus.Waiting
			if st.Processes.DoPasses() {
				why.Text, why.Hint = "waiting for its first pass", ""
			}
		}
		page.Reasons = append(page.Reasons, reasonRow{string(why.Status), shown(why.Text), shown(why.Hint)})
	}
	if err != nil {
		page.Error = "Runs, unsynced objects and the log can’t be read: " + shown(err.Error())
	}
	page.addUnsynced(r, records.Unsynced, now)
	for _, run := range records.Runs {
		page.Runs = append(page.Runs, newRunRow(run, now))
	}
	for _, line := range records.Log {
		page.Log = append(page.Log, newLogRow(line, now))
	}
	return page
}

// summarizeStatus returns what a status means that has no further reason.
func summarizeStatus(s replication.Status) string {
	switch s {
	case replication.Synced:
		return "Everything read from the source has been applied."
	case replication.Bootstrapping:
		return "The first full comparison is in progress."
	case replication.Syncing:
		return "A pass is running, or changes wait for the next pass."
	}
	return ""
}

// pairFacts returns what is known of a pair, without what isn't.
func pairFacts(r pairRow, now time.Time) (facts []fact) {
	add := func(name, value string) {
		if value != "" {
			facts = append(facts, fact{name, shown(value)})
		}
	}
	age := func(name string, t time.Time) { add(name, ui.Age(t, now)) }
	number := func(name string, n int, always bool) {
		if n > 0 || always {
			add(name, formatCount(n))
		}
	}
	lag := "unknown before the first success"
	if r.LagSeconds != nil {
		lag = ui.Span(time.Duration(*r.LagSeconds) * time.Second)
	}
	add("Lag", lag)
	age("Last success", r.LastSuccess)
	age("Last pass", r.LastAttempt)
	switch {
	case r.RunningOn != "":
		host, _, _ := strings.Cut(r.RunningOn, ":") // of the name of the owner
		add("Next pass", "running on "+host)
	case r.Overdue:
		add("Next pass", "overdue")
	case r.NextRun.IsZero():
	case r.NextRun.Before(now):
		add("Next pass", "due")
	default:
		age("Next pass", r.NextRun)
	}
	number("Objects", r.Objects, true)
	number("Pending", r.Pending, false)
	number("Unsynced", r.Unsynced, true)
	number("Held deletions", r.heldDeletions(), true)
	number("Failed passes in a row", r.Failures, false)
	age("Last full comparison", r.LastCompare)
	age("Last verification", r.LastCheck)
	age("Last verified equal", r.LastVerified)
	if d := r.Drift; d != nil {
		add("Drift", fmt.Sprintf("%d changed, %d missing, %d extra on the replica, %d repaired; found %s", d.Changed, d.Missing, d.Extra, d.Repaired,
			ui.Age(d.At, now)))
	}
	number("Damaged files", r.DamagedFiles, false)
	number("On the replica only", r.ReplicaOnly, false)
	if v := r.Verifying; v != nil {
		add("Verifying", "begun "+ui.Age(v.Started, now))
	}
	feed := r.Feed
	if r.FeedNote != "" {
		feed += ", " + r.FeedNote
	}
	add("Feed", feed)
	if s := r.LastScan; s != nil {
		add("Last scan", ui.Age(s.Ended, now)+", "+ui.Plural(s.Listed, "object"))
	}
	add("Position", strconv.FormatInt(r.Position, 10))
	return facts
}

// addUnsynced adds unsynced objects and held deletions.
func (page *pairPage) addUnsynced(r pairRow, list []replication.Unsynced, now time.Time) {
	held := 0
	for _, u := range list {
		switch {
		case isHeld(u):
			held++
			if len(page.Held) < shownObjects {
				page.Held = append(page.Held, shown(u.Ref.Path()))
			}
		case len(page.Unsynced) < shownObjects:
			next := "due"
			if u.NextTry.After(now) {
				next = ui.Age(u.NextTry, now)
			}
			page.Unsynced = append(page.Unsynced, unsyncedRow{shown(u.Ref.Path()), shown(u.Reason), shown(u.Hint), strconv.Itoa(u.Attempts),
				ui.Age(u.FirstSeen, now), next})
		}
	}
	page.MoreHeld, page.MoreUnsynced = held-len(page.Held), len(list)-held-len(page.Unsynced)
	page.UnsyncedTitle = ui.Plural(len(list)-held, "unsynced object")
	page.HeldTitle = ui.Plural(held, "deletion") + " held for approval"
	if r.Hold != nil {
		page.HeldTitle = ui.Plural(r.Hold.Deletes, "deletion") + " held for approval"
	}
}

func newRunRow(r replication.Run, now time.Time) runRow {
	c := r.Counts
	row := runRow{Started: ui.Age(r.Started, now), Took: runlist.FormatDuration(r, now), Outcome: string(r.Outcome), Tone: outcomeTone(r.Outcome),
		What: fmt.Sprintf("%s, %s", cmp.Or(string(r.Mode), "poll"), cmp.Or(string(r.Trigger), "schedule"))}
	if r.Error != nil {
		row.Error, row.Hint = shown(r.Error.Message), shown(r.Error.Hint)
	}
	number := func(n int) string {
		if n == 0 {
			return ""
		}
		return formatCount(n)
	}
	row.Created, row.Updated, row.Deleted, row.Unsynced = number(c.Created), number(c.Updated), number(c.Deleted), number(max(c.Unsynced, r.Left))
	return row
}

func outcomeTone(o replication.Outcome) string {
	switch o {
	case replication.OutcomeDone:
		return toneOK
	case replication.OutcomeRunning:
		return toneBusy
	case replication.OutcomeFailed, replication.OutcomeHeld, replication.OutcomeDied:
		return toneBad
	case replication.OutcomeStopped, replication.OutcomeWaiting, replication.OutcomeBusy:
		return toneOff
	}
	return toneWarn
}

func newLogRow(l logstore.Line, now time.Time) logRow {
	form := "15:04:05"
	if l.Time.UTC().Format(time.DateOnly) != now.UTC().Format(time.DateOnly) {
		form = "2006-01-02 15:04"
	}
	row := logRow{Time: l.Time, Stamp: l.Time.UTC().Format(form), Level: l.Level.String(), Message: shown(l.Message), Object: shown(l.Object),
		Attrs: shownAttrs(l)}
	switch {
	case l.Level >= slog.LevelError:
		row.Tone = toneBad
	case l.Level >= slog.LevelWarn:
		row.Tone = toneWarn
	}
	return row
}

// shownAttrs returns the further attributes of a line, without those that are empty or 0.
func shownAttrs(l logstore.Line) (attrs []fact) {
	for _, a := range l.Attributes() {
		if a.Value != "" && a.Value != "0" && a.Value != "null" {
			attrs = append(attrs, fact{shown(a.Key), shown(a.Value)})
		}
	}
	return attrs
}

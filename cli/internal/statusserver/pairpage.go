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

	g "maragu.dev/gomponents"
	h "maragu.dev/gomponents/html"

	"chefsync/cli/internal/logstore"
	"chefsync/cli/internal/pairstatus"
	"chefsync/cli/internal/runlist"
	"chefsync/cli/internal/ui"
	"chefsync/pkg/fault"
	"chefsync/pkg/replication"
	"chefsync/pkg/status"
)

// shownObjects bounds the unsynced objects, and the held deletions, of a page.
const shownObjects = 200

func (o Options) servePair(w http.ResponseWriter, r *http.Request) {
	id := replication.PairID{Replica: r.PathValue("replica"), Org: r.PathValue("organization")}
	st, ok := o.readStatus(w, r)
	if !ok {
		return
	}
	for _, row := range st.Pairs {
		if row.Pair != id {
			continue
		}
		ctx, cancel := context.WithTimeout(r.Context(), readTimeout)
		defer cancel()
		records, err := o.Reader.Pair(ctx, id)
		writePage(w, http.StatusOK, o.pairPage(st, row, records, err))
		return
	}
	if slices.Contains(st.Unreadable, id) {
		o.writeProblem(w, http.StatusServiceUnavailable, id.String()+" can’t be read", st.Error)
		return
	}
	o.writeProblem(w, http.StatusNotFound, "Not found", "There is no pair "+id.String()+".")
}

// pairPage is the page of one pair.
func (o Options) pairPage(st Status, r pairstatus.PairRow, records PairRecords, err error) g.Node {
	now, problem := st.At, ""
	if err != nil {
		problem = "Runs, unsynced objects and the log can’t be read: " + err.Error()
	}
	var held, unsynced []replication.Unsynced
	for _, u := range records.Unsynced {
		if u.Class == fault.DeletionHeld {
			held = append(held, u)
		} else {
			unsynced = append(unsynced, u)
		}
	}
	l := o.newLayout(fmt.Sprintf("%s: %s · %s", r.Pair, r.ShownStatus(), programTitle), now)
	return l.document(
		subHeader(newScheduler(st.Processes, now)),
		h.Main(h.ID("live"),
			o.lead(st, r),
			section("", "facts-title", "Facts", h.Dl(h.Class("facts"), pairFacts(r, now))),
			notice(problem),
			heldDeletions(r, held), unsyncedObjects(r.Pair, unsynced, now), runs(records.Runs, now), logLines(records, now),
		),
	)
}

// lead says how a pair is, and why.
func (o Options) lead(st Status, r pairstatus.PairRow) g.Node {
	about := fmt.Sprintf("from %s on the primary to %s on %s", r.Source, r.Organization, r.Replica)
	if !r.Since.IsZero() {
		about += fmt.Sprintf(", %s for %s", r.ShownStatus(), ui.Span(st.At.Sub(r.Since)))
	}
	why := h.P(text(summarizeStatus(r.Status)))
	if len(r.Reasons) > 0 {
		why = h.Ul(h.Class("reasons"), g.Map(r.Reasons, func(x status.Reason) g.Node { return reason(x, r.ShownStatus(), st.Processes.DoPasses()) }))
	}
	now := o.activityOf(r, st.At)
	return h.Section(h.Class("card lead"), h.Aria("label", "Status"),
		h.H1(h.Span(h.Class("muted"), text(r.Replica+"/")), text(r.Organization+" "), pill(string(r.ShownStatus()))),
		muted(about), why,
		g.Iff(now != nil, func() g.Node { return h.P(h.Class("now"), h.Strong(g.Text("Now")), g.Text(" "), now) }),
	)
}

// reason says why a pair isn't in sync, with the status where it isn't that of the pair.
func reason(x status.Reason, ofPair replication.Status, doPasses bool) g.Node {
	if x.Cause == status.CauseNeverRun {
		x.Status = pairstatus.Waiting
		if doPasses {
			x.Text, x.Hint = "waiting for its first pass", ""
		}
	}
	return h.Li(h.P(g.If(x.Status != ofPair, g.Group{pill(string(x.Status)), g.Text(" ")}), prose(x.Text)), hint(x.Hint))
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
func pairFacts(r pairstatus.PairRow, now time.Time) (facts g.Group) {
	add := func(name, value string) {
		if value != "" {
			facts = append(facts, h.Div(h.Dt(g.Text(name)), h.Dd(text(value))))
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
	number("Held deletions", countHeld(r), true)
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
	add("Feed", r.Feed+ui.Prefixed(", ", r.FeedNote))
	if s := r.LastScan; s != nil {
		add("Last scan", ui.Age(s.Ended, now)+", "+ui.Plural(s.Listed, "object"))
	}
	add("Position", strconv.FormatInt(r.Position, 10))
	return facts
}

// countHeld returns how many deletions wait for approval.
func countHeld(r pairstatus.PairRow) int {
	if r.Hold == nil {
		return 0
	}
	return r.Hold.Deletes
}

func heldDeletions(r pairstatus.PairRow, held []replication.Unsynced) g.Node {
	if len(held) == 0 {
		return nil
	}
	listed := held[:min(len(held), shownObjects)]
	return section("", "held-title", ui.Plural(cmp.Or(countHeld(r), len(held)), "deletion")+" held for approval",
		h.Ul(h.Class("objects"), g.Map(listed, func(u replication.Unsynced) g.Node { return h.Li(h.Code(text(u.Ref.Path()))) })),
		g.If(len(held) > len(listed), muted(fmt.Sprintf("and %d more", len(held)-len(listed)))),
	)
}

func unsyncedObjects(id replication.PairID, unsynced []replication.Unsynced, now time.Time) g.Node {
	if len(unsynced) == 0 {
		return nil
	}
	listed := unsynced[:min(len(unsynced), shownObjects)]
	return section("", "unsynced-title", ui.Plural(len(unsynced), "unsynced object"),
		list("list", "unsynced-title", []column{{"Object", ""}, {"Reason", ""}, {"Attempts", "num"}, {"First seen", ""}, {"Next attempt", ""}},
			g.Map(listed, func(u replication.Unsynced) g.Node {
				next := "due"
				if u.NextTry.After(now) {
					next = ui.Age(u.NextTry, now)
				}
				return h.Tr(h.Th(h.Scope("row"), h.Code(text(u.Ref.Path()))),
					cell("Reason", "", text(u.Reason), hint(u.Hint)), cell("Attempts", "num", g.Text(strconv.Itoa(u.Attempts))),
					cell("First seen", "", g.Text(ui.Age(u.FirstSeen, now))), cell("Next attempt", "", g.Text(next)))
			})),
		g.If(len(unsynced) > len(listed), muted(fmt.Sprintf("and %d more: chef-sync-ctl unsynced-objects %s", len(unsynced)-len(listed), id))),
	)
}

func runs(all []replication.Run, now time.Time) g.Node {
	if len(all) == 0 {
		return section("", "runs-title", "Runs", muted("No runs yet."))
	}
	return section("", "runs-title", "Runs", list("list runs", "runs-title",
		[]column{{"Started", ""}, {"Took", "num"}, {"What", ""}, {"Outcome", ""}, {"Created", "num"}, {"Updated", "num"}, {"Deleted", "num"}, {"Unsynced", "num"}},
		g.Map(all, func(r replication.Run) g.Node {
			outcome := g.Group{h.Span(h.Class("pill "+outcomeTone(r.Outcome)), g.Text(string(r.Outcome)))}
			if r.Error != nil {
				outcome = append(outcome, h.P(text(r.Error.Message)), hint(r.Error.Hint))
			}
			return h.Tr(h.Th(h.Scope("row"), g.Text(ui.Age(r.Started, now))), cell("Took", "num", g.Text(runlist.FormatDuration(r, now))),
				cell("What", "", text(fmt.Sprintf("%s, %s", cmp.Or(string(r.Mode), "poll"), cmp.Or(string(r.Trigger), "schedule")))),
				cell("Outcome", "", outcome), numberCell("Created", r.Counts.Created), numberCell("Updated", r.Counts.Updated),
				numberCell("Deleted", r.Counts.Deleted), numberCell("Unsynced", max(r.Counts.Unsynced, r.Left)))
		})))
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

func logLines(records PairRecords, now time.Time) g.Node {
	return section("", "log-title", "Log, newest first",
		g.If(records.LogError != "", muted("The log can’t be read: "+records.LogError)),
		g.If(len(records.Log) == 0 && records.LogError == "", muted("No lines.")),
		g.If(len(records.Log) > 0, h.Ol(h.Class("log"), g.Map(records.Log, func(l logstore.Line) g.Node { return logLine(l, now) }))),
	)
}

// logLine is a line of the log, without its attributes that are empty or 0.
func logLine(l logstore.Line, now time.Time) g.Node {
	form := "15:04:05"
	if l.Time.UTC().Format(time.DateOnly) != now.UTC().Format(time.DateOnly) {
		form = "2006-01-02 15:04"
	}
	tone := ""
	switch {
	case l.Level >= slog.LevelError:
		tone = toneBad
	case l.Level >= slog.LevelWarn:
		tone = toneWarn
	}
	line := g.Group{h.Strong(text(l.Message))}
	if l.Object != "" {
		line = append(line, g.Text(" "), h.Code(text(l.Object)))
	}
	for _, a := range l.Attributes() {
		if a.Value != "" && a.Value != "0" && a.Value != "null" {
			line = append(line, g.Text(" "), h.Span(h.Class("attr"), h.Span(h.Class("muted"), text(a.Key)), text(" "+a.Value)))
		}
	}
	return h.Li(h.Class(tone), h.Time(h.DateTime(l.Time.Format(time.RFC3339)), g.Text(l.Time.UTC().Format(form))), g.Text(" "),
		h.Span(h.Class("level"), g.Text(l.Level.String())), g.Text(" "), h.Span(h.Class("line"), line))
}

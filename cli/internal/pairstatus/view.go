package pairstatus

import (
	"slices"
	"strconv"
	"strings"
	"time"

	"chefsync/cli/internal/cmdline"
	"chefsync/cli/internal/ui"
	"chefsync/pkg/replication"
	"chefsync/pkg/status"
)

// View is what sync-status shows of a snapshot.
type View struct {
	Filter
	All         bool // each pair, also where they are more than a screenful
	ServersOnly bool
}

// Show prints a snapshot: as data the rows that the filter selects, else a page.
func (v View) Show(env *cmdline.Env, s Snapshot) error {
	o := env.Output()
	if v.ServersOnly {
		return o.Emit(s.Servers, func(t *ui.Grid) { showServers(t, s.Servers, s.At) })
	}
	return o.Emit(v.apply(s.Pairs), func(t *ui.Grid) {
		for _, line := range v.page(o, s).lines() {
			t.Verbatim(line)
		}
	})
}

// page is a snapshot as it is printed.
type page struct {
	top    []ui.Text // what is said of all pairs
	head   ui.Text   // of the table
	rows   []ui.Text
	pairs  []int       // how many each row stands for
	hidden ui.Text     // how many pairs the table leaves out, by status
	notes  [][]ui.Text // each of several lines
	facts  []ui.Text   // of a single pair
}

// page lays out a snapshot. On a terminal a page with more lines than it has leaves out
// the pairs that are quiet, and those of a replica with the same reason are one row. In a
// pipe all pairs are there, in the order of the configuration. A single pair is shown with
// its facts: there is no other to make room for.
func (v View) page(o *ui.Output, s Snapshot) page {
	screen := screenOf(o)
	rows := v.apply(s.Pairs)
	byTrouble := sortByTrouble(rows)
	if screen.Lines > 0 {
		rows = byTrouble
	}
	p := v.layOut(o, s, rows)
	for _, n := range notesOfRows(byTrouble, &s.Processes, s.At).order {
		p.notes = append(p.notes, n.lines(o, s.all))
	}
	if v.All || screen.Lines == 0 || len(s.Pairs) == 1 || len(p.lines()) < screen.Lines {
		return p
	}
	isQuiet := func(r PairRow) bool { return r.isQuiet() }
	less := v.layOut(o, s, mergeRows(slices.DeleteFunc(slices.Clone(rows), isQuiet)))
	less.notes = p.notes
	if quiet := slices.DeleteFunc(slices.Clone(rows), func(r PairRow) bool { return !r.isQuiet() }); len(quiet) > 0 {
		less.hidden = ui.Text(strings.Join(countStatuses(o, quiet), " and ")) + pairNoun(len(quiet))
	}
	return less
}

// pairNoun returns the noun after a number of pairs.
func pairNoun(n int) ui.Text {
	if n == 1 {
		return " pair"
	}
	return " pairs"
}

// leastMerged is the number of rows from which mergeRows makes one of them.
const leastMerged = 4

// mergeRows makes one row of those of a replica that have the same status for the same
// reason, such as a server that is down or a stop of all its pairs.
func mergeRows(rows []PairRow) (merged []PairRow) {
	type key struct {
		replica, reason string
		status          replication.Status
	}
	keyOf := func(r PairRow) key { return key{r.Replica, r.Note, r.ShownStatus()} }
	groups := map[key][]PairRow{}
	for _, r := range rows {
		groups[keyOf(r)] = append(groups[keyOf(r)], r)
	}
	for _, r := range rows {
		switch group := groups[keyOf(r)]; {
		case len(group) < leastMerged:
			merged = append(merged, r)
		case group[0].Pair == r.Pair:
			merged = append(merged, sumRows(group))
		}
	}
	return merged
}

// sumRows returns the row that stands for several.
func sumRows(rows []PairRow) PairRow {
	sum := rows[0]
	sum.Organization, sum.further = ui.Plural(len(rows), "organization"), len(rows)-1
	for _, r := range rows[1:] {
		sum.Pending, sum.Unsynced, sum.Objects = sum.Pending+r.Pending, sum.Unsynced+r.Unsynced, sum.Objects+r.Objects
		if r.LagSeconds != nil && (sum.LagSeconds == nil || *r.LagSeconds > *sum.LagSeconds) {
			sum.LagSeconds = r.LagSeconds
		}
		if r.NextRun.Before(sum.NextRun) {
			sum.NextRun = r.NextRun
		}
	}
	return sum
}

// screenOf returns the size of the terminal that a page must fit in. It is zero for output
// that is read elsewhere, also where the environment tells the size of a terminal.
func screenOf(o *ui.Output) ui.Size {
	if !o.OutTTY || o.Size == nil || o.Format != ui.Table && o.Format != ui.Wide {
		return ui.Size{}
	}
	return o.Size()
}

// layOut renders a page without its notes.
func (v View) layOut(o *ui.Output, s Snapshot, rows []PairRow) page {
	p := page{top: o.Render(func(t *ui.Grid) { v.summarize(o, t, s) })}
	table := o.Render(func(t *ui.Grid) {
		t.Columns(pairColumns()...)
		for _, r := range rows {
			t.Row(r.Organization, r.Replica, StatusText(t, r.ShownStatus()), r.lagText(), s.Processes.nextRunText(r, s.At),
				strconv.Itoa(r.Pending), strconv.Itoa(r.Unsynced), ui.Age(r.LastSuccess, s.At), strconv.Itoa(r.Objects), ui.Age(r.Since, s.At), ui.OrDash(r.Feed))
		}
	})
	p.head, p.rows = table[0], table[1:]
	for _, r := range rows {
		p.pairs = append(p.pairs, 1+r.further)
	}
	if len(s.Pairs) == 1 && len(rows) == 1 {
		p.facts = append([]ui.Text{""}, o.Render(func(t *ui.Grid) { describePair(t, rows[0], s.At) })...)
	}
	return p
}

// pairColumns returns the columns of the table of pairs.
func pairColumns() []ui.Column {
	return []ui.Column{
		{Name: "ORGANIZATION", Min: 12}, {Name: "REPLICA", Min: 7}, {Name: "STATUS"}, {Name: "LAG", Drop: 1}, {Name: "NEXT RUN", Drop: 4},
		{Name: "PENDING", Drop: 3}, {Name: "UNSYNCED", Drop: 2},
		{Name: "LAST SUCCESS", OnlyWide: true}, {Name: "OBJECTS", OnlyWide: true}, {Name: "SINCE", OnlyWide: true}, {Name: "FEED", OnlyWide: true},
	}
}

// summarize adds what is said of all pairs.
func (v View) summarize(o *ui.Output, t *ui.Grid, s Snapshot) {
	if len(s.Pairs) > 1 {
		t.Line("%s: %s", ui.Plural(len(s.Pairs), "pair"), ui.Text(strings.Join(countStatuses(o, s.Pairs), ", ")))
	}
	if s.stateIsNew() {
		t.Line("state: new, nothing is recorded in %s yet; if there were passes before, that file was lost or moved", s.StateFile)
	}
	s.Processes.print(t, s.At)
	showTroubledServers(t, s.Servers, s.At)
	if len(s.Pairs) > 0 && len(v.apply(s.Pairs)) == 0 {
		t.Line("%s", v.nothing())
	}
}

// lines returns all lines of a page.
func (p page) lines() []ui.Text {
	lines := slices.Clone(p.top)
	if len(p.rows) > 0 {
		lines = append(lines, "", p.head)
		lines = append(lines, p.rows...)
	}
	if p.hidden != "" {
		lines = append(lines, "… and "+p.hidden+"; --all shows them")
	}
	if len(p.notes) > 0 {
		lines = append(lines, "")
	}
	for _, n := range p.notes {
		lines = append(lines, n...)
	}
	return append(lines, p.facts...)
}

// statusColor returns the color of a status.
func statusColor(s replication.Status) ui.Color {
	switch {
	case s == replication.Synced:
		return ui.Green
	case s == replication.Stopped, s == Waiting:
		return ui.Faint
	case status.Rank(s) < status.Rank(replication.Retrying):
		return ui.Red
	}
	return ui.Yellow
}

// StatusText returns a status in its color.
func StatusText(t *ui.Grid, s replication.Status) ui.Text {
	return t.Paint(statusColor(s), string(s))
}

func (r *PairRow) nextRunText(now time.Time) string {
	switch {
	case r.RunningOn != "":
		return "now"
	case r.NextRun.IsZero():
		return "-"
	case r.Overdue:
		return "overdue"
	case r.NextRun.Before(now) && r.pollInterval > 0: // recorded only from time to time
		return "within " + ui.Span(r.pollInterval)
	case r.NextRun.Before(now):
		return "due"
	}
	return ui.Age(r.NextRun, now)
}

func (r *PairRow) lagText() string {
	if r.LagSeconds == nil {
		return "-"
	}
	lag := time.Duration(*r.LagSeconds) * time.Second
	if len(r.Reasons) == 0 && lag < r.recordValidFor {
		return "<" + ui.Span(r.recordValidFor)
	}
	return ui.Span(lag)
}

package statusserver

import (
	"cmp"
	"fmt"
	"hash/fnv"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"time"

	g "maragu.dev/gomponents"
	h "maragu.dev/gomponents/html"

	"chefsync/cli/internal/pairstatus"
	"chefsync/cli/internal/ui"
	"chefsync/pkg/replication"
)

// blockRows is the number of organizations in a block of the matrix, so that two blocks of
// them fit a screen.
const blockRows = 20

// barWidth is the width of the bar of statuses, in its own units.
const barWidth = 1000

// shownRunning bounds the passes that are listed.
const shownRunning = 6

// shownStatuses returns the statuses that the page shows, the worst first.
func shownStatuses() []replication.Status {
	return append([]replication.Status{statusUnknown}, pairstatus.ShownStatuses()...)
}

func (o Options) serveFleet(w http.ResponseWriter, r *http.Request) {
	if st, ok := o.readStatus(w, r); ok {
		writePage(w, http.StatusOK, o.fleetPage(st))
	}
}

// fleetPage is the page of all pairs.
func (o Options) fleetPage(st Status) g.Node {
	counts := map[replication.Status]int{statusUnknown: len(st.Unreadable)}
	for _, r := range st.Pairs {
		counts[r.ShownStatus()]++
	}
	passes := newScheduler(st.Processes, st.At)
	headline := newHeadline(counts, passes)
	l := o.newLayout(headline.Text+" · "+programTitle, st.At)
	return l.document(
		h.A(h.Class("skip"), h.Href("#pairs"), g.Text("Skip to the pairs")),
		h.Header(h.H1(g.Text(programTitle)), passes.node()),
		h.Main(h.ID("live"),
			summary(headline, counts),
			h.Section(h.Aria("labelledby", "servers-title"),
				h.H2(h.ID("servers-title"), h.Class("visually-hidden"), g.Text("Servers")),
				h.Ul(h.Class("servers"), g.Map(st.Servers, func(s pairstatus.ServerRow) g.Node { return serverCard(s, st.At) })),
			),
			notice(st.Error),
			h.Div(h.Class("columns"), troubles(st), matrix(st), o.running(st)),
		),
	)
}

// newHeadline returns how many pairs need attention, in the tone of the worst.
func newHeadline(counts map[replication.Status]int, passes scheduler) scheduler {
	total, troubled, worst := 0, 0, toneOK
	for _, s := range shownStatuses() {
		n, tone := counts[s], statusTone(string(s))
		total += n
		if needsAttention := tone == toneBad || tone == toneDown || tone == toneWarn; n > 0 && needsAttention {
			troubled += n
			if worst == toneOK { // the worst come first
				worst = tone
			}
		}
	}
	if passes.Tone == toneBad {
		worst = toneBad
	}
	switch pairs := ui.Plural(total, "pair"); {
	case troubled == 0 && passes.Tone == toneBad:
		return scheduler{worst, pairs + ", not being replicated"}
	case troubled == 0:
		return scheduler{worst, pairs + ", all well"}
	case troubled == 1:
		return scheduler{worst, pairs + ", 1 needs attention"}
	default:
		return scheduler{worst, fmt.Sprintf("%s, %d need attention", pairs, troubled)}
	}
}

// summary is the headline with how many pairs have each status, as a bar and in numbers.
func summary(headline scheduler, counts map[replication.Status]int) g.Node {
	var bar, numbers g.Group
	total, x := 0, 0
	for _, n := range counts {
		total += n
	}
	for _, s := range shownStatuses() {
		n := counts[s]
		if n == 0 {
			continue
		}
		width := barWidth * n / total
		bar = append(bar, g.El("rect", h.Class(statusTone(string(s))), g.Attr("x", strconv.Itoa(x)), h.Width(strconv.Itoa(width)), g.Attr("y", "0"), h.Height("8")))
		x += width
		numbers = append(numbers, h.Li(pill(string(s)), g.Text(" "), h.Span(h.Class("num"), g.Text(formatCount(n)))))
	}
	return h.Section(h.Class("summary card"), h.Aria("label", "Summary"),
		h.P(h.Class("headline "+headline.Tone), g.Text(headline.Text)),
		h.SVG(h.Class("bar"), g.Attr("viewBox", fmt.Sprintf("0 0 %d 8", barWidth)), g.Attr("preserveAspectRatio", "none"), h.Aria("hidden", "true"),
			g.Attr("focusable", "false"), bar),
		h.Ul(h.Class("counts"), numbers),
	)
}

func serverCard(s pairstatus.ServerRow, now time.Time) g.Node {
	detail := ui.Plural(s.Pairs, "pair")
	switch {
	case s.Status == pairstatus.ServerUnreachable:
		detail = "for " + ui.Span(now.Sub(s.UnreachableSince)) + ", " + detail
	case s.Status == pairstatus.ServerUnknown && s.LastCheck.IsZero():
		detail = "never checked"
	case s.Status == pairstatus.ServerUnknown:
		detail = "last checked " + ui.Age(s.LastCheck, now)
	case s.LatencyMS != nil:
		detail = fmt.Sprintf("%d ms, %s", *s.LatencyMS, detail)
	}
	return h.Li(h.Class("card server "+statusTone(s.Status)),
		h.P(h.Strong(text(s.Name)), g.Text(" "), h.Span(h.Class("state"), icon(s.Status), g.Text(s.Status))),
		muted(detail),
	)
}

// unreadable is why nothing is known of a pair.
const unreadable = "its records can’t be read"

// troubles says why no passes run, and groups the pairs that need attention by the reason, the
// worst first.
func troubles(st Status) g.Node {
	var all g.Group
	if passes := newScheduler(st.Processes, st.At); passes.Tone == toneBad {
		try := "chef-sync-ctl run"
		if st.Processes.OnStack {
			try = "chef-sync-ctl doctor, then: chef-sync-ctl manager-log"
		}
		all = append(all, h.Li(h.P(h.Class("what"), h.Strong(text(passes.Text))), hint(try)))
	}
	if len(st.Unreadable) > 0 {
		all = append(all, trouble(statusUnknown, pairstatus.Group{Pairs: st.Unreadable, Text: unreadable, Hint: "chef-sync-ctl doctor"}))
	}
	byStatus := map[replication.Status][]pairstatus.PairRow{}
	for _, r := range st.Pairs {
		byStatus[r.ShownStatus()] = append(byStatus[r.ShownStatus()], r)
	}
	for _, s := range shownStatuses() {
		if tone := statusTone(string(s)); tone == toneOK || tone == toneBusy {
			continue
		}
		groups := st.GroupByReason(byStatus[s])
		slices.SortStableFunc(groups, func(a, b pairstatus.Group) int { return len(b.Pairs) - len(a.Pairs) })
		for _, group := range groups {
			all = append(all, trouble(string(s), group))
		}
	}
	if len(all) == 0 {
		return section("troubles", "troubles-title", "Nothing needs attention", muted("All pairs are in sync or catching up."))
	}
	return section("troubles", "troubles-title", "Needs attention", h.Ul(all))
}

// trouble is why pairs need attention. Many pairs are summarized.
func trouble(s string, group pairstatus.Group) g.Node {
	what := summarizePairs(group.Pairs)
	if what == "" {
		return h.Li(h.P(h.Class("what"), pill(s), g.Text(" "), h.Span(h.Class("pairs"), links(group.Pairs))), h.P(prose(group.Text)), hint(group.Hint))
	}
	sum := fnv.New32a() // the same whenever the page is updated
	_, _ = sum.Write([]byte(s + group.Pairs[0].String()))
	return h.Li(
		h.P(h.Class("what"), pill(s), g.Text(" "), h.Strong(text(what))),
		h.P(prose(group.Text)), hint(group.Hint),
		h.Details(h.ID(fmt.Sprintf("trouble-%08x", sum.Sum32())), h.Summary(g.Textf("%d pairs", len(group.Pairs))), h.P(h.Class("pairs"), links(group.Pairs))),
	)
}

// namedPairs is how many pairs are named before they are summarized.
const namedPairs = 3

// summarizePairs returns what many pairs have in common, or "" for few.
func summarizePairs(ids []replication.PairID) string {
	if len(ids) <= namedPairs {
		return ""
	}
	replicas, orgs := map[string]bool{}, map[string]bool{}
	for _, id := range ids {
		replicas[id.Replica], orgs[id.Org] = true, true
	}
	switch {
	case len(replicas) == 1:
		return fmt.Sprintf("%s on %s", ui.Plural(len(orgs), "organization"), ids[0].Replica)
	case len(orgs) == 1:
		return fmt.Sprintf("%s on %s", ids[0].Org, ui.Plural(len(replicas), "replica"))
	}
	return ui.Plural(len(ids), "pair")
}

// links are the links to pairs.
func links(ids []replication.PairID) (nodes g.Group) {
	for i, id := range ids {
		if i > 0 {
			nodes = append(nodes, g.Text(", "))
		}
		nodes = append(nodes, h.A(h.ID("trouble-"+shown(id.String())), h.Href(pairPath(id)), text(id.String())))
	}
	return nodes
}

// pairPath returns the path of the page of a pair.
func pairPath(id replication.PairID) string {
	return "/pairs/" + url.PathEscape(id.Replica) + "/" + url.PathEscape(id.Org)
}

// running lists what is being done.
func (o Options) running(st Status) g.Node {
	var all g.Group
	for _, r := range st.Pairs {
		if a := o.activityOf(r, st.At); a != nil {
			all = append(all, h.Li(h.A(h.Href(pairPath(r.Pair)), text(r.Pair.String())), g.Text(" "), a))
		}
	}
	if len(all) == 0 {
		return nil
	}
	more := len(all) - shownRunning
	return section("running", "running-title", "Running now",
		h.Ul(all[:min(len(all), shownRunning)]),
		g.If(more > 0, muted(fmt.Sprintf("and %d more", more))),
	)
}

// matrix is a table of organizations and replicas, in blocks side by side.
func matrix(st Status) g.Node {
	cells := map[replication.PairID]g.Node{}
	var replicas, orgs []string
	add := func(id replication.PairID, s, why string) {
		if !slices.Contains(replicas, id.Replica) {
			replicas = append(replicas, id.Replica)
		}
		orgs = append(orgs, id.Org)
		name := shown(id.String())
		cells[id] = h.A(h.ID("pair-"+name), h.Class("cell "+statusTone(s)), h.Href(pairPath(id)), h.Aria("label", name+": "+s),
			h.Title(shown(cmp.Or(why, s))), icon(s))
	}
	for _, r := range st.Pairs {
		add(r.Pair, string(r.ShownStatus()), r.Note)
	}
	for _, id := range st.Unreadable {
		add(id, statusUnknown, unreadable)
	}
	slices.Sort(orgs)
	orgs = slices.Compact(orgs)
	var blocks g.Group
	for block := range slices.Chunk(orgs, blockRows) {
		blocks = append(blocks, h.Table(
			h.Caption(h.Class("visually-hidden"), text(fmt.Sprintf("Status of the organizations %s to %s on each replica", block[0], block[len(block)-1]))),
			h.THead(h.Tr(
				h.Th(h.Scope("col"), h.Span(h.Class("visually-hidden"), g.Text("Organization"))),
				g.Map(replicas, func(name string) g.Node { return h.Th(h.Scope("col"), h.Class(replicaTone(st, name)), text(name)) }),
			)),
			h.TBody(g.Map(block, func(org string) g.Node {
				return h.Tr(h.Th(h.Scope("row"), text(org)), g.Map(replicas, func(replica string) g.Node {
					return h.Td(cells[replication.PairID{Replica: replica, Org: org}])
				}))
			})),
		))
	}
	return h.Section(h.Class("card matrix"), h.ID("pairs"), h.Aria("labelledby", "pairs-title"), h.TabIndex("-1"),
		h.H2(h.ID("pairs-title"), g.Text("Organizations and replicas")),
		h.Div(h.Class("blocks"), blocks),
	)
}

// replicaTone returns the tone of a replica.
func replicaTone(st Status, name string) string {
	for _, s := range st.Servers {
		if s.Name == name {
			return statusTone(s.Status)
		}
	}
	return ""
}

package statusserver

import (
	"cmp"
	"fmt"
	"hash/fnv"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"chefsync/cli/internal/pairstatus"
	"chefsync/cli/internal/ui"
	"chefsync/pkg/replication"
	"chefsync/pkg/status"
)

// fleetPage is the data of the page of all pairs.
type fleetPage struct {
	layout
	Headline    scheduler
	Bar         []barPart
	Counts      []statusCount
	Servers     []serverCard
	Error       string
	Troubles    []*trouble
	Running     []*activity
	MoreRunning int
	Replicas    []serverCard
	Blocks      []matrixBlock
}

// statusCount is how many pairs have a status.
type statusCount struct {
	Status string
	N      int
}

// barPart is a part of the bar that shows how many pairs have a status; the bar is
// barWidth wide.
type barPart struct {
	Tone     string
	X, Width int
}

// serverCard is a server.
type serverCard struct{ Name, Status, Tone, Detail string }

// pairLink is a pair with the path of its page.
type pairLink struct{ ID, Path string }

// trouble is why pairs need attention, of pairs that share the reason.
type trouble struct {
	ID, Status, Text, Hint string
	Summary                string // of many pairs; "" for those that are all named
	Pairs                  []pairLink
}

// matrixBlock is a table of some organizations. A page has several, side by side.
type matrixBlock struct {
	First, Last string
	Rows        []matrixRow
}

type matrixRow struct {
	Organization string
	Cells        []matrixCell
}

// matrixCell is a pair; the zero cell is none.
type matrixCell struct{ ID, Path, Status, Label, Why string }

// blockRows is the number of organizations in a block, so that two blocks of them fit
// a screen.
const blockRows = 20

// barWidth is the width of the bar of statuses, in its own units.
const barWidth = 1000

// shownRunning bounds the passes that are listed.
const shownRunning = 6

// severity returns the statuses, the worst first.
func severity() []string {
	var all []string
	for _, s := range []replication.Status{statusUnknown, replication.Blocked, replication.Held, status.Unreachable, status.Stale, replication.Retrying,
		status.Drifted, replication.Stopped, replication.Bootstrapping, pairstatus.Waiting, replication.Syncing, replication.Synced} {
		all = append(all, string(s))
	}
	return all
}

func (p *pages) serveFleet(w http.ResponseWriter, r *http.Request) {
	if st, ok := p.readStatus(w, r); ok {
		writePage(w, http.StatusOK, p.newFleetPage(st).node())
	}
}

func (p *pages) newFleetPage(st Status) fleetPage {
	page := fleetPage{layout: p.newLayout("", st.At), Error: shown(st.Error), Troubles: findTroubles(st)}
	page.Scheduler = newScheduler(st.Processes, st.At)
	page.countStatuses(st)
	for _, s := range st.Servers {
		page.Servers = append(page.Servers, newServerCard(s, st.At))
	}
	for _, row := range st.Pairs {
		if a := p.newActivity(pairRow{row}, st.At); a != nil {
			page.Running = append(page.Running, a)
		}
	}
	if n := len(page.Running); n > shownRunning {
		page.Running, page.MoreRunning = page.Running[:shownRunning], n-shownRunning
	}
	page.addMatrix(st)
	return page
}

// countStatuses counts the statuses of pairs, for the headline and the bar.
func (page *fleetPage) countStatuses(st Status) {
	counts := map[string]int{statusUnknown: len(st.Unreadable)}
	for _, row := range st.Pairs {
		counts[pairRow{row}.shownStatus()]++
	}
	total, troubled, x := len(st.Pairs)+len(st.Unreadable), 0, 0
	worst := toneOK
	for _, s := range severity() {
		n, tone := counts[s], statusTone(s)
		if n == 0 {
			continue
		}
		page.Counts = append(page.Counts, statusCount{s, n})
		width := barWidth * n / total
		page.Bar = append(page.Bar, barPart{tone, x, width})
		x += width
		if needsAttention(tone) {
			troubled += n
			if worst == toneOK { // the worst come first
				worst = tone
			}
		}
	}
	page.Headline = scheduler{worst, ui.Plural(total, "pair") + ", all well"}
	if troubled == 1 {
		page.Headline.Text = ui.Plural(total, "pair") + ", 1 needs attention"
	} else if troubled > 0 {
		page.Headline.Text = fmt.Sprintf("%s, %d need attention", ui.Plural(total, "pair"), troubled)
	}
	if page.Scheduler.Tone == toneBad {
		page.Headline.Tone = toneBad
	}
	page.Title = page.Headline.Text + " · " + programTitle
}

// needsAttention reports whether somebody should look at what has a tone.
func needsAttention(tone string) bool { return tone == toneBad || tone == toneDown || tone == toneWarn }

func newServerCard(s pairstatus.ServerRow, now time.Time) serverCard {
	c := serverCard{Name: shown(s.Name), Status: s.Status, Tone: statusTone(s.Status)}
	switch {
	case s.Status == serverUnreachable:
		c.Detail = "for " + ui.Span(now.Sub(s.UnreachableSince)) + ", " + ui.Plural(s.Pairs, "pair")
	case s.Status == serverUnknown && s.LastCheck.IsZero():
		c.Detail = "never checked"
	case s.Status == serverUnknown:
		c.Detail = "last checked " + ui.Age(s.LastCheck, now)
	case s.LatencyMS != nil:
		c.Detail = fmt.Sprintf("%d ms, %s", *s.LatencyMS, ui.Plural(s.Pairs, "pair"))
	default:
		c.Detail = ui.Plural(s.Pairs, "pair")
	}
	return c
}

// findTroubles groups the pairs that need attention by the reason, the worst first.
func findTroubles(st Status) (all []*trouble) {
	add := func(s string, group pairstatus.Group) {
		sum := fnv.New32a() // the same whenever the page is updated
		_, _ = sum.Write([]byte(s + group.Pairs[0].String()))
		t := &trouble{ID: fmt.Sprintf("trouble-%08x", sum.Sum32()), Status: s, Text: shown(group.Text), Hint: shown(group.Hint),
			Summary: summarizePairs(group.Pairs)}
		for _, id := range group.Pairs {
			t.Pairs = append(t.Pairs, newPairLink(id))
		}
		all = append(all, t)
	}
	if len(st.Unreadable) > 0 {
		add(statusUnknown, pairstatus.Group{Pairs: st.Unreadable, Text: "its records can’t be read", Hint: "chef-sync-ctl doctor"})
	}
	byStatus := map[string][]pairstatus.PairRow{}
	for _, row := range st.Pairs {
		s := pairRow{row}.shownStatus()
		byStatus[s] = append(byStatus[s], row)
	}
	for _, s := range severity() {
		if tone := statusTone(s); tone == toneOK || tone == toneBusy {
			continue
		}
		groups := st.GroupByReason(byStatus[s])
		slices.SortStableFunc(groups, func(a, b pairstatus.Group) int { return len(b.Pairs) - len(a.Pairs) })
		for _, group := range groups {
			add(s, group)
		}
	}
	return all
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
		return fmt.Sprintf("%s on %s", ui.Plural(len(orgs), "organization"), shown(ids[0].Replica))
	case len(orgs) == 1:
		return fmt.Sprintf("%s on %s", shown(ids[0].Org), ui.Plural(len(replicas), "replica"))
	}
	return ui.Plural(len(ids), "pair")
}

func newPairLink(id replication.PairID) pairLink { return pairLink{shown(id.String()), pairPath(id)} }

// pairPath returns the path of the page of a pair.
func pairPath(id replication.PairID) string {
	return "/pairs/" + url.PathEscape(id.Replica) + "/" + url.PathEscape(id.Org)
}

// addMatrix adds the tables of organizations and replicas.
func (page *fleetPage) addMatrix(st Status) {
	cells := map[replication.PairID]matrixCell{}
	var replicas, orgs []string
	add := func(id replication.PairID, s, why string) {
		if !slices.Contains(replicas, id.Replica) {
			replicas = append(replicas, id.Replica)
		}
		orgs = append(orgs, id.Org)
		link := newPairLink(id)
		cells[id] = matrixCell{ID: "pair-" + link.ID, Path: link.Path, Status: s, Label: link.ID + ": " + s, Why: shown(cmp.Or(why, s))}
	}
	for _, row := range st.Pairs {
		add(row.Pair, pairRow{row}.shownStatus(), row.Note)
	}
	for _, id := range st.Unreadable {
		add(id, statusUnknown, "its records can’t be read")
	}
	slices.SortFunc(orgs, strings.Compare)
	orgs = slices.Compact(orgs)
	for _, name := range replicas {
		page.Replicas = append(page.Replicas, replicaHead(st, name))
	}
	for part := range slices.Chunk(orgs, blockRows) {
		block := matrixBlock{First: shown(part[0]), Last: shown(part[len(part)-1])}
		for _, org := range part {
			row := matrixRow{Organization: shown(org)}
			for _, replica := range replicas {
				row.Cells = append(row.Cells, cells[replication.PairID{Replica: replica, Org: org}])
			}
			block.Rows = append(block.Rows, row)
		}
		page.Blocks = append(page.Blocks, block)
	}
}

// replicaHead returns the head of the column of a replica.
func replicaHead(st Status, name string) serverCard {
	for _, s := range st.Servers {
		if s.Name == name {
			return newServerCard(s, st.At)
		}
	}
	return serverCard{Name: shown(name)}
}

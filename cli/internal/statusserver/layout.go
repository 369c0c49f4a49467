package statusserver

import (
	"strconv"
	"strings"
	"time"

	g "maragu.dev/gomponents"
	h "maragu.dev/gomponents/html"

	"chefsync/cli/internal/buildinfo"
	"chefsync/cli/internal/pairstatus"
	"chefsync/cli/internal/ui"
	"chefsync/pkg/replication"
)

// Pages are made of nodes, which escape all text and attributes. They aren't made by
// html/template: it calls methods by names that the linker doesn't know, so that no
// unused method of the program could be left out, which made it half as large again.

// layout is what all pages share.
type layout struct {
	Options
	title string
	at    time.Time
}

func (o Options) newLayout(title string, at time.Time) layout { return layout{o, title, at} }

// noScriptRefresh returns after how many seconds a browser without JavaScript loads a page
// again.
func (l layout) noScriptRefresh() int { return int(max(30*time.Second, l.Refresh).Seconds()) }

// document returns a page with a head, the content, and a foot.
func (l layout) document(content ...g.Node) g.Node {
	return h.Doctype(h.HTML(h.Lang("en"),
		h.Head(
			h.Meta(h.Charset("utf-8")),
			h.Meta(h.Name("viewport"), h.Content("width=device-width, initial-scale=1")),
			h.Meta(h.Name("color-scheme"), h.Content("light dark")),
			h.TitleEl(text(l.title)),
			h.Link(h.Rel("icon"), h.Href("/assets/icon.svg"), h.Type("image/svg+xml")),
			h.Link(h.Rel("stylesheet"), h.Href("/assets/style.css")),
			h.NoScript(h.Meta(g.Attr("http-equiv", "refresh"), h.Content(strconv.Itoa(l.noScriptRefresh())))),
			h.Script(h.Src("/assets/refresh.js"), h.Defer()),
		),
		h.Body(h.Data("refresh", strconv.FormatFloat(l.Refresh.Seconds(), 'f', -1, 64)),
			g.Raw(icons), g.Group(content), l.foot(),
			h.P(h.ID("announcement"), h.Class("visually-hidden"), h.Role("status")),
			h.P(h.ID("outdated"), h.Class("outdated"), h.Role("alert"), g.Attr("hidden")),
		),
	))
}

func (l layout) foot() g.Node {
	return h.Footer(
		h.P(g.Text("As of "), h.Time(h.DateTime(l.at.Format(time.RFC3339)), g.Text(l.at.UTC().Format(time.DateTime))),
			g.Textf(" UTC. Updated every %d seconds, sooner with JavaScript. Read-only.", l.noScriptRefresh())),
		h.P(h.A(h.Href("/metrics"), g.Text("Metrics")), g.Text(" "), h.A(h.Href("/api/status"), g.Text("JSON")), g.Text(" "),
			h.A(h.Href("/healthz"), g.Text("Health")), g.Text(" "), h.Span(h.Class("muted"), g.Text(buildinfo.Read().Version))),
	)
}

// subHeader is the header of a page below the first one, with the way back.
func subHeader(passes scheduler) g.Node {
	return h.Header(h.Nav(h.Aria("label", "Pages"), h.A(h.Href("/"), g.Text(programTitle))), g.If(passes.Text != "", passes.node()))
}

func (s scheduler) node() g.Node {
	return h.P(h.Class("scheduler "+s.Tone), h.Span(h.Class("dot"), h.Aria("hidden", "true")), text(s.Text))
}

// shown returns a text of a server as it is shown: without what changes the direction of
// writing or breaks lines. Nodes escape the rest.
func shown(s string) string { return string(ui.Safe(s)) }

// text is a text of a server or of ours.
func text(s string) g.Node { return g.Text(shown(s)) }

func formatCount(n int) string {
	digits := strconv.Itoa(n)
	for i := len(digits) - 3; i > 0; i -= 3 {
		digits = digits[:i] + "\u202f" + digits[i:] // a narrow space
	}
	return digits
}

func icon(name string) g.Node {
	return h.SVG(h.Class("icon"), h.Aria("hidden", "true"), g.Attr("focusable", "false"), g.El("use", h.Href("#i-"+name)))
}

// pill is a status in its color, with its icon.
func pill(status string) g.Node {
	return h.Span(h.Class("pill "+statusTone(status)), icon(status), g.Text(status))
}

// section is a card with a heading.
func section(class, id, title string, content ...g.Node) g.Node {
	return h.Section(h.Class(strings.TrimSpace("card "+class)), h.Aria("labelledby", id), h.H2(h.ID(id), g.Text(title)), g.Group(content))
}

func muted(s string) g.Node { return h.P(h.Class("muted"), text(s)) }

// prose is a text whose flags and times aren't broken at their hyphens.
func prose(s string) g.Node {
	var nodes g.Group
	for i, w := range strings.Fields(shown(s)) {
		if i > 0 {
			nodes = append(nodes, g.Text(" "))
		}
		if strings.Contains(w, "-") {
			nodes = append(nodes, h.Span(h.Class("keep"), g.Text(w)))
		} else {
			nodes = append(nodes, g.Text(w))
		}
	}
	return nodes
}

// hint is what to try; nothing for "".
func hint(s string) g.Node {
	if s == "" {
		return nil
	}
	return h.P(h.Class("hint"), h.Span(h.Class("muted"), g.Text("Try")), g.Text(" "), prose(s))
}

// notice is a problem of the page itself; nothing for "".
func notice(s string) g.Node {
	if s == "" {
		return nil
	}
	return h.Section(h.Class("card notice bad"), h.Role("status"), h.P(text(s)))
}

// activityOf shows what is being done for a pair, or returns nil: by this process in detail, by
// another as far as it is recorded.
func (o Options) activityOf(r pairstatus.PairRow, now time.Time) g.Node {
	a, here := o.Recorder.Activity(r.Pair)
	if !here || a.Phase == "" {
		if r.RunningOn == "" {
			return nil
		}
		a = Activity{What: "pass"}
		switch {
		case r.Pending == 0:
		case r.Status == replication.Bootstrapping:
			a.Done, a.Total = r.Objects, r.Objects+r.Pending
		default: // the objects that are equal are no progress
			a.Phase = ui.Plural(r.Pending, "object") + " pending"
		}
	}
	nodes := g.Group{h.Span(text(a.What + ui.Prefixed(": ", a.Phase)))}
	add := func(n g.Node) { nodes = append(nodes, g.Text(" "), n) }
	switch {
	case a.Total > 0:
		add(h.Progress(h.Max(strconv.Itoa(a.Total)), h.Value(strconv.Itoa(a.Done)), h.Aria("label", shown(a.What+" of "+r.Pair.String())),
			g.Textf("%d%%", 100*a.Done/a.Total)))
		add(h.Span(h.Class("num"), g.Text(formatCount(a.Done)+" of "+formatCount(a.Total))))
	case a.Done > 0:
		add(h.Span(h.Class("num"), g.Text(formatCount(a.Done)+" read")))
	}
	if a.Bytes > 0 {
		add(h.Span(h.Class("num"), g.Text(ui.Bytes(a.Bytes)+" sent")))
	}
	if a.Object != "" {
		add(h.Code(text(a.Object)))
	}
	if !a.Started.IsZero() {
		add(h.Span(h.Class("muted"), g.Text("for "+ui.Span(now.Sub(a.Started)))))
	}
	return h.Span(h.Class("activity"), nodes)
}

// column is a column of a list, with the class of its head.
type column struct{ name, class string }

// list is a table that becomes a list of blocks on a phone.
func list(class, labelledBy string, columns []column, rows g.Node) g.Node {
	return h.Table(h.Class(class), h.Aria("labelledby", labelledBy),
		h.THead(h.Tr(g.Map(columns, func(c column) g.Node {
			return h.Th(h.Scope("col"), g.If(c.class != "", h.Class(c.class)), g.Text(c.name))
		}))),
		h.TBody(rows))
}

// cell is a cell of a list, with the name of its column for phones.
func cell(label, class string, content ...g.Node) g.Node {
	return h.Td(g.If(class != "", h.Class(class)), h.Data("label", label), g.Group(content))
}

// numberCell is a cell with a number; phones leave out those that are 0.
func numberCell(label string, n int) g.Node {
	if n == 0 {
		return cell(label, "num none", g.Text("–"))
	}
	return cell(label, "num", g.Text(formatCount(n)))
}

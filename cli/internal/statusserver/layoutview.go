package statusserver

import (
	"strconv"
	"strings"
	"time"

	g "maragu.dev/gomponents"
	h "maragu.dev/gomponents/html"
)

// Pages are made of nodes, which escape all text and attributes. They aren't made by
// html/template: it calls methods by names that the linker doesn't know, so that no
// unused method of the program could be left out, which made it half as large again.

// document returns a page with a head, the content, and a foot.
func (l layout) document(content ...g.Node) g.Node {
	return h.Doctype(h.HTML(h.Lang("en"),
		h.Head(
			h.Meta(h.Charset("utf-8")),
			h.Meta(h.Name("viewport"), h.Content("width=device-width, initial-scale=1")),
			h.Meta(h.Name("color-scheme"), h.Content("light dark")),
			h.TitleEl(g.Text(l.Title)),
			h.Link(h.Rel("icon"), h.Href("/assets/icon.svg"), h.Type("image/svg+xml")),
			h.Link(h.Rel("stylesheet"), h.Href("/assets/style.css")),
			h.NoScript(h.Meta(g.Attr("http-equiv", "refresh"), h.Content(strconv.Itoa(l.NoScriptRefresh)))),
			h.Script(h.Src("/assets/refresh.js"), h.Defer()),
		),
		h.Body(h.Data("refresh", strconv.FormatFloat(l.Refresh, 'f', -1, 64)),
			g.Raw(l.icons), g.Group(content), l.foot(),
			h.P(h.ID("announcement"), h.Class("visually-hidden"), h.Role("status")),
			h.P(h.ID("outdated"), h.Class("outdated"), h.Role("alert"), g.Attr("hidden")),
		),
	))
}

func (l layout) foot() g.Node {
	return h.Footer(
		h.P(g.Text("As of "), h.Time(h.DateTime(l.At.Format(time.RFC3339)), g.Text(l.At.UTC().Format(time.DateTime))),
			g.Textf(" UTC. Updated every %d seconds, sooner with JavaScript. Read-only.", l.NoScriptRefresh)),
		h.P(h.A(h.Href("/metrics"), g.Text("Metrics")), g.Text(" "), h.A(h.Href("/api/status"), g.Text("JSON")), g.Text(" "),
			h.A(h.Href("/healthz"), g.Text("Health")), g.Text(" "), h.Span(h.Class("muted"), g.Text(l.Version))),
	)
}

// subHeader is the header of a page below the first one, with the way back.
func (l layout) subHeader() g.Node {
	return h.Header(h.Nav(h.Aria("label", "Pages"), h.A(h.Href("/"), g.Text(programTitle))), g.If(l.Scheduler.Text != "", l.Scheduler.node()))
}

func (s scheduler) node() g.Node {
	return h.P(h.Class("scheduler "+s.Tone), h.Span(h.Class("dot"), h.Aria("hidden", "true")), g.Text(s.Text))
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

func muted(text string) g.Node { return h.P(h.Class("muted"), g.Text(text)) }

// prose is a text whose flags and times aren't broken at their hyphens.
func prose(text string) g.Node {
	var nodes g.Group
	for i, w := range strings.Fields(text) {
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
func hint(text string) g.Node {
	if text == "" {
		return nil
	}
	return h.P(h.Class("hint"), h.Span(h.Class("muted"), g.Text("Try")), g.Text(" "), prose(text))
}

// notice is a problem of the page itself; nothing for "".
func notice(text string) g.Node {
	if text == "" {
		return nil
	}
	return h.Section(h.Class("card notice bad"), h.Role("status"), h.P(g.Text(text)))
}

// links are the links to pairs.
func links(pairs []pairLink) g.Node {
	var nodes g.Group
	for i, p := range pairs {
		if i > 0 {
			nodes = append(nodes, g.Text(", "))
		}
		nodes = append(nodes, h.A(h.ID("trouble-"+p.ID), h.Href(p.Path), g.Text(p.ID)))
	}
	return nodes
}

func (a *activity) node() g.Node {
	what := a.What
	if a.Phase != "" {
		what += ": " + a.Phase
	}
	nodes := g.Group{h.Span(g.Text(what))}
	add := func(n g.Node) { nodes = append(nodes, g.Text(" "), n) }
	switch {
	case a.Total > 0:
		add(h.Progress(h.Max(strconv.Itoa(a.Total)), h.Value(strconv.Itoa(a.Done)), h.Aria("label", a.What+" of "+a.Pair),
			g.Textf("%d%%", 100*a.Done/a.Total)))
		add(h.Span(h.Class("num"), g.Text(formatCount(a.Done)+" of "+formatCount(a.Total))))
	case a.Done > 0:
		add(h.Span(h.Class("num"), g.Text(formatCount(a.Done)+" read")))
	}
	if a.Sent != "" {
		add(h.Span(h.Class("num"), g.Text(a.Sent)))
	}
	if a.Object != "" {
		add(h.Code(g.Text(a.Object)))
	}
	if a.Since != "" {
		add(h.Span(h.Class("muted"), g.Text(a.Since)))
	}
	return h.Span(h.Class("activity"), nodes)
}

// problemPage is the page that says why there is no other.
func (l layout) problemPage(heading, text string) g.Node {
	return l.document(l.subHeader(), h.Main(h.ID("live"), h.Section(h.Class("card lead"), h.H1(g.Text(heading)), h.P(g.Text(text)))))
}

package statusserver

import (
	"fmt"
	"strconv"

	g "maragu.dev/gomponents"
	h "maragu.dev/gomponents/html"
)

func (page fleetPage) node() g.Node {
	return page.document(
		h.A(h.Class("skip"), h.Href("#pairs"), g.Text("Skip to the pairs")),
		h.Header(h.H1(g.Text(programTitle)), page.Scheduler.node()),
		h.Main(h.ID("live"),
			page.summary(),
			h.Section(h.Aria("labelledby", "servers-title"),
				h.H2(h.ID("servers-title"), h.Class("visually-hidden"), g.Text("Servers")),
				h.Ul(h.Class("servers"), g.Map(page.Servers, serverCard.node)),
			),
			notice(page.Error),
			h.Div(h.Class("columns"), page.troubles(), page.matrix(), page.running()),
		),
	)
}

func (page fleetPage) summary() g.Node {
	return h.Section(h.Class("summary card"), h.Aria("label", "Summary"),
		h.P(h.Class("headline "+page.Headline.Tone), g.Text(page.Headline.Text)),
		h.SVG(h.Class("bar"), g.Attr("viewBox", fmt.Sprintf("0 0 %d 8", barWidth)), g.Attr("preserveAspectRatio", "none"), h.Aria("hidden", "true"),
			g.Attr("focusable", "false"), g.Map(page.Bar, func(b barPart) g.Node {
				return g.El("rect", h.Class(b.Tone), g.Attr("x", strconv.Itoa(b.X)), h.Width(strconv.Itoa(b.Width)), g.Attr("y", "0"), h.Height("8"))
			})),
		h.Ul(h.Class("counts"), g.Map(page.Counts, func(c statusCount) g.Node {
			return h.Li(pill(c.Status), g.Text(" "), h.Span(h.Class("num"), g.Text(formatCount(c.N))))
		})),
	)
}

func (s serverCard) node() g.Node {
	return h.Li(h.Class("card server "+s.Tone),
		h.P(h.Strong(g.Text(s.Name)), g.Text(" "), h.Span(h.Class("state"), icon(s.Status), g.Text(s.Status))),
		muted(s.Detail),
	)
}

func (page fleetPage) troubles() g.Node {
	if len(page.Troubles) == 0 {
		return section("troubles", "troubles-title", "Nothing needs attention", muted("All pairs are in sync or catching up."))
	}
	return section("troubles", "troubles-title", "Needs attention", h.Ul(g.Map(page.Troubles, (*trouble).node)))
}

func (t *trouble) node() g.Node {
	if t.Summary == "" {
		return h.Li(h.P(h.Class("what"), pill(t.Status), g.Text(" "), h.Span(h.Class("pairs"), links(t.Pairs))), h.P(prose(t.Text)), hint(t.Hint))
	}
	return h.Li(
		h.P(h.Class("what"), pill(t.Status), g.Text(" "), h.Strong(g.Text(t.Summary))),
		h.P(prose(t.Text)), hint(t.Hint),
		h.Details(h.ID(t.ID), h.Summary(g.Textf("%d pairs", len(t.Pairs))), h.P(h.Class("pairs"), links(t.Pairs))),
	)
}

func (page fleetPage) running() g.Node {
	if len(page.Running) == 0 {
		return nil
	}
	return section("running", "running-title", "Running now",
		h.Ul(g.Map(page.Running, func(a *activity) g.Node { return h.Li(h.A(h.Href(a.Path), g.Text(a.Pair)), g.Text(" "), a.node()) })),
		g.If(page.MoreRunning > 0, muted(fmt.Sprintf("and %d more", page.MoreRunning))),
	)
}

func (page fleetPage) matrix() g.Node {
	return h.Section(h.Class("card matrix"), h.ID("pairs"), h.Aria("labelledby", "pairs-title"), h.TabIndex("-1"),
		h.H2(h.ID("pairs-title"), g.Text("Organizations and replicas")),
		h.Div(h.Class("blocks"), g.Map(page.Blocks, func(b matrixBlock) g.Node {
			return h.Table(
				h.Caption(h.Class("visually-hidden"), g.Textf("Status of the organizations %s to %s on each replica", b.First, b.Last)),
				h.THead(h.Tr(
					h.Th(h.Scope("col"), h.Span(h.Class("visually-hidden"), g.Text("Organization"))),
					g.Map(page.Replicas, func(s serverCard) g.Node { return h.Th(h.Scope("col"), h.Class(s.Tone), g.Text(s.Name)) }),
				)),
				h.TBody(g.Map(b.Rows, func(r matrixRow) g.Node {
					return h.Tr(h.Th(h.Scope("row"), g.Text(r.Organization)), g.Map(r.Cells, matrixCell.node))
				})),
			)
		})),
	)
}

func (c matrixCell) node() g.Node {
	if c.Status == "" {
		return h.Td()
	}
	return h.Td(h.A(h.ID(c.ID), h.Class("cell "+statusTone(c.Status)), h.Href(c.Path), h.Aria("label", c.Label), h.Title(c.Why), icon(c.Status)))
}

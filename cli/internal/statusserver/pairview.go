package statusserver

import (
	"fmt"
	"time"

	g "maragu.dev/gomponents"
	h "maragu.dev/gomponents/html"
)

func (page pairPage) node() g.Node {
	return page.document(
		page.subHeader(),
		h.Main(h.ID("live"),
			page.lead(),
			section("", "facts-title", "Facts", h.Dl(h.Class("facts"), g.Map(page.Facts, func(f fact) g.Node {
				return h.Div(h.Dt(g.Text(f.Name)), h.Dd(g.Text(f.Value)))
			}))),
			notice(page.Error),
			page.heldDeletions(), page.unsyncedObjects(), page.runs(), page.log(),
		),
	)
}

func (page pairPage) lead() g.Node {
	about := fmt.Sprintf("from %s on the primary to %s on %s", page.Source, page.Organization, page.Replica)
	if page.Since != "" {
		about += fmt.Sprintf(", %s for %s", page.Status, page.Since)
	}
	return h.Section(h.Class("card lead"), h.Aria("label", "Status"),
		h.H1(h.Span(h.Class("muted"), g.Text(page.Replica+"/")), g.Text(page.Organization+" "), pill(page.Status)),
		muted(about),
		g.If(len(page.Reasons) == 0, h.P(g.Text(page.Summary))),
		g.If(len(page.Reasons) > 0, h.Ul(h.Class("reasons"), g.Map(page.Reasons, func(r reasonRow) g.Node {
			return h.Li(h.P(g.If(r.Status != page.Status, g.Group{pill(r.Status), g.Text(" ")}), prose(r.Text)), hint(r.Hint))
		}))),
		g.Iff(page.Activity != nil, func() g.Node { return h.P(h.Class("now"), h.Strong(g.Text("Now")), g.Text(" "), page.Activity.node()) }),
	)
}

func (page pairPage) heldDeletions() g.Node {
	if len(page.Held) == 0 {
		return nil
	}
	return section("", "held-title", page.HeldTitle,
		h.Ul(h.Class("objects"), g.Map(page.Held, func(o string) g.Node { return h.Li(h.Code(g.Text(o))) })),
		g.If(page.MoreHeld > 0, muted(fmt.Sprintf("and %d more", page.MoreHeld))),
	)
}

func (page pairPage) unsyncedObjects() g.Node {
	if len(page.Unsynced) == 0 {
		return nil
	}
	return section("", "unsynced-title", page.UnsyncedTitle,
		list("list", "unsynced-title", []column{{"Object", ""}, {"Reason", ""}, {"Attempts", "num"}, {"First seen", ""}, {"Next attempt", ""}},
			g.Map(page.Unsynced, func(u unsyncedRow) g.Node {
				return h.Tr(h.Th(h.Scope("row"), h.Code(g.Text(u.Object))),
					cell("Reason", "", g.Text(u.Reason), hint(u.Hint)), cell("Attempts", "num", g.Text(u.Attempts)),
					cell("First seen", "", g.Text(u.FirstSeen)), cell("Next attempt", "", g.Text(u.NextTry)))
			})),
		g.If(page.MoreUnsynced > 0, muted(fmt.Sprintf("and %d more: chef-sync-ctl unsynced-objects %s", page.MoreUnsynced, page.Pair))),
	)
}

func (page pairPage) runs() g.Node {
	if len(page.Runs) == 0 {
		return section("", "runs-title", "Runs", muted("No runs yet."))
	}
	return section("", "runs-title", "Runs", list("list runs", "runs-title",
		[]column{{"Started", ""}, {"Took", "num"}, {"What", ""}, {"Outcome", ""}, {"Created", "num"}, {"Updated", "num"}, {"Deleted", "num"}, {"Unsynced", "num"}},
		g.Map(page.Runs, func(r runRow) g.Node {
			return h.Tr(h.Th(h.Scope("row"), g.Text(r.Started)),
				cell("Took", "num", g.Text(r.Took)), cell("What", "", g.Text(r.What)),
				cell("Outcome", "", h.Span(h.Class("pill "+r.Tone), g.Text(r.Outcome)), g.If(r.Error != "", h.P(g.Text(r.Error))), hint(r.Hint)),
				numberCell("Created", r.Created), numberCell("Updated", r.Updated), numberCell("Deleted", r.Deleted), numberCell("Unsynced", r.Unsynced))
		})))
}

func (page pairPage) log() g.Node {
	return section("", "log-title", "Log, newest first",
		g.If(page.LogError != "", muted("The log can’t be read: "+page.LogError)),
		g.If(len(page.Log) == 0 && page.LogError == "", muted("No lines.")),
		g.If(len(page.Log) > 0, h.Ol(h.Class("log"), g.Map(page.Log, logRow.node))),
	)
}

func (l logRow) node() g.Node {
	line := g.Group{h.Strong(g.Text(l.Message))}
	if l.Object != "" {
		line = append(line, g.Text(" "), h.Code(g.Text(l.Object)))
	}
	for _, a := range l.Attrs {
		line = append(line, g.Text(" "), h.Span(h.Class("attr"), h.Span(h.Class("muted"), g.Text(a.Name)), g.Text(" "+a.Value)))
	}
	return h.Li(h.Class(l.Tone), h.Time(h.DateTime(l.Time.Format(time.RFC3339)), g.Text(l.Stamp)), g.Text(" "),
		h.Span(h.Class("level"), g.Text(l.Level)), g.Text(" "), h.Span(h.Class("line"), line))
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

// numberCell is a cell with a number; phones leave out those that are "".
func numberCell(label, n string) g.Node {
	if n == "" {
		return cell(label, "num none", g.Text("–"))
	}
	return cell(label, "num", g.Text(n))
}

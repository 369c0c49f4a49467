package pairstatus

import (
	"fmt"
	"io"
	"slices"
	"strings"

	"chefsync/cli/internal/cmdline"
	"chefsync/cli/internal/ui"
)

// The control sequences of a terminal.
const (
	enterScreen = "\x1b[?1049h\x1b[?25l\x1b[2J" // the alternate screen, without a cursor
	leaveScreen = "\x1b[?25h\x1b[?1049l"
	home        = "\x1b[H"
	clearLine   = "\x1b[K"
	clearBelow  = "\x1b[J"
)

// redraw writes a snapshot over the one before, in one piece and without clearing the
// screen first, so that nothing flickers.
func (v View) redraw(env *cmdline.Env, s Snapshot, w watched) error {
	o := env.Output()
	size := screenOf(o)
	var lines []ui.Text
	if v.ServersOnly {
		lines = o.Render(func(t *ui.Grid) { showServers(t, s.Servers, s.At) })
	} else {
		lines = v.page(o, s).cut(size.Lines - 1)
	}
	if w.err != nil {
		errors := o.Render(func(t *ui.Grid) { t.Line("Error: %s", w.err) })
		lines = append(errors[:min(len(errors), size.Lines/3)], lines...)
	}
	lines = append([]ui.Text{ui.Safe(w.title(s))}, lines...)
	var b strings.Builder
	b.WriteString(home)
	for i, line := range lines[:min(len(lines), size.Lines)] {
		if i > 0 {
			b.WriteString("\r\n")
		}
		b.WriteString(string(ui.Shorten(line, size.Columns)) + clearLine)
	}
	b.WriteString(clearBelow)
	_, err := io.WriteString(env.Out, b.String())
	return err
}

// cut returns at most n lines of a page. Notes get a third of what is left of them
// below the head of the table, or what the rows leave.
func (p page) cut(height int) []ui.Text {
	if all := p.lines(); len(all) <= height {
		return all
	}
	lines := slices.Clone(p.top)
	if len(p.rows) > 0 {
		lines = append(lines, "", p.head)
	}
	body, rows := max(height-len(lines), 0), len(p.rows)
	if p.hidden != "" {
		rows++
	}
	notes := p.cutNotes(max(body/3, body-rows-1))
	if len(notes) > 0 {
		notes = append([]ui.Text{""}, notes...)
	}
	lines = append(lines, p.cutRows(max(body-len(notes), 0))...)
	lines = append(lines, notes...)
	lines = append(lines, p.facts...)
	return lines[:min(len(lines), height)]
}

// cutRows returns at most n rows, and how many pairs are not among them.
func (p page) cutRows(height int) []ui.Text {
	rows, hidden := p.rows, p.hidden
	if hidden != "" {
		hidden = "… and " + hidden
	}
	if kept := max(height-1, 0); len(rows) > height || len(rows) == height && hidden != "" {
		more := 0
		for _, n := range p.pairs[kept:] {
			more += n
		}
		rows = rows[:kept]
		hidden = ui.Text("… and " + ui.Plural(more, "more pair"))
		if p.hidden != "" {
			hidden = ui.Text(fmt.Sprintf("… and %d more, ", more)) + p.hidden
		}
	}
	if hidden == "" {
		return rows
	}
	return append(slices.Clone(rows), hidden)
}

// cutNotes returns at most n lines of notes, and says how many more there are.
func (p page) cutNotes(height int) (lines []ui.Text) {
	for i, n := range p.notes {
		rest := 1 // for how many more there are
		if i == len(p.notes)-1 {
			rest = 0
		}
		if len(lines)+len(n)+rest > height {
			if height > 0 {
				lines = append(lines, ui.Text(fmt.Sprintf("… and %s; see them without --watch", ui.Plural(len(p.notes)-i, "more note"))))
			}
			return lines
		}
		lines = append(lines, n...)
	}
	return lines
}

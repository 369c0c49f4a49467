package ui

import (
	"fmt"
	"strings"
)

// Grid is human output: tables and lines, in the order they are added. On a terminal
// nothing in it is wider than the terminal, except for a command to copy and what is
// written by Verbatim.
type Grid struct {
	out     *Output
	columns []Column
	rows    [][]Text
	text    strings.Builder
}

// Head starts a table with its column names.
func (g *Grid) Head(names ...Text) {
	columns := make([]Column, len(names))
	for i, name := range names {
		columns[i].Name = name
	}
	g.Columns(columns...)
}

// Columns starts a table whose columns may be left out or shortened.
func (g *Grid) Columns(columns ...Column) {
	g.endTable()
	g.columns = columns
}

// Row adds a row of the table. Cells that aren't Text yet are made it by Safe. Rows
// without a head have a last column that is broken into lines.
func (g *Grid) Row(cells ...any) {
	row := make([]Text, len(cells))
	for i, c := range cells {
		if text, ok := c.(Text); ok {
			row[i] = text
			continue
		}
		row[i] = Safe(fmt.Sprint(c))
	}
	g.rows = append(g.rows, row)
}

// Line adds a line outside the table, broken at spaces where the terminal is narrower.
// Arguments that aren't Text yet are made it by Lines.
func (g *Grid) Line(format string, args ...any) {
	makeSafe(args)
	g.endTable()
	for line := range strings.SplitSeq(fmt.Sprintf(format, args...), "\n") {
		g.addLine(line)
	}
}

// addLine adds one line. Its further lines are indented by two more than itself.
func (g *Grid) addLine(line string) {
	if g.out.Format == Markdown {
		if line = strings.TrimSpace(line); line != "" {
			line = escapeMarkdown(line) + "\n"
		}
		g.text.WriteString(line + "\n")
		return
	}
	words := strings.TrimLeft(line, " ")
	indent := strings.Repeat(" ", len(line)-len(words))
	for i, part := range breakLines(Text(words), g.out.columns()-len(indent), g.out.columns()-len(indent)-2) {
		if i == 1 {
			indent += "  "
		}
		g.text.WriteString(indent + string(part) + "\n")
	}
}

// Verbatim adds a line as it is, however wide the terminal.
func (g *Grid) Verbatim(line Text) {
	g.endTable()
	g.text.WriteString(string(line) + "\n")
}

// Paint colors a word, when color is on.
func (g *Grid) Paint(c Color, s string) Text { return g.out.Paint(c, s) }

// endTable writes the table that was begun.
func (g *Grid) endTable() {
	if g.columns == nil && g.rows == nil {
		return
	}
	t := newTable(g.columns, g.rows)
	g.columns, g.rows = nil, nil
	t.leaveOut(g.out.Format == Wide)
	if g.out.Format == Markdown {
		t.writeMarkdown(&g.text)
		return
	}
	t.fit(g.out.columns())
	for i := range t.columns {
		t.columns[i].Name = g.Paint(Bold, string(t.columns[i].Name))
	}
	t.write(&g.text)
}

func (g *Grid) writeTo() error {
	g.endTable()
	_, err := fmt.Fprint(g.out.Out, g.text.String())
	return err
}

// Color is a color of a terminal.
type Color string

// The colors in use.
const (
	Red    Color = "31"
	Green  Color = "32"
	Yellow Color = "33"
	Cyan   Color = "36"
	Bold   Color = "1"
	Faint  Color = "2"
)

// Paint colors a word, when color is on.
func (o *Output) Paint(c Color, s string) Text {
	text := Safe(s)
	if !o.Color || s == "" {
		return text
	}
	return "\x1b[" + Text(c) + "m" + text + "\x1b[0m"
}

package ui

import (
	"fmt"
	"strings"
	"unicode/utf8"
)

// Grid is human output: tables and lines, in the order they are added.
type Grid struct {
	out  *Output
	head []Text
	rows [][]Text
	text strings.Builder
}

// Head starts a table with its column names.
func (g *Grid) Head(columns ...Text) {
	g.endTable()
	g.head = columns
}

// Row adds a row of the table. Cells that aren't Text yet are made it by Safe.
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

// Line adds a line outside the table. Arguments that aren't Text yet are made it
// by Lines.
func (g *Grid) Line(format string, args ...any) {
	g.endTable()
	makeSafe(args)
	fmt.Fprintf(&g.text, format+"\n", args...)
}

// Paint colors a word, when color is on.
func (g *Grid) Paint(c Color, s string) Text { return g.out.Paint(c, s) }

// endTable writes the table that was begun, columns as wide as their widest cell.
func (g *Grid) endTable() {
	if g.head == nil && g.rows == nil {
		return
	}
	all := g.rows
	if g.head != nil {
		all = append([][]Text{g.head}, all...)
	}
	var widths []int
	for _, row := range all {
		for i, cell := range row {
			if i == len(widths) {
				widths = append(widths, 0)
			}
			widths[i] = max(widths[i], displayWidth(cell))
		}
	}
	for _, row := range all {
		var line strings.Builder
		for i, cell := range row {
			line.WriteString(string(cell))
			line.WriteString(strings.Repeat(" ", widths[i]-displayWidth(cell)+2))
		}
		g.text.WriteString(strings.TrimRight(line.String(), " ") + "\n")
	}
	g.head, g.rows = nil, nil
}

func (g *Grid) writeTo() error {
	g.endTable()
	_, err := fmt.Fprint(g.out.Out, g.text.String())
	return err
}

// displayWidth counts what a terminal shows: runes, without color sequences.
func displayWidth(t Text) int {
	s, n := string(t), 0
	for {
		i := strings.Index(s, "\x1b[")
		if i < 0 {
			return n + utf8.RuneCountInString(s)
		}
		n += utf8.RuneCountInString(s[:i])
		end := strings.IndexByte(s[i:], 'm')
		if end < 0 {
			return n
		}
		s = s[i+end+1:]
	}
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

package ui

import (
	"slices"
	"strings"
)

// Column is a column of a table.
type Column struct {
	Name Text
	// Numeric aligns to the right.
	Numeric bool
	// Drop orders the columns that are left out where the terminal is too narrow for all
	// of them: the highest number first. 0 is never left out.
	Drop int
	// Min is the width to which the column may be shortened before others are left
	// out; 0 shortens it only where the row would not fit otherwise.
	Min int
	// Breaks goes on in further lines instead of being shortened. Only the last
	// column may.
	Breaks bool
	// OnlyWide shows the column with -o wide only.
	OnlyWide bool
	// OnlyFilled leaves the column out where it has nothing to say: all its cells
	// are empty, "-" or "0". With -o wide it is shown.
	OnlyFilled bool
}

// gap is between two columns.
const gap = 2

// table is the layout of a table.
type table struct {
	columns []Column
	hasHead bool
	rows    [][]Text // as many cells each as there are columns, without the head
	widths  []int
}

func newTable(columns []Column, rows [][]Text) *table {
	t := &table{columns: slices.Clone(columns), hasHead: columns != nil}
	n := len(columns)
	for _, row := range rows {
		n = max(n, len(row))
	}
	for len(t.columns) < n {
		t.columns = append(t.columns, Column{Breaks: !t.hasHead && len(t.columns) == n-1 && n > 1})
	}
	for _, row := range rows {
		full := make([]Text, n)
		copy(full, row)
		t.rows = append(t.rows, full)
	}
	t.measure()
	return t
}

// measure makes each column as wide as its widest cell.
func (t *table) measure() {
	t.widths = make([]int, len(t.columns))
	for i, c := range t.columns {
		t.widths[i] = displayWidth(c.Name)
		for _, row := range t.rows {
			t.widths[i] = max(t.widths[i], displayWidth(row[i]))
		}
	}
}

// remove leaves a column out.
func (t *table) remove(i int) {
	t.columns = slices.Delete(t.columns, i, i+1)
	t.widths = slices.Delete(t.widths, i, i+1)
	for r := range t.rows {
		t.rows[r] = slices.Delete(t.rows[r], i, i+1)
	}
}

// leaveOut leaves out the columns that are only for wide output, or empty.
func (t *table) leaveOut(wide bool) {
	for i := len(t.columns) - 1; i >= 0 && !wide; i-- {
		c := t.columns[i]
		if c.OnlyWide || c.OnlyFilled && !slices.ContainsFunc(t.rows, func(row []Text) bool { return isFilled(row[i]) }) {
			t.remove(i)
		}
	}
}

func isFilled(cell Text) bool { return cell != "" && cell != "-" && cell != "0" }

// total is the width of a row whose columns have these widths.
func total(widths []int) int {
	sum := gap * (len(widths) - 1)
	for _, w := range widths {
		sum += w
	}
	return sum
}

// fit leaves out and shortens columns until a row has at most this many characters; 0 means
// that there is no limit.
func (t *table) fit(limit int) {
	if limit <= 0 {
		return
	}
	for total(t.leastWidths()) > limit {
		i := t.nextDropped()
		if i < 0 {
			break
		}
		t.remove(i)
	}
	least := t.leastWidths()
	t.shrink(limit, least)
	for i := range least { // nothing else helps
		least[i] = min(1, least[i])
	}
	t.shrink(limit, least)
}

// nextDropped is the column to leave out next, or -1.
func (t *table) nextDropped() int {
	found, most := -1, 0
	for i, c := range t.columns {
		if c.Drop > most {
			found, most = i, c.Drop
		}
	}
	return found
}

// leastBroken is the width below which a column that breaks isn't read easily.
const leastBroken = 24

// leastWidths are the widths to which the columns may be shortened.
func (t *table) leastWidths() []int {
	least := slices.Clone(t.widths)
	for i, c := range t.columns {
		switch {
		case c.Breaks:
			least[i] = min(least[i], max(leastBroken, c.Min))
		case c.Min > 0:
			least[i] = min(least[i], max(c.Min, displayWidth(c.Name)))
		}
	}
	return least
}

// shrink takes width from the widest columns first, down to the least ones.
func (t *table) shrink(limit int, least []int) {
	for total(t.widths) > limit {
		widest := -1
		for i, w := range t.widths {
			if w > least[i] && (widest < 0 || w > t.widths[widest]) {
				widest = i
			}
		}
		if widest < 0 {
			return
		}
		t.widths[widest]--
	}
}

// write writes the table for a terminal.
func (t *table) write(b *strings.Builder) {
	if t.hasHead {
		t.writeRow(b, t.names())
	}
	for _, row := range t.rows {
		t.writeRow(b, row)
	}
}

func (t *table) names() []Text {
	names := make([]Text, len(t.columns))
	for i, c := range t.columns {
		names[i] = c.Name
	}
	return names
}

func (t *table) writeRow(b *strings.Builder, row []Text) {
	var line strings.Builder
	var more []Text
	for i, cell := range row {
		if i > 0 {
			line.WriteString(strings.Repeat(" ", gap))
		}
		if t.columns[i].Breaks && i == len(row)-1 {
			parts := breakLines(cell, t.widths[i], t.widths[i])
			cell, more = parts[0], parts[1:]
		} else {
			cell = Shorten(cell, t.widths[i])
		}
		fill := strings.Repeat(" ", max(0, t.widths[i]-displayWidth(cell)))
		if t.columns[i].Numeric {
			line.WriteString(fill + string(cell))
		} else {
			line.WriteString(string(cell) + fill)
		}
	}
	b.WriteString(strings.TrimRight(line.String(), " ") + "\n")
	for _, part := range more {
		before := strings.Repeat(" ", total(t.widths[:len(t.widths)-1])+gap)
		b.WriteString(strings.TrimRight(before+string(part), " ") + "\n")
	}
}

// writeMarkdown writes the table for a document.
func (t *table) writeMarkdown(b *strings.Builder) {
	writeRow := func(cells []Text) {
		b.WriteString("|")
		for _, cell := range cells {
			b.WriteString(" " + escapeMarkdown(string(cell)) + " |")
		}
		b.WriteString("\n")
	}
	writeRow(t.names())
	b.WriteString("|")
	for _, c := range t.columns {
		if c.Numeric {
			b.WriteString("---:|")
		} else {
			b.WriteString("---|")
		}
	}
	b.WriteString("\n")
	for _, row := range t.rows {
		writeRow(row)
	}
	b.WriteString("\n")
}

// escapeMarkdown makes a text stand for itself in Markdown.
func escapeMarkdown(s string) string {
	var b strings.Builder
	for _, r := range s {
		if strings.ContainsRune("\\`*_{}[]<>#|~&", r) {
			b.WriteByte('\\')
		}
		b.WriteRune(r)
	}
	return b.String()
}

package ui

import "strings"

// Render returns what fill adds to a grid, as the lines that Emit would print.
func (o *Output) Render(fill func(*Grid)) []Text {
	grid := &Grid{out: o}
	fill(grid)
	grid.endTable()
	text := strings.TrimSuffix(grid.text.String(), "\n")
	if text == "" {
		return nil
	}
	var lines []Text
	for line := range strings.SplitSeq(text, "\n") {
		lines = append(lines, Text(line))
	}
	return lines
}

// Shorten cuts a text to a width, with an ellipsis at its end. Colors are kept.
func Shorten(t Text, width int) Text { return shorten(t, width) }

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

package cli

import (
	"strings"

	"chefsync/cli/internal/ui"
)

// paintDiff prints a unified diff, coloured by its lines.
func paintDiff(t *ui.Grid, diff string) {
	for line := range strings.Lines(diff) {
		line = strings.TrimSuffix(line, "\n")
		text := ui.Safe(line)
		switch {
		case strings.HasPrefix(line, "diff "):
			continue
		case strings.HasPrefix(line, "+"):
			text = t.Paint(ui.Green, line)
		case strings.HasPrefix(line, "-"):
			text = t.Paint(ui.Red, line)
		case strings.HasPrefix(line, "@@"):
			text = t.Paint(ui.Cyan, line)
		}
		t.Line("%s", text)
	}
}

package ui_test

import (
	"bytes"
	"strings"
	"testing"
	"unicode/utf8"

	"pgregory.net/rapid"

	"chefsync/cli/internal/ui"
)

// render returns what fill prints on a terminal that is so wide; 0 is no terminal.
func render(columns int, format ui.Format, fill func(*ui.Grid)) string {
	var b bytes.Buffer
	out := &ui.Output{Out: &b, Format: format, Size: func() ui.Size { return ui.Size{Columns: columns} }}
	_ = out.Emit(nil, fill)
	return b.String()
}

func pairsTable(g *ui.Grid) {
	g.Columns(
		ui.Column{Name: "PAIR"}, ui.Column{Name: "STATUS"}, ui.Column{Name: "OBJECTS", Numeric: true, Drop: 1},
		ui.Column{Name: "HELD", Numeric: true, OnlyFilled: true}, ui.Column{Name: "FEED", OnlyWide: true},
		ui.Column{Name: "SINCE", Drop: 2}, ui.Column{Name: "URL", Min: 12, Drop: 3}, ui.Column{Name: "REASON", Breaks: true},
	)
	g.Row("eu/engineering", "retrying", "38", "0", "scan", "3m", "https://eu.example.com", "the server is in maintenance and answers 503 to every request")
	g.Row("eu/ops", "synced", "1200", "0", "scan", "2h", "https://eu.example.com")
}

func TestATableFitsTheTerminal(t *testing.T) {
	for _, c := range []struct {
		columns int
		format  ui.Format
		want    string
	}{
		{0, ui.Table, `
PAIR            STATUS    OBJECTS  SINCE  URL                     REASON
eu/engineering  retrying       38  3m     https://eu.example.com  the server is in maintenance and answers 503 to every request
eu/ops          synced       1200  2h     https://eu.example.com
`},
		{100, ui.Table, `
PAIR            STATUS    OBJECTS  SINCE  URL                     REASON
eu/engineering  retrying       38  3m     https://eu.example.com  the server is in maintenance and
                                                                  answers 503 to every request
eu/ops          synced       1200  2h     https://eu.example.com
`},
		{80, ui.Table, `
PAIR            STATUS    OBJECTS  SINCE  URL           REASON
eu/engineering  retrying       38  3m     https://eu.…  the server is in
                                                        maintenance and answers
                                                        503 to every request
eu/ops          synced       1200  2h     https://eu.…
`},
		{60, ui.Table, `
PAIR            STATUS    OBJECTS  REASON
eu/engineering  retrying       38  the server is in
                                   maintenance and answers
                                   503 to every request
eu/ops          synced       1200
`},
		{36, ui.Table, `
PAIR          STATUS    REASON
eu/engineer…  retrying  the server
                        is in
                        maintenance
                        and answers
                        503 to every
                        request
eu/ops        synced
`},
		{10, ui.Table, `
P…  S…  REASON
e…  r…  the
        server
        is
        in
        maintenance
        and
        answers
        503
        to
        every
        request
e…  s…
`},
		{40, ui.Wide, `
PAIR            STATUS    OBJECTS  HELD  FEED  SINCE  URL                     REASON
eu/engineering  retrying       38     0  scan  3m     https://eu.example.com  the server is in maintenance and answers 503 to every request
eu/ops          synced       1200     0  scan  2h     https://eu.example.com
`},
		{40, ui.Markdown, `
| PAIR | STATUS | OBJECTS | SINCE | URL | REASON |
|---|---|---:|---|---|---|
| eu/engineering | retrying | 38 | 3m | https://eu.example.com | the server is in maintenance and answers 503 to every request |
| eu/ops | synced | 1200 | 2h | https://eu.example.com |  |

`},
	} {
		if got := "\n" + render(c.columns, c.format, pairsTable); got != c.want {
			t.Errorf("%d columns, %s: got %s\nwant %s", c.columns, c.format, got, c.want)
		}
	}
}

func TestLinesBreakAtSpacesButNotInACommand(t *testing.T) {
	got := render(40, ui.Table, func(g *ui.Grid) {
		g.Line("eu/engineering: 8 of 38 objects would be deleted; the limit is 20%%, here 7")
		g.Line("  Try: chef-sync-ctl plan eu/engineering, then: chef-sync-ctl sync-start eu/engineering --allow-deletes 8")
		g.Line("short")
		g.Verbatim(ui.Text(strings.Repeat("x", 50)))
		g.Row("feed:", "updated_since, the primary serves it by itself")
	})
	want := `eu/engineering: 8 of 38 objects would be
  deleted; the limit is 20%, here 7
  Try:
    chef-sync-ctl plan eu/engineering,
    then:
    chef-sync-ctl sync-start eu/engineering --allow-deletes 8
short
xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx
feed:  updated_since, the primary serves
       it by itself
`
	if got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

func TestMarkdownShowsNamesAsTheyAre(t *testing.T) {
	got := render(0, ui.Markdown, func(g *ui.Grid) {
		g.Line("  *%s*", "a|b")
		g.Columns(ui.Column{Name: "N|"}, ui.Column{Name: "N", Numeric: true})
		g.Row("<img> _x_", "1")
	})
	want := "\\*a\\|b\\*\n\n| N\\| | N |\n|---|---:|\n| \\<img\\> \\_x\\_ | 1 |\n\n"
	if got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

// Colors take no room, and are complete in what is cut.
func TestAShortenedCellKeepsItsColor(t *testing.T) {
	var b bytes.Buffer
	out := &ui.Output{Out: &b, Format: ui.Table, Color: true, Size: func() ui.Size { return ui.Size{Columns: 12} }}
	_ = out.Emit(nil, func(g *ui.Grid) {
		g.Columns(ui.Column{Name: "A"}, ui.Column{Name: "B"})
		g.Row(g.Paint(ui.Red, "unreachable"), "ok")
	})
	if want := "\x1b[1mA\x1b[0m         \x1b[1mB\x1b[0m\n\x1b[31munreach…\x1b[0m  ok\n"; b.String() != want {
		t.Errorf("got %q, want %q", b.String(), want)
	}
}

func TestNoRowIsWiderThanTheTerminal(t *testing.T) {
	word := rapid.StringMatching(`[a-zé]{0,30}`)
	rapid.Check(t, func(t *rapid.T) {
		n, columns := rapid.IntRange(1, 6).Draw(t, "cells"), rapid.IntRange(30, 120).Draw(t, "columns")
		head := make([]ui.Column, n)
		for i := range head {
			head[i] = ui.Column{Name: ui.Text(word.Draw(t, "name")), Numeric: rapid.Bool().Draw(t, "numeric"), Drop: rapid.IntRange(0, 3).Draw(t, "drop"),
				Min: rapid.IntRange(0, 10).Draw(t, "min"), OnlyFilled: rapid.Bool().Draw(t, "filled")}
		}
		got := render(columns, ui.Table, func(g *ui.Grid) {
			g.Columns(head...)
			for range rapid.IntRange(0, 3).Draw(t, "rows") {
				row := make([]any, n)
				for i := range row {
					row[i] = word.Draw(t, "cell")
				}
				g.Row(row...)
			}
		})
		for line := range strings.Lines(got) {
			if w := utf8.RuneCountInString(strings.TrimSuffix(line, "\n")); w > columns {
				t.Fatalf("%d characters in %d columns: %q", w, columns, line)
			}
		}
	})
}

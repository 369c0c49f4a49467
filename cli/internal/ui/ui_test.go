package ui_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	"chefsync/cli/internal/ui"
	"chefsync/pkg/object"
	"chefsync/pkg/replication"
)

type row struct {
	Name string          `json:"name"`
	N    int             `json:"n"`
	Tags []string        `json:"tags"`
	Raw  json.RawMessage `json:"raw,omitempty"`
}

var rows = []row{{Name: "a<b", N: 1, Tags: []string{}}, {Name: "yes", N: 2, Tags: []string{"x", "1"}, Raw: json.RawMessage(`{"big":12345678901234567890}`)}}

func TestDataHasTheSameKeysInEveryFormat(t *testing.T) {
	for _, c := range []struct {
		format ui.Format
		want   string
	}{
		{ui.JSONL, `{"name":"a<b","n":1,"tags":[]}
{"name":"yes","n":2,"tags":["x","1"],"raw":{"big":12345678901234567890}}
`},
		{ui.YAML, `- name: a<b
  "n": 1
  tags: []
- name: "yes"
  "n": 2
  tags:
    - x
    - "1"
  raw:
    big: 12345678901234567890
`},
		{ui.Table, "NAME  N\na<b   1\nyes   2\n2 rows\n"},
	} {
		t.Run(string(c.format), func(t *testing.T) {
			var b bytes.Buffer
			out := &ui.Output{Out: &b, Format: c.format}
			err := out.Emit(rows, func(g *ui.Grid) {
				g.Head("NAME", "N")
				g.Row("a<b", "1")
				g.Row("yes", "2")
				g.Line("%d rows", 2)
			})
			if err != nil || b.String() != c.want {
				t.Errorf("error %v, got\n%s\nwant\n%s", err, b.String(), c.want)
			}
		})
	}
}

func TestColorDoesNotShiftColumns(t *testing.T) {
	var b bytes.Buffer
	out := &ui.Output{Out: &b, Format: ui.Table, Color: true}
	_ = out.Emit(nil, func(g *ui.Grid) {
		g.Head("STATE", "N")
		g.Row(g.Paint(ui.Green, "ok"), "x")
		g.Row("longer", "y")
	})
	if want := "\x1b[1mSTATE\x1b[0m   \x1b[1mN\x1b[0m\n\x1b[32mok\x1b[0m      x\nlonger  y\n"; b.String() != want {
		t.Errorf("got %q, want %q", b.String(), want)
	}
}

func TestDurationsAreReadAndWritten(t *testing.T) {
	for in, want := range map[string]time.Duration{
		"90s": 90 * time.Second, "5m": 5 * time.Minute, "2h": 2 * time.Hour, "3d": 72 * time.Hour,
		"1d12h": 36 * time.Hour, "0s": 0, "1500ms": 1500 * time.Millisecond,
	} {
		if got, err := ui.ParseDuration(in); err != nil || got != want {
			t.Errorf("ParseDuration(%q) = %v, %v; want %v", in, got, err, want)
		}
	}
	for _, in := range []string{"", "5", "-5m", "d", "xd", "1d2", "-1d", "1.5d", "3 d"} {
		if got, err := ui.ParseDuration(in); err == nil {
			t.Errorf("ParseDuration(%q) = %v, want an error", in, got)
		}
	}
	for d, want := range map[time.Duration]string{
		0: "0s", 59 * time.Second: "59s", 90 * time.Second: "1m30s", 2 * time.Hour: "2h",
		2*time.Hour + 5*time.Second: "2h", 76*time.Hour + 20*time.Minute: "3d4h",
	} {
		if got := ui.Span(d); got != want {
			t.Errorf("Span(%v) = %q, want %q", d, got, want)
		}
	}
}

func TestNamesAreSafeToPaste(t *testing.T) {
	for in, want := range map[string]string{
		"/data/users/alice": "/data/users/alice", "a b": "'a b'", "it's": `'it'\''s'`, "": "''", "$HOME": "'$HOME'",
		"a\x1b[31m b": `$'a\x1b[31m b'`, "it's\n\\": `$'it\'s\x0a\\'`, "\u009b\xff": `$'\xc2\x9b\xff'`,
	} {
		if got := string(ui.Quote(in)); got != want {
			t.Errorf("Quote(%q) = %s, want %s", in, got, want)
		}
	}
}

// hostile is what a server may send to a terminal: a color, a title, a bell, a
// line that looks like the program's, a control of eight bits, broken UTF-8 and
// text that runs the other way.
const hostile = "a\x1b[31mb\x1b]0;t\x07\rc\nTry: d\u009b\x7f\xff\u202e"

func TestNothingOfAServerReachesTheTerminalUnseen(t *testing.T) {
	const seen = `a\x1b[31mb\x1b]0;t\a\rc\nTry: d\u009b\x7f\xff\u202e`
	lines := strings.Replace(seen, `\n`, "\n  ", 1)
	for _, c := range []struct {
		name, want string
		fill       func(*ui.Grid)
	}{
		{"cells", seen + "  x\n", func(g *ui.Grid) { g.Row(hostile, "x") }},
		{"painted cells", "\x1b[31m" + seen + "\x1b[0m  x\n", func(g *ui.Grid) { g.Row(g.Paint(ui.Red, hostile), "x") }},
		{"lines", "x " + lines + "\n", func(g *ui.Grid) { g.Line("x %s", hostile) }},
		{"errors", "x " + lines + "\n", func(g *ui.Grid) { g.Line("x %v", errors.New(hostile)) }},
		{"other words", "x " + lines + "\n", func(g *ui.Grid) { g.Line("x %s", replication.Status(hostile)) }},
		{"what names itself", "x /roles/" + lines + "\n", func(g *ui.Grid) { g.Line("x %s", object.Ref{Kind: object.Role, Name: hostile}) }},
	} {
		t.Run(c.name, func(t *testing.T) {
			var b bytes.Buffer
			out := &ui.Output{Out: &b, Format: ui.Table, Color: true}
			if err := out.Emit(nil, c.fill); err != nil || b.String() != c.want {
				t.Errorf("error %v, got %q, want %q", err, b.String(), c.want)
			}
		})
	}
	var b bytes.Buffer
	out := &ui.Output{Err: &b, ErrTTY: true, Now: time.Now}
	out.Note("%s", hostile)
	if want := lines + "\n"; b.String() != want {
		t.Errorf("note: got %q, want %q", b.String(), want)
	}
	b.Reset()
	out.NewStatusLine().Set(hostile)
	if want := "\r\x1b[K" + seen; b.String() != want {
		t.Errorf("status line: got %q, want %q", b.String(), want)
	}
}

func TestDataStaysAsItsEncoderWritesIt(t *testing.T) {
	for format, want := range map[ui.Format]string{
		ui.JSONL: `{"name":"a\u001b[31m\n"}` + "\n", ui.YAML: `name: "a\e[31m\n"` + "\n",
	} {
		var b bytes.Buffer
		out := &ui.Output{Out: &b, Format: format}
		if err := out.Emit(map[string]string{"name": "a\x1b[31m\n"}, nil); err != nil || b.String() != want {
			t.Errorf("%s: error %v, got %q, want %q", format, err, b.String(), want)
		}
	}
}

// Package ui writes the output of the program: data to stdout in the requested format,
// everything else to stderr.
package ui

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"reflect"
	"slices"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"
)

// Format is an output format.
type Format string

// The output formats.
const (
	Table    Format = "table"
	Wide     Format = "wide"     // a table with all columns, whatever the terminal
	Markdown Format = "markdown" // tables for a document
	JSON     Format = "json"
	YAML     Format = "yaml"
	JSONL    Format = "jsonl" // one JSON object a line
)

// Formats returns the names of the formats.
func Formats() []string { return []string{"table", "wide", "markdown", "json", "yaml", "jsonl"} }

// IsData reports whether the format is for programs.
func (f *Format) IsData() bool { return *f == JSON || *f == YAML || *f == JSONL }

// String returns the name of the format.
func (f *Format) String() string { return string(*f) }

// Set sets the format by its name.
func (f *Format) Set(s string) error {
	if !slices.Contains(Formats(), s) {
		return fmt.Errorf("%q is not a format: expected table, wide, markdown, json, yaml or jsonl", s)
	}
	*f = Format(s)
	return nil
}

// Type returns the name of the value in help.
func (f *Format) Type() string { return "format" }

// Output is where the program writes.
type Output struct {
	Out, Err io.Writer
	Format   Format
	Color    bool             // color on Out
	OutTTY   bool             // Out is a terminal
	Size     func() Size      // of the terminal that shows Out; may be nil
	ErrTTY   bool             // Err is a terminal
	ErrWidth func() int       // its columns, 0 if unknown; may be nil
	Quiet    bool             // no notes on Err
	Now      func() time.Time // for ages
}

// Size is the size of a terminal. A zero is unknown, and means no limit.
type Size struct{ Columns, Lines int }

// IsData reports whether the output is data for a program.
func (o *Output) IsData() bool { return o.Format.IsData() }

// columns returns the width that lines of Out must fit in; 0 means any.
func (o *Output) columns() int {
	if o.Size == nil || o.Format == Wide {
		return 0
	}
	return o.Size().Columns
}

// Emit writes data: v in a machine format, or what table fills in.
func (o *Output) Emit(v any, table func(*Grid)) error {
	switch o.Format {
	case JSON:
		return o.writeJSON(v, "  ")
	case JSONL:
		return o.writeJSONL(v)
	case YAML:
		return o.writeYAML(v)
	}
	grid := &Grid{out: o}
	table(grid)
	return grid.writeTo()
}

// Note writes one line to stderr, unless quiet. Its arguments are made
// Text as those of Grid.Line.
func (o *Output) Note(format string, args ...any) {
	if !o.Quiet {
		makeSafe(args)
		fmt.Fprintf(o.Err, format+"\n", args...)
	}
}

// WriteErr writes a line to stderr, broken at spaces where the terminal is narrower.
func (o *Output) WriteErr(line Text) error {
	width := 0
	if o.ErrTTY && o.ErrWidth != nil {
		width = o.ErrWidth()
	}
	var b strings.Builder
	for i, part := range breakLines(line, width, width-2) {
		b.WriteString(strings.Repeat(" ", 2*min(i, 1)) + string(part) + "\n")
	}
	_, err := fmt.Fprint(o.Err, b.String())
	return err
}

func (o *Output) writeJSON(v any, indent string) error {
	enc := json.NewEncoder(o.Out)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", indent)
	return enc.Encode(v)
}

func (o *Output) writeJSONL(v any) error {
	list := reflect.ValueOf(v)
	if list.Kind() != reflect.Slice {
		return o.writeJSON(v, "")
	}
	for i := range list.Len() {
		if err := o.writeJSON(list.Index(i).Interface(), ""); err != nil {
			return err
		}
	}
	return nil
}

// writeYAML goes through JSON, so that both formats have the same keys in the same
// order: JSON is YAML in flow style.
func (o *Output) writeYAML(v any) error {
	var b bytes.Buffer
	plain := &Output{Out: &b}
	if err := plain.writeJSON(v, ""); err != nil {
		return err
	}
	var node yaml.Node
	if err := yaml.Unmarshal(b.Bytes(), &node); err != nil {
		return fmt.Errorf("write YAML: %w", err)
	}
	blockStyle(&node)
	enc := yaml.NewEncoder(o.Out)
	enc.SetIndent(2)
	if err := enc.Encode(&node); err != nil {
		return err
	}
	return enc.Close()
}

func blockStyle(n *yaml.Node) {
	switch {
	case n.Kind == yaml.ScalarNode && slices.Contains(oldBooleans(), strings.ToLower(n.Value)):
		// Stays as it is: in quotes if it is a string.
	case n.Kind == yaml.ScalarNode || len(n.Content) > 0:
		n.Style = 0
	}
	for _, c := range n.Content {
		blockStyle(c)
	}
}

// oldBooleans are words that YAML 1.1, which many programs still read, takes
// for true and false.
func oldBooleans() []string { return []string{"y", "n", "yes", "no", "on", "off"} }

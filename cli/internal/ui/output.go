// Package ui writes what the program says: data on stdout in the format asked
// for, everything else on stderr.
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
	Table Format = "table"
	JSON  Format = "json"
	YAML  Format = "yaml"
	JSONL Format = "jsonl" // one JSON object a line
)

// Formats lists them for help and completion.
func Formats() []string { return []string{"table", "json", "yaml", "jsonl"} }

// String returns the word of the format.
func (f *Format) String() string { return string(*f) }

// Set accepts one of the words.
func (f *Format) Set(s string) error {
	for _, known := range Formats() {
		if s == known {
			*f = Format(s)
			return nil
		}
	}
	return fmt.Errorf("%q is not a format: expected table, json, yaml or jsonl", s)
}

// Type names the value in help.
func (f *Format) Type() string { return "format" }

// Output is where the program writes.
type Output struct {
	Out, Err io.Writer
	Format   Format
	Color    bool             // colour on Out
	OutTTY   bool             // Out is a terminal
	ErrTTY   bool             // Err is a terminal
	ErrWidth func() int       // its columns now, 0 if they aren't known; may be nil
	Quiet    bool             // no chatter on Err
	Now      func() time.Time // for ages
}

// Machine tells whether a program reads the output.
func (o *Output) Machine() bool { return o.Format != Table }

// Emit writes data: v in a machine format, or what table fills in.
func (o *Output) Emit(v any, table func(*Grid)) error {
	switch o.Format {
	case JSON:
		return o.json(v, "  ")
	case JSONL:
		return o.jsonl(v)
	case YAML:
		return o.yaml(v)
	}
	grid := &Grid{out: o}
	table(grid)
	return grid.flush()
}

// Note writes one line of chatter to stderr, unless quiet. Its arguments are made
// Text as those of Grid.Line.
func (o *Output) Note(format string, args ...any) {
	if !o.Quiet {
		makeSafe(args)
		fmt.Fprintf(o.Err, format+"\n", args...)
	}
}

func (o *Output) json(v any, indent string) error {
	enc := json.NewEncoder(o.Out)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", indent)
	return enc.Encode(v)
}

func (o *Output) jsonl(v any) error {
	list := reflect.ValueOf(v)
	if list.Kind() != reflect.Slice {
		return o.json(v, "")
	}
	for i := range list.Len() {
		if err := o.json(list.Index(i).Interface(), ""); err != nil {
			return err
		}
	}
	return nil
}

// yaml goes through JSON, so that both formats have the same keys in the same
// order: JSON is YAML in flow style.
func (o *Output) yaml(v any) error {
	var b bytes.Buffer
	plain := &Output{Out: &b}
	if err := plain.json(v, ""); err != nil {
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

// Package logline writes lines of the log in a readable form.
package logline

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"time"

	"chefsync/cli/internal/logstore"
	"chefsync/cli/internal/ui"
	"chefsync/pkg/replication"
)

// Short returns a line with its time, pair, what was done to which object, and why. What is
// zero or empty is left out.
func Short(out *ui.Output, l logstore.Line, now time.Time) ui.Text {
	words := ui.Safe(ui.ShortTime(l.Time, now)) + "  " + levelMark(out, l.Level) + " "
	if l.Pair != (replication.PairID{}) {
		words += ui.Safe(l.Pair.String()) + "  "
	}
	attrs := decodeAttrs(l.Attrs)
	words += paintLevel(out, l.Level, verb(l.Message, attrs))
	if l.Object != "" {
		words += " " + ui.Quote(l.Object)
	}
	if details := details(l, attrs); details != "" {
		words += "  " + ui.Safe(details)
	}
	return words
}

func levelMark(out *ui.Output, l slog.Level) ui.Text {
	switch {
	case l >= slog.LevelError:
		return out.Paint(ui.Red, string(ui.Failed))
	case l >= slog.LevelWarn:
		return out.Paint(ui.Yellow, string(ui.Warned))
	}
	return " "
}

func paintLevel(out *ui.Output, l slog.Level, words string) ui.Text {
	switch {
	case l >= slog.LevelError:
		return out.Paint(ui.Red, words)
	case l >= slog.LevelWarn:
		return out.Paint(ui.Yellow, words)
	}
	return out.Paint(ui.Bold, words)
}

// verb says in a word what happened to an object; other messages stay as they are.
func verb(message string, attrs []attr) string {
	switch message {
	case "object applied":
		action := valueOf(attrs, "action")
		return cmp.Or(map[string]string{"create": "created", "update": "updated", "delete": "deleted"}[action], message)
	case "object unsynced", "object set aside":
		return "unsynced"
	}
	return message
}

// details are what there is to say beside the message: why, counts, and other attributes.
func details(l logstore.Line, attrs []attr) string {
	var words []string
	for _, a := range attrs {
		switch {
		case a.value == "" || a.value == "0" || a.value == "false" || isImplied(a.key, l):
			continue
		case a.key == "error":
			words = append(words, ui.WithoutObject(a.value, l.Object, l.Pair.Replica))
		case a.key == "reason" || a.key == "outcome" || a.key == "mode":
			words = append(words, a.value)
		case a.key == "duration_ms":
			d, _ := time.ParseDuration(a.value + "ms")
			words = append(words, ui.Took(d))
		case slices.Contains(countedKeys(), a.key):
			words = append(words, a.value+" "+a.key)
		default:
			words = append(words, a.key+"="+a.value)
		}
	}
	return strings.Join(words, ", ")
}

// countedKeys are attributes that count objects.
func countedKeys() []string {
	return []string{"created", "updated", "deleted", "unsynced", "repaired", "unreadable", "pairs", "deletions"}
}

// isImplied reports whether an attribute repeats the rest of the line, or is of use to who
// looks for an error only.
func isImplied(key string, l logstore.Line) bool {
	switch key {
	case "kind", "action", "seq", "class", "hint", "attempts", "cause":
		return true
	case "outcome":
		return l.Object != ""
	case "changes", "observed", "equal", "staged_bytes", "uploaded_bytes":
		return strings.HasSuffix(l.Message, " ends")
	}
	return false
}

// Wide returns a line with all its attributes.
func Wide(out *ui.Output, l logstore.Line) ui.Text {
	line := ui.Safe(ui.Stamp(l.Time)) + " " + paintLevel(out, l.Level, fmt.Sprintf("%-5s", l.Level))
	if l.Pair != (replication.PairID{}) {
		line += " " + ui.Safe(l.Pair.String())
	}
	line += " " + out.Paint(ui.Bold, l.Message)
	if l.Object != "" {
		line += " " + ui.Quote(l.Object)
	}
	if l.Run != "" {
		line += " run=" + ui.Safe(l.Run)
	}
	for _, a := range decodeAttrs(l.Attrs) {
		line += " " + ui.Safe(a.key) + "=" + ui.Quote(a.value)
	}
	return line
}

// attr is an attribute of a line.
type attr struct{ key, value string }

func valueOf(attrs []attr, key string) string {
	for _, a := range attrs {
		if a.key == key {
			return a.value
		}
	}
	return ""
}

// decodeAttrs returns the members of a JSON object, in their order.
func decodeAttrs(raw json.RawMessage) []attr {
	dec := json.NewDecoder(bytes.NewReader(raw))
	dec.UseNumber()
	if t, err := dec.Token(); err != nil || t != json.Delim('{') {
		return nil
	}
	var attrs []attr
	for dec.More() {
		key, err := dec.Token()
		if err != nil {
			return attrs
		}
		var value any
		if err := dec.Decode(&value); err != nil {
			return attrs
		}
		text, isText := value.(string)
		if !isText {
			b, _ := json.Marshal(value) // what was decoded encodes
			text = string(b)
		}
		attrs = append(attrs, attr{fmt.Sprint(key), text})
	}
	return attrs
}

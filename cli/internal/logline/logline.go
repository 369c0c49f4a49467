// Package logline writes lines of the log in a readable form.
package logline

import (
	"cmp"
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
	attrs := l.Attributes()
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
func verb(message string, attrs []logstore.Attribute) string {
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
func details(l logstore.Line, attrs []logstore.Attribute) string {
	var words []string
	for _, a := range attrs {
		switch {
		case a.Value == "" || a.Value == "0" || a.Value == "false" || isImplied(a.Key, l):
			continue
		case a.Key == "error":
			words = append(words, ui.WithoutObject(a.Value, l.Object, l.Pair.Replica))
		case a.Key == "reason" || a.Key == "outcome" || a.Key == "mode":
			words = append(words, a.Value)
		case a.Key == "duration_ms":
			d, _ := time.ParseDuration(a.Value + "ms")
			words = append(words, ui.Took(d))
		case slices.Contains(countedKeys(), a.Key):
			words = append(words, a.Value+" "+a.Key)
		default:
			words = append(words, a.Key+"="+a.Value)
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
	for _, a := range l.Attributes() {
		line += " " + ui.Safe(a.Key) + "=" + ui.Quote(a.Value)
	}
	return line
}

func valueOf(attrs []logstore.Attribute, key string) string {
	for _, a := range attrs {
		if a.Key == key {
			return a.Value
		}
	}
	return ""
}

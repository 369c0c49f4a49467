package ui

import (
	"slices"
	"strings"
	"unicode/utf8"
)

// nextEscape finds the first color sequence of a text.
func nextEscape(s string) (start, end int, found bool) {
	start = strings.Index(s, "\x1b[")
	if start < 0 {
		return 0, 0, false
	}
	length := strings.IndexByte(s[start:], 'm')
	if length < 0 {
		return 0, 0, false
	}
	return start, start + length + 1, true
}

// displayWidth counts what a terminal shows: runes, without color sequences.
func displayWidth(t Text) int {
	s, n := string(t), 0
	for {
		start, end, found := nextEscape(s)
		if !found {
			return n + utf8.RuneCountInString(s)
		}
		n += utf8.RuneCountInString(s[:start])
		s = s[end:]
	}
}

// Shorten cuts a text to a width, with an ellipsis at its end. Colors are kept.
func Shorten(t Text, width int) Text {
	if displayWidth(t) <= width {
		return t
	}
	s, left := string(t), max(width-1, 0)
	var b strings.Builder
	colored := false
	for {
		start, end, found := nextEscape(s)
		if !found {
			start, end = len(s), len(s)
		}
		if n := utf8.RuneCountInString(s[:start]); n > left {
			b.WriteString(string([]rune(s[:start])[:left]))
			break
		}
		left -= utf8.RuneCountInString(s[:start])
		b.WriteString(s[:end])
		colored = found
		s = s[end:]
	}
	if width > 0 {
		b.WriteString("…")
	}
	if colored {
		b.WriteString("\x1b[0m")
	}
	return Text(b.String())
}

// program is the word that begins a command to copy.
const program = "chef-sync-ctl"

// breakLines breaks a text at spaces into lines of at most these widths: of the first
// line, and of the others. What is longer than a line is on one of its own, and a
// command of this program stays in one piece, so that it can be copied. A width below
// one means that there is no limit.
func breakLines(t Text, first, others int) []Text {
	if first < 1 || displayWidth(t) <= first {
		return []Text{t}
	}
	var lines []Text
	line, limit := "", first
	for _, word := range splitWords(string(t)) {
		if line != "" && displayWidth(Text(line+" "+word)) > limit {
			lines = append(lines, Text(line))
			line, limit = word, others
			continue
		}
		if line != "" {
			line += " "
		}
		line += word
	}
	return append(lines, Text(line))
}

// splitWords splits a text at single spaces; a command with its arguments is one word.
func splitWords(s string) []string {
	words := strings.Split(s, " ")
	for i := 0; i < len(words); i++ {
		if words[i] != program {
			continue
		}
		end := i + 1
		for end < len(words) && !strings.HasSuffix(words[end-1], ",") && !strings.HasSuffix(words[end-1], ";") {
			end++
		}
		words = slices.Replace(words, i, end, strings.Join(words[i:end], " "))
	}
	return words
}

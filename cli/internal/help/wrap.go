package help

import (
	"strings"
	"unicode/utf8"
)

// reflow breaks the paragraphs of a text that have too wide lines. Lines that are
// indented are broken one by one, in tables below the second column; behind a tab is a
// command.
func reflow(text string) string {
	var b strings.Builder
	var paragraph []string
	flush := func() {
		switch {
		case len(paragraph) == 0:
		case !tooWide(paragraph):
			b.WriteString(strings.Join(paragraph, "\n") + "\n")
		default:
			b.WriteString(wrapWords("", strings.Join(paragraph, " ")))
		}
		paragraph = nil
	}
	for line := range strings.Lines(text) {
		line = strings.TrimRight(line, "\n")
		trimmed := strings.TrimLeft(line, " \t")
		if trimmed != "" && trimmed == line {
			paragraph = append(paragraph, line)
			continue
		}
		flush()
		if command, ok := strings.CutPrefix(line, "\t"); ok {
			b.WriteString(continued("    " + command))
			continue
		}
		if tooWide([]string{line}) {
			head := line[:len(line)-len(trimmed)]
			if cell := strings.Index(trimmed, "  "); cell > 0 { // the first column of a table
				text := strings.TrimLeft(trimmed[cell:], " ")
				head, trimmed = line[:len(line)-len(text)], text
			}
			b.WriteString(hanging(head, trimmed))
			continue
		}
		b.WriteString(line + "\n")
	}
	flush()
	return b.String()
}

func tooWide(lines []string) bool {
	for _, l := range lines {
		if utf8.RuneCountInString(l) > Width {
			return true
		}
	}
	return false
}

// wrapWords breaks a text into lines that begin with an indent.
func wrapWords(indent, text string) string { return hangingFrom(indent, indent, text) }

// hanging writes a text behind a head; further lines begin below its first one.
func hanging(head, text string) string {
	return hangingFrom(head, strings.Repeat(" ", utf8.RuneCountInString(head)), text)
}

func hangingFrom(head, indent, text string) string {
	var b strings.Builder
	line, empty := head, true
	for _, w := range strings.Fields(text) {
		switch {
		case empty:
			line += w
		case utf8.RuneCountInString(line)+1+utf8.RuneCountInString(w) > Width:
			b.WriteString(line + "\n")
			line = indent + w
		default:
			line += " " + w
		}
		empty = false
	}
	return b.String() + strings.TrimRight(line, " ") + "\n"
}

// continued breaks a command line as a shell reads it, with \ at the end of a line.
func continued(line string) string {
	trimmed := strings.TrimLeft(line, " ")
	indent := line[:len(line)-len(trimmed)]
	if strings.HasPrefix(trimmed, "#") || !tooWide([]string{line}) {
		return line + "\n"
	}
	var b strings.Builder
	rest := line
	for utf8.RuneCountInString(rest) > Width {
		at := strings.LastIndexByte(rest[:Width-2], ' ')
		if i := strings.LastIndex(rest[:Width-2], " --"); i > len(indent) {
			at = i // a flag stays with its value
		}
		if at <= len(indent)+2 {
			break
		}
		b.WriteString(rest[:at] + " \\\n")
		rest = indent + "    " + strings.TrimLeft(rest[at:], " ")
	}
	return b.String() + rest + "\n"
}

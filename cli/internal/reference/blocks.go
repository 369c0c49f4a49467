// Package reference writes the reference documentation: docs/commands.md and the manual
// pages from the tree of commands, docs/configuration.md from the configuration, and
// docs/compatibility.md from the lists that tests hold servers to.
package reference

import "strings"

// block is a paragraph of a help text, or lines that keep their breaks.
type block struct {
	text     string
	verbatim bool
}

// splitBlocks splits a help text: lines that are indented keep their breaks.
func splitBlocks(text string) (list []block) {
	for part := range strings.SplitSeq(strings.TrimSpace(text), "\n\n") {
		var last *block
		for line := range strings.SplitSeq(part, "\n") {
			line = strings.ReplaceAll(strings.TrimRight(line, " "), "\t", "    ")
			verbatim := strings.HasPrefix(line, " ")
			if last == nil || last.verbatim != verbatim {
				list = append(list, block{verbatim: verbatim})
				last = &list[len(list)-1]
			} else {
				last.text += "\n"
			}
			last.text += line
		}
	}
	return list
}

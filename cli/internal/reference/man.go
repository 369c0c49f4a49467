package reference

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// Man returns the manual pages of section 1 by their file names, one for each command.
func Man(root *cobra.Command) map[string]string {
	pages := map[string]string{}
	visitCommands(root, func(c *cobra.Command) { pages[pageName(c)+".1"] = renderPage(c) })
	return pages
}

func pageName(c *cobra.Command) string { return strings.ReplaceAll(c.CommandPath(), " ", "-") }

func renderPage(c *cobra.Command) string {
	var b strings.Builder
	fmt.Fprintf(&b, ".TH \"%s\" 1 \"\" \"Chef Replication\" \"User Commands\"\n", escapeRoff(strings.ToUpper(pageName(c))))
	fmt.Fprintf(&b, ".SH NAME\n%s \\- %s\n", escapeRoff(pageName(c)), escapeRoff(c.Short))
	if c.Runnable() {
		fmt.Fprintf(&b, ".SH SYNOPSIS\n%s\n", escapeRoff(c.UseLine()))
	}
	b.WriteString(".SH DESCRIPTION\n")
	for _, p := range splitBlocks(longHelp(c)) {
		if p.verbatim {
			writeVerbatim(&b, p.text)
		} else {
			b.WriteString(".PP\n" + escapeRoff(p.text) + "\n")
		}
	}
	writeOptions(&b, "OPTIONS", c.LocalNonPersistentFlags())
	writeOptions(&b, "GLOBAL OPTIONS", c.Root().PersistentFlags())
	if len(c.Aliases) > 0 {
		fmt.Fprintf(&b, ".SH ALIASES\n%s\n", escapeRoff(strings.Join(c.Aliases, ", ")))
	}
	if c.HasExample() {
		b.WriteString(".SH EXAMPLES\n")
		writeVerbatim(&b, dedentExample(c.Example))
	}
	writeSeeAlso(&b, c)
	return b.String()
}

func writeOptions(b *strings.Builder, title string, flags *pflag.FlagSet) {
	if !flags.HasAvailableFlags() {
		return
	}
	b.WriteString(".SH " + title + "\n")
	flags.VisitAll(func(f *pflag.Flag) {
		if f.Hidden {
			return
		}
		names, meaning := flagNames(f)
		if hasDefault(f) {
			meaning += " (default " + f.DefValue + ")"
		}
		fmt.Fprintf(b, ".TP\n%s\n%s\n", escapeRoff(names), escapeRoff(meaning))
	})
}

// writeSeeAlso names the command above and those below.
func writeSeeAlso(b *strings.Builder, c *cobra.Command) {
	var names []string
	if c.HasParent() {
		names = append(names, pageName(c.Parent()))
	}
	for _, sub := range c.Commands() {
		if !sub.Hidden {
			names = append(names, pageName(sub))
		}
	}
	if len(names) == 0 {
		return
	}
	b.WriteString(".SH SEE ALSO\n")
	for i, name := range names {
		end := ","
		if i == len(names)-1 {
			end = ""
		}
		fmt.Fprintf(b, ".BR %s (1)%s\n", escapeRoff(name), end)
	}
}

func writeVerbatim(b *strings.Builder, text string) {
	b.WriteString(".PP\n.nf\n" + escapeRoff(text) + "\n.fi\n")
}

// escapeRoff returns a text with what means something to roff escaped.
func escapeRoff(text string) string {
	text = strings.NewReplacer(`\`, `\e`, "-", `\-`, "'", `\(aq`, "`", `\(ga`, "^", `\(ha`, "~", `\(ti`).Replace(text)
	lines := strings.Split(text, "\n")
	for i, line := range lines {
		if strings.HasPrefix(line, ".") {
			lines[i] = `\&` + line
		}
	}
	return strings.Join(lines, "\n")
}

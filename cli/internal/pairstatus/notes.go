package pairstatus

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"chefsync/cli/internal/app"
	"chefsync/cli/internal/ui"
	"chefsync/pkg/replication"
)

// note is what is to be known of one pair, or of several for the same reason.
type note struct {
	pairs []replication.PairID
	words []string // of the text; "…" for those in which the pairs differ
	hint  string   // with placeholder for the pair
}

// placeholder stands for the name of the pair in the hint of a note.
const placeholder = "\x00"

// Notes collects what is to be known of pairs. Those whose notes differ in their own names
// and in numbers only share one. The zero Notes is empty.
type Notes struct {
	order []*note
	byKey map[string]*note
}

// Lines returns the notes as they are printed. all are the pairs of the configuration.
func (g *Notes) Lines(o *ui.Output, all []app.Pair) (lines []ui.Text) {
	for _, n := range g.order {
		lines = append(lines, n.lines(o, all)...)
	}
	return lines
}

// notesOfRows returns the notes of rows.
func notesOfRows(rows []PairRow, d *Processes, now time.Time) (g Notes) {
	for _, r := range rows {
		for _, why := range d.shownReasons(r) {
			g.Add(r.Pair, why.Text, why.Hint)
		}
		if text, hint := r.replicaNote(now); text != "" {
			g.Add(r.Pair, text, hint)
		}
	}
	return g
}

// Group is pairs with the same reason.
type Group struct {
	Pairs []replication.PairID
	Text  string // "…" stands for words in which the pairs differ
	Hint  string // what to try, for all of the pairs where one selector names them
}

// GroupByReason returns rows grouped by the first of their reasons. Pairs whose reasons
// differ in their own names and in numbers only share a group.
func (s Snapshot) GroupByReason(rows []PairRow) []Group {
	var g Notes
	for _, r := range rows {
		g.Add(r.Pair, cmp.Or(r.Note, string(r.Status)), r.Hint)
	}
	groups := make([]Group, len(g.order))
	for i, n := range g.order {
		_, selector := nameGroup(n.pairs, s.all)
		groups[i] = Group{Pairs: n.pairs, Text: strings.Join(n.words, " "), Hint: strings.ReplaceAll(n.hint, placeholder, selector)}
	}
	return groups
}

// Add adds a note of a pair, and what to try.
func (g *Notes) Add(id replication.PairID, text, hint string) {
	hint = replaceName(hint, id.String(), placeholder)
	words := strings.Split(text, " ")
	key := hint + "\n" + commonText(id, words)
	n, there := g.byKey[key]
	if !there {
		n = &note{words: words, hint: hint}
		if g.byKey == nil {
			g.byKey = map[string]*note{}
		}
		g.byKey[key], g.order = n, append(g.order, n)
	}
	n.pairs = append(n.pairs, id)
	for i, w := range words {
		if n.words[i] != w {
			n.words[i] = "…"
		}
	}
}

// commonText returns a text without what tells pairs apart: their names, and words that
// begin with a digit, which are counts, ages and times.
func commonText(id replication.PairID, words []string) string {
	common := make([]string, len(words))
	for i, w := range words {
		if w != "" && '0' <= w[0] && w[0] <= '9' {
			w = "0"
		}
		common[i] = replaceName(replaceName(w, id.String(), placeholder), id.Org, placeholder)
	}
	return strings.Join(common, " ")
}

// replaceName replaces a name where it isn't a part of a longer one.
func replaceName(s, name, by string) string {
	isPart := func(b byte) bool {
		return b == '-' || b == '_' || '0' <= b && b <= '9' || 'a' <= b && b <= 'z' || 'A' <= b && b <= 'Z'
	}
	var b strings.Builder
	for {
		i := strings.Index(s, name)
		if i < 0 || name == "" {
			return b.String() + s
		}
		end := i + len(name)
		b.WriteString(s[:i])
		if i > 0 && isPart(s[i-1]) || end < len(s) && isPart(s[end]) {
			b.WriteString(name)
		} else {
			b.WriteString(by)
		}
		s = s[end:]
	}
}

// lines returns a note as it is printed. Its pairs are named by a selector if one
// selects just them among all pairs.
func (n *note) lines(o *ui.Output, all []app.Pair) []ui.Text {
	label, selector := nameGroup(n.pairs, all)
	return o.Render(func(t *ui.Grid) {
		t.Line("%s: %s", label, strings.Join(n.words, " "))
		if n.hint != "" {
			t.Line("  Try: %s", strings.ReplaceAll(n.hint, placeholder, selector))
		}
	})
}

// namedPairs is the number of pairs of a group that are named singly.
const namedPairs = 3

// nameGroup returns what a group of pairs is called, and what selects it in a command.
func nameGroup(ids []replication.PairID, all []app.Pair) (label, selector string) {
	names := make([]string, len(ids))
	for i, id := range ids {
		names[i] = id.String()
	}
	count := ui.Plural(len(ids), "pair")
	if len(ids) == 1 {
		return names[0], names[0]
	}
	for _, s := range []string{ids[0].Org, ids[0].Replica + "/", "*"} {
		switch {
		case !selectsJust(s, ids, all):
		case s == "*":
			return "all " + count, "'*'"
		default:
			return s + " (" + count + ")", s
		}
	}
	if len(ids) <= namedPairs {
		return strings.Join(names, ", "), strings.Join(names, " ")
	}
	shown := strings.Join(names[:namedPairs-1], ", ")
	return fmt.Sprintf("%s and %d more pairs", shown, len(ids)-namedPairs+1), "PAIR"
}

// selectsJust reports whether an organization, REPLICA/ or * selects these pairs of all and
// no others.
func selectsJust(selector string, ids []replication.PairID, all []app.Pair) bool {
	selected := 0
	for _, p := range all {
		if selector != "*" && selector != p.ID.Replica+"/" && selector != p.ID.Org && selector != p.SourceOrg {
			continue
		}
		if selected++; !slices.Contains(ids, p.ID) {
			return false
		}
	}
	return selected == len(ids)
}

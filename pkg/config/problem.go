package config

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// Problem is one error in a configuration.
type Problem struct {
	File    string `json:"file"`             // file, or "environment variable NAME"
	Line    int    `json:"line,omitempty"`   // 0 when there is none
	Column  int    `json:"column,omitempty"` // in characters, from 1; 0 when there is none
	Key     string `json:"key,omitempty"`    // such as replica[0].url; "" for the whole file
	Message string `json:"message"`          // what is wrong
	Try     string `json:"try,omitempty"`    // what to write instead, or ""
}

// Error returns one line: FILE:LINE:COLUMN: KEY: MESSAGE; TRY.
func (p Problem) Error() string {
	var b strings.Builder
	b.WriteString(p.File)
	if p.Line > 0 {
		fmt.Fprintf(&b, ":%d:%d", p.Line, p.Column)
	}
	b.WriteString(": ")
	if p.Key != "" {
		b.WriteString(p.Key + ": ")
	}
	b.WriteString(p.Message)
	if p.Try != "" {
		b.WriteString("; " + p.Try)
	}
	return b.String()
}

// Problems are all errors in a configuration, sorted by position.
type Problems []Problem

// maxShown is the number of problems that Error returns.
const maxShown = 50

// Error returns one line for each problem, at most maxShown.
func (ps Problems) Error() string {
	lines := make([]string, min(len(ps), maxShown))
	for i := range lines {
		lines[i] = ps[i].Error()
	}
	if more := len(ps) - len(lines); more > 0 {
		lines = append(lines, fmt.Sprintf("and %d more", more))
	}
	return strings.Join(lines, "\n")
}

func (ps Problems) sortByPosition() Problems {
	slices.SortStableFunc(ps, func(a, b Problem) int {
		return cmp.Or(cmp.Compare(a.Line, b.Line), cmp.Compare(a.Column, b.Column))
	})
	return ps
}

// DidYouMean returns the word that was probably meant, or "".
func DidYouMean(word string, words []string) string {
	best, least := "", len(word)/3+2
	for _, w := range words {
		if d := editDistance(strings.ToLower(word), w); d < least {
			best, least = w, d
		}
	}
	return best
}

// suggestWord asks for the word that was probably meant, or returns otherwise.
func suggestWord(word string, words []string, otherwise string) string {
	if w := DidYouMean(word, words); w != "" {
		return fmt.Sprintf("did you mean %q?", w)
	}
	return otherwise
}

// editDistance returns the number of letters to insert, delete, replace or swap with
// their neighbor.
func editDistance(a, b string) int {
	if len(a) > 64 || len(b) > 64 {
		return 64
	}
	rows := make([][]int, len(a)+1)
	for i := range rows {
		rows[i] = make([]int, len(b)+1)
		rows[i][0] = i
	}
	for j := range rows[0] {
		rows[0][j] = j
	}
	for i := 1; i <= len(a); i++ {
		for j := 1; j <= len(b); j++ {
			replace := rows[i-1][j-1]
			if a[i-1] != b[j-1] {
				replace++
			}
			rows[i][j] = min(replace, rows[i-1][j]+1, rows[i][j-1]+1)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				rows[i][j] = min(rows[i][j], rows[i-2][j-2]+1)
			}
		}
	}
	return rows[len(a)][len(b)]
}

// quoteList formats a list of words for a message: "a", "b" or "c".
func quoteList(words []string) string {
	quoted := make([]string, len(words))
	for i, w := range words {
		quoted[i] = fmt.Sprintf("%q", w)
	}
	if n := len(quoted); n > 1 {
		return strings.Join(quoted[:n-1], ", ") + " or " + quoted[n-1]
	}
	return strings.Join(quoted, "")
}

package pairstatus

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"chefsync/cli/internal/exit"
	"chefsync/cli/internal/ui"
	"chefsync/pkg/config"
	"chefsync/pkg/replication"
	"chefsync/pkg/status"
)

// Waiting is the status that tables show of a pair before its first pass, for which data
// says bootstrapping.
const Waiting replication.Status = "waiting"

// ShownStatuses returns the statuses that tables and pages show, the worst first.
func ShownStatuses() []replication.Status {
	known := status.Statuses()
	return slices.Insert(known, slices.Index(known, replication.Syncing), Waiting)
}

// ShownStatus returns the status as tables and pages show it: a pair before its first pass waits.
func (r *PairRow) ShownStatus() replication.Status {
	isNew := func(x status.Reason) bool { return x.Cause == status.CauseNeverRun }
	if r.Status == replication.Bootstrapping && slices.ContainsFunc(r.Reasons, isNew) {
		return Waiting
	}
	return r.Status
}

// isQuiet reports whether nothing is wrong with a pair, and no operator stopped it.
func (r *PairRow) isQuiet() bool {
	return slices.Contains([]replication.Status{Waiting, replication.Syncing, replication.Synced}, r.ShownStatus())
}

// sortByTrouble returns the rows with those first that need an operator.
func sortByTrouble(rows []PairRow) []PairRow {
	rows = slices.Clone(rows)
	rank := func(r PairRow) int { return slices.Index(ShownStatuses(), r.ShownStatus()) }
	slices.SortStableFunc(rows, func(a, b PairRow) int { return cmp.Compare(rank(a), rank(b)) })
	return rows
}

// countStatuses returns how many rows have each status, as in "6 held" and "3 retrying":
// the most frequent first.
func countStatuses(o *ui.Output, rows []PairRow) []string {
	counts := map[replication.Status]int{}
	for _, r := range rows {
		counts[r.ShownStatus()]++
	}
	order := slices.DeleteFunc(ShownStatuses(), func(s replication.Status) bool { return counts[s] == 0 })
	slices.SortStableFunc(order, func(a, b replication.Status) int { return cmp.Compare(counts[b], counts[a]) })
	parts := make([]string, len(order))
	for i, s := range order {
		parts[i] = string(o.Paint(statusColor(s), fmt.Sprintf("%d %s", counts[s], s)))
	}
	return parts
}

// Filter selects rows by their status. The zero Filter selects all.
type Filter struct {
	Statuses []string
	Problems bool // only rows that aren't quiet
}

// Check returns a usage error for a status that doesn't exist.
func (f Filter) Check() error {
	known := Statuses()
	for _, w := range f.Statuses {
		if slices.Contains(known, w) {
			continue
		}
		hint := "statuses are " + strings.Join(known, ", ")
		if near := config.DidYouMean(w, known); near != "" {
			return exit.Usagef(hint, "--status: %q is not a status; did you mean %s?", w, near)
		}
		return exit.Usagef(hint, "--status: %q is not a status", w)
	}
	return nil
}

// apply returns the rows that the filter selects.
func (f Filter) apply(rows []PairRow) []PairRow {
	selected := []PairRow{}
	for _, r := range rows {
		named := slices.Contains(f.Statuses, string(r.Status)) || slices.Contains(f.Statuses, string(r.ShownStatus()))
		if (len(f.Statuses) == 0 || named) && !(f.Problems && r.isQuiet()) {
			selected = append(selected, r)
		}
	}
	return selected
}

// nothing says that the filter selects none of the rows.
func (f Filter) nothing() string {
	if len(f.Statuses) > 0 {
		return "no pair is " + strings.Join(f.Statuses, " or ")
	}
	return "no pair has a problem"
}

// Statuses returns the words for a status.
func Statuses() (words []string) {
	for _, s := range ShownStatuses() {
		words = append(words, string(s))
	}
	return words
}

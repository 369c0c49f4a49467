package doctor

import (
	"fmt"
	"slices"

	"chefsync/cli/internal/exit"
	"chefsync/cli/internal/ui"
)

// Diagnosis is the result of all checks.
type Diagnosis struct {
	State  State   `json:"state"`
	Counts Counts  `json:"counts"`
	Checks []Check `json:"checks"`
}

// NewDiagnosis counts checks. Its state is the worst one of them.
func NewDiagnosis(checks []Check) Diagnosis {
	d := Diagnosis{State: OK, Counts: Count(checks), Checks: checks}
	switch {
	case d.Counts.Failed > 0:
		d.State = Fail
	case d.Counts.Warnings > 0:
		d.State = Warn
	}
	return d
}

// Failures returns the checks that failed.
func Failures(checks []Check) []Check {
	return slices.DeleteFunc(slices.Clone(checks), func(c Check) bool { return c.State != Fail })
}

// screenful is the number of checks that fit on a screen. Of more, those that say the same
// are shown as one, and the failures again at the end.
const screenful = 40

// ShowDiagnosis prints a diagnosis.
func ShowDiagnosis(t *ui.Grid, d Diagnosis) {
	group := ""
	for _, c := range fold(d.Checks) {
		if c.Group != group {
			group = c.Group
			t.Line("%s", t.Paint(ui.Bold, group))
		}
		showCheck(t, c, "")
	}
	if failed := d.Counts.Failed; failed > 0 && failed < len(d.Checks) && len(d.Checks) > screenful {
		t.Line("%s", t.Paint(ui.Bold, "failed"))
		for _, c := range Failures(d.Checks) {
			showCheck(t, c, c.Group+", ")
		}
	}
	style := map[State]ui.Color{OK: ui.Green, Warn: ui.Yellow, Fail: ui.Red}[d.State]
	t.Line("%s", t.Paint(style, summarize(d.Counts)))
}

// foldFrom is the number of checks with the same result that are shown as one.
const foldFrom = 4

// fold joins checks of a group that passed and say the same, such as those of forty
// organizations. The first stands for all of them.
func fold(checks []Check) (folded []Check) {
	if len(checks) <= screenful {
		return checks
	}
	type result struct{ group, detail string }
	same := map[result]int{}
	for _, c := range checks {
		if c.State == OK {
			same[result{c.Group, c.Detail}]++
		}
	}
	for _, c := range checks {
		n := same[result{c.Group, c.Detail}]
		if c.State == OK && n >= foldFrom {
			c.Name += fmt.Sprintf(" and %d more", n-1)
			same[result{c.Group, c.Detail}] = -1
		}
		if c.State != OK || n >= 0 {
			folded = append(folded, c)
		}
	}
	return folded
}

func showCheck(t *ui.Grid, c Check, group string) {
	t.Line("  %s %s%s: %s", t.Mark(c.State.mark()), group, c.Name, ui.Lines(c.Detail, "      "))
	if c.Hint != "" {
		t.Line("      Try: %s", c.Hint)
	}
}

// summarize returns the last line: "2 failed, 1 warning, 24 passed".
func summarize(n Counts) string {
	words := ""
	if n.Failed > 0 {
		words += fmt.Sprintf("%d failed, ", n.Failed)
	}
	if n.Warnings > 0 {
		words += ui.Plural(n.Warnings, "warning") + ", "
	}
	words += fmt.Sprintf("%d passed", n.Passed)
	if n.NotChecked > 0 {
		words += fmt.Sprintf(", %d not checked", n.NotChecked)
	}
	return words
}

// ExitCode returns the exit code of the first failure.
func ExitCode(d Diagnosis) exit.Code {
	for _, c := range d.Checks {
		if c.State != Fail {
			continue
		}
		if c.Class != "" {
			return exit.OfClass(c.Class)
		}
		return exit.Failed
	}
	return exit.OK
}

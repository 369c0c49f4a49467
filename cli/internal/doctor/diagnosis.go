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

// NewDiagnosis counts checks and finds the worst state.
func NewDiagnosis(checks []Check) Diagnosis {
	return Diagnosis{State: Worst(checks), Counts: Count(checks), Checks: checks}
}

// Failures returns the checks that failed.
func Failures(checks []Check) []Check {
	return slices.DeleteFunc(slices.Clone(checks), func(c Check) bool { return c.State != Fail })
}

// repeatFailuresFrom is the number of checks that fit on a screen. Of more, the failures
// are shown again at the end.
const repeatFailuresFrom = 40

// ShowDiagnosis prints a diagnosis.
func ShowDiagnosis(t *ui.Grid, d Diagnosis) {
	group := ""
	for _, c := range d.Checks {
		if c.Group != group {
			group = c.Group
			t.Line("%s", t.Paint(ui.Bold, group))
		}
		showCheck(t, c, "")
	}
	if failed := d.Counts.Failed; failed > 0 && failed < len(d.Checks) && len(d.Checks) > repeatFailuresFrom {
		t.Line("%s", t.Paint(ui.Bold, "failed"))
		for _, c := range Failures(d.Checks) {
			showCheck(t, c, c.Group+", ")
		}
	}
	style := map[State]ui.Color{OK: ui.Green, Warn: ui.Yellow, Fail: ui.Red}[d.State]
	t.Line("%s", t.Paint(style, summarize(d.Counts)))
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

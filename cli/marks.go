package cli

import (
	"chefsync/cli/internal/doctor"
	"chefsync/cli/internal/ui"
	"chefsync/pkg/prepare"
)

// mark is the tick mark of a check.
func mark(t *ui.Grid, s doctor.State) ui.Text {
	switch s {
	case doctor.OK:
		return t.Paint(ui.Green, "✓")
	case doctor.Warn:
		return t.Paint(ui.Yellow, "!")
	case doctor.Skip:
		return t.Paint(ui.Faint, "-")
	}
	return t.Paint(ui.Red, "✗")
}

func stepState(s prepare.State) doctor.State {
	switch s {
	case prepare.Fine, prepare.Done:
		return doctor.OK
	case prepare.Unknown:
		return doctor.Skip
	}
	return doctor.Fail
}

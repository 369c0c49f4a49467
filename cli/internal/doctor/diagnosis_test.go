package doctor_test

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"testing"

	"chefsync/cli/internal/doctor"
	"chefsync/cli/internal/ui"
)

func show(t *testing.T, checks []doctor.Check) string {
	t.Helper()
	var b bytes.Buffer
	d := doctor.NewDiagnosis(checks)
	if err := (&ui.Output{Out: &b, Format: ui.Table}).Emit(d, func(g *ui.Grid) { doctor.ShowDiagnosis(g, d) }); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// Of checks that passed and say the same, one is shown, whatever stands between them, beyond a screen.
func TestEqualChecksAreShownOnce(t *testing.T) {
	few, many := &doctor.List{Group: "replica eu"}, &doctor.List{Group: "replica us"}
	for n := range 20 {
		if n < 3 {
			few.OK(fmt.Sprintf("organization team-%d", n), "reads all")
		}
		many.OK(fmt.Sprintf("organization team-%d", n), "reads all")
		many.Warn(fmt.Sprintf("feed of team-%d", n), "", "reads all")
	}
	got := show(t, append(few.Checks, many.Checks...))
	if strings.Count(got, "✓ organization") != 4 || !strings.Contains(got, "✓ organization team-0 and 19 more: reads all\n") ||
		strings.Count(got, "! feed of") != 20 || !strings.HasSuffix(got, "\n20 warnings, 23 passed\n") {
		t.Errorf("got\n%s", got)
	}
	if got := show(t, many.Checks); strings.Count(got, "✓ organization") != 20 {
		t.Errorf("on one screen:\n%s", got)
	}
}

// Beyond a screen, failures are shown again at the end.
func TestFailuresAreRepeatedBelowALongList(t *testing.T) {
	l := &doctor.List{Group: "pairs"}
	l.Fail("eu/acme", "look there", errors.New("is blocked"))
	if got := show(t, l.Checks); strings.Count(got, "is blocked") != 1 {
		t.Errorf("got\n%s", got)
	}
	for n := range 40 {
		l.OK(fmt.Sprintf("eu/team-%d", n), "synced since %d", n)
	}
	if got := show(t, l.Checks); !strings.HasSuffix(got, "\nfailed\n  ✗ pairs, eu/acme: is blocked\n      Try: look there\n1 failed, 40 passed\n") {
		t.Errorf("got\n%s", got)
	}
	if got := show(t, doctor.Failures(l.Checks)); strings.Count(got, "is blocked") != 1 || strings.Contains(got, "✓") {
		t.Errorf("got\n%s", got)
	}
}

package cli

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"

	"chefsync/cli/internal/app"
	"chefsync/cli/internal/doctor"
	"chefsync/cli/internal/exit"
	"chefsync/cli/internal/ui"
	"chefsync/pkg/replication"
	"chefsync/pkg/status"
)

// selectForDoctor finds the pairs that arguments name, as for all commands; the name of
// a replica means all its pairs.
func selectForDoctor(a *app.App, args []string) ([]app.Pair, error) {
	all := a.Pairs()
	if len(args) == 0 {
		return all, nil
	}
	chosen := map[replication.PairID]bool{}
	for _, arg := range args {
		pairs, err := a.Select(arg)
		for _, p := range all {
			if p.ID.Replica == arg {
				pairs, err = append(pairs, p), nil
			}
		}
		if err != nil {
			return nil, err
		}
		for _, p := range pairs {
			chosen[p.ID] = true
		}
	}
	return slices.DeleteFunc(slices.Clone(all), func(p app.Pair) bool { return !chosen[p.ID] }), nil
}

// pairChecks say what the state knows of the pairs, as sync-status does. Whatever keeps
// a replica from being what its primary is is a failure.
func pairChecks(ctx context.Context, a *app.App, pairs []app.Pair, now time.Time) []doctor.Check {
	l := &doctor.List{Group: "pairs"}
	servers, unread := serversStatus(ctx, a, pairs, now)
	rows, err := statusOf(ctx, a, pairs, servers, now)
	err = cmp.Or(err, unread)
	for _, r := range rows {
		pairCheck(l, r)
	}
	if err != nil {
		l.Fail("records", exit.Hint(err), err)
	}
	return l.Checks
}

// pairCheck adds a line for each reason that keeps a pair from being in sync.
func pairCheck(l *doctor.List, r statusRow) {
	name := r.Pair.String()
	if len(r.Reasons) == 0 {
		l.OK(name, "%s, last success %s", r.Status, ui.Stamp(r.LastSuccess))
	}
	for _, why := range r.Reasons {
		switch why.Cause {
		case status.CauseStopped, status.CausePending:
			l.Warn(name, why.Hint, "%s", why.Text)
		case status.CauseNeverRun:
			l.OK(name, "%s", why.Text)
		default:
			text := why.Text
			if why.Cause == status.CauseHeld {
				text = "held: " + text
			}
			l.Add(doctor.Check{Name: name, State: doctor.Fail, Detail: text, Hint: why.Hint, Class: why.Class})
		}
	}
}

// longDiagnosis is how many checks are more than a screen.
const longDiagnosis = 40

func showDiagnosis(t *ui.Grid, d diagnosis) {
	group := ""
	for _, c := range d.Checks {
		if c.Group != group {
			group = c.Group
			t.Line("%s", t.Paint(ui.Bold, group))
		}
		showCheck(t, c, "")
	}
	if d.Counts.Failed > 0 && len(d.Checks) > longDiagnosis {
		t.Line("%s", t.Paint(ui.Bold, "failed"))
		for _, c := range d.Checks {
			if c.State == doctor.Fail {
				showCheck(t, c, c.Group+", ")
			}
		}
	}
	style := map[doctor.State]ui.Color{doctor.OK: ui.Green, doctor.Warn: ui.Yellow, doctor.Fail: ui.Red}[d.State]
	t.Line("%s", t.Paint(style, countWords(d.Counts)))
}

func showCheck(t *ui.Grid, c doctor.Check, group string) {
	t.Line("  %s %s%s: %s", mark(t, c.State), group, c.Name, ui.Lines(c.Detail, "      "))
	if c.Hint != "" {
		t.Line("      Try: %s", c.Hint)
	}
}

// countWords is the last line: "2 failed, 1 warning, 24 passed".
func countWords(n doctor.Counts) string {
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

// diagnosisCode is the exit code of the first failure.
func diagnosisCode(d diagnosis) exit.Code {
	for _, c := range d.Checks {
		if c.State != doctor.Fail {
			continue
		}
		if c.Class != "" {
			return exit.OfClass(c.Class)
		}
		return exit.Failed
	}
	return exit.OK
}

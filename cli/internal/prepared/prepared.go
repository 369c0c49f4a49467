// Package prepared shows what prepare-org did.
package prepared

import (
	"cmp"
	"fmt"
	"strings"
	"unicode/utf8"

	"chefsync/cli/internal/exit"
	"chefsync/cli/internal/ui"
	"chefsync/pkg/config"
	"chefsync/pkg/prepare"
)

// Target is an organization on a server.
type Target struct {
	Side   prepare.Side
	Server config.Server
	Org    string
}

// Show prints the report of one organization.
func Show(out *ui.Output, r *prepare.Report, check bool) error {
	return out.Emit(r, func(t *ui.Grid) {
		t.Line("%s, organization %s on %s", r.Side, r.Organization, r.Server)
		for _, s := range r.Steps {
			t.Row("  "+t.Mark(stepMark(s.State)), s.What, s.Detail)
		}
		if !r.Ready {
			return
		}
		t.Line("groups:         %s", ui.OrDash(strings.Join(r.Groups, ", ")))
		t.Line("organizations:  %s", ui.OrDash(strings.Join(r.Organizations, ", ")))
		t.Line("actors:         %s", ui.OrDash(strings.Join(r.Actors, ", ")))
		switch {
		case r.Changed:
			t.Line("%s", t.Paint(ui.Green, "prepared"))
		case check && len(r.Unchecked) > 0:
			t.Line("%s", t.Paint(ui.Yellow, "not all permissions were checked: add --admin-user and --admin-key; nothing changed"))
		default:
			t.Line("%s", t.Paint(ui.Green, "already prepared; nothing changed"))
		}
	})
}

// CodeOf returns the exit code of a report without an error.
func CodeOf(r *prepare.Report) exit.Code {
	if r.Ready {
		return exit.OK
	}
	return exit.Differences
}

// Row is the result for one of several organizations.
type Row struct {
	*prepare.Report
	Error string `json:"error,omitempty"`
	Hint  string `json:"hint,omitempty"`
}

// List prints a line for each of several organizations as it is done, and counts.
type List struct {
	out     *ui.Output
	check   bool
	targets []Target

	rows                                  []Row
	prepared, already, unchecked, missing int
	failed                                []error
}

// NewList returns a list of what is prepared of the targets.
func NewList(out *ui.Output, check bool, targets []Target) *List {
	return &List{out: out, check: check, targets: targets, rows: []Row{}}
}

// Add prints the result of a target. The report is nil if there is only an error.
func (l *List) Add(at Target, r *prepare.Report, err error) error {
	if r == nil {
		r = &prepare.Report{Organization: at.Org, Side: at.Side, Name: at.Server.User, Key: at.Server.Key.String(), Steps: []prepare.Step{},
			Groups: []string{}, Organizations: []string{}, Actors: []string{}}
	}
	r.Server = cmp.Or(r.Server, at.Server.Name)
	row := Row{Report: r}
	mark, text := ui.Passed, "already prepared"
	switch {
	case err != nil:
		row.Error, row.Hint = err.Error(), exit.Hint(err)
		l.failed = append(l.failed, err)
		mark, text = ui.Failed, row.Error
	case !r.Ready:
		l.missing++
		mark, text = ui.Failed, "missing: "+strings.Join(missingSteps(r), "; ")
	case r.Changed:
		l.prepared++
		text = "prepared"
	case l.check && len(r.Unchecked) > 0:
		l.unchecked++
		mark, text = ui.Warned, "prepared, but not all permissions were checked"
	default:
		l.already++
	}
	l.rows = append(l.rows, row)
	if l.out.IsData() {
		return nil
	}
	return l.out.Emit(nil, func(t *ui.Grid) {
		t.Line("%s %s  %s", t.Mark(mark), l.nameOf(at), text)
		if row.Hint != "" {
			t.Line("    Try: %s", row.Hint)
		}
	})
}

// nameOf returns the server and organization of a target, as wide as the widest.
func (l *List) nameOf(at Target) ui.Text {
	server, org := 0, 0
	for _, t := range l.targets {
		server, org = max(server, utf8.RuneCountInString(t.Server.Name)), max(org, utf8.RuneCountInString(t.Org))
	}
	return ui.Text(fmt.Sprintf("%-*s  %-*s", server, ui.Safe(at.Server.Name), org, ui.Safe(at.Org)))
}

// missingSteps names what a check missed.
func missingSteps(r *prepare.Report) (words []string) {
	for _, s := range r.Steps {
		if s.State == prepare.Missing || s.State == prepare.Failed {
			words = append(words, s.What)
		}
	}
	return words
}

// End prints the summary, or all results as data. The error has the exit code.
func (l *List) End() error {
	err := l.out.Emit(l.rows, func(t *ui.Grid) {
		var words []string
		for _, c := range []struct {
			n    int
			what string
		}{{len(l.failed), "failed"}, {l.missing, "not prepared"}, {l.prepared, "prepared"}, {l.already, "already prepared"},
			{l.unchecked, "not fully checked: add --admin-user and --admin-key"}} {
			if c.n > 0 {
				words = append(words, fmt.Sprintf("%d %s", c.n, c.what))
			}
		}
		color := ui.Green
		switch {
		case len(l.failed)+l.missing > 0:
			color = ui.Red
		case l.unchecked > 0:
			color = ui.Yellow
		}
		t.Line("%s", t.Paint(color, strings.Join(words, ", ")))
	})
	switch {
	case err != nil:
		return err
	case len(l.failed) > 0:
		return exit.Silent(exit.Of(l.failed[0]))
	case l.missing > 0:
		return exit.Silent(exit.Differences)
	}
	return nil
}

func stepMark(s prepare.State) ui.Mark {
	switch s {
	case prepare.Fine, prepare.Done:
		return ui.Passed
	case prepare.Unknown:
		return ui.Skipped
	}
	return ui.Failed
}

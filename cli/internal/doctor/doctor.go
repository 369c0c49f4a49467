// Package doctor finds out what keeps replication from working, before or after
// it fails: each check says what it saw and, if that is bad, what to try. It
// writes nothing to any server.
package doctor

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"sync"

	"chefsync/cli/internal/ui"
	"chefsync/pkg/fault"
)

// State is the result of a check.
type State string

// The results.
const (
	OK   State = "ok"
	Warn State = "warn" // works, but look at it
	Fail State = "fail"
	Skip State = "skip" // couldn't be looked at, because of a failure before
)

// Check is one thing that was looked at.
type Check struct {
	Group  string `json:"group"`
	Name   string `json:"name"`
	State  State  `json:"state"`
	Detail string `json:"detail,omitempty"`
	Hint   string `json:"hint,omitempty"`
	// Class of the failure, where it has one, for the exit code.
	Class fault.Class `json:"class,omitempty"`
}

// List collects the checks of a group.
type List struct {
	Group  string
	Checks []Check
}

// OK notes something that is as it should be.
func (l *List) OK(name, format string, args ...any) {
	l.Add(Check{Name: name, State: OK, Detail: fmt.Sprintf(format, args...)})
}

// Warn notes something to look at.
func (l *List) Warn(name, hint, format string, args ...any) {
	l.Add(Check{Name: name, State: Warn, Detail: fmt.Sprintf(format, args...), Hint: hint})
}

// Skip notes something that couldn't be looked at.
func (l *List) Skip(name, format string, args ...any) {
	l.Add(Check{Name: name, State: Skip, Detail: fmt.Sprintf(format, args...)})
}

// Fail notes an error with what it says to try; hint goes before that.
func (l *List) Fail(name, hint string, err error) {
	class, _ := fault.LookupClass(err)
	l.Add(Check{Name: name, State: Fail, Detail: err.Error(), Hint: cmp.Or(hint, fault.HintOf(err)), Class: class})
}

// Add notes a check of the group.
func (l *List) Add(c Check) {
	c.Group = l.Group
	l.Checks = append(l.Checks, c)
}

// Counts says how many checks had each result.
type Counts struct {
	Failed     int `json:"failed"`
	Warnings   int `json:"warnings"`
	Passed     int `json:"passed"`
	NotChecked int `json:"not_checked"`
}

// Count counts checks by their results.
func Count(checks []Check) (n Counts) {
	for _, c := range checks {
		switch c.State {
		case Fail:
			n.Failed++
		case Warn:
			n.Warnings++
		case Skip:
			n.NotChecked++
		default:
			n.Passed++
		}
	}
	return n
}

// All runs groups of checks at once and returns their results in order.
func All(ctx context.Context, groups ...func(context.Context) []Check) []Check {
	results := make([][]Check, len(groups))
	var group sync.WaitGroup
	for i, check := range groups {
		group.Go(func() { results[i] = check(ctx) })
	}
	group.Wait()
	return slices.Concat(results...)
}

// mark returns the mark of a state.
func (s State) mark() ui.Mark {
	switch s {
	case OK:
		return ui.Passed
	case Warn:
		return ui.Warned
	case Skip:
		return ui.Skipped
	}
	return ui.Failed
}

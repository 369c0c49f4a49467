package exit_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"chefsync/cli/internal/exit"
	"chefsync/pkg/chef"
	"chefsync/pkg/fault"
	"chefsync/pkg/replication"
)

func TestEveryErrorHasItsExitCode(t *testing.T) {
	classed := func(c fault.Class) error {
		return fmt.Errorf("outer: %w", &fault.Error{Op: "read", Class: c, Err: errors.New("x")})
	}
	for _, c := range []struct {
		name string
		err  error
		want exit.Code
	}{
		{"none", nil, exit.OK},
		{"plain", errors.New("x"), exit.Failed},
		{"usage", exit.Usagef("", "x"), exit.Usage},
		{"wrapped code", fmt.Errorf("a: %w", exit.With(exit.Held, errors.New("b"), "")), exit.Held},
		{"interrupted", fmt.Errorf("a: %w", context.Canceled), exit.Interrupted},
		{"time-out", context.DeadlineExceeded, exit.Temporary},
		{"leased", &replication.LeasedError{}, exit.Locked},
		{"fenced", fmt.Errorf("a: %w", replication.ErrFenced), exit.Locked},
		{"absent", classed(fault.Absent), exit.NotFound},
		{"no organization", classed(fault.NoOrganization), exit.NotFound},
		{"denied", classed(fault.Denied), exit.Denied},
		{"forbidden", classed(fault.Forbidden), exit.Denied},
		{"transient", classed(fault.Transient), exit.Temporary},
		{"unreachable", classed(fault.Unreachable), exit.Temporary},
		{"foreign", classed(fault.Foreign), exit.Temporary},
		{"rejected", classed(fault.Rejected), exit.Failed},
		{"local", classed(fault.Local), exit.Failed},
		{"an unknown CA", &chef.Error{Kind: chef.KindTLS}, exit.Temporary},
		{"no version in common", &chef.Error{Kind: chef.KindVersion}, exit.Temporary},
		{"silent", exit.Silent(exit.Differences), exit.Differences},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := exit.Of(c.err); got != c.want {
				t.Errorf("Of(%v) = %d, want %d", c.err, got, c.want)
			}
		})
	}
}

func TestFailuresOfPairsAreJoinedUnderOneCode(t *testing.T) {
	away := &fault.Error{Op: "read a", Class: fault.Unreachable, Hint: "look at the wire"}
	denied := &fault.Error{Op: "read b", Class: fault.Denied, Hint: "look at the key"}
	partial := exit.With(exit.Partial, errors.New("c has work left"), "run it again")
	for _, c := range []struct {
		name string
		errs []error
		code exit.Code
		want string
	}{
		{"none", []error{nil, nil}, exit.OK, ""},
		{"one of several", []error{nil, away, nil}, exit.Temporary, "Error: read a\nTry: look at the wire\n"},
		{"the first counts", []error{denied, away}, exit.Denied, "Error: read b\n  read a\nTry: look at the key\n"},
		{"a failure counts more than work left", []error{partial, away}, exit.Temporary, "Error: c has work left\n  read a\nTry: look at the wire\n"},
		{"a signal counts most", []error{away, context.Canceled}, exit.Interrupted, "Error: read a\n  context canceled\nTry: look at the wire\n"},
		{"work left alone", []error{partial, exit.Silent(exit.Differences)}, exit.Partial, "Error: c has work left\nTry: run it again\n"},
		{"what the output shows", []error{exit.Silent(exit.Differences), exit.Silent(exit.Held)}, exit.Held, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			var b bytes.Buffer
			err := exit.Join(c.errs...)
			exit.Report(&b, err, false, false)
			if got := exit.Of(err); got != c.code || b.String() != c.want {
				t.Errorf("code %d, want %d; reported %q, want %q", got, c.code, b.String(), c.want)
			}
		})
	}
	many := exit.Join(slices.Repeat([]error{away}, 200)...)
	if lines := strings.Split(many.Error(), "\n"); len(lines) != 11 || lines[10] != "and 190 more failures" {
		t.Errorf("many failures are told as %q", lines)
	}
}

func TestAnErrorIsReportedWithWhatToTry(t *testing.T) {
	err := &fault.Error{Op: "read", Server: "eu", Class: fault.Denied, Hint: "check the key", Err: errors.New("401")}
	for _, c := range []struct {
		name string
		err  error
		json bool
		want string
	}{
		{"text", err, false, "Error: read on eu: 401\nTry: check the key\n"},
		{"json", err, true, `{"error":{"code":9,"message":"read on eu: 401","class":"denied","hint":"check the key"}}` + "\n"},
		{"no hint", errors.New("x<y"), false, "Error: x<y\n"},
		{"no hint json", errors.New("x<y"), true, `{"error":{"code":1,"message":"x<y"}}` + "\n"},
		{"silent", exit.Silent(exit.Partial), true, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			var b bytes.Buffer
			exit.Report(&b, c.err, c.json, false)
			if b.String() != c.want {
				t.Errorf("got %q, want %q", b.String(), c.want)
			}
		})
	}
}

func TestErrorsAreColored(t *testing.T) {
	var b bytes.Buffer
	exit.Report(&b, exit.Usagef("this", "no \x1b[1mgood"), false, true)
	if want := "\x1b[31mError:\x1b[0m no \\x1b[1mgood\n\x1b[1mTry:\x1b[0m this\n"; b.String() != want {
		t.Errorf("got %q, want %q", b.String(), want)
	}
}

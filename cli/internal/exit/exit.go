// Package exit maps errors to the exit code of the program and to a hint what to try.
package exit

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"chefsync/cli/internal/ui"
	"chefsync/pkg/fault"
	"chefsync/pkg/replication"
)

// Code is an exit code of the program. New codes may be added; an unknown one
// means failure.
type Code int

// The exit codes.
const (
	OK          Code = 0   // done, in sync
	Failed      Code = 1   // failed, no other code fits
	Usage       Code = 2   // wrong arguments or a wrong configuration
	Partial     Code = 3   // finished, but some objects aren't in sync
	NotFound    Code = 4   // no such pair, organization or object
	Temporary   Code = 5   // throttled or unreachable; trying again may help
	Differences Code = 6   // differences were found
	Held        Code = 7   // deletions wait for approval
	Locked      Code = 8   // another run works on the pair
	Denied      Code = 9   // authentication or permission
	Interrupted Code = 130 // a signal ended it
)

// Table returns the table of exit codes as help shows it.
func Table() string {
	return `  0    done, in sync
  1    failed
  2    usage or configuration error
  3    finished, but some objects are not in sync
  4    pair, organization or object not found
  5    temporary failure (unreachable, throttled, timed out); retry may help
  6    differences found
  7    held: deletions wait for approval
  8    the pair is locked by another run
  9    authentication or permission failure
  130  interrupted
  Treat any other code as a failure.`
}

// Error is an error with its exit code and what to try.
type Error struct {
	Code Code
	Hint string // a sentence without a full stop; may be empty
	Err  error  // nil for an outcome that was already reported
}

// Error is the message of the cause.
func (e *Error) Error() string {
	if e.Err == nil {
		return fmt.Sprintf("exit code %d", e.Code)
	}
	return e.Err.Error()
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

// With gives an error an exit code and a hint. A nil error stays nil.
func With(code Code, err error, hint string) error {
	if err == nil {
		return nil
	}
	return &Error{Code: code, Hint: hint, Err: err}
}

// Usagef is a usage error.
func Usagef(hint, format string, args ...any) error {
	return &Error{Code: Usage, Hint: hint, Err: fmt.Errorf(format, args...)}
}

// Silent ends the program with a code whose reason the output already shows.
func Silent(code Code) error {
	if code == OK {
		return nil
	}
	return &Error{Code: code}
}

// bySeverity returns the codes of what keeps pairs from being in sync, the worst first.
func bySeverity() []Code { return []Code{Denied, Held, Temporary, Differences, Partial} }

// Worst returns the worst code of what was found in several pairs or objects.
func Worst(codes ...Code) Code {
	for _, c := range bySeverity() {
		if slices.Contains(codes, c) {
			return c
		}
	}
	return OK
}

// joinedShown is the number of failures that Join shows.
const joinedShown = 10

// Join joins the errors of several pairs. The exit code and the hint are those of the
// first; errors that only say that objects differ or aren't in sync count less, and the
// end by a signal more.
func Join(errs ...error) error {
	var first error
	var shown []error
	for _, err := range errs {
		if err == nil {
			continue
		}
		if first == nil || joinWeight(err) > joinWeight(first) {
			first = err
		}
		var coded *Error
		if !errors.As(err, &coded) || coded.Err != nil { // else the output shows it
			shown = append(shown, err)
		}
	}
	if more := len(shown) - joinedShown; more > 1 {
		shown = append(shown[:joinedShown:joinedShown], fmt.Errorf("and %d more failures", more))
	}
	switch len(shown) {
	case 0:
		return first
	case 1:
		return With(Of(first), shown[0], Hint(first))
	}
	return With(Of(first), errors.Join(shown...), Hint(first))
}

func joinWeight(err error) int {
	switch Of(err) {
	case Interrupted:
		return 2
	case Partial, Differences:
		return 0
	}
	return 1
}

// Of returns the exit code of an error.
func Of(err error) Code {
	var coded *Error
	var leased *replication.LeasedError
	switch {
	case err == nil:
		return OK
	case errors.As(err, &coded):
		return coded.Code
	case errors.Is(err, context.Canceled):
		return Interrupted
	case errors.Is(err, context.DeadlineExceeded):
		return Temporary
	case errors.As(err, &leased), errors.Is(err, replication.ErrFenced):
		return Locked
	}
	if class, ok := fault.LookupClass(err); ok {
		return OfClass(class)
	}
	return Failed
}

// OfClass returns the exit code for a class of errors that ended the work.
func OfClass(c fault.Class) Code {
	switch c {
	case fault.Absent, fault.NoOrganization:
		return NotFound
	case fault.Denied, fault.Forbidden:
		return Denied
	case fault.Transient, fault.Unreachable, fault.Foreign:
		return Temporary
	}
	return Failed
}

// Hint returns what to try, or "".
func Hint(err error) string {
	var coded *Error
	if errors.As(err, &coded) && coded.Hint != "" {
		return coded.Hint
	}
	if hint := fault.HintOf(err); hint != "" {
		return hint
	}
	var leased *replication.LeasedError
	switch {
	case errors.As(err, &leased):
		return "wait until the other run has finished; to see which process it is: chef-sync-ctl sync-status"
	case errors.Is(err, replication.ErrSchema):
		return "use the newer chef-sync-ctl that wrote the state, or configure another state file"
	case errors.Is(err, replication.ErrFenced):
		return "run the command again"
	}
	return ""
}

// report is the JSON object that stands for an error.
type report struct {
	Error reportBody `json:"error"`
}

type reportBody struct {
	Code    Code        `json:"code"`
	Message string      `json:"message"`
	Class   fault.Class `json:"class,omitempty"`
	Hint    string      `json:"hint,omitempty"`
}

// Report writes the error to w: one JSON object, or the message and a "Try:"
// line, in color if wanted. Outcomes that the output already shows write nothing.
func Report(w io.Writer, err error, asJSON, color bool) {
	var coded *Error
	if err == nil || errors.As(err, &coded) && coded.Err == nil {
		return
	}
	if asJSON {
		class, _ := fault.LookupClass(err)
		body := reportBody{Code: Of(err), Message: err.Error(), Class: class, Hint: Hint(err)}
		enc := json.NewEncoder(w)
		enc.SetEscapeHTML(false)
		_ = enc.Encode(report{body}) // stderr is gone: nobody left to tell
		return
	}
	out := &ui.Output{Err: w, Color: color}
	out.Note("%s %s", out.Paint(ui.Red, "Error:"), err)
	if hint := Hint(err); hint != "" {
		out.Note("%s %s", out.Paint(ui.Bold, "Try:"), strings.TrimSuffix(hint, "."))
	}
}

package chef

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"chefsync/pkg/fault"
	"chefsync/pkg/object"
)

// Error is a failed request.
type Error struct {
	Server     string // as the user calls it
	Op         string // of sandboxes: OpCreateSandbox or OpCommitSandbox
	Method     string
	Path       string // as sent, without host; of file URLs without the query
	Status     int    // 0 when there was no answer
	Kind       Kind
	Message    string // the server's own words, cleaned and cut
	Hint       string // what to try
	RetryAfter time.Duration
	Attempts   int
	// Unsure: this or an earlier attempt may have taken effect, because its
	// answer was lost or a 5xx.
	Unsure bool
	Err    error

	notSent bool // the breaker of the server is open
}

// Error returns the request, the status and the server's words.
func (e *Error) Error() string {
	var b strings.Builder
	b.WriteString(strings.TrimSpace(e.Method + " " + e.Path))
	if e.Server != "" {
		b.WriteString(" on " + e.Server)
	}
	return b.String() + ": " + e.Reason()
}

// Reason returns the error without the request: kind, status and the server's words.
func (e *Error) Reason() string {
	var b strings.Builder
	b.WriteString(string(e.Kind))
	if e.Status != 0 {
		fmt.Fprintf(&b, " (%d)", e.Status)
	}
	switch {
	case e.Message != "":
		b.WriteString(": " + e.Message)
	case e.Err != nil:
		fmt.Fprintf(&b, ": %v", e.Err)
	}
	return b.String()
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

// Fault returns the class of the error's kind and the hint.
func (e *Error) Fault() (class fault.Class, hint string) { return e.Kind.class(), e.Hint }

// Wrap returns the error as one of an operation on an object. Its message has the reason,
// but not the request.
func (e *Error) Wrap(op string, ref object.Ref) *fault.Error {
	class, hint := e.Fault()
	return &fault.Error{Op: op, Object: ref, Server: e.Server, Class: class, Hint: hint, Err: reasonError{e}}
}

// reasonError formats an error without the request, which the error that wraps it names.
type reasonError struct{ err *Error }

func (r reasonError) Error() string { return r.err.Reason() }

func (r reasonError) Unwrap() error { return r.err }

// KindOf returns the kind of an error, or "" for one that isn't of this package.
func KindOf(err error) Kind {
	var e *Error
	if errors.As(err, &e) {
		return e.Kind
	}
	return ""
}

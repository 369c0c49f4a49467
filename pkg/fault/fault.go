// Package fault is the one taxonomy of errors. Each error of an adapter has a class; the
// engine, the status of a pair and the exit code of a command depend on the class alone.
package fault

import (
	"errors"
	"fmt"
	"strings"

	"chefsync/pkg/object"
)

// Class says what an error means for the work that it ended.
type Class string

// The classes of errors.
const (
	// Absent: the server itself said that the object isn't there.
	Absent Class = "absent"
	// Rejected: this object can't be read or written as it is (400, 413, wrong
	// bytes). Others go on.
	Rejected Class = "rejected"
	// Forbidden: our user is known, but lacks a permission on this object or list.
	// Others go on.
	Forbidden Class = "forbidden"
	// Degraded: the object was written, but the replica can't hold all of it.
	Degraded Class = "degraded"
	// Transient: trying again later may help (5xx, a broken answer). An error
	// without a class counts as Transient.
	Transient Class = "transient"
	// Unreachable: no answer from the server at all. Ends the pass.
	Unreachable Class = "unreachable"
	// Denied: the server refuses us as a whole (wrong key, clock skew, not a
	// member of the organization, license). Ends the pass; needs an operator.
	Denied Class = "denied"
	// NoOrganization: the server has no such organization. Ends the pass; needs an
	// operator.
	NoOrganization Class = "no_organization"
	// Foreign: what answered can't be taken for a Chef Server that we understand
	// (HTML of a proxy, an empty 200, a certificate of an unknown CA). Never to be
	// read as "empty" or "deleted".
	Foreign Class = "foreign"
	// Unserved: the server has no objects of this kind at all: it doesn't know the
	// kind's paths. Other kinds go on; nothing of this one is written or deleted.
	Unserved Class = "unserved"
	// DeletionHeld: the deletion waits for approval. Only records have this class.
	DeletionHeld Class = "held"
	// Local: a fault of this machine or of its configuration (disk full, state
	// unreadable).
	Local Class = "local"
)

// IsRefusal reports whether a server refused one object as it is: nothing was read or
// written, and the server is well.
func (c Class) IsRefusal() bool { return c == Rejected || c == Forbidden }

// NeedsOperator reports whether work that ended with the class goes on only after
// somebody has changed something.
func (c Class) NeedsOperator() bool {
	switch c {
	case Denied, Forbidden, NoOrganization, Foreign, Unserved, Local:
		return true
	}
	return false
}

// Error is an error with what a user needs to act on it.
type Error struct {
	Op     string     // what was tried, such as "read", "write", "upload"
	Object object.Ref // the object, when there is one
	Server string     // the server, as the user named it
	Class  Class
	Hint   string // what to try, a sentence without a full stop
	Err    error
}

// Error says what happened to which object on which server.
func (e *Error) Error() string {
	var b strings.Builder
	b.WriteString(e.Op)
	if e.Object != (object.Ref{}) {
		b.WriteString(" " + e.Object.Path())
	}
	if e.Server != "" {
		b.WriteString(" on " + e.Server)
	}
	if e.Err != nil {
		fmt.Fprintf(&b, ": %v", e.Err)
	}
	return b.String()
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

// Fault returns the class and the hint.
func (e *Error) Fault() (class Class, hint string) { return e.Class, e.Hint }

// classified is an error with a class: *[Error], and the errors of clients that have more
// to say.
type classified interface {
	error
	Fault() (class Class, hint string)
}

// LookupClass returns the class of the outermost error that has one.
func LookupClass(err error) (class Class, ok bool) {
	var c classified
	for errors.As(err, &c) {
		if class, _ := c.Fault(); class != "" {
			return class, true
		}
		err = errors.Unwrap(c)
	}
	return "", false
}

// ClassOf returns the class of an error: Transient for one that has none.
func ClassOf(err error) Class {
	if class, ok := LookupClass(err); ok {
		return class
	}
	return Transient
}

// HintOf returns what the outermost error with a hint says to try, or "".
func HintOf(err error) string {
	var c classified
	for errors.As(err, &c) {
		if _, hint := c.Fault(); hint != "" {
			return hint
		}
		err = errors.Unwrap(c)
	}
	return ""
}

// IsAbsent reports whether the server itself said that the object isn't there.
func IsAbsent(err error) bool { return err != nil && ClassOf(err) == Absent }

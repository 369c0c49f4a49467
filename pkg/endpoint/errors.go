package endpoint

import (
	"errors"
	"fmt"

	"chefsync/pkg/chef"
	"chefsync/pkg/replication"
)

// classOf says what an error of the client means for a pass.
func classOf(kind chef.Kind) replication.Class {
	switch kind {
	case chef.KindAbsent:
		return replication.Absent
	case chef.KindClockSkew, chef.KindKey, chef.KindNotMember, chef.KindOrgMissing, chef.KindLicense, chef.KindFrontEnd,
		chef.KindTLS, chef.KindVersion:
		return replication.Denied
	case chef.KindPermission, chef.KindFrozen, chef.KindInvalid, chef.KindTooLarge, chef.KindRequest:
		return replication.Rejected
	case chef.KindUnreachable:
		return replication.Unreachable
	case chef.KindForeign:
		return replication.Foreign
	}
	return replication.Transient
}

// cause prints an error of the client without the request, which the error
// around it names already.
type cause struct{ err *chef.Error }

func (c cause) Error() string { return c.err.Reason() }

func (c cause) Unwrap() error { return c.err }

// side is what sources and targets share: one organization, and its name in
// messages.
type side struct {
	org *chef.Org
}

// fail gives an error of the client its meaning for a pass. Other errors stay as
// they are, and so do those that have a meaning, such as the primary's errors
// that come out of a replica's upload.
func (s side) fail(op string, ref replication.Ref, err error) error {
	var known *replication.Error
	var e *chef.Error
	if errors.As(err, &known) || !errors.As(err, &e) {
		return err
	}
	failed := &replication.Error{Op: op, Ref: ref, Server: s.org.Client().Name(), Class: classOf(e.Kind), Hint: e.Hint, Err: cause{e}}
	if failed.Class == replication.Foreign && optional(ref.Kind) {
		word := ref.Kind.Word()
		failed.Class = replication.Unserved
		failed.Hint = fmt.Sprintf("take %s out of kinds, or use a Chef Server that has them: 12.1 or newer", word)
		failed.Err = fmt.Errorf("the server does not serve %s: %w", word, cause{e})
	}
	return failed
}

// failWrite is fail for writes, in which "absent" concerns what surrounds the
// object, such as its bag: it must not be taken for the object's absence.
func (s side) failWrite(op string, ref replication.Ref, err error) error {
	failed := s.fail(op, ref, err)
	var known, e *replication.Error
	if !errors.As(err, &known) && errors.As(failed, &e) && e.Class == replication.Absent {
		e.Class, e.Hint = replication.Transient, "something else changes the replica meanwhile; it is tried again"
	}
	return failed
}

// reject is an error that this package itself finds.
func (s side) reject(op string, ref replication.Ref, class replication.Class, hint, format string, args ...any) error {
	return &replication.Error{Op: op, Ref: ref, Server: s.org.Client().Name(), Class: class, Hint: hint, Err: fmt.Errorf(format, args...)}
}

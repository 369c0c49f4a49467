package endpoint

import (
	"context"
	"errors"
	"fmt"
	"net/http"

	"chefsync/pkg/chef"
	"chefsync/pkg/object"
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
	case chef.KindFileHost:
		return replication.Local // the configuration is what has to change
	case chef.KindUnreachable:
		return replication.Unreachable
	case chef.KindForeign:
		return replication.Foreign
	}
	return replication.Transient
}

// terse prints an error of the client without the request, which the error
// around it names already.
type terse struct{ err *chef.Error }

func (c terse) Error() string { return c.err.Reason() }

func (c terse) Unwrap() error { return c.err }

// side is what sources and targets share: one organization, and its name in
// messages.
type side struct {
	org *chef.Org
}

// wrapError gives an error of the client its meaning for a pass. Other errors stay as
// they are, and so do those that have a meaning, such as the primary's errors
// that come out of a replica's upload.
func (s side) wrapError(op string, ref object.Ref, err error) error {
	var known *replication.Error
	var e *chef.Error
	if errors.As(err, &known) || !errors.As(err, &e) {
		return err
	}
	failed := &replication.Error{Op: op, Ref: ref, Server: s.org.Client().Name(), Class: classOf(e.Kind), Hint: e.Hint, Err: terse{e}}
	if failed.Class == replication.Foreign && isOptional(ref.Kind) {
		word := ref.Kind.ConfigName()
		failed.Class = replication.Unserved
		failed.Hint = fmt.Sprintf("take %s out of kinds, or use a Chef Server that has them: 12.1 or newer", word)
		failed.Err = fmt.Errorf("the server does not serve %s: %w", word, terse{e})
	}
	return failed
}

// wrapWriteError is wrapError for writes, in which "absent" concerns what surrounds the
// object, such as its bag: it must not be taken for the object's absence.
func (s side) wrapWriteError(op string, ref object.Ref, err error) error {
	failed := s.wrapError(op, ref, err)
	var known, e *replication.Error
	if !errors.As(err, &known) && errors.As(failed, &e) && e.Class == replication.Absent {
		e.Class, e.Hint = replication.Transient, "something else changes the replica meanwhile; it is tried again"
	}
	return failed
}

// newError returns an error that this package itself finds.
func (s side) newError(op string, ref object.Ref, class replication.Class, hint, format string, args ...any) error {
	return &replication.Error{Op: op, Ref: ref, Server: s.org.Client().Name(), Class: class, Hint: hint, Err: fmt.Errorf(format, args...)}
}

// createRefusedError is the error of a create that the server refuses for the whole
// container, which is one trouble of the pair and not one of each object.
func (s side) createRefusedError(kind object.Kind, container string, err error) error {
	c, org := s.org.Client(), s.org.Name()
	text := fmt.Sprintf("user %s has no create permission on the container %s of organization %s (403)", c.User(), container, org)
	return &replication.Error{Op: "create in", Ref: object.Ref{Kind: kind}, Server: c.Name(), Class: replication.Denied,
		Hint: fmt.Sprintf("let an admin of the organization grant it: chef-sync-ctl prepare-org %s --side replica --replica %s",
			org, c.Name()),
		Err: refusedCreate{text, err}}
}

// refusedCreate is [replication.ErrMayNotCreate] and what the server said.
type refusedCreate struct {
	text string
	err  error
}

func (e refusedCreate) Error() string { return e.text }

func (e refusedCreate) Unwrap() []error { return []error{replication.ErrMayNotCreate, e.err} }

// refusedWrite tells a refused create in a container from a refused write of one
// object, for kinds whose requests are the same for both: servers name the
// permission by the method of the request. What isn't there can only be created.
func (t *Target) refusedWrite(ctx context.Context, ref object.Ref, err error) error {
	if chef.KindOf(err) != chef.KindPermission {
		return err
	}
	holder := object.Ref{Kind: ref.Kind, Name: ref.Name}
	if ref.Kind == object.CookbookArtifact {
		holder = ref // each has an ACL of its own
	}
	if _, getErr := t.org.Do(ctx, http.MethodGet, holder.Path(), nil); chef.KindOf(getErr) != chef.KindAbsent {
		return err
	}
	return t.createRefusedError(ref.Kind, containerOf(ref.Kind), err)
}

// containerOf is the container whose ACL decides who creates objects of a kind.
func containerOf(kind object.Kind) string { return object.Ref{Kind: kind}.Path()[1:] }

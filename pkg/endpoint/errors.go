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

// classOf returns the class of an error of the client.
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

// reasonError formats an error of the client without the request, which the error that
// wraps it contains.
type reasonError struct{ err *chef.Error }

func (c reasonError) Error() string { return c.err.Reason() }

func (c reasonError) Unwrap() error { return c.err }

// side is the organization of a source or target.
type side struct {
	org *chef.Org
}

// wrapError converts an error of the client to a *replication.Error. It returns other
// errors unchanged, also those that are a *replication.Error, such as an error of the
// primary during an upload to the replica.
func (s side) wrapError(op string, ref object.Ref, err error) error {
	var known *replication.Error
	var e *chef.Error
	if errors.As(err, &known) || !errors.As(err, &e) {
		return err
	}
	failed := &replication.Error{Op: op, Ref: ref, Server: s.org.Client().Name(), Class: classOf(e.Kind), Hint: e.Hint, Err: reasonError{e}}
	if failed.Class == replication.Foreign && isOptional(ref.Kind) {
		word := ref.Kind.ConfigName()
		failed.Class = replication.Unserved
		failed.Hint = fmt.Sprintf("take %s out of kinds, or use a Chef Server that has them: 12.1 or newer", word)
		failed.Err = fmt.Errorf("the server does not serve %s: %w", word, reasonError{e})
	}
	return failed
}

// wrapWriteError is wrapError for writes: there, a 404 is about the parent of the object,
// such as its data bag, and must not be treated as the object's absence.
func (s side) wrapWriteError(op string, ref object.Ref, err error) error {
	failed := s.wrapError(op, ref, err)
	var known, e *replication.Error
	if !errors.As(err, &known) && errors.As(failed, &e) && e.Class == replication.Absent {
		e.Class, e.Hint = replication.Transient, "another program changes the replica at the same time; the write will be retried"
	}
	return failed
}

// newError returns an error that was found without a request.
func (s side) newError(op string, ref object.Ref, class replication.Class, hint, format string, args ...any) error {
	return &replication.Error{Op: op, Ref: ref, Server: s.org.Client().Name(), Class: class, Hint: hint, Err: fmt.Errorf(format, args...)}
}

// createRefusedError returns the error of a create that the server refuses for the whole
// container: it concerns the pair, not each object.
func (s side) createRefusedError(kind object.Kind, container string, err error) error {
	c, org := s.org.Client(), s.org.Name()
	text := fmt.Sprintf("user %s has no create permission on the container %s of organization %s (403)", c.User(), container, org)
	return &replication.Error{Op: "create in", Ref: object.Ref{Kind: kind}, Server: c.Name(), Class: replication.Denied,
		Hint: fmt.Sprintf("let an admin of the organization grant it: chef-sync-ctl prepare-org %s --side replica --replica %s",
			org, c.Name()),
		Err: refusedCreate{text, err}}
}

// refusedCreate wraps [replication.ErrMayNotCreate] and the error of the server.
type refusedCreate struct {
	text string
	err  error
}

func (e refusedCreate) Error() string { return e.text }

func (e refusedCreate) Unwrap() []error { return []error{replication.ErrMayNotCreate, e.err} }

// refusedWrite distinguishes a refused create in a container from a refused write of one
// object, for kinds with the same request for both: servers name the permission by the
// method of the request. A write of a missing object is a create.
func (t *Target) refusedWrite(ctx context.Context, ref object.Ref, err error) error {
	if chef.KindOf(err) != chef.KindPermission {
		return err
	}
	holder := object.Ref{Kind: ref.Kind, Name: ref.Name}
	if ref.Kind == object.CookbookArtifact {
		holder = ref // each has its own ACL
	}
	if _, getErr := t.org.Do(ctx, http.MethodGet, holder.Path(), nil); chef.KindOf(getErr) != chef.KindAbsent {
		return err
	}
	return t.createRefusedError(ref.Kind, containerOf(ref.Kind), err)
}

// containerOf returns the container whose ACL controls the creation of objects of a kind.
func containerOf(kind object.Kind) string { return object.Ref{Kind: kind}.Path()[1:] }

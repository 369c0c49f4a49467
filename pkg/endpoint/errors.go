package endpoint

import (
	"context"
	"errors"
	"fmt"
	"net/http"

	"chefsync/pkg/chef"
	"chefsync/pkg/fault"
	"chefsync/pkg/object"
	"chefsync/pkg/replication"
)

// wrapError converts an error of the client to a *fault.Error. It returns other
// errors unchanged, also those that are a *fault.Error, such as an error of the
// primary during an upload to the replica.
func (s *Source) wrapError(op string, ref object.Ref, err error) error {
	var known *fault.Error
	var e *chef.Error
	if errors.As(err, &known) || !errors.As(err, &e) {
		return err
	}
	failed := e.Wrap(op, ref)
	if e.Kind == chef.KindForeign && ref.Kind.IsOptional() {
		word := ref.Kind.ConfigName()
		failed.Class = fault.Unserved
		failed.Hint = fmt.Sprintf("remove %s from kinds, or use a Chef Server that supports them (12.1 or newer)", word)
		failed.Err = fmt.Errorf("the server does not serve %s: %w", word, failed.Err)
	}
	return failed
}

// wrapWriteError is wrapError for writes: there, a 404 is about the parent of the object,
// such as its data bag, and must not be treated as the object's absence.
func (s *Source) wrapWriteError(op string, ref object.Ref, err error) error {
	failed := s.wrapError(op, ref, err)
	var known, e *fault.Error
	if !errors.As(err, &known) && errors.As(failed, &e) && e.Class == fault.Absent {
		e.Class, e.Hint = fault.Transient, "another program changes the replica at the same time; the write will be retried"
	}
	return failed
}

// newError returns an error that was found without a request.
func (s *Source) newError(op string, ref object.Ref, class fault.Class, hint, format string, args ...any) error {
	return &fault.Error{Op: op, Object: ref, Server: s.org.Client().Name(), Class: class, Hint: hint, Err: fmt.Errorf(format, args...)}
}

// createRefusedError returns the error of a create that the server refuses for the whole
// container: it concerns the pair, not each object.
func (s *Source) createRefusedError(kind object.Kind, container string, err error) error {
	c, org := s.org.Client(), s.org.Name()
	text := fmt.Sprintf("user %s has no create permission on the container %s of organization %s (403)", c.User(), container, org)
	return &fault.Error{Op: "create in", Object: object.Ref{Kind: kind}, Server: c.Name(), Class: fault.Denied,
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
	if ref.Kind.CreatesInContainer() {
		holder = ref
	}
	if _, getErr := t.org.Do(ctx, http.MethodGet, holder.Path(), nil); chef.KindOf(getErr) != chef.KindAbsent {
		return err
	}
	return t.createRefusedError(ref.Kind, containerOf(ref.Kind), err)
}

// containerOf returns the container whose ACL controls the creation of objects of a kind.
func containerOf(kind object.Kind) string { return object.Ref{Kind: kind}.Path()[1:] }

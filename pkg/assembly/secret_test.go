package assembly

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"testing"

	"chefsync/pkg/fault"
)

func TestSecretErrorKeepsTheClassOfItsCause(t *testing.T) {
	inner := func(c fault.Class) error {
		return fmt.Errorf("resolve: %w", &fault.Error{Op: "read secret x", Class: c, Hint: "inner", Err: errors.New("odd")})
	}
	for _, c := range []struct {
		err   error
		class fault.Class
		hint  string
	}{
		{inner(fault.Transient), fault.Transient, "inner"},
		{inner(fault.Unreachable), fault.Unreachable, "inner"},
		{inner(fault.Denied), fault.Denied, "inner"},
		{fmt.Errorf("read secret x: %w", context.DeadlineExceeded), fault.Transient, "try again"},
		{fs.ErrNotExist, fault.Denied, "check key"},
		{&fs.PathError{Op: "open", Path: "k.pem", Err: fs.ErrPermission}, fault.Denied, "let the user of this process read it, or run the command as the user of the service"},
		{errors.New("no private key found"), fault.Denied, "check key"},
	} {
		err := secretError(&fault.Error{Op: "load the key of sync", Server: "eu", Class: fault.Denied, Hint: "check key"}, c.err)
		if fault.ClassOf(err) != c.class || fault.HintOf(err) != c.hint || !errors.Is(err, c.err) {
			t.Errorf("%v: class %s, hint %q; want %s, %q", err, fault.ClassOf(err), fault.HintOf(err), c.class, c.hint)
		}
	}
}

package assembly

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"testing"

	"chefsync/pkg/config"
	"chefsync/pkg/replication"
)

func TestAKeyThatCannotBeLoadedKeepsTheClassOfItsReason(t *testing.T) {
	inner := func(c replication.Class) error {
		return fmt.Errorf("resolve: %w", &replication.Error{Op: "read secret x", Class: c, Hint: "inner", Err: errors.New("odd")})
	}
	for _, c := range []struct {
		err   error
		class replication.Class
		hint  string
	}{
		{inner(replication.Transient), replication.Transient, "inner"},
		{inner(replication.Unreachable), replication.Unreachable, "inner"},
		{inner(replication.Denied), replication.Denied, "inner"},
		{fmt.Errorf("read secret x: %w", context.DeadlineExceeded), replication.Transient, "try again"},
		{fs.ErrNotExist, replication.Denied, "check key in the configuration; chef-sync-ctl prepare-org makes one"},
		{errors.New("no private key found"), replication.Denied, "check key in the configuration; chef-sync-ctl prepare-org makes one"},
	} {
		err := keyError(config.Server{Name: "eu", User: "sync"}, c.err)
		if replication.ClassOf(err) != c.class || replication.HintOf(err) != c.hint || !errors.Is(err, c.err) {
			t.Errorf("%v: class %s, hint %q; want %s, %q", err, replication.ClassOf(err), replication.HintOf(err), c.class, c.hint)
		}
	}
}

package store_test

import (
	"context"
	"errors"
	"testing"

	"chefsync/pkg/store"
	"chefsync/pkg/store/kvtest"
)

func TestAStoreThatCannotBeOpenedIsOpenedLater(t *testing.T) {
	opened, broken := 0, errors.New("disk full")
	o := store.NewOpener(func(context.Context) (*store.Store, error) {
		if opened++; opened == 1 {
			return nil, broken
		}
		return store.New(&kvtest.Memory{}), nil
	})
	if s, err := o.State(t.Context()); s != nil || !errors.Is(err, broken) {
		t.Errorf("got %v, %v", s, err)
	}
	for range 2 {
		if _, err := o.State(t.Context()); err != nil {
			t.Error(err)
		}
		if _, err := o.Health(t.Context()); err != nil {
			t.Error(err)
		}
	}
	if opened != 2 {
		t.Errorf("opened %d times, want once after the failure", opened)
	}
}

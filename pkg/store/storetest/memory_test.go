package storetest_test

import (
	"testing"

	"chefsync/pkg/store"
	"chefsync/pkg/store/kvtest"
	"chefsync/pkg/store/storetest"
)

func TestInMemory(t *testing.T) {
	storetest.RunSuites(t, func(*testing.T) func() store.KV {
		m := &kvtest.Memory{}
		return func() store.KV { return m }
	})
}

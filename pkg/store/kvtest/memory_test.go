package kvtest_test

import (
	"testing"

	"chefsync/pkg/store"
	"chefsync/pkg/store/kvtest"
)

func TestMemory(t *testing.T) {
	kvtest.Run(t, func(*testing.T) func() store.KV {
		m := &kvtest.Memory{}
		return func() store.KV { return m }
	})
}

package dynamo_test

import (
	"fmt"
	"os"
	"testing"

	"chefsync/pkg/store/storetest"
)

func TestMain(m *testing.M) {
	if err := storetest.FewChecks(5); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(m.Run())
}

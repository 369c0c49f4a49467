package dynamo_test

import (
	"flag"
	"os"
	"testing"
)

// TestMain makes the model test short unless it is asked for more: the records are the
// same over every KV, and the DynamoDB of this process looks at each item of a table to
// answer a query.
func TestMain(m *testing.M) {
	flag.Parse()
	asked := false
	flag.Visit(func(f *flag.Flag) { asked = asked || f.Name == "rapid.checks" })
	if !asked {
		if err := flag.Set("rapid.checks", "5"); err != nil {
			panic(err)
		}
	}
	os.Exit(m.Run())
}

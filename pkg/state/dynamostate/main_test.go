package dynamostate_test

import (
	"flag"
	"fmt"
	"os"
	"testing"
)

// TestMain makes the test binary a writer when a test starts it as one. Else it
// lowers the number of random histories unless the caller names one: the emulator
// reads its whole table at every query.
func TestMain(m *testing.M) {
	if writer := os.Getenv(killWriter); writer != "" {
		noteForEver(killed(os.Getenv(killTable), os.Getenv(killBucket)), writer)
	}
	flag.Parse()
	checks := flag.Lookup("rapid.checks")
	given := false
	flag.Visit(func(f *flag.Flag) { given = given || f == checks })
	if !given {
		if err := checks.Value.Set("20"); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(2)
		}
	}
	os.Exit(m.Run())
}

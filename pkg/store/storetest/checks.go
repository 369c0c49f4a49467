package storetest

import (
	"flag"
	"strconv"
)

// FewChecks sets how often properties are checked, unless the command line does. The
// records are the same over every KV, and checked at length over the one in memory;
// others are slower. Call it from TestMain.
func FewChecks(n int) error {
	const name = "rapid.checks"
	flag.Parse()
	asked := false
	flag.Visit(func(f *flag.Flag) { asked = asked || f.Name == name })
	if asked {
		return nil
	}
	return flag.Set(name, strconv.Itoa(n))
}

package object

import (
	"strconv"
	"strings"
)

// IsVersion reports whether a version is written as servers list it: three numbers
// without leading zeros. 1.0 and 1.0.0 are one version (docs/chef-server-api.md §3.3),
// so another spelling can't name an object.
func IsVersion(v string) bool {
	parts := strings.Split(v, ".")
	for _, part := range parts {
		n, err := strconv.ParseInt(part, 10, 64)
		if err != nil || n < 0 || strconv.FormatInt(n, 10) != part {
			return false
		}
	}
	return len(parts) == 3
}

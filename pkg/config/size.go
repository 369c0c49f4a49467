package config

import (
	"fmt"
	"math"
	"strconv"
	"strings"
)

// SizeAuto is a size that depends on the disk.
const SizeAuto int64 = -1

// sizeUnits returns the units of sizes, the largest first: of 1,024 and of 1,000.
func sizeUnits() []sizeUnit {
	return []sizeUnit{{"TiB", 1 << 40}, {"GiB", 1 << 30}, {"MiB", 1 << 20}, {"KiB", 1 << 10}, {"TB", 1e12}, {"GB", 1e9},
		{"MB", 1e6}, {"kB", 1e3}, {"B", 1}}
}

type sizeUnit struct {
	name  string
	bytes int64
}

// ParseSize parses a number of bytes with its unit, such as 500MiB, 10GiB, 1.5TiB
// or 20GB.
func ParseSize(text string) (int64, error) {
	for _, u := range sizeUnits() {
		number, ok := strings.CutSuffix(strings.ToLower(text), strings.ToLower(u.name))
		if !ok {
			continue
		}
		number = strings.TrimSpace(number)
		n, err := strconv.ParseFloat(number, 64)
		if size := n * float64(u.bytes); err == nil && strings.Trim(number, "0123456789.") == "" && size >= 1 && size < math.MaxInt64 {
			return int64(size), nil
		}
		break
	}
	return 0, fmt.Errorf("%q isn't a size such as 500MiB or 10GiB", text)
}

// FormatSize formats a size in the largest unit that represents it exactly.
func FormatSize(size int64) string {
	best := sizeUnit{"B", 1}
	for _, u := range sizeUnits() {
		if size%u.bytes == 0 && u.bytes > best.bytes {
			best = u
		}
	}
	return fmt.Sprintf("%d%s", size/best.bytes, best.name)
}

// sizeValue reads a size of at least least, "auto" (the default) or "unlimited", which
// is 0.
func (s *section) sizeValue(key string, least int64) int64 {
	s.recordForm(key, `size, "auto" or "unlimited"`)
	v, given := s.rawValue(key)
	text, ok := v.(string)
	if n, isInt := v.(int64); isInt && n == 0 {
		text, ok = "unlimited", true
	}
	size, value := SizeAuto, "auto"
	switch {
	case !given || text == value:
	case !ok:
		s.wrongType(key, fmt.Sprintf(`write a string with a unit, such as %s = "10GiB"`, key), "a size")
	case text == "unlimited" || text == "0":
		size, value = 0, "unlimited"
	default:
		n, err := ParseSize(text)
		if err != nil {
			s.badValue(key, fmt.Sprintf(`write %s = "10GiB", "auto" or "unlimited"`, key), "%q isn't a size", text)
		} else if n < least {
			s.badValue(key, fmt.Sprintf(`write %s = "10GiB", "auto" or "unlimited"`, key), "must be at least %s", FormatSize(least))
		}
		size, value = n, FormatSize(max(n, 1))
	}
	s.recordSetting(key, value, given)
	return size
}

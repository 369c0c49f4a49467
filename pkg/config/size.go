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
	t := keyType[int64]{form: `size, "auto" or "unlimited"`, text: formatLimit}
	t.parse = func(raw any) (int64, error) {
		text, ok := raw.(string)
		switch try := fmt.Sprintf(`write %s = "10GiB", "auto" or "unlimited"`, key); {
		case raw == int64(0), text == "0", text == formatLimit(0):
			return 0, nil
		case !ok:
			return 0, refuse(fmt.Sprintf(`write a string with a unit, such as %s = "10GiB"`, key), "must be a size")
		case text == formatLimit(SizeAuto):
			return SizeAuto, nil
		default:
			n, err := ParseSize(text)
			if err != nil {
				return 0, refuse(try, "%q isn't a size", text)
			}
			if n < least {
				return 0, refuse(try, "must be at least %s", FormatSize(least))
			}
			return n, nil
		}
	}
	size, _ := readKey(s, key, SizeAuto, t)
	return size
}

// formatLimit formats what sizeValue returns.
func formatLimit(size int64) string {
	switch size {
	case SizeAuto:
		return "auto"
	case 0:
		return "unlimited"
	}
	return FormatSize(size)
}

package config

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

const (
	day = 24 * time.Hour
	// maxDuration is the longest duration that is read. It also keeps sums from
	// overflowing.
	maxDuration = 36500 * day
)

// ParseDuration reads 90s, 5m, 2h, 3d and sums such as 1d12h or 1h30m. 0 needs
// no unit. A day has 24 hours. Negative durations and those over 100 years are
// refused.
func ParseDuration(s string) (time.Duration, error) {
	days, rest, hasDays := strings.Cut(s, "d")
	var total time.Duration
	if hasDays {
		n, err := strconv.ParseFloat(days, 64)
		if err != nil || strings.Trim(days, "0123456789.") != "" || n > float64(maxDuration/day) {
			return 0, badDuration(s)
		}
		total = time.Duration(n * float64(day))
	} else {
		rest = s
	}
	if rest != "" || !hasDays {
		d, err := time.ParseDuration(rest)
		if err != nil || d < 0 || d > maxDuration || strings.ContainsAny(rest, "+-") {
			return 0, badDuration(s)
		}
		total += d
	}
	if total > maxDuration {
		return 0, badDuration(s)
	}
	return total, nil
}

func badDuration(s string) error {
	return fmt.Errorf("%q isn't a duration such as 90s, 5m, 2h or 3d", s)
}

// FormatDuration formats a duration for ParseDuration, without units that are zero:
// 1m, not 1m0s.
func FormatDuration(d time.Duration) string {
	if d == 0 {
		return "0"
	}
	var b strings.Builder
	for _, u := range []struct {
		unit time.Duration
		name string
	}{{day, "d"}, {time.Hour, "h"}, {time.Minute, "m"}} {
		if n := d / u.unit; n > 0 {
			fmt.Fprintf(&b, "%d%s", n, u.name)
			d -= n * u.unit
		}
	}
	if d > 0 {
		b.WriteString(d.String())
	}
	return b.String()
}

package ui

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"chefsync/pkg/status"
)

// Duration is a flag value that accepts 90s, 5m, 2h and 3d, also combined.
type Duration time.Duration

// String writes the shortest form.
func (d *Duration) String() string {
	if *d == 0 {
		return ""
	}
	return Span(time.Duration(*d))
}

// Set reads a duration.
func (d *Duration) Set(s string) error {
	v, err := ParseDuration(s)
	*d = Duration(v)
	return err
}

// Type names the value in help.
func (d *Duration) Type() string { return "duration" }

// ParseDuration reads durations such as 90s, 5m, 2h, 3d or 1d12h. They can't
// be negative.
func ParseDuration(s string) (time.Duration, error) {
	bad := fmt.Errorf("%q is not a duration: expected a form like 90s, 5m, 2h or 3d", s)
	var days time.Duration
	rest := s
	if before, after, ok := strings.Cut(s, "d"); ok {
		n, err := strconv.ParseUint(before, 10, 16)
		if err != nil {
			return 0, bad
		}
		days, rest = time.Duration(n)*24*time.Hour, after
		if rest == "" {
			return days, nil
		}
	}
	d, err := time.ParseDuration(rest)
	if err != nil || d < 0 {
		return 0, bad
	}
	return days + d, nil
}

// Span writes a duration with its two largest units: 3d4h, 5m10s, 12s, 0s.
func Span(d time.Duration) string { return status.FormatAge(d) }

// Age writes when t was or will be, as seen from now: 5m ago, in 10s, never.
func Age(t, now time.Time) string {
	if t.IsZero() {
		return "never"
	}
	d := now.Sub(t).Round(time.Second)
	switch {
	case d == 0:
		return "now"
	case d < 0:
		return "in " + Span(-d)
	}
	return Span(d) + " ago"
}

// Stamp writes a time as RFC 3339 in UTC, or "-".
func Stamp(t time.Time) string {
	if t.IsZero() {
		return "-"
	}
	return t.UTC().Format(time.RFC3339)
}

// ShortTime writes a time of today as 16:33:07 and an older one with its date, in UTC.
func ShortTime(t, now time.Time) string {
	if t.IsZero() {
		return "-"
	}
	t, now = t.UTC(), now.UTC()
	if t.Format(time.DateOnly) == now.Format(time.DateOnly) {
		return t.Format(time.TimeOnly)
	}
	return t.Format(time.DateTime)
}

// Took writes how long something took: 35ms, 2.32s, 5m10s.
func Took(d time.Duration) string {
	switch {
	case d < time.Second:
		return d.Round(time.Millisecond).String()
	case d < time.Minute:
		return d.Round(10 * time.Millisecond).String()
	}
	return Span(d)
}

// WithoutObject leaves an object and the replica out of an error beside which they stand:
// "write /roles/web on eu: invalid (400)" becomes "write: invalid (400)".
func WithoutObject(reason, path, replica string) string {
	where, why, ok := strings.Cut(reason, ": ")
	if !ok || path == "" || !strings.Contains(where, " "+path) {
		return reason
	}
	where = strings.Replace(where, " "+path, "", 1)
	return strings.TrimSuffix(where, " on "+replica) + ": " + why
}

// Bytes writes a size: 512 B, 1.5 KiB, 20.0 MiB.
func Bytes(n int64) string {
	if n < 1024 {
		return fmt.Sprintf("%d B", n)
	}
	v, unit := float64(n), ""
	for _, unit = range []string{"KiB", "MiB", "GiB", "TiB"} {
		v /= 1024
		if v < 1024 {
			break
		}
	}
	return fmt.Sprintf("%.1f %s", v, unit)
}

// Number writes a number with commas: 5,050.
func Number(n int) string {
	s := strconv.Itoa(n)
	for i := len(s) - 3; i > 0 && s[i-1] != '-'; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}

// Plural writes a number and its noun: 1 object, 2 objects, 5,050 objects.
func Plural(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return Number(n) + " " + noun + "s"
}

// OrDash returns s, or "-" if it is empty.
func OrDash(s string) string {
	if s == "" {
		return "-"
	}
	return s
}

// Prefixed returns s after a prefix, or "" if s is empty.
func Prefixed(prefix, s string) string {
	if s == "" {
		return ""
	}
	return prefix + s
}

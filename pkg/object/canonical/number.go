package canonical

import (
	"bytes"
	"math"
	"strconv"
	"strings"
)

// appendNumber writes the canonical form of a number.
//
// A number without fraction and exponent is an integer and keeps all its
// digits: erchef and goiardi keep them (docs/chef-server-api.md §13). Any other
// spelling is a float. Erchef stores a float as a double and writes it again
// (1e3 → 1000.0, 1.50 → 1.5, -0.0 → 0.0), and Chef clients read it as a double,
// so two floats are equal when they are the same double, and are written as
// erchef does: 1000.0.
//
// 3 and 3.0 are different. A recipe sees an Integer and a Float, which divide
// differently; erchef keeps 3.0 as 3.0, and goiardi 0.11.10 was seen to keep
// every number exactly as it was sent (3.0, 1e3, 1.50, -0.0 come back alike), so
// no server turns one into the other. 1e3 is therefore 1000.0 and not 1000.
//
// A float too large for a double keeps its exact value; its exponent is never
// expanded.
func appendNumber(out []byte, text string) []byte {
	switch {
	case strings.ContainsAny(text, ".eE"):
		return appendFloat(out, text)
	case text == "-0":
		return append(out, '0')
	}
	return append(out, text...)
}

func appendFloat(out []byte, text string) []byte {
	f, err := strconv.ParseFloat(text, 64)
	if err != nil {
		return appendHuge(out, text)
	}
	abs := math.Abs(f)
	switch {
	case f == 0:
		return append(out, "0.0"...)
	case abs < 1e-7 || abs >= 1e21:
		return strconv.AppendFloat(out, f, 'e', -1, 64)
	}
	from := len(out)
	out = strconv.AppendFloat(out, f, 'f', -1, 64)
	if bytes.IndexByte(out[from:], '.') < 0 {
		out = append(out, ".0"...)
	}
	return out
}

// appendHuge writes a float beyond the largest double as the digits that count
// and a power of ten. An exponent that doesn't fit 18 digits stays as text.
func appendHuge(out []byte, text string) []byte {
	text, negative := strings.CutPrefix(text, "-")
	if negative {
		out = append(out, '-')
	}
	mantissa, exponent := text, "0"
	if i := strings.IndexAny(text, "eE"); i >= 0 {
		mantissa, exponent = text[:i], text[i+1:]
	}
	exponent = strings.TrimPrefix(exponent, "+")
	whole, fraction, _ := strings.Cut(mantissa, ".")
	digits := strings.TrimRight(whole+fraction, "0")
	dropped := len(whole) - len(digits) // power of ten of the last digit kept
	digits = strings.TrimLeft(digits, "0")
	e, err := strconv.ParseInt(exponent, 10, 64)
	if err != nil || e > 1e18 || e < -1e18 {
		// Such a number has no use; equal spelling is the best that can be told.
		return append(append(append(out, mantissa...), 'e'), exponent...)
	}
	out = append(out, digits...)
	return strconv.AppendInt(append(out, 'e'), e+int64(dropped), 10)
}

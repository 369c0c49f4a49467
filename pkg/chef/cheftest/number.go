package cheftest

import (
	"encoding/json"
	"strconv"
	"strings"
)

// renderNumber formats a number as erchef stores it: integers of any size keep
// their digits, floats become the shortest text that reads back as the same
// value, with at least one digit after the point (docs/chef-server-api.md §13).
func renderNumber(n json.Number) (json.Number, error) {
	text := n.String()
	if !strings.ContainsAny(text, ".eE") {
		if text == "-0" {
			return "0", nil
		}
		return n, nil
	}
	f, err := strconv.ParseFloat(text, 64)
	if err != nil {
		return "", errJSON // beyond what a double can hold
	}
	return json.Number(renderFloat(f)), nil
}

func renderFloat(f float64) string {
	if f == 0 {
		return "0.0" // erchef has no negative zero
	}
	if s, ok := plainFloat(f); ok {
		return s
	}
	s := strconv.FormatFloat(f, 'e', -1, 64)
	mantissa, exponent, _ := strings.Cut(s, "e")
	sign, digits := exponent[:1], strings.TrimLeft(exponent[1:], "0")
	return mantissa + "e" + sign + digits
}

// plainFloat formats numbers whose decimal exponent is from -6 to 20, without an
// exponent.
func plainFloat(f float64) (string, bool) {
	_, exponent, _ := strings.Cut(strconv.FormatFloat(f, 'e', -1, 64), "e")
	exp, err := strconv.Atoi(exponent)
	if err != nil || exp < -6 || exp >= 21 {
		return "", false
	}
	s := strconv.FormatFloat(f, 'f', -1, 64)
	if !strings.Contains(s, ".") {
		s += ".0"
	}
	return s, true
}

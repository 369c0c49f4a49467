package canonical

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"unicode/utf16"
	"unicode/utf8"
)

// MaxDepth is the deepest nesting of arrays and objects that is read. It is
// the limit of Chef's own JSON reader (Chef::JSONCompat::JSON_MAX_NESTING), so
// no client could use a deeper object.
const MaxDepth = 1000

// SyntaxError says where a body stops being acceptable JSON. It never quotes
// the body, which may hold secrets.
type SyntaxError struct {
	Offset int // in bytes from the start of the body
	Reason string
}

// Error returns the reason and the offset.
func (e *SyntaxError) Error() string {
	return fmt.Sprintf("not usable as JSON at byte %d: %s", e.Offset, e.Reason)
}

// decode returns a JSON value as encoding/json decodes it, with numbers as text. The last
// of duplicate keys wins, as in every server and client. Errors are of type *SyntaxError:
// broken JSON, text that isn't UTF-8, half a surrogate pair, nesting beyond [MaxDepth].
func decode(body []byte) (v any, err error) {
	if err := CheckDepth(body); err != nil {
		return nil, err
	}
	if err := checkText(body); err != nil {
		return nil, err
	}
	dec := json.NewDecoder(bytes.NewReader(body))
	dec.UseNumber()
	if err := dec.Decode(&v); err != nil {
		offset := len(body)
		var syntax *json.SyntaxError
		if errors.As(err, &syntax) {
			offset = int(syntax.Offset)
		}
		return nil, &SyntaxError{offset, "invalid or incomplete"}
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return nil, &SyntaxError{int(dec.InputOffset()), "more text after the end of the value"}
	}
	return v, nil
}

// CheckDepth returns a *SyntaxError for JSON that is nested deeper than [MaxDepth]. It
// counts brackets outside strings, without recursion, and accepts invalid JSON.
func CheckDepth(body []byte) error {
	depth, inString := 0, false
	for i := 0; i < len(body); i++ {
		switch c := body[i]; {
		case inString && c == '\\':
			i++ // an escaped character doesn't end the string
		case c == '"':
			inString = !inString
		case inString:
		case c == '{' || c == '[':
			if depth++; depth > MaxDepth {
				return &SyntaxError{i, fmt.Sprintf("nested deeper than %d levels", MaxDepth)}
			}
		case c == '}' || c == ']':
			depth--
		}
	}
	return nil
}

// checkText returns an error for text that isn't UTF-8, or half a surrogate pair:
// encoding/json would replace both.
func checkText(body []byte) error {
	if !utf8.Valid(body) {
		return &SyntaxError{0, "not UTF-8"}
	}
	for i := 0; i < len(body); i++ {
		if body[i] != '\\' {
			continue
		}
		r := escapedRune(body[i:])
		switch i++; {
		case !utf16.IsSurrogate(r):
		case utf16.DecodeRune(r, escapedRune(body[i+5:])) == utf8.RuneError:
			return &SyntaxError{i, "half a surrogate pair, which no server can store"}
		default:
			i += 10
		}
	}
	return nil
}

// escapedRune returns the character of \uXXXX at the start of b, or -1.
func escapedRune(b []byte) rune {
	if len(b) < 6 || b[0] != '\\' || b[1] != 'u' {
		return -1
	}
	r, err := strconv.ParseUint(string(b[2:6]), 16, 16)
	if err != nil {
		return -1
	}
	return rune(r)
}

// writeForm decodes a body that must be an object, such as a role, and writes the
// canonical form of what change makes of it.
func writeForm(what string, body []byte, change func(o map[string]any) (map[string]any, error)) ([]byte, error) {
	v, err := decode(body)
	o, ok := v.(map[string]any)
	if err == nil && !ok {
		err = ErrShape
	}
	if err == nil {
		o, err = change(o)
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", what, err)
	}
	return appendObject(make([]byte, 0, len(body)+256), o), nil
}

// addDefaults adds the members that are missing.
func addDefaults(o, defaults map[string]any) {
	for key, value := range defaults {
		if _, ok := o[key]; !ok {
			o[key] = value
		}
	}
}

// appendValue writes the canonical form of a value. A json.RawMessage is one already.
func appendValue(out []byte, v any) []byte {
	switch v := v.(type) {
	case nil:
		return append(out, "null"...)
	case bool:
		return strconv.AppendBool(out, v)
	case string:
		return AppendString(out, v)
	case json.Number:
		return appendNumber(out, string(v))
	case json.RawMessage:
		return append(out, v...)
	case []any:
		out = append(out, '[')
		for i, item := range v {
			if i > 0 {
				out = append(out, ',')
			}
			out = appendValue(out, item)
		}
		return append(out, ']')
	case map[string]any:
		return appendObject(out, v)
	}
	return out
}

// appendObject writes an object with its keys in the order of their written form.
func appendObject(out []byte, o map[string]any) []byte {
	type member struct {
		key   string
		value any
	}
	members := make([]member, 0, len(o))
	for key, value := range o {
		members = append(members, member{string(AppendString(nil, key)), value})
	}
	slices.SortFunc(members, func(a, b member) int { return strings.Compare(a.key, b.key) })
	out = append(out, '{')
	for i, m := range members {
		if i > 0 {
			out = append(out, ',')
		}
		out = append(append(out, m.key...), ':')
		out = appendValue(out, m.value)
	}
	return append(out, '}')
}

// AppendString writes a JSON string with as few escapes as JSON allows.
func AppendString(out []byte, s string) []byte {
	out = append(out, '"')
	for _, r := range s {
		switch {
		case r == '"' || r == '\\':
			out = append(out, '\\', byte(r))
		case r == '\n':
			out = append(out, '\\', 'n')
		case r == '\t':
			out = append(out, '\\', 't')
		case r == '\r':
			out = append(out, '\\', 'r')
		case r < ' ':
			out = fmt.Appendf(out, `\u%04x`, r)
		default:
			out = utf8.AppendRune(out, r)
		}
	}
	return append(out, '"')
}

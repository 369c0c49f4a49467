package ui

import (
	"fmt"
	"reflect"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Text may be written to a terminal as it is: nothing in it but our own colors
// moves the cursor, rings or hides something. Names, messages and bodies come
// from servers, and are made Text by Safe or Lines.
type Text string

// Safe shows control characters of a text as \x1b or \n, in one line.
func Safe(s string) Text {
	if strings.IndexFunc(s, isUnsafe) < 0 {
		return Text(s)
	}
	var b strings.Builder
	for len(s) > 0 {
		r, size := utf8.DecodeRuneInString(s)
		switch {
		case r == utf8.RuneError && size == 1:
			fmt.Fprintf(&b, `\x%02x`, s[0])
		case isUnsafe(r):
			b.WriteString(strings.Trim(strconv.QuoteRuneToASCII(r), "'"))
		default:
			b.WriteString(s[:size])
		}
		s = s[size:]
	}
	return Text(b.String())
}

// isUnsafe reports whether a terminal does more than show a rune: controls, bytes that
// are no UTF-8, and what breaks a line or changes its direction.
func isUnsafe(r rune) bool {
	return unicode.IsControl(r) || r == utf8.RuneError || r == '\u2028' || r == '\u2029' || unicode.Is(unicode.Bidi_Control, r)
}

// Lines is Safe for a text that may have several lines. The further ones begin
// with the indent, so that no text can pass for a line of the program's own.
func Lines(s, indent string) Text {
	var b strings.Builder
	for i, line := range strings.Split(strings.TrimRight(s, "\n"), "\n") {
		if i > 0 {
			b.WriteByte('\n')
			if !strings.HasPrefix(line, indent) {
				b.WriteString(indent)
			}
		}
		b.WriteString(string(Safe(line)))
	}
	return Text(b.String())
}

// indent is before the further lines of an argument.
const indent = "  "

// makeSafe replaces what is to be formatted by Text, except Text and numbers.
func makeSafe(args []any) {
	for i, a := range args {
		switch v := a.(type) {
		case Text, nil:
		case error:
			args[i] = Lines(v.Error(), indent)
		case fmt.Stringer:
			args[i] = Lines(v.String(), indent)
		default:
			if text := reflect.ValueOf(a); text.Kind() == reflect.String {
				args[i] = Lines(text.String(), indent)
			}
		}
	}
}

// Quote makes a name safe to paste into a shell, and to look at; plain names stay
// as they are.
func Quote(s string) Text {
	plain := s != ""
	for _, r := range s {
		if !strings.ContainsRune("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-./:=@%+,", r) {
			plain = false
		}
	}
	switch {
	case plain:
		return Text(s)
	case strings.IndexFunc(s, isUnsafe) >= 0:
		return quoteEscaped(s)
	}
	return Text("'" + strings.ReplaceAll(s, "'", `'\''`) + "'")
}

// quoteEscaped writes $'…', in which shells read \x1b as the byte.
func quoteEscaped(s string) Text {
	var b strings.Builder
	for len(s) > 0 {
		r, size := utf8.DecodeRuneInString(s)
		switch {
		case isUnsafe(r):
			for _, c := range []byte(s[:size]) {
				fmt.Fprintf(&b, `\x%02x`, c)
			}
		case r == '\'' || r == '\\':
			b.WriteString(`\` + s[:size])
		default:
			b.WriteString(s[:size])
		}
		s = s[size:]
	}
	return Text("$'" + b.String() + "'")
}

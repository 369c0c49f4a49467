package canonical

import (
	"bytes"
	"cmp"
	"fmt"
	"slices"
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

// JSON returns the canonical form of any JSON value, without knowledge of a
// kind. The last of duplicate keys wins, as in every server and client. Errors
// are of type *SyntaxError: broken JSON, text that isn't UTF-8, half a
// surrogate pair, nesting beyond [MaxDepth].
func JSON(body []byte) ([]byte, error) {
	p := parser{in: body, out: make([]byte, 0, len(body))}
	p.skipSpace()
	if err := p.parseValue(0); err != nil {
		return nil, err
	}
	p.skipSpace()
	if p.pos != len(p.in) {
		return nil, p.syntaxError("more text after the end of the value")
	}
	return p.out, nil
}

// parser reads in and writes the canonical form to out in one pass. Members of
// objects are sorted in place when their object ends.
type parser struct {
	in      []byte
	pos     int
	out     []byte
	scratch []byte
	spans   []span // members of all open objects
}

// span is a member of an object within out: "key":value.
type span struct{ start, keyEnd, end int }

func (p *parser) syntaxError(reason string) error { return &SyntaxError{Offset: p.pos, Reason: reason} }

func (p *parser) skipSpace() {
	for p.pos < len(p.in) {
		switch p.in[p.pos] {
		case ' ', '\t', '\n', '\r':
			p.pos++
		default:
			return
		}
	}
}

// peek is the next byte, or 0 at the end. A real zero byte is never legal where
// peek is used.
func (p *parser) peek() byte {
	if p.pos < len(p.in) {
		return p.in[p.pos]
	}
	return 0
}

func (p *parser) parseValue(depth int) error {
	switch c := p.peek(); {
	case c == '{':
		return p.parseObject(depth + 1)
	case c == '[':
		return p.parseArray(depth + 1)
	case c == '"':
		return p.parseString()
	case c == '-' || c >= '0' && c <= '9':
		return p.parseNumber()
	case c == 't':
		return p.parseLiteral("true")
	case c == 'f':
		return p.parseLiteral("false")
	case c == 'n':
		return p.parseLiteral("null")
	case p.pos >= len(p.in):
		return p.syntaxError("a value is missing")
	}
	return p.syntaxError("not the start of a value")
}

func (p *parser) parseLiteral(word string) error {
	if !bytes.HasPrefix(p.in[p.pos:], []byte(word)) {
		return p.syntaxError("not the start of a value")
	}
	p.pos += len(word)
	p.out = append(p.out, word...)
	return nil
}

func (p *parser) parseArray(depth int) error {
	if depth > MaxDepth {
		return p.syntaxError("nested too deeply")
	}
	p.pos++
	p.out = append(p.out, '[')
	p.skipSpace()
	if p.peek() == ']' {
		p.pos++
		p.out = append(p.out, ']')
		return nil
	}
	for {
		p.skipSpace()
		if err := p.parseValue(depth); err != nil {
			return err
		}
		p.skipSpace()
		switch p.peek() {
		case ',':
			p.pos++
			p.out = append(p.out, ',')
		case ']':
			p.pos++
			p.out = append(p.out, ']')
			return nil
		default:
			return p.syntaxError("expected , or ] in an array")
		}
	}
}

func (p *parser) parseObject(depth int) error {
	if depth > MaxDepth {
		return p.syntaxError("nested too deeply")
	}
	p.pos++
	p.out = append(p.out, '{')
	base, first := len(p.out), len(p.spans)
	p.skipSpace()
	if p.peek() == '}' {
		p.pos++
		p.out = append(p.out, '}')
		return nil
	}
	for {
		if err := p.parseMember(depth); err != nil {
			return err
		}
		p.skipSpace()
		switch p.peek() {
		case ',':
			p.pos++
			p.out = append(p.out, ',')
		case '}':
			p.pos++
			p.sortMembers(base, p.spans[first:])
			p.spans = p.spans[:first]
			p.out = append(p.out, '}')
			return nil
		default:
			return p.syntaxError("expected , or } in an object")
		}
	}
}

func (p *parser) parseMember(depth int) error {
	p.skipSpace()
	if p.peek() != '"' {
		return p.syntaxError("expected a key in an object")
	}
	s := span{start: len(p.out)}
	if err := p.parseString(); err != nil {
		return err
	}
	s.keyEnd = len(p.out)
	p.skipSpace()
	if p.peek() != ':' {
		return p.syntaxError("expected : after a key")
	}
	p.pos++
	p.out = append(p.out, ':')
	p.skipSpace()
	if err := p.parseValue(depth); err != nil {
		return err
	}
	s.end = len(p.out)
	p.spans = append(p.spans, s)
	return nil
}

// sortMembers puts the members of the object that began at base into order and drops
// all but the last of those with one key.
func (p *parser) sortMembers(base int, spans []span) {
	key := func(s span) []byte { return p.out[s.start:s.keyEnd] }
	sorted := true
	for i := 1; i < len(spans) && sorted; i++ {
		sorted = bytes.Compare(key(spans[i-1]), key(spans[i])) < 0
	}
	if sorted {
		return
	}
	slices.SortFunc(spans, func(a, b span) int {
		return cmp.Or(bytes.Compare(key(a), key(b)), cmp.Compare(a.start, b.start))
	})
	p.scratch = p.scratch[:0]
	for i, s := range spans {
		if i+1 < len(spans) && bytes.Equal(key(s), key(spans[i+1])) {
			continue
		}
		if len(p.scratch) > 0 {
			p.scratch = append(p.scratch, ',')
		}
		p.scratch = append(p.scratch, p.out[s.start:s.end]...)
	}
	p.out = append(p.out[:base], p.scratch...)
}

// parseString reads a string and writes it with as few escapes as JSON allows.
func (p *parser) parseString() error {
	p.pos++
	p.out = append(p.out, '"')
	for {
		// Text that needs no care is copied in one go.
		from := p.pos
		for p.pos < len(p.in) && isPlain(p.in[p.pos]) {
			p.pos++
		}
		p.out = append(p.out, p.in[from:p.pos]...)
		if p.pos >= len(p.in) {
			return p.syntaxError("a string has no end")
		}
		switch c := p.in[p.pos]; {
		case c == '"':
			p.pos++
			p.out = append(p.out, '"')
			return nil
		case c == '\\':
			if err := p.parseEscape(); err != nil {
				return err
			}
		case c < ' ':
			return p.syntaxError("a control character in a string")
		default:
			r, n := utf8.DecodeRune(p.in[p.pos:])
			if r == utf8.RuneError && n <= 1 {
				return p.syntaxError("not UTF-8")
			}
			p.out = append(p.out, p.in[p.pos:p.pos+n]...)
			p.pos += n
		}
	}
}

func isPlain(c byte) bool { return c >= ' ' && c < utf8.RuneSelf && c != '"' && c != '\\' }

// parseEscape reads one escape sequence and writes the character that it stands for.
func (p *parser) parseEscape() error {
	if p.pos+1 >= len(p.in) {
		return p.syntaxError("a string has no end")
	}
	c := p.in[p.pos+1]
	switch c {
	case '"', '\\', '/':
	case 'b':
		c = '\b'
	case 'f':
		c = '\f'
	case 'n':
		c = '\n'
	case 'r':
		c = '\r'
	case 't':
		c = '\t'
	case 'u':
		return p.unicodeEscape()
	default:
		return p.syntaxError("an unknown escape in a string")
	}
	p.pos += 2
	p.out = appendRune(p.out, rune(c))
	return nil
}

func (p *parser) unicodeEscape() error {
	r, ok := parseHex4(p.in[p.pos:])
	if !ok {
		return p.syntaxError(`\u without four hexadecimal digits`)
	}
	size := 6
	if utf16.IsSurrogate(r) {
		low, ok := parseHex4(p.in[p.pos+6:])
		r = utf16.DecodeRune(r, low)
		if !ok || r == utf8.RuneError {
			return p.syntaxError("half a surrogate pair, which no server can store")
		}
		size = 12
	}
	p.pos += size
	p.out = appendRune(p.out, r)
	return nil
}

// parseHex4 reads \uXXXX at the start of b.
func parseHex4(b []byte) (rune, bool) {
	if len(b) < 6 || b[0] != '\\' || b[1] != 'u' {
		return 0, false
	}
	var r rune
	for _, c := range b[2:6] {
		switch {
		case c >= '0' && c <= '9':
			c -= '0'
		case c >= 'a' && c <= 'f':
			c -= 'a' - 10
		case c >= 'A' && c <= 'F':
			c -= 'A' - 10
		default:
			return 0, false
		}
		r = r<<4 | rune(c)
	}
	return r, true
}

// appendRune writes a character as the canonical form of a string holds it.
func appendRune(out []byte, r rune) []byte {
	switch {
	case r == '"' || r == '\\':
		return append(out, '\\', byte(r))
	case r == '\n':
		return append(out, '\\', 'n')
	case r == '\t':
		return append(out, '\\', 't')
	case r == '\r':
		return append(out, '\\', 'r')
	case r < ' ':
		const digits = "0123456789abcdef"
		return append(out, '\\', 'u', '0', '0', digits[r>>4], digits[r&15])
	}
	return utf8.AppendRune(out, r)
}

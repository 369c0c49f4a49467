package setup

import (
	"fmt"
	"slices"
	"strings"
	"unicode"
)

// setting is a statement of a Ruby configuration: name "value", or name['key'] = "value".
type setting struct {
	line int
	name string // such as master, or ec_sync_client.sync_user
	// value is a string, or a list of strings and of map[string]string; nil for what is
	// more than a literal.
	value any
	text  string // as it is written
}

// parseRuby reads the settings of chef-sync.rb or knife.rb. Only literals are understood:
// the value of anything else, such as ENV['HOME'], is nil. Whatever isn't a setting is left
// out.
func parseRuby(text string) (settings []setting) {
	p := &rubyParser{text: []rune(strings.TrimPrefix(text, "\ufeff")), line: 1} // editors on Windows begin files with this
	for {
		p.skipSpace(true)
		if p.at >= len(p.text) {
			return settings
		}
		start, line := p.at, p.line
		name := p.word()
		if name == "" {
			p.skipLine()
			continue
		}
		if key, ok := p.index(); ok {
			name += "." + key
		}
		p.skipSpace(false)
		if p.peek() == '=' && !p.has("=>") && !p.has("==") {
			p.at++
			p.skipSpace(false)
		}
		value, ok := p.value()
		if rest := p.restOfLine(); !ok || rest != "" {
			value = nil
		}
		p.skipLine()
		settings = append(settings, setting{line: line, name: name, value: value, text: strings.TrimSpace(string(p.text[start:p.at]))})
	}
}

// rubyParser reads literals of Ruby.
type rubyParser struct {
	text []rune
	at   int
	line int
}

func (p *rubyParser) peek() rune {
	if p.at < len(p.text) {
		return p.text[p.at]
	}
	return 0
}

func (p *rubyParser) has(s string) bool {
	return strings.HasPrefix(string(p.text[p.at:min(len(p.text), p.at+len(s))]), s)
}

// skipSpace skips blanks and, where a statement goes on, line ends and comments.
func (p *rubyParser) skipSpace(lines bool) {
	for p.at < len(p.text) {
		switch r := p.text[p.at]; {
		case r == '\n' && lines:
			p.line++
		case r == '#' && lines:
			for p.peek() != '\n' && p.peek() != 0 {
				p.at++
			}
			continue
		case r == '\n' || !unicode.IsSpace(r):
			return
		}
		p.at++
	}
}

func (p *rubyParser) skipLine() {
	for p.at < len(p.text) && p.text[p.at] != '\n' {
		p.at++
	}
}

// restOfLine returns what stands behind a value, except a comment.
func (p *rubyParser) restOfLine() string {
	end := p.at
	for end < len(p.text) && p.text[end] != '\n' && p.text[end] != '#' {
		end++
	}
	return strings.Trim(string(p.text[p.at:end]), " \t\r;")
}

func (p *rubyParser) word() string {
	start := p.at
	for r := p.peek(); r == '_' || unicode.IsLetter(r) || unicode.IsDigit(r) && p.at > start; r = p.peek() {
		p.at++
	}
	return string(p.text[start:p.at])
}

// index reads ['key'] or [:key] behind a name.
func (p *rubyParser) index() (key string, ok bool) {
	back := p.at
	if p.peek() == '[' {
		p.at++
		if v, ok := p.value(); ok {
			if key, isText := v.(string); isText && p.peek() == ']' {
				p.at++
				return key, true
			}
		}
	}
	p.at = back
	return "", false
}

// value reads a string, a symbol, a number, true, false, an array or a hash.
func (p *rubyParser) value() (any, bool) {
	p.skipSpace(false)
	switch r := p.peek(); {
	case r == '"' || r == '\'':
		return p.quoted(r)
	case r == ':':
		p.at++
		if q := p.peek(); q == '"' || q == '\'' {
			return p.quoted(q)
		}
		w := p.word()
		return w, w != ""
	case p.has("%w") && p.at+2 < len(p.text):
		return p.words()
	case r == '[':
		return p.list()
	case r == '{':
		return p.hash()
	case unicode.IsDigit(r):
		start := p.at
		for unicode.IsDigit(p.peek()) || p.peek() == '_' || p.peek() == '.' {
			p.at++
		}
		return string(p.text[start:p.at]), true
	}
	w := p.word()
	return w, slices.Contains([]string{"true", "false", "nil"}, w)
}

// quoted reads a string. One that is put together by the program is no literal.
func (p *rubyParser) quoted(quote rune) (any, bool) {
	var b strings.Builder
	for p.at++; p.peek() != quote; p.at++ {
		switch {
		case p.peek() == 0 || p.peek() == '\n' || quote == '"' && p.has("#{"):
			return nil, false
		case p.peek() == '\\' && p.at+1 < len(p.text):
			p.at++
		}
		b.WriteRune(p.peek())
	}
	p.at++
	return b.String(), true
}

// words reads %w[a b].
func (p *rubyParser) words() (any, bool) {
	closing := map[rune]rune{'[': ']', '(': ')', '{': '}', '<': '>'}[p.text[p.at+2]]
	end := slices.Index(p.text[p.at:], closing)
	if closing == 0 || end < 0 {
		return nil, false
	}
	list, text := []any{}, string(p.text[p.at+3:p.at+end])
	for _, w := range strings.Fields(text) {
		list = append(list, w)
	}
	p.at, p.line = p.at+end+1, p.line+strings.Count(text, "\n")
	return list, true
}

func (p *rubyParser) list() (any, bool) {
	list := []any{}
	for p.at++; ; {
		p.skipSpace(true)
		switch p.peek() {
		case ']':
			p.at++
			return list, true
		case ',':
			p.at++
			continue
		}
		v, ok := p.value()
		if !ok {
			return nil, false
		}
		list = append(list, v)
	}
}

// hash reads { :key => "value" } or { key: "value" }. Values that aren't strings are
// written as text.
func (p *rubyParser) hash() (any, bool) {
	all := map[string]string{}
	for p.at++; ; {
		p.skipSpace(true)
		switch p.peek() {
		case '}':
			p.at++
			return all, true
		case ',':
			p.at++
			continue
		}
		key, ok := p.word(), false
		if key != "" && p.peek() == ':' {
			p.at++
			ok = true
		} else if v, isValue := p.value(); isValue && key == "" {
			if key, ok = v.(string); ok {
				p.skipSpace(true)
				ok = p.has("=>")
			}
			if ok {
				p.at += len("=>")
			}
		}
		if !ok {
			return nil, false
		}
		p.skipSpace(true)
		v, isValue := p.value()
		if !isValue {
			return nil, false
		}
		all[key] = fmt.Sprint(v)
	}
}

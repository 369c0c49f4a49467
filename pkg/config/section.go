package config

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
)

// reader collects what reading a file finds.
type reader struct {
	Loader
	file     string
	places   map[string]place
	problems Problems
	settings []Setting
}

func (r *reader) problem(key, try, format string, args ...any) {
	at := r.places[key]
	r.problems = append(r.problems, Problem{File: r.file, Line: at.line, Column: at.column, Key: key, Message: fmt.Sprintf(format, args...), Try: try})
}

func (r *reader) origin(key string) string {
	if at := r.places[key]; at.line > 0 {
		return fmt.Sprintf("%s:%d", r.file, at.line)
	}
	return r.file
}

// section is one table of the file. Asking for a key makes it known; done
// reports the others.
type section struct {
	*reader
	path    string
	values  map[string]any
	known   []string
	env     bool            // environment variables override its keys
	fromEnv map[string]bool // keys whose value is from the environment
}

// table returns a section for a key of a parent; an absent one is empty.
func (s *section) table(key string, env bool) *section {
	sub := &section{reader: s.reader, path: join(s.path, key), env: env, values: map[string]any{}}
	v, ok := s.take(key)
	if !ok {
		return sub
	}
	if t, isTable := v.(map[string]any); isTable {
		sub.values = t
	} else if _, isList := v.([]any); isList {
		s.problem(sub.path, "write ["+key+"], with single brackets, once", "there is one %s only", key)
	} else {
		s.wrongType(key, "write ["+key+"] and its keys below", "a table")
	}
	return sub
}

// tables returns the elements of an array of tables.
func (s *section) tables(key string) (list []*section) {
	v, ok := s.take(key)
	if !ok {
		return nil
	}
	elements, ok := v.([]any)
	if !ok {
		s.problem(join(s.path, key), "write [["+key+"]], with double brackets", "there may be several of these")
		return nil
	}
	for i, e := range elements {
		t, ok := e.(map[string]any)
		if !ok {
			s.problem(index(join(s.path, key), i), "write [["+key+"]] and its keys below", "must be a table")
			continue
		}
		list = append(list, &section{reader: s.reader, path: index(join(s.path, key), i), values: t})
	}
	return list
}

// take returns the raw value of a key, the environment's before the file's.
func (s *section) take(key string) (any, bool) {
	s.known = append(s.known, key)
	if s.env {
		if v, ok := s.lookup(envName(s.path, key)); ok && v != "" {
			if s.fromEnv == nil {
				s.fromEnv = map[string]bool{}
			}
			s.fromEnv[key] = true
			return v, true
		}
	}
	v, ok := s.values[key]
	return v, ok
}

// envName is the environment variable that overrides a scalar key.
func envName(path, key string) string {
	return "CHEF_SYNC_" + strings.ToUpper(strings.ReplaceAll(path, ".", "_")+"_"+key)
}

// bad reports a value that can't be used, at its place or variable.
func (s *section) bad(key, try, format string, args ...any) {
	if s.fromEnv[key] {
		s.problems = append(s.problems, Problem{File: "environment variable " + envName(s.path, key), Key: join(s.path, key),
			Message: fmt.Sprintf(format, args...), Try: try})
		return
	}
	s.problem(join(s.path, key), try, format, args...)
}

func (s *section) wrongType(key, try, want string) { s.bad(key, try, "must be %s", want) }

// effective records the value in use of a key and where it came from.
func (s *section) effective(key, value string, given bool) {
	origin := "default"
	switch {
	case given && s.fromEnv[key]:
		origin = "env " + envName(s.path, key)
	case given:
		origin = s.origin(join(s.path, key))
	}
	s.settings = append(s.settings, Setting{Key: join(s.path, key), Value: value, Origin: origin})
}

// text reads a string. Given tells whether the key is there and a string.
func (s *section) text(key string) (value string, given bool) {
	v, ok := s.take(key)
	if !ok {
		return "", false
	}
	t, ok := v.(string)
	if !ok {
		s.wrongType(key, fmt.Sprintf("write %s = \"...\"", key), "a string")
		return "", false
	}
	return t, true
}

// word reads one of a few words.
func (s *section) word(key, fallback string, words ...string) string {
	value, given := s.text(key)
	if !given {
		value = fallback
	} else if !slices.Contains(words, value) {
		try := "write " + oneOf(words)
		if w := didYouMean(value, words); w != "" {
			try = fmt.Sprintf("did you mean %q?", w)
		}
		s.bad(key, try, "%q isn't known", value)
		return fallback
	}
	s.effective(key, value, given)
	return value
}

func (s *section) flag(key string, fallback bool) bool {
	v, given := s.take(key)
	value, ok := v.(bool)
	switch {
	case !given:
		value = fallback
	case s.fromEnv[key] && (v == "true" || v == "false"):
		value = v == "true"
	case !ok:
		s.wrongType(key, "write true or false, without quotes", "true or false")
		return fallback
	}
	s.effective(key, fmt.Sprint(value), given)
	return value
}

func (s *section) number(key string, fallback, least, most int) int {
	v, given := s.take(key)
	n, ok := v.(int64)
	if text, isText := v.(string); isText && s.fromEnv[key] {
		_, err := fmt.Sscanf(text, "%d", &n)
		ok = err == nil && fmt.Sprint(n) == text
	}
	switch {
	case !given:
		n = int64(fallback)
	case !ok:
		s.wrongType(key, "write a number without quotes", "a whole number")
		return fallback
	case n < int64(least) || n > int64(most):
		s.bad(key, "", "must be between %d and %d", least, most)
		return fallback
	}
	s.effective(key, fmt.Sprint(n), given)
	return int(n)
}

// numberOrAuto reads a number, or "auto", which is the default.
func (s *section) numberOrAuto(key string, least, most int) int {
	v, given := s.values[key]
	if _, isText := v.(string); given && !isText {
		return s.number(key, least, least, most)
	}
	s.take(key)
	if given && v != "auto" {
		s.wrongType(key, `write "auto", or a number without quotes`, `"auto" or a whole number`)
	}
	s.effective(key, "auto", given)
	return Auto
}

// duration reads a time such as "90s" of at least least. Zero is allowed where
// never says what it means.
func (s *section) duration(key string, fallback, least time.Duration, never string) time.Duration {
	v, given := s.take(key)
	if !given {
		s.effective(key, FormatDuration(fallback), false)
		return fallback
	}
	t, ok := v.(string)
	if !ok {
		try := `write a string with a unit, such as "5m"`
		if n, isInt := v.(int64); isInt {
			try = fmt.Sprintf(`write a string with a unit, such as "%ds"`, n)
		}
		s.wrongType(key, try, "a duration")
		return fallback
	}
	d, err := ParseDuration(t)
	switch {
	case err != nil:
		s.bad(key, `write a number and a unit, such as "90s", "5m", "2h" or "3d"`, "%q isn't a duration", t)
		return fallback
	case d == 0 && never != "":
	case d < least:
		s.bad(key, "", "%q is too short: at least %s", t, FormatDuration(least))
		return fallback
	}
	s.effective(key, FormatDuration(d), true)
	return d
}

// texts reads an array of strings; given tells whether the key is there and
// usable.
func (s *section) texts(key string) (list []string, given bool) {
	v, ok := s.take(key)
	if !ok {
		return nil, false
	}
	elements, ok := v.([]any)
	if !ok {
		try := fmt.Sprintf(`write %s = ["..."]`, key)
		if t, isText := v.(string); isText {
			try = fmt.Sprintf("write %s = [%q]", key, t)
		}
		s.wrongType(key, try, "an array of strings")
		return nil, false
	}
	for i, e := range elements {
		t, ok := e.(string)
		if !ok {
			s.problem(index(join(s.path, key), i), "", "must be a string")
			return nil, false
		}
		list = append(list, t)
	}
	return list, true
}

// done reports the keys that nobody asked for. Words are keys of other
// programs, with what they are called here.
func (s *section) done(words map[string]string) {
	known := slices.Sorted(slices.Values(s.known))
	for _, key := range slices.Sorted(maps.Keys(s.values)) {
		if slices.Contains(s.known, key) {
			continue
		}
		try := "known here: " + strings.Join(known, ", ")
		if w := words[key]; w != "" {
			try = "it is called " + w + " here"
		} else if w := didYouMean(key, known); w != "" {
			try = fmt.Sprintf("did you mean %s?", w)
		}
		s.problem(join(s.path, key), try, "unknown key")
	}
}

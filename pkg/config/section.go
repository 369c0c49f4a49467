package config

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
)

// reader collects the settings and problems of a file.
type reader struct {
	Loader
	file      string
	positions map[string]position
	problems  Problems
	settings  []Setting
	forms     map[string]form // of the keys that were asked for
}

func (r *reader) addProblem(key, try, format string, args ...any) {
	at := r.positions[key]
	r.problems = append(r.problems, Problem{File: r.file, Line: at.line, Column: at.column, Key: key,
		Message: fmt.Sprintf(format, args...), Try: try})
}

func (r *reader) originOf(key string) string {
	if at := r.positions[key]; at.line > 0 {
		return fmt.Sprintf("%s:%d", r.file, at.line)
	}
	return r.file
}

// section is one table of the file. Reading a key makes it known; reportUnknownKeys
// reports the others.
type section struct {
	*reader
	path      string
	values    map[string]any
	knownKeys []string
	env       bool            // environment variables override its keys
	fromEnv   map[string]bool // keys whose values are from the environment
}

// subTable returns a section for a key of a parent; an absent one is empty.
func (s *section) subTable(key string, env bool) *section {
	sub := &section{reader: s.reader, path: joinKey(s.path, key), env: env, values: map[string]any{}}
	v, ok := s.rawValue(key)
	if !ok {
		return sub
	}
	if t, isTable := v.(map[string]any); isTable {
		sub.values = t
	} else if _, isList := v.([]any); isList {
		s.addProblem(sub.path, "write ["+key+"] once, with single brackets", "there can only be one %s", key)
	} else {
		s.wrongType(key, "write ["+key+"] and its keys below", "a table")
	}
	return sub
}

// subTables returns the elements of an array of tables.
func (s *section) subTables(key string) (list []*section) {
	v, ok := s.rawValue(key)
	if !ok {
		return nil
	}
	elements, ok := v.([]any)
	if !ok {
		s.addProblem(joinKey(s.path, key), "write [["+joinKey(s.path, key)+"]], with double brackets", "there can be several of these")
		return nil
	}
	for i, e := range elements {
		t, ok := e.(map[string]any)
		if !ok {
			s.addProblem(indexKey(joinKey(s.path, key), i), "write [["+key+"]] and its keys below", "must be a table")
			continue
		}
		list = append(list, &section{reader: s.reader, path: indexKey(joinKey(s.path, key), i), values: t})
	}
	return list
}

// rawValue returns the raw value of a key, the environment's before the file's.
func (s *section) rawValue(key string) (any, bool) {
	s.knownKeys = append(s.knownKeys, key)
	if s.env {
		if v, ok := s.lookupEnv(envName(s.path, key)); ok && v != "" {
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

// envName returns the environment variable that overrides a scalar key.
func envName(path, key string) string {
	return "CHEF_SYNC_" + strings.ToUpper(strings.ReplaceAll(path, ".", "_")+"_"+key)
}

// badValue adds a problem with a value, at its position or environment variable.
func (s *section) badValue(key, try, format string, args ...any) {
	if s.fromEnv[key] {
		s.problems = append(s.problems, Problem{File: "environment variable " + envName(s.path, key), Key: joinKey(s.path, key),
			Message: fmt.Sprintf(format, args...), Try: try})
		return
	}
	s.addProblem(joinKey(s.path, key), try, format, args...)
}

func (s *section) wrongType(key, try, want string) { s.badValue(key, try, "must be %s", want) }

// recordSetting records the effective value of a key and its origin.
func (s *section) recordSetting(key, value string, given bool) {
	origin := defaultOrigin
	switch {
	case given && s.fromEnv[key]:
		origin = "env " + envName(s.path, key)
	case given:
		origin = s.originOf(joinKey(s.path, key))
	}
	s.settings = append(s.settings, Setting{Key: joinKey(s.path, key), Value: value, Origin: origin})
}

// recordForm records what the values of a key look like. The first record counts: it is
// made by the function that knows most.
func (s *section) recordForm(key, text string) {
	at := joinKey(s.path, key)
	if _, known := s.forms[at]; known || s.forms == nil {
		return
	}
	if _, free := s.forms[joinKey(s.path, anyName)]; free {
		return
	}
	f := form{text: text}
	if s.env && text != formList && text != formTable {
		f.env = envName(s.path, key)
	}
	s.forms[at] = f
}

// stringValue reads a string. Given is whether the key is there and a string.
func (s *section) stringValue(key string) (value string, given bool) {
	s.recordForm(key, "string")
	v, ok := s.rawValue(key)
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

// enumValue reads one of a set of words.
func (s *section) enumValue(key, fallback string, words ...string) string {
	s.recordForm(key, quoteList(words))
	value, given := s.stringValue(key)
	if !given {
		value = fallback
	} else if !slices.Contains(words, value) {
		try := "write " + quoteList(words)
		if w := DidYouMean(value, words); w != "" {
			try = fmt.Sprintf("did you mean %q?", w)
		}
		s.badValue(key, try, "%q isn't known", value)
		return fallback
	}
	s.recordSetting(key, value, given)
	return value
}

func (s *section) boolValue(key string, fallback bool) bool {
	s.recordForm(key, "boolean")
	v, given := s.rawValue(key)
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
	s.recordSetting(key, fmt.Sprint(value), given)
	return value
}

func (s *section) intValue(key string, fallback, least, most int) int {
	s.recordForm(key, fmt.Sprintf("integer from %d to %d", least, most))
	v, given := s.rawValue(key)
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
		s.badValue(key, "", "must be between %d and %d", least, most)
		return fallback
	}
	s.recordSetting(key, fmt.Sprint(n), given)
	return int(n)
}

// intOrAuto reads a number, or "auto", which is the default.
func (s *section) intOrAuto(key string, least, most int) int {
	s.recordForm(key, fmt.Sprintf(`"auto" or an integer from %d to %d`, least, most))
	v, given := s.values[key]
	if _, isText := v.(string); given && !isText {
		return s.intValue(key, least, least, most)
	}
	s.rawValue(key)
	if given && v != "auto" {
		s.wrongType(key, `write "auto", or a number without quotes`, `"auto" or a whole number`)
	}
	s.recordSetting(key, "auto", given)
	return Auto
}

// durationValue reads a duration such as "90s" of at least least. Zero is allowed if
// never says what it means.
func (s *section) durationValue(key string, fallback, least time.Duration, never string) time.Duration {
	s.recordForm(key, "duration")
	v, given := s.rawValue(key)
	if !given {
		s.recordSetting(key, FormatDuration(fallback), false)
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
		s.badValue(key, `write a number and a unit, such as "90s", "5m", "2h" or "3d"`, "%q isn't a duration", t)
		return fallback
	case d == 0 && never != "":
	case d < least:
		s.badValue(key, "", "%q is too short: at least %s", t, FormatDuration(least))
		return fallback
	}
	s.recordSetting(key, FormatDuration(d), true)
	return d
}

// stringList reads an array of strings; given is whether the key is there and valid.
func (s *section) stringList(key string) (list []string, given bool) {
	s.recordForm(key, formList)
	v, ok := s.rawValue(key)
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
			s.addProblem(indexKey(joinKey(s.path, key), i), "", "must be a string")
			return nil, false
		}
		list = append(list, t)
	}
	return list, true
}

// reportUnknownKeys reports the keys that weren't read. Words are keys of other
// programs, with their names here.
func (s *section) reportUnknownKeys(words map[string]string) {
	known := slices.Sorted(slices.Values(s.knownKeys))
	for _, key := range slices.Sorted(maps.Keys(s.values)) {
		if slices.Contains(s.knownKeys, key) {
			continue
		}
		try := "known here: " + strings.Join(known, ", ")
		if w := words[key]; w != "" {
			try = "it is called " + w + " here"
		} else if w := DidYouMean(key, known); w != "" {
			try = fmt.Sprintf("did you mean %s?", w)
		}
		s.addProblem(joinKey(s.path, key), try, "unknown key")
	}
}

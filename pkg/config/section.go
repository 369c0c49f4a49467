package config

import (
	"fmt"
	"maps"
	"slices"
	"strings"
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

// hasProblem reports whether a problem with a key was found.
func (r *reader) hasProblem(key string) bool {
	return slices.ContainsFunc(r.problems, func(p Problem) bool { return p.Key == key })
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
		s.addProblem(sub.path, "write ["+s.headerOf(key)+"] once, with single brackets", "there can only be one %s", key)
	} else {
		s.badValue(key, "write ["+s.headerOf(key)+"] and its keys below", "must be a table")
	}
	return sub
}

// headerOf returns the name of a table below this one as the file writes it, without the
// numbers of elements: replica.headers.
func (s *section) headerOf(key string) string {
	path, _, _ := strings.Cut(s.path, "[") // no array of tables is below another one
	return joinKey(path, key)
}

// subTables returns the elements of an array of tables.
func (s *section) subTables(key string) (list []*section) {
	v, ok := s.rawValue(key)
	if !ok {
		return nil
	}
	elements, ok := v.([]any)
	if !ok {
		s.addProblem(joinKey(s.path, key), "write [["+s.headerOf(key)+"]], with double brackets", "there can be several of these")
		return nil
	}
	for i, e := range elements {
		t, ok := e.(map[string]any)
		if !ok {
			s.addProblem(indexKey(joinKey(s.path, key), i), "write [["+s.headerOf(key)+"]] and its keys below", "must be a table")
			continue
		}
		list = append(list, &section{reader: s.reader, path: indexKey(joinKey(s.path, key), i), values: t})
	}
	return list
}

// rawValue returns the raw value of a key, and makes the key known.
func (s *section) rawValue(key string) (any, bool) {
	s.knownKeys = append(s.knownKeys, key)
	return s.lookUp(key)
}

// lookUp returns the raw value of a key, the environment's before the file's.
func (s *section) lookUp(key string) (any, bool) {
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

// recordSetting records the effective value of a key and its origin.
func (s *section) recordSetting(key, value string, given bool) {
	if given {
		s.recordOrigin(key, value, s.originOf(key))
	} else {
		s.recordOrigin(key, value, defaultOrigin)
	}
}

func (s *section) recordOrigin(key, value, origin string) {
	s.settings = append(s.settings, Setting{Key: joinKey(s.path, key), Value: value, Origin: origin})
}

// originOf returns where the value of a key is from.
func (s *section) originOf(key string) string {
	if s.fromEnv[key] {
		return "env " + envName(s.path, key)
	}
	if at := s.positions[joinKey(s.path, key)]; at.line > 0 {
		return fmt.Sprintf("%s:%d", s.file, at.line)
	}
	return s.file
}

// recordForm records what the values of a key look like.
func (s *section) recordForm(key, text string) {
	if s.forms == nil {
		return
	}
	if _, free := s.forms[joinKey(s.path, anyName)]; free {
		return
	}
	f := form{text: text}
	if s.env && text != formList && text != formTable {
		f.env = envName(s.path, key)
	}
	s.forms[joinKey(s.path, key)] = f
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
			try = "did you mean " + w + "?"
		}
		s.addProblem(joinKey(s.path, key), try, "unknown key")
	}
}

package config

import (
	"errors"
	"fmt"
	"maps"
	"net"
	"regexp"
	"slices"
	"strconv"
	"time"
)

// refuse returns why a value can't be used, and what to write instead.
func refuse(try, format string, args ...any) error {
	return Problem{Message: fmt.Sprintf(format, args...), Try: try}
}

// refuseValue adds a problem with the value of a key.
func (s *section) refuseValue(key string, err error) {
	p := problemOf(err)
	s.badValue(key, p.Try, "%s", p.Message)
}

func problemOf(err error) (p Problem) {
	if !errors.As(err, &p) {
		p.Message = err.Error()
	}
	return p
}

// keyType is what the values of a key look like.
type keyType[T any] struct {
	form  string // for the reference
	parse func(raw any) (T, error)
	text  func(T) string // as settings show a value
}

// parseKey returns the value of a key, or fallback. Given is whether the key is there.
func parseKey[T any](s *section, key string, fallback T, t keyType[T]) (value T, given bool) {
	s.recordForm(key, t.form)
	raw, given := s.rawValue(key)
	if !given {
		return fallback, false
	}
	value, err := t.parse(raw)
	if err != nil {
		s.refuseValue(key, err)
		return fallback, true
	}
	return value, true
}

// readKey returns the value of a key as parseKey does, and records the setting.
func readKey[T any](s *section, key string, fallback T, t keyType[T]) (value T, given bool) {
	value, given = parseKey(s, key, fallback, t)
	s.recordSetting(key, t.text(value), given)
	return value, given
}

// textType is the type of a key whose values are strings.
func textType[T any](key, form string, parse func(string) (T, error), text func(T) string) keyType[T] {
	return keyType[T]{form: form, text: text, parse: func(raw any) (value T, err error) {
		v, ok := raw.(string)
		if !ok {
			return value, refuse(fmt.Sprintf("write %s = \"...\"", key), "must be a string")
		}
		return parse(v)
	}}
}

// readText reads a key whose values are strings.
func readText[T any](s *section, key, form string, fallback T, parse func(string) (T, error), text func(T) string) T {
	value, _ := readKey(s, key, fallback, textType(key, form, parse, text))
	return value
}

// stringValue reads a string that check accepts.
func (s *section) stringValue(key, form, fallback string, check func(string) error) string {
	return readText(s, key, form, fallback, func(v string) (string, error) { return v, check(v) }, sameText)
}

func sameText(v string) string { return v }

// enumValue reads one of a set of words.
func enumValue[T ~string](s *section, key string, fallback T, words ...T) T {
	texts := make([]string, len(words))
	for i, w := range words {
		texts[i] = string(w)
	}
	return T(s.stringValue(key, quoteList(texts), string(fallback), func(v string) error {
		if slices.Contains(texts, v) {
			return nil
		}
		return refuse(suggestWord(v, texts, "write "+quoteList(texts)), "%q isn't known", v)
	}))
}

func (s *section) boolValue(key string, fallback bool) bool {
	value, _ := readKey(s, key, fallback, keyType[bool]{form: "boolean", text: strconv.FormatBool, parse: func(raw any) (bool, error) {
		if v, ok := raw.(bool); ok {
			return v, nil
		}
		if s.fromEnv[key] && (raw == "true" || raw == "false") {
			return raw == "true", nil
		}
		return false, refuse("write true or false, without quotes", "must be true or false")
	}})
	return value
}

func (s *section) intValue(key string, fallback, least, most int) int {
	form := fmt.Sprintf("integer from %d to %d", least, most)
	value, _ := readKey(s, key, fallback, keyType[int]{form: form, text: strconv.Itoa, parse: func(raw any) (int, error) {
		if text, isText := raw.(string); isText && s.fromEnv[key] {
			if n, err := strconv.ParseInt(text, 10, 64); err == nil && strconv.FormatInt(n, 10) == text {
				raw = n
			}
		}
		n, ok := raw.(int64)
		if !ok {
			return 0, refuse("write a number without quotes", "must be a whole number")
		}
		return int(n), checkRange(n, least, most)
	}})
	return value
}

func checkRange(n int64, least, most int) error {
	if n < int64(least) || n > int64(most) {
		return refuse("", "must be between %d and %d", least, most)
	}
	return nil
}

// intOrAuto reads a number, or "auto", which is the default.
func (s *section) intOrAuto(key string, least, most int) int {
	t := keyType[int]{form: fmt.Sprintf(`"auto" or an integer from %d to %d`, least, most)}
	t.parse = func(raw any) (int, error) {
		if n, isInt := raw.(int64); isInt {
			return int(n), checkRange(n, least, most)
		}
		if raw == "auto" {
			return Auto, nil
		}
		return 0, refuse(`write "auto", or a number without quotes`, `must be "auto" or a whole number`)
	}
	t.text = func(n int) string {
		if n == Auto {
			return "auto"
		}
		return strconv.Itoa(n)
	}
	value, _ := readKey(s, key, Auto, t)
	return value
}

// durationValue reads a duration such as "90s" of at least least.
func (s *section) durationValue(key string, fallback, least time.Duration) time.Duration {
	return s.durationOf(key, fallback, func(d time.Duration) bool { return d >= least }, least)
}

// durationOrNever reads the time between two runs of something that 0 turns off.
func (s *section) durationOrNever(key string, fallback time.Duration) time.Duration {
	return s.durationOf(key, fallback, func(d time.Duration) bool { return d == 0 || d >= minInterval }, minInterval)
}

func (s *section) durationOf(key string, fallback time.Duration, isAllowed func(time.Duration) bool, least time.Duration) time.Duration {
	value, _ := readKey(s, key, fallback, keyType[time.Duration]{form: "duration", text: FormatDuration, parse: func(raw any) (time.Duration, error) {
		text, ok := raw.(string)
		if !ok {
			example := "5m"
			if n, isInt := raw.(int64); isInt {
				example = fmt.Sprintf("%ds", n)
			}
			return 0, refuse(fmt.Sprintf("write a string with a unit, such as %q", example), "must be a duration")
		}
		d, err := ParseDuration(text)
		switch {
		case err != nil:
			return 0, refuse(`write a number and a unit, such as "90s", "5m", "2h" or "3d"`, "%q isn't a duration", text)
		case !isAllowed(d):
			return 0, refuse("", "%q is too short: at least %s", text, FormatDuration(least))
		}
		return d, nil
	}})
	return value
}

// pathValue reads the path of a file or folder.
func (s *section) pathValue(key, fallback string) string {
	return readText(s, key, "path", fallback, func(v string) (string, error) {
		if v == "" {
			return "", refuse("write a path, or leave the key out", "must not be empty")
		}
		return s.Loader.resolvePath(v, s.configFolder()), nil
	}, sameText)
}

// addressValue reads HOST:PORT; "" is none. A problem suggests the usual port.
func (s *section) addressValue(key, usualPort string) string {
	return s.stringValue(key, "address HOST:PORT", "", func(v string) error {
		if v == "" {
			return nil
		}
		if _, port, err := net.SplitHostPort(v); err != nil || !isPort(port) {
			return refuse(fmt.Sprintf(`write an address and a port, such as %[1]s = ":%[2]s" or "127.0.0.1:%[2]s"`, key, usualPort),
				"%q isn't an address to listen on", v)
		}
		return nil
	})
}

// isPort reports whether a text is a port that exists or may be the name of a service.
func isPort(text string) bool {
	n, err := strconv.Atoi(text)
	return text != "" && (err != nil || 0 <= n && n <= 65535)
}

// refValue reads a reference that may be missing.
func (s *section) refValue(key string) KeyRef {
	return readText(s, key, formReference, KeyRef{}, s.parseRef, KeyRef.String)
}

// matchingString reads a string that matches a pattern. "" is allowed if it is the
// default.
func (s *section) matchingString(key, fallback, pattern, try string) string {
	return s.stringValue(key, "string", fallback, func(v string) error {
		if matches(pattern, v) || v == "" && fallback == "" {
			return nil
		}
		return refuse(try, "%q can't be used", v)
	})
}

// matches reports whether a text matches a regular expression.
func matches(pattern, text string) bool {
	ok, err := regexp.MatchString(pattern, text)
	return err == nil && ok
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
		s.badValue(key, try, "must be an array of strings")
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

// readList reads an array of strings, each of which parse understands and none of which is
// there twice. An empty array is refused if empty says why. Without the key, the list is nil;
// usual is then what settings show.
func readList[T comparable](s *section, key string, usual []string, empty error, parse func(string) (T, error)) (list []T, given bool) {
	texts, given := s.stringList(key)
	if given && len(texts) == 0 && empty != nil {
		s.refuseValue(key, empty)
	}
	for i, text := range texts {
		v, err := parse(text)
		if err == nil && slices.Contains(list, v) {
			err = refuse("", "%q is listed twice", text)
		}
		if err != nil {
			p := problemOf(err)
			s.addProblem(indexKey(joinKey(s.path, key), i), p.Try, "%s", p.Message)
			continue
		}
		list = append(list, v)
	}
	if !given {
		texts = usual
	}
	s.recordSetting(key, fmt.Sprintf("%q", texts), given)
	return list, given
}

// matchingStrings reads an array of distinct strings that match a pattern.
func (s *section) matchingStrings(key, pattern, try string) []string {
	list, _ := readList(s, key, nil, nil, func(v string) (string, error) {
		if matches(pattern, v) {
			return v, nil
		}
		return "", refuse(try, "%q can't be used", v)
	})
	return list
}

// readTable reads a table of strings whose keys are up to the user, or nil.
func readTable[T any](t *section, form string, parse func(name, text string) (T, error), text func(T) string) map[string]T {
	if len(t.values) == 0 {
		return nil
	}
	var none T
	values := map[string]T{}
	for _, name := range slices.Sorted(maps.Keys(t.values)) {
		values[name] = readText(t, name, form, none, func(v string) (T, error) { return parse(name, v) }, text)
	}
	return values
}

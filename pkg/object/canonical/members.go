package canonical

import "slices"

// member is one member of an object in canonical form. The key is quoted.
type member struct{ key, value []byte }

// object is an object in canonical form, taken apart: sorted by key, each key
// once.
type object []member

// parseObject reads a body that must be an object.
func parseObject(body []byte) (object, error) {
	c, err := JSON(body)
	if err != nil {
		return nil, err
	}
	o, ok := splitObject(c)
	if !ok {
		return nil, ErrShape
	}
	return o, nil
}

func isObject(c []byte) bool { return len(c) > 0 && c[0] == '{' }

// splitObject takes a canonical object apart. It relies on the form that JSON
// writes and must not see anything else.
func splitObject(c []byte) (object, bool) {
	if !isObject(c) {
		return nil, false
	}
	return appendMembers(make(object, 0, 12), c), true
}

func appendMembers(o object, c []byte) object {
	for i := 1; c[i] != '}'; {
		if c[i] == ',' {
			i++
		}
		colon := skipValue(c, i)
		end := skipValue(c, colon+1)
		o = append(o, member{c[i:colon:colon], c[colon+1 : end : end]})
		i = end
	}
	return o
}

// splitArray takes a canonical array apart.
func splitArray(c []byte) ([][]byte, bool) {
	if len(c) == 0 || c[0] != '[' {
		return nil, false
	}
	var list [][]byte
	for i := 1; c[i] != ']'; {
		if c[i] == ',' {
			i++
		}
		end := skipValue(c, i)
		list = append(list, c[i:end:end])
		i = end
	}
	return list, true
}

// skipValue returns the end of the canonical value that begins at i.
func skipValue(c []byte, i int) int {
	depth := 0
	for ; i < len(c); i++ {
		switch c[i] {
		case '"':
			for i++; c[i] != '"'; i++ {
				if c[i] == '\\' {
					i++
				}
			}
			if depth == 0 {
				return i + 1
			}
		case '{', '[':
			depth++
		case '}', ']':
			if depth == 0 {
				return i // the value was a bare word or number
			}
			if depth--; depth == 0 {
				return i + 1
			}
		case ',', ':':
			if depth == 0 {
				return i
			}
		}
	}
	return i
}

func (o object) findMember(name string) (int, bool) {
	return slices.BinarySearchFunc(o, name, func(m member, name string) int {
		// The names asked for are plain ASCII, so quoting them needs no care; the
		// closing quote takes part in the order as it did when sorting.
		return compareQuoted(m.key, name)
	})
}

// compareQuoted compares a quoted key with a plain name as if the name were
// quoted, without building that string.
func compareQuoted(key []byte, name string) int {
	for i := 1; i < len(key); i++ {
		c := byte('"')
		if i-1 < len(name) {
			c = name[i-1]
		}
		if key[i] != c {
			return int(key[i]) - int(c)
		}
		if i-1 >= len(name) {
			return 0
		}
	}
	return -1
}

// getMember returns the value of a key, or nil.
func (o object) getMember(name string) []byte {
	if i, ok := o.findMember(name); ok {
		return o[i].value
	}
	return nil
}

// addDefault adds a member unless the key is there.
func (o *object) addDefault(name, value string) {
	if i, ok := o.findMember(name); !ok {
		*o = slices.Insert(*o, i, member{[]byte(`"` + name + `"`), []byte(value)})
	}
}

// replaceMember replaces the value of a key that is there.
func (o object) replaceMember(name string, f func([]byte) []byte) {
	if i, ok := o.findMember(name); ok {
		o[i].value = f(o[i].value)
	}
}

// appendTo writes the object.
func (o object) appendTo(out []byte) []byte {
	out = append(out, '{')
	for i, m := range o {
		if i > 0 {
			out = append(out, ',')
		}
		out = append(out, m.key...)
		out = append(out, ':')
		out = append(out, m.value...)
	}
	return append(out, '}')
}

package canonical

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"math/big"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// The model of a JSON value: nil, bool, string, *big.Int, float64, []any or
// map[string]any. Two values are equal when reflect.DeepEqual says so.
func values(depth int) *rapid.Generator[any] {
	leaves := []*rapid.Generator[any]{
		rapid.Just[any](nil),
		rapid.Bool().AsAny(),
		rapid.String().AsAny(),
		rapid.Custom(func(t *rapid.T) any {
			n, _ := new(big.Int).SetString(rapid.StringMatching(`-?[1-9][0-9]{0,40}|0`).Draw(t, "integer"), 10)
			return n
		}),
		rapid.Custom(func(t *rapid.T) any {
			if f := rapid.Float64().Draw(t, "float"); f != 0 {
				return f
			}
			return 0.0 // never minus zero, which equals zero
		}),
	}
	if depth == 0 {
		return rapid.OneOf(leaves...)
	}
	inner := rapid.Deferred(func() *rapid.Generator[any] { return values(depth - 1) })
	return rapid.OneOf(append(leaves, rapid.SliceOfN(inner, 0, 4).AsAny(), rapid.MapOfN(rapid.String(), inner, 0, 4).AsAny())...)
}

// spell writes a model value as JSON in one of its many spellings.
func spell(t *rapid.T, v any) string {
	space := func() string { return rapid.SampledFrom([]string{"", "", "", " ", "\n\t", "\r\n  "}).Draw(t, "space") }
	return space() + spellBare(t, v, space) + space()
}

func spellBare(t *rapid.T, v any, space func() string) string {
	switch v := v.(type) {
	case nil:
		return "null"
	case bool:
		return strconv.FormatBool(v)
	case string:
		return spellString(t, v)
	case *big.Int:
		if v.Sign() == 0 && rapid.Bool().Draw(t, "minus") {
			return "-0"
		}
		return v.String()
	case float64:
		return spellFloat(t, v)
	case []any:
		parts := make([]string, len(v))
		for i := range v {
			parts[i] = spell(t, v[i])
		}
		return "[" + space() + strings.Join(parts, ",") + "]"
	case map[string]any:
		var parts []string
		keys := slices.Sorted(maps.Keys(v))
		for _, k := range rapid.Permutation(keys).Draw(t, "order") {
			if rapid.IntRange(0, 9).Draw(t, "duplicate") == 0 {
				parts = append(parts, spellString(t, k)+":"+spell(t, "overridden"))
			}
			parts = append(parts, space()+spellString(t, k)+space()+":"+spell(t, v[k]))
		}
		return "{" + space() + strings.Join(parts, ",") + "}"
	}
	panic(fmt.Sprintf("no spelling of %T", v))
}

func spellString(t *rapid.T, s string) string {
	var b strings.Builder
	b.WriteByte('"')
	for _, r := range s {
		switch how := rapid.IntRange(0, 3).Draw(t, "escape"); {
		case how == 0 && r == '/':
			b.WriteString(`\/`)
		case r > 0xffff && how == 1:
			r -= 0x10000
			fmt.Fprintf(&b, `\u%04x\u%04X`, 0xd800+r>>10, 0xdc00+r&0x3ff)
		case r <= 0xffff && how == 2, r < ' ', r == '"', r == '\\':
			fmt.Fprintf(&b, `\u%04X`, r)
		default:
			b.WriteRune(r)
		}
	}
	b.WriteByte('"')
	return b.String()
}

func spellFloat(t *rapid.T, f float64) string {
	if f == 0 {
		return rapid.SampledFrom([]string{"0.0", "-0.0", "0e0", "0.000E-99", "-0E+7"}).Draw(t, "zero")
	}
	switch how := rapid.IntRange(0, 3).Draw(t, "float form"); {
	case how == 0 && math.Abs(f) < 1e30 && math.Abs(f) > 1e-30:
		s := strconv.FormatFloat(f, 'f', -1, 64)
		if !strings.Contains(s, ".") {
			s += "."
			return s + rapid.SampledFrom([]string{"0", "000"}).Draw(t, "zeros")
		}
		return s + rapid.SampledFrom([]string{"", "0", "000"}).Draw(t, "zeros")
	case how == 1:
		return strconv.FormatFloat(f, 'E', 20, 64) // more digits than a double has
	case how == 2:
		return strings.Replace(strconv.FormatFloat(f, 'e', -1, 64), "e+", "e", 1)
	}
	return strconv.FormatFloat(f, 'e', -1, 64)
}

func TestSpellingNeverMatters(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		v := values(3).Draw(t, "value")
		one, two := spell(t, v), spell(t, v)
		a, errA := JSON([]byte(one))
		b, errB := JSON([]byte(two))
		if errA != nil || errB != nil || !bytes.Equal(a, b) {
			t.Fatalf("%s\n%s\nhave forms\n%s (%v)\n%s (%v)", one, two, a, errA, b, errB)
		}
		if !json.Valid(a) {
			t.Fatalf("%s isn't JSON", a)
		}
	})
}

func TestEveryDifferenceMatters(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		v := values(3).Draw(t, "value")
		var w any
		if rapid.Bool().Draw(t, "mutate") {
			w = mutate(t, v)
		} else {
			w = values(3).Draw(t, "other")
		}
		a, errA := JSON([]byte(spell(t, v)))
		b, errB := JSON([]byte(spell(t, w)))
		if errA != nil || errB != nil {
			t.Fatal(errA, errB)
		}
		if same := reflect.DeepEqual(v, w); same != bytes.Equal(a, b) || same != (Fingerprint(a) == Fingerprint(b)) {
			t.Fatalf("values equal: %t, forms:\n%s\n%s", same, a, b)
		}
	})
}

// mutate changes one place of a value.
func mutate(t *rapid.T, v any) any {
	switch v := v.(type) {
	case []any:
		if len(v) > 0 && rapid.Bool().Draw(t, "inside") {
			w := slices.Clone(v)
			i := rapid.IntRange(0, len(v)-1).Draw(t, "index")
			w[i] = mutate(t, v[i])
			return w
		}
		return append(slices.Clone(v), nil)
	case map[string]any:
		w := maps.Clone(v)
		if len(v) == 0 {
			return map[string]any{"added": nil}
		}
		k := rapid.SampledFrom(slices.Sorted(maps.Keys(v))).Draw(t, "key")
		if rapid.Bool().Draw(t, "inside") {
			w[k] = mutate(t, v[k])
		} else {
			delete(w, k)
		}
		return w
	case *big.Int:
		return new(big.Int).Add(v, big.NewInt(1))
	case float64:
		if w := math.Nextafter(v, 0); w != 0 {
			return w
		}
		return 1.0
	case string:
		return v + rapid.SampledFrom([]string{" ", "\x00", "é", `\`}).Draw(t, "more")
	}
	return rapid.SampledFrom([]any{"", 0.0, new(big.Int)}).Draw(t, "else")
}

// cookbook is a model of a cookbook version. Files map path to the other three.
type cookbook struct {
	name, version string
	frozen        bool
	files         map[string][3]string // segment/name, specificity, checksum
	description   string
}

func cookbooks() *rapid.Generator[cookbook] {
	return rapid.Custom(func(t *rapid.T) cookbook {
		c := cookbook{
			name:        rapid.SampledFrom([]string{"apache2", "apt"}).Draw(t, "name"),
			version:     rapid.SampledFrom([]string{"1.0.0", "1.10.0"}).Draw(t, "version"),
			frozen:      rapid.Bool().Draw(t, "frozen"),
			description: rapid.SampledFrom([]string{"", "words"}).Draw(t, "description"),
			files:       map[string][3]string{},
		}
		for range rapid.IntRange(0, 5).Draw(t, "files") {
			segment := rapid.SampledFrom([]string{"recipes", "templates", "root_files", "files"}).Draw(t, "segment")
			name := rapid.StringMatching(`[a-c]{1,2}(/[a-c])?\.rb`).Draw(t, "file")
			path := segment + "/" + name
			if segment == "root_files" {
				path = name
			}
			c.files[path] = [3]string{segment + "/" + name, "default", rapid.StringMatching(`[0-9a-f]{4}`).Draw(t, "checksum")}
		}
		return c
	})
}

// body writes the cookbook as one of the servers would, with URLs of its own.
func (c cookbook) body(t *rapid.T) string {
	segments := rapid.Bool().Draw(t, "segments")
	lists := map[string]any{}
	add := func(list string, entry any) {
		l, _ := lists[list].([]any)
		lists[list] = append(l, entry)
	}
	for _, path := range rapid.Permutation(slices.Sorted(maps.Keys(c.files))).Draw(t, "order") {
		f := c.files[path]
		entry := map[string]any{"path": path, "name": f[0], "specificity": f[1], "checksum": f[2],
			"url": rapid.StringMatching(`https://[a-z]{3}/\?X=[0-9]{3}`).Draw(t, "url")}
		if !segments {
			add("all_files", entry)
			continue
		}
		segment, name, _ := strings.Cut(f[0], "/")
		entry["name"] = name
		add(segment, entry)
	}
	if rapid.Bool().Draw(t, "empty segments") {
		for _, list := range []string{"all_files", "recipes", "libraries"} {
			if lists[list] == nil {
				lists[list] = []any{}
			}
		}
	}
	meta := map[string]any{"name": c.name, "description": c.description}
	if rapid.Bool().Draw(t, "filled") {
		meta["attributes"], meta["dependencies"], meta["long_description"] = map[string]any{}, map[string]any{}, ""
	}
	lists["metadata"], lists["cookbook_name"], lists["version"] = meta, c.name, c.version
	if c.frozen || rapid.Bool().Draw(t, "say not frozen") {
		lists["frozen?"] = c.frozen
	}
	if rapid.Bool().Draw(t, "classes") {
		lists["name"], lists["json_class"], lists["chef_type"] = c.name+"-"+c.version, "Chef::CookbookVersion", "cookbook_version"
	}
	return spell(t, lists)
}

func TestCookbooksAreEqualWhenTheirContentIs(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a, b := cookbooks().Draw(t, "a"), cookbooks().Draw(t, "b")
		if rapid.Bool().Draw(t, "same") {
			b = a
		}
		formA, errA := CookbookVersion([]byte(a.body(t)))
		formB, errB := CookbookVersion([]byte(b.body(t)))
		if errA != nil || errB != nil {
			t.Fatal(errA, errB)
		}
		if same := reflect.DeepEqual(a, b); same != bytes.Equal(formA, formB) {
			t.Fatalf("content equal: %t, forms:\n%s\n%s", same, formA, formB)
		}
	})
}

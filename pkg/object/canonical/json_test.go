package canonical

import (
	"bytes"
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"unicode/utf8"
)

// JSON returns the canonical form of any JSON value.
func JSON(body []byte) ([]byte, error) {
	v, err := decode(body)
	return appendValue(nil, v), err
}

func TestJSONWritesOneFormForEqualValues(t *testing.T) {
	tests := []struct{ name, in, want string }{
		{"keys are sorted, white space goes", " {\"b\" : [ 1 ,2 ] ,\n\t\"a\":{ } }\r\n", `{"a":{},"b":[1,2]}`},
		{"arrays keep their order", `[2,1,[]]`, `[2,1,[]]`},
		{"nested objects are sorted too", `{"z":{"b":1,"a":{"d":1,"c":2}}}`, `{"z":{"a":{"c":2,"d":1},"b":1}}`},
		{"a key sorts before the key that it begins", `{"ab":1,"a":2,"a!":3}`, `{"a!":3,"a":2,"ab":1}`},
		{"the last of duplicate keys wins", `{"a":1,"b":0,"a":{"x":2}}`, `{"a":{"x":2},"b":0}`},
		{"duplicate keys in another spelling", `{"a":1,"\u0061":2}`, `{"a":2}`},
		{"three duplicates alone", `{"a":1,"a":2,"a":3}`, `{"a":3}`},
		{"HTML is not escaped", `"\u003ca\u0026b\u003e"`, `"<a&b>"`},
		{"needless escapes go", `"\/\u00e9\u0041"`, `"/éA"`},
		{"surrogate pairs become one character", `"\ud83d\ude00"`, `"😀"`},
		{"line separators stay as they are", `"\u2028"`, "\"\u2028\""},
		{"needed escapes stay", `"\"\\\n\r\t\b\f\u0000\u001F"`, `"\"\\\n\r\t\u0008\u000c\u0000\u001f"`},
		{"short and long escapes are one", `"\u000a\u0022\u005c"`, `"\n\"\\"`},
		{"words", `[true,false,null]`, `[true,false,null]`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, err := JSON([]byte(tt.in))
			if err != nil || string(got) != tt.want {
				t.Errorf("JSON(%s) = %s, %v; want %s", tt.in, got, err, tt.want)
			}
		})
	}
}

func TestNumbers(t *testing.T) {
	tests := []struct{ in, want string }{
		// Integers keep every digit.
		{"0", "0"}, {"-0", "0"}, {"-7", "-7"},
		{"9007199254740993", "9007199254740993"},
		{"123456789012345678901234567890", "123456789012345678901234567890"},
		// What erchef writes again (docs/chef-server-api.md §13).
		{"1e3", "1000.0"}, {"1000.0", "1000.0"}, {"1E+3", "1000.0"}, {"1.5e10", "15000000000.0"},
		{"1E-7", "0.0000001"}, {"1e-7", "0.0000001"}, {"1.50", "1.5"}, {"3.00", "3.0"},
		{"-0.0", "0.0"}, {"0e5", "0.0"}, {"0.0", "0.0"},
		{"1e-8", "1e-08"}, {"0.00000001", "1e-08"}, {"1e21", "1e+21"}, {"1000000000000000000000.0", "1e+21"},
		// Digits beyond a double are lost by erchef and by every client.
		{"0.30000000000000000001", "0.3"}, {"1e-400", "0.0"},
		// Beyond a double: exact, and never expanded.
		{"1e400", "1e400"}, {"-10.50e400", "-105e399"}, {"0.001e403", "1e400"},
		{"1e999999999", "1e999999999"}, {"1E+999999999", "1e999999999"},
		{"1e99999999999999999999999", "1e99999999999999999999999"},
		{"1e-99999999999999999999999", "0.0"},
	}
	for _, tt := range tests {
		got, err := JSON([]byte(tt.in))
		if err != nil || string(got) != tt.want {
			t.Errorf("JSON(%s) = %s, %v; want %s", tt.in, got, err, tt.want)
		}
	}
}

func TestIntegersAndFloatsDiffer(t *testing.T) {
	for _, pair := range [][2]string{{"3", "3.0"}, {"1000", "1e3"}, {"0", "0.0"}, {"9007199254740992", "9007199254740993"}, {"1e400", "2e400"}} {
		a, errA := JSON([]byte(pair[0]))
		b, errB := JSON([]byte(pair[1]))
		if errA != nil || errB != nil || bytes.Equal(a, b) {
			t.Errorf("%s and %s: %s and %s (%v, %v), want different forms", pair[0], pair[1], a, b, errA, errB)
		}
	}
}

func TestJSONRefuses(t *testing.T) {
	tests := []struct{ name, in string }{
		{"nothing", ""}, {"white space alone", " \n"}, {"a page of a proxy", "<html></html>"},
		{"cut off in an object", `{"a":1`}, {"cut off after a key", `{"a"`}, {"cut off in a string", `"abc`},
		{"cut off in an escape", `"a\`}, {"cut off in a unicode escape", `"\u00`}, {"cut off in an array", `[1,`},
		{"text after the end", `{} {}`}, {"a comma too many", `[1,]`}, {"a comma too many in an object", `{"a":1,}`},
		{"a missing comma", `[1 2]`}, {"a missing colon", `{"a" 1}`}, {"a key that is no string", `{1:2}`},
		{"a raw control character", "\"a\nb\""}, {"an unknown escape", `"\x41"`}, {"half a word", `tru`},
		{"leading zeros", `01`}, {"a bare minus", `-`}, {"a bare point", `1.`}, {"an empty exponent", `1e+`},
		{"text that isn't UTF-8", "\"\xff\""}, {"an overlong character", "\"\xc0\xaf\""}, {"an encoded surrogate", "\"\xed\xa0\x80\""},
		{"half a surrogate pair", `"\ud800x"`}, {"a low surrogate alone", `"\udc00"`}, {"two high surrogates", `"\ud800\ud800"`},
		{"a byte order mark", "\ufeff{}"}, {"a zero byte", "\x00"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, err := JSON([]byte(tt.in))
			var syntax *SyntaxError
			if !errors.As(err, &syntax) {
				t.Fatalf("JSON(%q) = %s, %v; want a *SyntaxError", tt.in, got, err)
			}
			if syntax.Offset < 0 || syntax.Offset > len(tt.in) {
				t.Errorf("offset %d lies outside of %d bytes", syntax.Offset, len(tt.in))
			}
		})
	}
}

func TestErrorsDontQuoteTheBody(t *testing.T) {
	_, err := DataBagItem([]byte(`{"id":"x","password":"hunter2" "more"}`))
	if err == nil || strings.Contains(err.Error(), "hunter2") || strings.Contains(err.Error(), "password") {
		t.Errorf("error %v, want one without content of the item", err)
	}
}

func TestNestingHasALimit(t *testing.T) {
	nest := func(n int) []byte {
		return []byte(strings.Repeat(`{"b":`, n) + "1" + strings.Repeat(`,"a":2}`, n))
	}
	if _, err := JSON(nest(MaxDepth)); err != nil {
		t.Errorf("depth %d: %v, want it accepted", MaxDepth, err)
	}
	for _, body := range [][]byte{nest(MaxDepth + 1), bytes.Repeat([]byte("["), 1<<20)} {
		if _, err := JSON(body); err == nil || !strings.Contains(err.Error(), "deep") {
			t.Errorf("too deep: %v, want an error about depth", err)
		}
	}
}

func FuzzJSON(f *testing.F) {
	for _, s := range []string{`{"b":[1,2.50,-0,1e400],"a":"\ud83d\ude00\n","a":null}`, `[[[]]]`, `"\u2028"`, `1e-7`, "{\"\xff\":1}"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		got, err := JSON(body)
		if err != nil {
			// Only these may be refused though encoding/json takes them.
			if json.Valid(body) && utf8.Valid(body) && !bytes.Contains(bytes.ToLower(body), []byte(`\ud`)) && bytes.Count(body, []byte("["))+bytes.Count(body, []byte("{")) <= MaxDepth {
				t.Fatalf("JSON(%q): %v, but it is valid", body, err)
			}
			return
		}
		if !json.Valid(body) {
			t.Fatalf("JSON(%q) = %s, but it isn't valid", body, got)
		}
		if !json.Valid(got) || !utf8.Valid(got) {
			t.Fatalf("JSON(%q) = %q, which isn't valid", body, got)
		}
		again, err := JSON(got)
		if err != nil || !bytes.Equal(again, got) {
			t.Fatalf("JSON(%q) = %s, and of that %s, %v", body, got, again, err)
		}
	})
}

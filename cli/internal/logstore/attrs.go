package logstore

import (
	"encoding"
	"encoding/json"
	"log/slog"
	"math"
	"reflect"
	"slices"
	"strings"
	"time"
	"unicode"

	"chefsync/pkg/replication"
)

// How long text in the log may be, in bytes.
const (
	maxFixedText = 4096 // a message, an error, a name
	maxExtraText = 200  // an attribute under another key
)

// lineAttrs are the attributes of a line, made fit for the log.
type lineAttrs struct {
	pair    replication.PairID
	run     string
	object  string
	others  []Member
	refused []string
}

func (a lineAttrs) cloneAttrs() lineAttrs {
	a.others, a.refused = slices.Clip(a.others), slices.Clip(a.refused)
	return a
}

func isFixedKey(key string) bool {
	switch key {
	case "pair", "run", "kind", "object", "action", "seq", "outcome", "error":
		return true
	}
	return false
}

// addAttr takes an attribute, or records that it was refused.
func (a *lineAttrs) addAttr(prefix string, attr slog.Attr) {
	value := attr.Value.Resolve()
	if value.Kind() == slog.KindGroup {
		if attr.Key != "" {
			prefix += attr.Key + "."
		}
		for _, member := range value.Group() {
			a.addAttr(prefix, member)
		}
		return
	}
	if attr.Key == "" {
		return
	}
	key := prefix + attr.Key
	fixed := isFixedKey(key)
	v, ok := scalarOf(key, value)
	text, isText := v.(string)
	switch {
	case !ok, isText && !fixed && !isPlainText(text):
		a.refused = append(a.refused, truncateText(key, maxExtraText))
		return
	case isText:
		text = truncateText(text, maxFixedText)
		v = text
	}
	if isText && a.setColumn(key, text) {
		return
	}
	a.others = append(slices.DeleteFunc(slices.Clone(a.others), func(m Member) bool { return m.Key == key }), NewMember(key, v))
}

// setColumn takes an attribute that has a column of its own.
func (a *lineAttrs) setColumn(key, text string) bool {
	switch key {
	case "pair":
		id, err := replication.ParsePairID(text)
		if err != nil {
			return false
		}
		a.pair = id
	case "run":
		a.run = text
	case "object":
		a.object = text
	default:
		return false
	}
	return true
}

// scalarOf turns a value into one that can't hide a document: text, a number or a
// truth value. An error is taken under its own key only.
func scalarOf(key string, v slog.Value) (any, bool) {
	switch v.Kind() {
	case slog.KindString, slog.KindBool, slog.KindInt64, slog.KindUint64:
		return v.Any(), true
	case slog.KindFloat64:
		f := v.Float64()
		return f, !math.IsNaN(f) && !math.IsInf(f, 0)
	case slog.KindDuration:
		return v.Duration().String(), true
	case slog.KindTime:
		return v.Time().UTC().Format(time.RFC3339Nano), true
	}
	if err, ok := v.Any().(error); ok {
		if key != "error" {
			return nil, false
		}
		return err.Error(), true
	}
	return namedScalar(v.Any())
}

// namedScalar takes values of named types, such as a Kind, and those that are names,
// such as a Ref.
func namedScalar(v any) (any, bool) {
	r := reflect.ValueOf(v)
	if m, ok := v.(encoding.TextMarshaler); ok && !(r.Kind() == reflect.Pointer && r.IsNil()) {
		b, err := m.MarshalText()
		return string(b), err == nil
	}
	switch r.Kind() {
	case reflect.String:
		return r.String(), true
	case reflect.Bool:
		return r.Bool(), true
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		return r.Int(), true
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		return r.Uint(), true
	}
	return nil, false
}

// isPlainText reports whether text under a key that isn't fixed is a word or a name
// rather than a document or a key.
func isPlainText(s string) bool {
	if len(s) > maxExtraText || strings.ContainsFunc(s, unicode.IsControl) || strings.Contains(s, "PRIVATE KEY") {
		return false
	}
	t := strings.TrimSpace(s)
	return !strings.HasPrefix(t, "{") && !strings.HasPrefix(t, "[")
}

// truncateText cuts text to at most n bytes of valid UTF-8.
func truncateText(s string, n int) string {
	if len(s) > n {
		s = s[:n] + "…"
	}
	return strings.ToValidUTF8(s, "")
}

// newLine makes a line of a record and its attributes.
func (a lineAttrs) newLine(r slog.Record) Line {
	return Line{
		Time: r.Time, Level: r.Level, Message: truncateText(r.Message, maxFixedText),
		Pair: a.pair, Run: a.run, Object: a.object, Attrs: a.encodeJSON(),
	}
}

// encodeJSON writes the attributes that have no column, in their order.
func (a lineAttrs) encodeJSON() json.RawMessage {
	members := a.others
	if len(a.refused) > 0 {
		members = append(slices.Clip(members), NewMember("refused", a.refused))
	}
	return EncodeMembers(members)
}

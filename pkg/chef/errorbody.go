package chef

import (
	"bytes"
	"encoding/json"
	"strings"
	"unicode"
	"unicode/utf8"
)

// maxText is the length, in characters, up to which a server's text is quoted.
const maxText = 300

// cleanText makes a server's text fit for a log line or a terminal: one line,
// no control characters, valid UTF-8, at most limit characters.
func cleanText(s string, limit int) string {
	var b strings.Builder
	n, space := 0, false
	for _, r := range s {
		if unicode.IsSpace(r) || !unicode.IsPrint(r) {
			space = b.Len() > 0
			continue
		}
		if space {
			b.WriteByte(' ')
			n++
			space = false
		}
		if n >= limit {
			return strings.TrimRight(b.String(), " ") + "…"
		}
		b.WriteRune(r)
		n++
	}
	return b.String()
}

// errorText returns what the body of an error says: the member "error", which may be
// a string or an array of strings, and "message" (docs/chef-server-api.md §1.3,
// §1.6); of a page its title.
func errorText(body []byte) (text, message string) {
	body = bytes.TrimSpace(body)
	if len(body) == 0 {
		return "empty body", ""
	}
	var doc struct {
		Error   json.RawMessage `json:"error"`
		Message json.RawMessage `json:"message"`
	}
	if body[0] != '{' || checkJSON(body) != nil || json.Unmarshal(body, &doc) != nil {
		return describePage(body), ""
	}
	text = cleanText(joinStrings(doc.Error), maxText)
	message = cleanText(joinStrings(doc.Message), maxText)
	if text == "" {
		text = message
	}
	return text, message
}

// joinStrings reads a string or an array that holds strings.
func joinStrings(raw json.RawMessage) string {
	var one string
	if json.Unmarshal(raw, &one) == nil {
		return one
	}
	var many []json.RawMessage
	if json.Unmarshal(raw, &many) != nil {
		return ""
	}
	var texts []string
	for _, m := range many {
		if json.Unmarshal(m, &one) == nil && one != "" {
			texts = append(texts, one)
		}
	}
	return strings.Join(texts, "; ")
}

// describePage describes a body that isn't JSON, without quoting more than a title
// or an S3 error code.
func describePage(body []byte) string {
	head := body[:min(len(body), 4096)]
	if t := textBetween(head, "<title>", "</title>"); t != "" {
		return `a page titled "` + cleanText(t, 80) + `"`
	}
	if c := textBetween(head, "<Code>", "</Code>"); c != "" {
		text := cleanText(c, 80)
		if m := textBetween(head, "<Message>", "</Message>"); m != "" {
			text += ": " + cleanText(m, 160)
		}
		return text
	}
	if head[0] == '<' {
		return "a page, not JSON"
	}
	if !utf8.Valid(head) {
		return "binary data, not JSON"
	}
	return "text, not JSON"
}

func textBetween(b []byte, open, end string) string {
	lower := bytes.ToLower(b)
	i := bytes.Index(lower, []byte(strings.ToLower(open)))
	if i < 0 || len(lower) != len(b) {
		return ""
	}
	i += len(open)
	j := bytes.Index(lower[i:], []byte(strings.ToLower(end)))
	if j < 0 {
		return ""
	}
	return string(b[i : i+j])
}

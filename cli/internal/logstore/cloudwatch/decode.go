package cloudwatch

import (
	"encoding/json"
	"log/slog"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"chefsync/cli/internal/logstore"
	"chefsync/pkg/replication"
)

// decodeEvent reads one line of a function's log: what the program wrote itself, or an
// error of Lambda's, which becomes a line of level ERROR. ok is false for what
// says nothing to a user: metrics, starts and ends of invocations, and text
// that nobody of ours writes. Of several lines the first one counts: a stack
// trace is of no use to who reads it here.
func decodeEvent(text, function string, at time.Time) (l logstore.Line, request string, ok bool) {
	text = strings.TrimSpace(text)
	if strings.HasPrefix(text, "{") {
		return decodeJSON(text, function, at)
	}
	message, request := platformText(text)
	return platformLine(function, message, at), request, message != ""
}

// record are the members of a JSON line that have a place of their own: those of
// slog's handler, and those of Lambda's own lines.
type record struct {
	Time    time.Time `json:"time"`
	Level   string    `json:"level"`
	Message *string   `json:"msg"`
	Pair    string    `json:"pair"`
	Run     string    `json:"run"`
	Object  string    `json:"object"`

	Type     string          `json:"type"` // such as platform.report
	Platform json.RawMessage `json:"record"`
}

func decodeJSON(text, function string, at time.Time) (l logstore.Line, request string, ok bool) {
	var r record
	if json.Unmarshal([]byte(text), &r) != nil {
		return l, "", false
	}
	if strings.HasPrefix(r.Type, "platform.") {
		message, request := platformJSON(r.Type, r.Platform)
		return platformLine(function, message, at), request, message != ""
	}
	if r.Message == nil {
		return l, "", false // metrics
	}
	l = logstore.Line{Time: r.Time, Message: *r.Message, Run: r.Run, Object: r.Object}
	if r.Time.IsZero() {
		l.Time = at
	}
	if l.Level.UnmarshalText([]byte(r.Level)) != nil {
		l.Level = slog.LevelInfo
	}
	own := []string{"time", "level", "msg", "run", "object"}
	if id, err := replication.ParsePairID(r.Pair); err == nil {
		l.Pair, own = id, append(own, "pair")
	}
	l.Attrs = logstore.EncodeMembers(slices.DeleteFunc(logstore.DecodeMembers([]byte(text)), func(m logstore.Member) bool {
		return slices.Contains(own, m.Key)
	}))
	return l, "", true
}

func platformLine(function, message string, at time.Time) logstore.Line {
	attrs, _ := json.Marshal(map[string]string{"function": function}) // text can't fail
	return logstore.Line{Time: at, Level: slog.LevelError, Message: message, Attrs: attrs}
}

// platformJSON reads a line of Lambda in its JSON format. Only failures have a
// message.
func platformJSON(kind string, raw json.RawMessage) (message, request string) {
	var r struct {
		Request string `json:"requestId"`
		Status  string `json:"status"` // success, failure, error, timeout
		Error   string `json:"errorType"`
		Metrics struct {
			Milliseconds float64 `json:"durationMs"`
		} `json:"metrics"`
	}
	if json.Unmarshal(raw, &r) != nil || r.Status == "" || r.Status == "success" {
		return "", ""
	}
	took := ""
	if r.Metrics.Milliseconds > 0 {
		took = " after " + time.Duration(r.Metrics.Milliseconds*float64(time.Millisecond)).Round(10*time.Millisecond).String()
	}
	switch {
	case strings.HasPrefix(kind, "platform.init"):
		message = "the function could not start"
	case r.Status == "timeout":
		message = "the function timed out"
	default:
		message = "the function crashed"
	}
	message += took
	if r.Error != "" {
		message += ": " + r.Error
	}
	return message, r.Request
}

// What Lambda writes in its text format.
var (
	timedOut = regexp.MustCompile(`([0-9a-f-]{36}) Task timed out after ([0-9.]+) seconds`)
	exited   = regexp.MustCompile(`^RequestId: ([0-9a-f-]{36}) Error: ([^\n]*)`)
	reported = regexp.MustCompile(`^REPORT RequestId: ([0-9a-f-]{36})\b[^\n]*\bStatus: (error|timeout)`)
	panicked = regexp.MustCompile(`(?m)^(?:panic|fatal error): `)
)

// platformText reads a line of Lambda in its text format. Only failures have a
// message.
func platformText(text string) (message, request string) {
	if m := timedOut.FindStringSubmatch(text); m != nil {
		seconds, _ := strconv.ParseFloat(m[2], 64) // 0 says no less than nothing
		return "the function timed out after " + time.Duration(seconds*float64(time.Second)).String(), m[1]
	}
	if m := exited.FindStringSubmatch(text); m != nil {
		return "the function crashed: " + strings.TrimSpace(m[2]), m[1]
	}
	if m := reported.FindStringSubmatch(text); m != nil {
		if m[2] == "timeout" {
			return "the function timed out", m[1]
		}
		return "the function crashed", m[1]
	}
	if panicked.MatchString(text) {
		return "the function crashed", ""
	}
	return "", ""
}

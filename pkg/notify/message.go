package notify

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"chefsync/pkg/replication"
)

// Message is one message, as channels get it. docs/monitoring/notifications.md describes its JSON.
type Message struct {
	Version int    `json:"version"`
	ID      string `json:"id"` // the same for each attempt to deliver it
	Source  string `json:"source"`
	// Instance is the host of the daemon, or the name of the stack.
	Instance string `json:"instance"`
	// Event is the status that began or ended.
	Event replication.Status `json:"event"`
	State string             `json:"state"`
	Time  time.Time          `json:"time"`
	Title string             `json:"title"`
	Text  string             `json:"text"`
	// Server is the cause of all of it, if it is a server.
	Server    string `json:"server,omitempty"`
	PairCount int    `json:"pair_count"`
	Items     []Item `json:"items,omitempty"`

	conditions []Condition
}

// Item is a server or pair of a message.
type Item struct {
	Server string             `json:"server,omitempty"`
	Pair   string             `json:"pair,omitempty"`
	Status replication.Status `json:"status,omitempty"` // now
	Since  time.Time          `json:"since,omitzero"`
	Reason string             `json:"reason,omitempty"`
	Hint   string             `json:"hint,omitempty"`
}

// The states of a message.
const (
	StateFiring   = "firing"   // the condition began
	StateResolved = "resolved" // it ended
)

// EventTest is the event of a TestMessage.
const EventTest replication.Status = "test"

const (
	messageVersion = 1
	source         = "chef-sync"
	maxItems       = 50  // of a message
	maxLines       = 10  // of its text
	maxReason      = 500 // bytes of a reason
)

// next returns the next message for a channel, or nil. What isn't known at present waits.
func (m *memory) next(channel string, v *view) *Message {
	var due []Condition
	for c, h := range m.conditions {
		want := no
		if h.active {
			want = yes
		}
		if h.isDue(channel) && v.truthOf(c) == want {
			due = append(due, c)
		}
	}
	if len(due) == 0 {
		return nil
	}
	slices.SortFunc(due, Condition.compare)
	first := due[0]
	active := m.conditions[first].active
	if first.Kind == KindServer { // a message of its own
		due = due[:1]
	}
	due = slices.DeleteFunc(due, func(c Condition) bool {
		return c.Kind != first.Kind || c.Status != first.Status || m.conditions[c].active != active
	})
	return v.newMessage(due, active)
}

// newMessage returns the message that conditions of one status began or ended: one of a
// server, or those of pairs.
func (v *view) newMessage(conditions []Condition, active bool) *Message {
	first := conditions[0]
	msg := &Message{Version: messageVersion, Source: source, Event: first.Status, State: StateResolved, conditions: conditions}
	if active {
		msg.State = StateFiring
	}
	for _, c := range conditions[:min(len(conditions), maxItems)] {
		msg.Items = append(msg.Items, v.newItem(c, active))
	}
	if first.Kind == KindServer {
		msg.Server = first.Name
		msg.PairCount = len(v.servers[first.Name].Pairs)
		for _, id := range v.servers[first.Name].Pairs[:min(msg.PairCount, maxItems)] {
			msg.Items = append(msg.Items, Item{Pair: id.String()})
		}
	} else {
		msg.PairCount = len(conditions)
	}
	msg.Title = msg.title()
	msg.Text = msg.text()
	return msg
}

// newItem returns what is known of the subject of a condition.
func (v *view) newItem(c Condition, active bool) Item {
	f := v.findings[c]
	item := Item{Since: f.since, Reason: f.text, Hint: f.hint}
	if c.Kind == KindServer {
		item.Server = c.Name
		if s := v.servers[c.Name]; !active {
			item.Reason = "it is no longer used by a pair that isn't stopped"
			if s.Record != nil && !s.Record.Down() {
				item.Reason, item.Since = answersAgain, s.Record.UpAt
			}
		}
	} else {
		item.Pair = c.Name
		p := v.pairs[c.Name]
		if p.Report != nil {
			item.Status = p.Report.Status
		}
		if !active {
			item.Reason, item.Hint = p.describe()
		}
	}
	item.Reason, item.Hint = truncate(item.Reason), truncate(item.Hint)
	return item
}

// describe returns how a pair is now.
func (p Pair) describe() (reason, hint string) {
	switch {
	case p.Report == nil:
		return "it is no longer configured", ""
	case len(p.Report.Reasons) == 0:
		return "now " + string(p.Report.Status), ""
	}
	worst := p.Report.Reasons[0]
	return "now " + string(p.Report.Status) + ": " + worst.Text, worst.Hint
}

// answersAgain is why the unreachable condition of a server ended.
const answersAgain = "it responds again"

// truncate bounds a text, on one line.
func truncate(s string) string {
	s = strings.Join(strings.Fields(strings.ToValidUTF8(s, "")), " ")
	if len(s) <= maxReason {
		return s
	}
	end := maxReason
	for !utf8.RuneStart(s[end]) {
		end--
	}
	return s[:end] + "…"
}

// title returns the message in one line.
func (m *Message) title() string {
	if m.Server != "" {
		name := "server " + m.Server
		if m.Server == "primary" {
			name = "the primary"
		}
		switch {
		case m.State == StateResolved && m.Items[0].Reason == answersAgain:
			return name + " is reachable again"
		case m.State == StateResolved:
			return name + " is no longer used"
		}
		return fmt.Sprintf("%s is unreachable: %s replicated", name, count(m.PairCount, "pair isn't", "pairs aren't"))
	}
	subject, verb, negation := m.Items[0].Pair, "is", "is no longer"
	if m.PairCount > 1 {
		subject, verb, negation = count(m.PairCount, "pair", "pairs"), "are", "are no longer"
	}
	if m.State == StateResolved {
		verb = negation
	}
	return subject + " " + verb + " " + string(m.Event)
}

func count(n int, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %s", n, many)
}

// text returns the details, one line each: the reasons, and what to try where that is the
// same for all.
func (m *Message) text() string {
	var lines []string
	hints := map[string]bool{}
	for _, item := range m.Items {
		if item.Reason == "" {
			continue
		}
		line := item.Reason
		if item.Pair != "" && m.PairCount > 1 {
			line = item.Pair + ": " + line
		}
		lines, hints[item.Hint] = append(lines, line), true
	}
	if m.Server != "" && m.State == StateFiring && m.PairCount > 0 {
		var names []string
		for _, item := range m.Items[1:] {
			names = append(names, item.Pair)
		}
		more := ""
		if n := m.PairCount - maxLines; n > 0 {
			names, more = names[:maxLines], fmt.Sprintf(" and %d more", n)
		}
		lines = append(lines, "Pairs: "+strings.Join(names, ", ")+more)
	}
	if m.Server == "" && m.PairCount > maxLines {
		lines = append(lines[:min(len(lines), maxLines)], fmt.Sprintf("and %d more", m.PairCount-maxLines))
	}
	for hint := range hints {
		if len(hints) == 1 && hint != "" {
			lines = append(lines, "Try: "+hint)
		}
	}
	return strings.Join(lines, "\n")
}

// complete sets the instance, the time, and the id by when the conditions began or ended.
func (m *Message) complete(instance string, now time.Time, histories map[Condition]history) {
	m.Instance, m.Time = instance, now.UTC()
	sum := sha256.New()
	fmt.Fprintln(sum, instance, m.Event, m.State)
	if len(m.conditions) == 0 {
		fmt.Fprintln(sum, m.Time)
	}
	for _, c := range m.conditions {
		fmt.Fprintln(sum, c.Kind, c.Name, c.Status, histories[c].at.UTC().Format(time.RFC3339Nano))
	}
	m.ID = hex.EncodeToString(sum.Sum(nil)[:16])
}

// TestMessage returns a message by which an operator tries channels.
func TestMessage(instance string, now time.Time) Message {
	m := Message{Version: messageVersion, Source: source, Event: EventTest, State: StateFiring, Title: "this is a test",
		Text: "Nothing is wrong: this was sent by chef-sync-ctl notify-test."}
	m.complete(instance, now, nil)
	return m
}

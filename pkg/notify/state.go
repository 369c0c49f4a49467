package notify

import (
	"cmp"
	"context"
	"errors"
	"maps"
	"slices"
	"strings"
	"time"

	"chefsync/pkg/replication"
)

// State is what was told of the conditions of a fleet. The zero State has told nothing.
type State struct {
	// Evaluated is the time of the newest evaluation that changed the state or had to wait
	// for a condition to last.
	Evaluated  time.Time        `json:"evaluated,omitzero"`
	Conditions []ConditionGroup `json:"conditions,omitempty"`
	Channels   []ChannelState   `json:"channels,omitempty"`
}

// ConditionGroup are conditions with one history.
type ConditionGroup struct {
	Kind   Kind               `json:"kind"`
	Status replication.Status `json:"status"`
	// Active is whether the condition has lasted long enough to be told.
	Active bool `json:"active,omitempty"`
	// At is when Active changed.
	At time.Time `json:"at,omitzero"`
	// Pending is since when the opposite of Active is seen; zero if it isn't.
	Pending time.Time `json:"pending,omitzero"`
	Told    []string  `json:"told,omitempty"` // the channels that know it as active
	// Unsure are the channels that may know it as active or not: no attempt to tell them is
	// known to have succeeded. They are told how it is.
	Unsure []string `json:"unsure,omitempty"`
	Names  []string `json:"names"`
}

// ChannelState is the state of the deliveries of a channel.
type ChannelState struct {
	Name     string    `json:"name"`
	Failures int       `json:"failures"` // attempts since the last delivery
	NextTry  time.Time `json:"next_try,omitzero"`
}

// Store keeps the State of a fleet.
type Store interface {
	// LoadNotified returns the state and its version, which is "" for none.
	LoadNotified(ctx context.Context) (s State, version string, err error)
	// SaveNotified replaces the state that has a version, and returns the new version. The
	// error is ErrConflict if another process saved meanwhile.
	SaveNotified(ctx context.Context, s State, version string) (newVersion string, err error)
}

// ErrConflict means that another process saved the state.
var ErrConflict = errors.New("another process saved a newer state")

// history is the history of one condition.
type history struct {
	active  bool
	at      time.Time
	pending time.Time
	told    []string // sorted
	unsure  []string // likewise
}

func (h history) isEmpty() bool {
	return !h.active && h.pending.IsZero() && len(h.told) == 0 && len(h.unsure) == 0
}

// isDue reports whether a channel is to be told of the condition as it is.
func (h history) isDue(channel string) bool {
	told := slices.Contains(h.told, channel)
	if h.active {
		return !told
	}
	return told || slices.Contains(h.unsure, channel)
}

// attempt records an attempt to tell a channel.
func (h *history) attempt(channel string) {
	h.told, h.unsure = removeName(h.told, channel), addName(h.unsure, channel)
}

// tell records that a channel knows the condition as it is.
func (h *history) tell(channel string) {
	h.told, h.unsure = removeName(h.told, channel), removeName(h.unsure, channel)
	if h.active {
		h.told = addName(h.told, channel)
	}
}

// addName and removeName change a copy of a sorted list.
func addName(list []string, name string) []string {
	list = append(removeName(list, name), name)
	slices.Sort(list)
	return list
}

func removeName(list []string, name string) []string {
	return slices.DeleteFunc(slices.Clone(list), func(s string) bool { return s == name })
}

// keepEnded is how long the end of a condition waits for channels that can't be told, such
// as those that aren't configured any more.
const keepEnded = 7 * 24 * time.Hour

// memory is a State that can be changed.
type memory struct {
	evaluated  time.Time
	conditions map[Condition]history
	channels   map[string]ChannelState
}

func (s State) open() *memory {
	m := &memory{evaluated: s.Evaluated, conditions: map[Condition]history{}, channels: map[string]ChannelState{}}
	for _, g := range s.Conditions {
		for _, name := range g.Names {
			m.conditions[Condition{g.Kind, name, g.Status}] = history{g.Active, g.At, g.Pending, g.Told, g.Unsure}
		}
	}
	for _, c := range s.Channels {
		m.channels[c.Name] = c
	}
	return m
}

// state returns the conditions in groups: hundreds of pairs often share a history.
func (m *memory) state() State {
	s := State{Evaluated: m.evaluated}
	type groupKey struct {
		kind         Kind
		status       replication.Status
		active       bool
		at, pending  time.Time
		told, unsure string
	}
	index := map[groupKey]int{}
	for _, c := range slices.SortedFunc(maps.Keys(m.conditions), Condition.compare) {
		h := m.conditions[c]
		key := groupKey{c.Kind, c.Status, h.active, h.at.UTC(), h.pending.UTC(), strings.Join(h.told, "\n"), strings.Join(h.unsure, "\n")}
		i, known := index[key]
		if !known {
			i = len(s.Conditions)
			index[key] = i
			s.Conditions = append(s.Conditions, ConditionGroup{Kind: c.Kind, Status: c.Status, Active: h.active, At: key.at, Pending: key.pending,
				Told: h.told, Unsure: h.unsure})
		}
		s.Conditions[i].Names = append(s.Conditions[i].Names, c.Name)
	}
	s.Channels = slices.SortedFunc(maps.Values(m.channels), func(a, b ChannelState) int { return cmp.Compare(a.Name, b.Name) })
	return s
}

// Rules say how long a condition must last.
type Rules struct {
	// After is how long a condition must last before it is told, and how long it must be
	// gone before its end is told.
	After time.Duration
	// Every is the time between two evaluations.
	Every time.Duration
}

// hasLasted reports whether something that was first seen at a time has lasted. Evaluations
// may come a little early.
func (r Rules) hasLasted(since, now time.Time) bool { return now.Sub(since) >= r.After-r.Every/10 }

// wasInterrupted reports whether evaluations were missing, so that nothing is known to have
// lasted since then.
func (r Rules) wasInterrupted(evaluated, now time.Time) bool {
	return now.Before(evaluated) || now.Sub(evaluated) > 3*r.Every
}

// observe updates the histories by a fleet, and reports whether the state is to be saved.
func (m *memory) observe(v *view, now time.Time, r Rules) (save bool) {
	interrupted := r.wasInterrupted(m.evaluated, now)
	for c := range v.findings {
		if _, known := m.conditions[c]; !known {
			m.conditions[c] = history{}
		}
	}
	for c, before := range m.conditions {
		if v.pairs[c.Name].Elsewhere { // who knows the pair keeps its history
			continue
		}
		h := before
		if interrupted {
			h.pending = time.Time{}
		}
		switch seen := v.truthOf(c); {
		case seen == unknown || (seen == yes) == h.active:
			h.pending = time.Time{}
		case h.pending.IsZero():
			h.pending = now
		case r.hasLasted(h.pending, now):
			h.active, h.at, h.pending = !h.active, now, time.Time{}
		}
		save = save || !h.pending.IsZero() || h.active != before.active || !h.pending.Equal(before.pending)
		if !h.active && h.pending.IsZero() && !h.isEmpty() && now.Sub(h.at) > keepEnded {
			h, save = history{}, true
		}
		if m.conditions[c] = h; h.isEmpty() {
			delete(m.conditions, c)
		}
	}
	for name, c := range m.channels {
		if now.Sub(c.NextTry) > keepEnded {
			delete(m.channels, name)
			save = true
		}
	}
	if save {
		m.evaluated = now
	}
	return save
}

package replication_test

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"pgregory.net/rapid"

	"chefsync/pkg/object"
)

// withServers adds what happens to servers and clocks to the actions of a history.
func (h *history) withServers(actions map[string]func(*rapid.T)) map[string]func(*rapid.T) {
	maps.Copy(actions, map[string]func(*rapid.T){
		"another primary": func(t *rapid.T) {
			h.servers++
			h.primary.ID = fmt.Sprintf("https://primary/organizations/o#%d", h.servers)
			for range rapid.IntRange(0, 4).Draw(t, "edits") {
				h.drawEdit(t, "primary")()
			}
		},
		"hide primary": func(*rapid.T) { h.primary.ID, _, _ = strings.Cut(h.primary.ID, "#") },
		"show primary": func(*rapid.T) {
			url, _, _ := strings.Cut(h.primary.ID, "#")
			h.primary.ID = fmt.Sprintf("%s#%d", url, h.servers)
		},
		"another replica": func(t *rapid.T) {
			h.rebuilt++
			h.replica.ID = fmt.Sprintf("https://replica/organizations/o#%d", h.rebuilt)
			for _, p := range slices.Sorted(maps.Keys(h.replica.Snapshot())) {
				if rapid.IntRange(0, 3).Draw(t, "lost") > 0 {
					h.edit("replica", p, "", true)
				}
			}
		},
		"set clock": func(t *rapid.T) {
			h.advance(rapid.SampledFrom([]time.Duration{-30 * time.Hour, -3 * time.Hour, 30 * time.Hour}).Draw(t, "by"))
		},
	})
	return actions
}

// Identity implements replication.Reader.
func (s spiedSource) Identity(ctx context.Context) (string, error) {
	id, err := s.source.Identity(ctx)
	s.h.mu.Lock()
	defer s.h.mu.Unlock()
	if err == nil {
		s.h.identity = id
	}
	return id, err
}

// checkPrimary wants the primary that answered last to be the one whose objects were
// replicated, or one that was accepted, when an object is deleted.
func (h *history) checkPrimary(ref object.Ref) {
	p := h.record().Progress
	known := p.Identity
	if p.Position != nil {
		known = p.Position.Identity
	}
	guid := func(id string) string { _, g, _ := strings.Cut(id, "#"); return g }
	h.mu.Lock()
	defer h.mu.Unlock()
	if a, b := guid(known), guid(h.identity); a != "" && b != "" && a != b {
		h.rt.Errorf("deleting %s, which organization %s lacks, and not %s that was replicated", ref, b, a)
	}
}

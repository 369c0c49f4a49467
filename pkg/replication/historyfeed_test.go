package replication_test

import (
	"maps"

	"pgregory.net/rapid"

	"chefsync/pkg/object"
	"chefsync/pkg/replication/replicationtest"
)

// drawFeed draws how the pair learns of changes of the primary: by rows that the primary
// serves, by scans and pushes, or by scans as long as it serves no rows.
func (w *world) drawFeed(t *rapid.T) {
	feed := rapid.SampledFrom([]string{"rows", "scans", "scans without rows", "both"}).Draw(t, "feed")
	if feed == "rows" {
		return
	}
	w.scanner = replicationtest.NewScanner(w.primary)
	w.scanner.Silent, w.scanner.PreferServed = feed == "scans without rows", feed == "both"
}

// withScans adds what happens to a feed of scans to the actions of a history.
func (w *world) withScans(actions map[string]func(*rapid.T)) map[string]func(*rapid.T) {
	if w.scanner == nil {
		return actions
	}
	maps.Copy(actions, map[string]func(*rapid.T){
		"begin scan": func(*rapid.T) { w.scan = w.scanner.Begin() },
		"end scan":   w.endScan,
		"push": func(t *rapid.T) {
			path := rapid.SampledFrom([]string{"/roles", "/environments", "/data", "/data/x", "/cookbooks", "/cookbooks/c", "/policies"})
			ref, _ := object.ParsePath(path.Draw(t, "path"))
			w.scanner.Push(ref)
		},
		"lose scans": func(t *rapid.T) {
			w.scanner.Trim()
			if rapid.Bool().Draw(t, "state") {
				w.scanner.LoseState()
			}
		},
		"take back": w.takeBack,
	})
	return actions
}

// drawPush draws whether the primary pushes a change.
func (w *world) drawPush(t *rapid.T, path string) {
	if w.scanner != nil && rapid.Bool().Draw(t, "pushed") {
		w.scanner.Push(mustRef(path))
	}
}

// endScan ends the scan under way, which may not have seen everything.
func (w *world) endScan(t *rapid.T) {
	if w.scan == nil {
		t.Skip("no scan is under way")
	}
	kinds := rapid.SliceOfNDistinct(rapid.SampledFrom(object.Kinds()), 0, 3, rapid.ID[object.Kind])
	w.scan.Publish(kinds.Draw(t, "unlisted"), kinds.Draw(t, "unread"))
	w.scan = nil
}

// drawScan draws whether a scan has seen everything by now.
func (w *world) drawScan(t *rapid.T) {
	if w.scanner != nil && rapid.Bool().Draw(t, "scan") {
		w.scanner.Scan()
		w.scanned = w.primary.Remember()
	}
}

// takeBack edits the primary back to what the last such scan saw, so that the next one may
// see no change.
func (w *world) takeBack(t *rapid.T) {
	if w.scanned == nil {
		t.Skip("no scan has ended")
	}
	w.scanned()
}

// scanAll lets as many scans see everything as the most patient pair waits for.
func (w *world) scanAll() {
	if w.scanner == nil {
		return
	}
	for range 65 {
		w.scanner.Scan()
	}
}

// feedIsCurrent reports whether the feed of the pair told it of all edits of the primary.
// Without rows, what the record of an object hides is left to the scan after the next.
func (h *history) feedIsCurrent() bool {
	p := h.record().Progress
	switch {
	case p.Position == nil:
		return false
	case p.Feed == h.primary.Name():
		return !h.primary.NoFeed
	}
	return h.scanner.IsCurrent() && !(h.scanner.Silent && p.Position.Snapshot.Differs)
}

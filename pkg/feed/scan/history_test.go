package scan_test

import (
	"regexp"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"chefsync/pkg/object"
)

// edit is a change of an object on the primary. The few names and texts make many a
// change one that takes back another.
type edit struct {
	Ref    object.Ref
	Text   string
	Delete bool
	Pushed bool // the server pushes it
}

// step is what happens in a history: one of the names in drawStep. All of it is drawn
// before it happens, so that a failing seed replays.
type step struct {
	Do        string
	Edit      edit
	Path      string // of a pushed row
	Pair      int    // of a pass or an approval
	Full      bool   // a full comparison
	Minutes   int    // to wait
	Refused   string // what the primary refuses to a scan or pass: a path, "" for nothing
	Status    int    // of the refusal
	Fate      fate   // of the process that scans or passes
	Meanwhile []meanwhile
}

// fate is what happens to a process.
type fate struct {
	Kind string // "", "canceled", "killed", "killed by a write"
	At   int    // the request, or the write, at which it happens
	// Written reports whether the write that kills the process took effect.
	Written bool
}

// meanwhile is a step that happens before a request of a scan or pass is answered.
type meanwhile struct {
	Request int
	Step    step
}

// historyObjects are the objects that are edited. Those called "new" aren't there at
// first.
func historyObjects() []object.Ref {
	return []object.Ref{
		{Kind: object.Role, Name: "base"}, {Kind: object.Role, Name: "web"}, {Kind: object.Role, Name: "new"},
		{Kind: object.Environment, Name: "prod"}, {Kind: object.Environment, Name: "test"}, {Kind: object.DataBag, Name: "users"}, {Kind: object.DataBag, Name: "new"},
		{Kind: object.DataBagItem, Name: "users", Sub: "alice"}, {Kind: object.DataBagItem, Name: "users", Sub: "bob"},
		{Kind: object.DataBagItem, Name: "new", Sub: "i"}, {Kind: object.Cookbook, Name: "apt", Sub: "1.0.0"},
		{Kind: object.Cookbook, Name: "apt", Sub: "2.0.0"}, {Kind: object.Cookbook, Name: "new", Sub: "1.0.0"},
		{Kind: object.PolicyGroup, Name: "prod", Sub: "app"},
	}
}

func drawEdit(t *rapid.T) edit {
	e := edit{Ref: rapid.SampledFrom(historyObjects()).Draw(t, "object"), Text: rapid.SampledFrom([]string{"1", "2"}).Draw(t, "text")}
	e.Delete = e.Ref.Kind != object.PolicyGroup && rapid.Bool().Draw(t, "delete")
	e.Pushed = rapid.Bool().Draw(t, "pushed")
	return e
}

// drawStep draws a step; one that happens during another has no further ones in it.
func drawStep(inner bool) func(*rapid.T) step {
	return func(t *rapid.T) step {
		s := step{Do: rapid.SampledFrom([]string{"edit", "edit", "edit", "edit", "edit", "push", "scan", "scan", "pass", "pass", "pass",
			"approve", "freeze index", "thaw index", "wait"}).Draw(t, "do")}
		switch s.Do {
		case "edit":
			s.Edit = drawEdit(t)
		case "push":
			s.Path = rapid.SampledFrom([]string{"/roles", "/environments", "/data", "/data/users", "/cookbooks", "/cookbooks/apt"}).Draw(t, "path")
		case "wait":
			s.Minutes = rapid.SampledFrom([]int{1, 2, 10, 70}).Draw(t, "minutes")
		case "approve":
			s.Pair = rapid.IntRange(0, 1).Draw(t, "pair")
		case "pass":
			s.Pair, s.Full = rapid.IntRange(0, 1).Draw(t, "pair"), rapid.IntRange(0, 3).Draw(t, "full") == 3
			drawProcess(t, &s, inner, 60)
		case "scan":
			drawProcess(t, &s, inner, 25)
		}
		return s
	}
}

// drawProcess draws what happens to a process that sends some requests.
func drawProcess(t *rapid.T, s *step, inner bool, requests int) {
	if rapid.IntRange(0, 2).Draw(t, "refused") == 2 {
		s.Refused = rapid.SampledFrom([]string{"/roles", "/environments", "/data", "/data/users", "/cookbooks", "/policies", "/policy_groups",
			"/roles/web", "/data/users/bob", "/cookbooks/apt/2.0.0", "/search/*"}).Draw(t, "path")
		s.Status = rapid.SampledFrom([]int{500, 403}).Draw(t, "status")
	}
	if rapid.IntRange(0, 2).Draw(t, "ends early") == 2 {
		s.Fate = fate{Kind: rapid.SampledFrom([]string{"canceled", "killed", "killed by a write"}).Draw(t, "fate")}
		most := requests
		if s.Fate.Kind == "killed by a write" {
			s.Fate.Written, most = rapid.Bool().Draw(t, "written"), 8
		}
		s.Fate.At = rapid.IntRange(1, most).Draw(t, "at")
	}
	for range rapid.IntRange(0, 2).Draw(t, "meanwhile") * rapid.IntRange(0, 1).Draw(t, "anything") {
		if !inner {
			s.Meanwhile = append(s.Meanwhile, meanwhile{rapid.IntRange(1, requests).Draw(t, "request"), rapid.Custom(drawStep(true)).Draw(t, "step")})
		}
	}
}

// TestReplicationByChangeLogRandomHistory: edits, pushes, scans and passes of two pairs
// happen in any order and during one another; processes are canceled and killed,
// and listings fail. After each step the generation identifies the snapshot, and no pair
// deletes more than its limit without approval. At the end, replicas equal the primary
// without a full comparison, and scans and passes find nothing to do.
func TestReplicationByChangeLogRandomHistory(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		h := newHistory(t)
		if rapid.Bool().Draw(rt, "begun") {
			h.settle(rt)
			h.wait(2 * time.Hour) // the approval has expired
		}
		for _, s := range rapid.SliceOfN(rapid.Custom(drawStep(false)), 1, 12).Draw(rt, "steps") {
			h.do(rt, s)
			h.checkSnapshot(rt)
		}
		if rapid.Bool().Draw(rt, "taken back") {
			h.restoreObjects()
		}
		h.settle(rt)
		h.checkSettled(rt)
	})
}

// TestHistoryReplays: what happens in a history depends on its steps only.
func TestHistoryReplays(t *testing.T) {
	steps := rapid.SliceOfN(rapid.Custom(drawStep(false)), 8, 8)
	for seed := range 4 {
		requests := func() []string {
			h := newHistory(t)
			h.settle(t)
			for _, s := range steps.Example(seed) {
				h.do(t, s)
			}
			return withoutRandomIDs(h.requests)
		}
		if diff := cmp.Diff(requests(), requests()); diff != "" {
			t.Errorf("seed %d: other requests the second time (-first +second):\n%s", seed, diff)
		}
	}
}

// withoutRandomIDs returns requests without the ids that servers give to sandboxes and
// organizations.
func withoutRandomIDs(requests []string) (out []string) {
	ids := regexp.MustCompile(`(organization-|sandboxes/)[0-9a-f]{32}`)
	for _, r := range requests {
		out = append(out, ids.ReplaceAllString(r, "$1*"))
	}
	return out
}

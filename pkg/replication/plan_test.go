package replication

import (
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

func role(name string) Ref        { return Ref{Kind: Role, Name: name} }
func cookbook(name, v string) Ref { return Ref{Kind: Cookbook, Name: name, Sub: v} }

func TestEachObjectIsDecidedByWhatIsKnown(t *testing.T) {
	web := role("web")
	for _, c := range []struct {
		name  string
		seen  Observation
		last  string // in the inventory; "" means not there
		prune Prune
		want  Action
	}{
		{"new on the primary", Observation{Fingerprint: "a", Expect: "a"}, "", PruneReplicated, ActionCreate},
		{"changed", Observation{Fingerprint: "b", Expect: "b"}, "a", PruneReplicated, ActionUpdate},
		{"unchanged", Observation{Fingerprint: "a", Expect: "a"}, "a", PruneReplicated, ActionSkip},
		{"unchanged, but lost by the replica", Observation{Fingerprint: "a", Expect: "a", Replica: Missing}, "a", PruneReplicated, ActionCreate},
		{"written with unknown result", Observation{Fingerprint: "a", Expect: "a"}, unknownFingerprint, PruneReplicated, ActionUpdate},
		{"written with unknown result, found equal", Observation{Fingerprint: "a", Expect: "a", Replica: Present, ReplicaPrint: "a"}, unknownFingerprint, PruneReplicated, ActionAdopt},
		{"edited on the replica", Observation{Fingerprint: "a", Expect: "a", Replica: Present, ReplicaPrint: "x"}, "a", PruneReplicated, ActionUpdate},
		{"equal on a replica that shows another form", Observation{Fingerprint: "a", Expect: "a'", Replica: Present, ReplicaPrint: "a'"}, "a", PruneReplicated, ActionSkip},
		{"already there", Observation{Fingerprint: "a", Expect: "a", Replica: Present, ReplicaPrint: "a"}, "", PruneReplicated, ActionAdopt},
		{"gone", Observation{Absent: true}, "a", PruneReplicated, ActionDelete},
		{"gone, with unknown result", Observation{Absent: true}, unknownFingerprint, PruneReplicated, ActionDelete},
		{"gone, but not ours", Observation{Absent: true, Replica: Present}, "", PruneReplicated, ActionSkip},
		{"gone, not ours, mirror wanted", Observation{Absent: true, Replica: Present}, "", PruneAll, ActionDelete},
		{"gone, nothing may be deleted", Observation{Absent: true}, "a", PruneNone, ActionSkip},
	} {
		t.Run(c.name, func(t *testing.T) {
			c.seen.Ref = web
			inventory := map[Ref]string{}
			if c.last != "" {
				inventory[web] = c.last
			}
			got := MakePlan([]Observation{c.seen}, inventory, c.prune)
			if got[0].Action != c.want {
				t.Errorf("decided %s (%s), want %s", got[0].Action, got[0].Reason, c.want)
			}
		})
	}
}

func TestAPlanWritesReferencedKindsFirstAndDeletesInReverse(t *testing.T) {
	inventory := map[Ref]string{}
	var observed []Observation
	for _, r := range []Ref{{Environment, "prod", ""}, cookbook("apt", "1.0.0"), role("web"), {DataBagItem, "users", "alice"}, {DataBag, "users", ""}} {
		gone := Ref{r.Kind, "gone-" + r.Name, r.Sub}
		inventory[gone] = "a"
		observed = append(observed, Observation{Ref: r, Fingerprint: "a", Expect: "a"}, Observation{Ref: gone, Absent: true})
	}
	var got []string
	for _, s := range MakePlan(observed, inventory, PruneReplicated) {
		got = append(got, string(s.Action)+" "+s.Ref.Path())
	}
	want := []string{
		"create /data/users", "create /data/users/alice", "create /roles/web", "create /cookbooks/apt/1.0.0", "create /environments/prod",
		"delete /environments/gone-prod", "delete /cookbooks/gone-apt/1.0.0", "delete /roles/gone-web", "delete /data/gone-users/alice", "delete /data/gone-users",
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
}

// I5: planning again after the plan was done leaves nothing to write.
func TestAPlanDoneLeavesNothingToDo(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		names := rapid.SliceOfDistinct(rapid.StringMatching(`[a-z]{1,3}`), rapid.ID[string]).Draw(t, "names")
		prune := rapid.SampledFrom([]Prune{PruneReplicated, PruneAll, PruneNone}).Draw(t, "prune")
		inventory := map[Ref]string{}
		var observed []Observation
		for _, n := range names {
			o := Observation{Ref: role(n), Absent: rapid.Bool().Draw(t, "absent")}
			if !o.Absent {
				o.Fingerprint = rapid.SampledFrom([]string{"a", "b"}).Draw(t, "print")
				o.Expect = o.Fingerprint
			}
			if rapid.Bool().Draw(t, "ours") {
				inventory[role(n)] = rapid.SampledFrom([]string{"a", "b", unknownFingerprint}).Draw(t, "last")
			}
			observed = append(observed, o)
		}
		for _, s := range MakePlan(observed, inventory, prune) {
			switch s.Action {
			case ActionDelete:
				if prune == PruneNone {
					t.Fatalf("%s deleted in spite of the rule none", s.Ref)
				}
				delete(inventory, s.Ref)
			case ActionCreate, ActionUpdate, ActionAdopt:
				i := slices.IndexFunc(observed, func(o Observation) bool { return o.Ref == s.Ref })
				inventory[s.Ref] = observed[i].Fingerprint
			}
		}
		for i, o := range observed {
			if o.Absent {
				observed[i].Replica = Missing
			}
		}
		for _, s := range MakePlan(observed, inventory, prune) {
			if s.Action != ActionSkip {
				t.Fatalf("second plan: %s %s (%s)", s.Action, s.Ref, s.Reason)
			}
		}
	})
}

// I11, F11, F23.
func TestTheBrakeHolds(t *testing.T) {
	inventory := map[Ref]string{}
	var roles []Ref
	for i := range 50 {
		r := role(string(rune('a'+i%26)) + string(rune('a'+i/26)))
		roles = append(roles, r)
		inventory[r] = "a"
		inventory[cookbook(r.Name, "1.0.0")] = "a"
	}
	full := map[Kind]int{Role: 50, Cookbook: 50}
	for _, c := range []struct {
		name  string
		brake Brake
		held  bool
	}{
		{"nothing to delete", Brake{FailedListing: true}, false},
		{"20 % by default", Brake{Deletes: roles[:20], Listed: full}, false},
		{"more than 20 %", Brake{Deletes: roles[:21], Listed: full}, true},
		{"more than the absolute limit", Brake{Deletes: roles[:6], Limit: Limit{Count: 5}, Listed: full}, true},
		{"both limits, one exceeded", Brake{Deletes: roles[:12], Limit: Limit{Percent: 50, Count: 10}, Listed: full}, true},
		{"allowed by the operator", Brake{Deletes: roles[:40], Allowance: 40, Listed: full}, false},
		{"more than the operator allowed", Brake{Deletes: roles[:41], Allowance: 40, Listed: full}, true},
		{"one listing failed", Brake{Deletes: roles[:1], FailedListing: true, Listed: full}, true},
		{"a kind lists nothing", Brake{Deletes: roles[:3], Limit: Limit{Percent: 100}, Listed: map[Kind]int{Role: 0, Cookbook: 50}}, true},
		{"nothing is listed at all", Brake{Deletes: roles[:1], Limit: Limit{Percent: 100}, Listed: map[Kind]int{Role: 0, Cookbook: 0}}, true},
		{"all deleted one by one by the feed", Brake{Deletes: roles[:50], Limit: Limit{Percent: 100}}, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			c.brake.Inventory = inventory
			h := c.brake.Check(time.Unix(0, 0))
			if (h != nil) != c.held {
				t.Errorf("hold = %+v, want held = %v", h, c.held)
			}
		})
	}
}

func TestASmallOrganizationIsNotHeldAtEveryTurn(t *testing.T) {
	inventory := map[Ref]string{role("a"): "x", role("b"): "x", role("c"): "x"}
	b := Brake{Inventory: inventory, Deletes: []Ref{role("a"), role("b")}, Listed: map[Kind]int{Role: 1}}
	if h := b.Check(time.Unix(0, 0)); h != nil {
		t.Errorf("held: %s", h.Reason)
	}
}

func TestLimitsAreReadAsWritten(t *testing.T) {
	for _, s := range []string{"20%", "50", "20%,50", "12.5%"} {
		l, err := ParseLimit(s)
		if err != nil || l.String() != s {
			t.Errorf("ParseLimit(%q) = %v, %v", s, l, err)
		}
	}
	for _, s := range []string{"", "0", "-1", "0%", "101%", "x", "5,5", "NaN%", "20%,20%"} {
		if l, err := ParseLimit(s); err == nil {
			t.Errorf("ParseLimit(%q) = %v, want an error", s, l)
		}
	}
}

func TestRefsRoundTripAsPaths(t *testing.T) {
	for _, r := range []Ref{role("web:x"), cookbook("a.b", "1.10.0"), {DataBag, "b", ""}, {DataBagItem, "b", "i"}, {Environment, "prod", ""}, {Kind: Role}, {Kind: Cookbook, Name: "apt"}} {
		text, _ := r.MarshalText()
		var back Ref
		if err := back.UnmarshalText(text); err != nil || back != r {
			t.Errorf("%v → %s → %v, %v", r, text, back, err)
		}
	}
	for _, s := range []string{"", "/", "/roles/..", "/roles//x", "/nodes/x", "/cookbooks/a/1/2", "/data/a/b/c"} {
		if r, err := ParseRef(s); err == nil {
			t.Errorf("ParseRef(%q) = %v, want an error", s, r)
		}
	}
}

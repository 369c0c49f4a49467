package replication

import (
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"chefsync/pkg/object"
)

func role(name string) object.Ref { return object.Ref{Kind: object.Role, Name: name} }
func cookbook(name, v string) object.Ref {
	return object.Ref{Kind: object.Cookbook, Name: name, Sub: v}
}

// planOf decides about all observations, in the order of application.
func planOf(observed []Observation, recorded Entries, prune Prune) []Decision {
	var list []Decision
	for _, o := range observed {
		list = append(list, Decide(o, recorded[o.Ref], prune))
	}
	sortDecisions(list)
	return list
}

func TestEachObjectIsDecidedByWhatIsKnown(t *testing.T) {
	web := role("web")
	for _, c := range []struct {
		name  string
		seen  Observation
		last  Entry
		prune Prune
		want  Action
	}{
		{"new on the primary", Observation{Fingerprint: "a", Expect: "a"}, Entry{}, PruneReplicated, ActionCreate},
		{"changed", Observation{Fingerprint: "b", Expect: "b"}, Entry{Fingerprint: "a"}, PruneReplicated, ActionUpdate},
		{"unchanged", Observation{Fingerprint: "a", Expect: "a"}, Entry{Fingerprint: "a"}, PruneReplicated, ActionSkip},
		{"unchanged, but lost by the replica", Observation{Fingerprint: "a", Expect: "a", Replica: Missing}, Entry{Fingerprint: "a"}, PruneReplicated, ActionCreate},
		{"written with unknown result", Observation{Fingerprint: "a", Expect: "a"}, Entry{Dirty: true}, PruneReplicated, ActionUpdate},
		{"written with unknown result, found equal", Observation{Fingerprint: "a", Expect: "a", Replica: Present, ReplicaPrint: "a"}, Entry{Dirty: true}, PruneReplicated, ActionAdopt},
		{"edited on the replica", Observation{Fingerprint: "a", Expect: "a", Replica: Present, ReplicaPrint: "x"}, Entry{Fingerprint: "a"}, PruneReplicated, ActionUpdate},
		{"equal on a replica that shows another form", Observation{Fingerprint: "a", Expect: "a'", Replica: Present, ReplicaPrint: "a'"}, Entry{Fingerprint: "a"}, PruneReplicated, ActionSkip},
		{"already there", Observation{Fingerprint: "a", Expect: "a", Replica: Present, ReplicaPrint: "a"}, Entry{}, PruneReplicated, ActionAdopt},
		{"gone", Observation{Absent: true}, Entry{Fingerprint: "a"}, PruneReplicated, ActionDelete},
		{"gone, with unknown result", Observation{Absent: true}, Entry{Dirty: true}, PruneReplicated, ActionDelete},
		{"gone, but not ours", Observation{Absent: true, Replica: Present}, Entry{}, PruneReplicated, ActionSkip},
		{"gone, not ours, mirror wanted", Observation{Absent: true, Replica: Present}, Entry{}, PruneAll, ActionDelete},
		{"gone, nothing may be deleted", Observation{Absent: true}, Entry{Fingerprint: "a"}, PruneNone, ActionSkip},
	} {
		t.Run(c.name, func(t *testing.T) {
			c.seen.Ref = web
			got := planOf([]Observation{c.seen}, Entries{web: c.last}, c.prune)
			if got[0].Action != c.want {
				t.Errorf("decided %s (%s), want %s", got[0].Action, got[0].Reason, c.want)
			}
		})
	}
}

func TestAPlanWritesReferencedKindsFirstAndDeletesInReverse(t *testing.T) {
	recorded := Entries{}
	var observed []Observation
	for _, r := range []object.Ref{{Kind: object.Environment, Name: "prod"}, cookbook("apt", "1.0.0"), role("web"), {Kind: object.DataBagItem, Name: "users", Sub: "alice"}, {Kind: object.DataBag, Name: "users"}} {
		gone := object.Ref{Kind: r.Kind, Name: "gone-" + r.Name, Sub: r.Sub}
		recorded[gone] = Entry{Fingerprint: "a"}
		observed = append(observed, Observation{Ref: r, Fingerprint: "a", Expect: "a"}, Observation{Ref: gone, Absent: true})
	}
	var got []string
	for _, s := range planOf(observed, recorded, PruneReplicated) {
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

// Planning again after the plan was done leaves nothing to write.
func TestAPlanDoneLeavesNothingToDo(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		names := rapid.SliceOfDistinct(rapid.StringMatching(`[a-z]{1,3}`), rapid.ID[string]).Draw(t, "names")
		prune := rapid.SampledFrom([]Prune{PruneReplicated, PruneAll, PruneNone}).Draw(t, "prune")
		recorded := Entries{}
		var observed []Observation
		for _, n := range names {
			o := Observation{Ref: role(n), Absent: rapid.Bool().Draw(t, "absent")}
			if !o.Absent {
				o.Fingerprint = rapid.SampledFrom([]string{"a", "b"}).Draw(t, "print")
				o.Expect = o.Fingerprint
			}
			if rapid.Bool().Draw(t, "ours") {
				recorded[role(n)] = rapid.SampledFrom([]Entry{{Fingerprint: "a"}, {Fingerprint: "b"}, {Dirty: true}}).Draw(t, "last")
			}
			observed = append(observed, o)
		}
		for _, s := range planOf(observed, recorded, prune) {
			switch s.Action {
			case ActionDelete:
				if prune == PruneNone {
					t.Fatalf("%s deleted in spite of the rule none", s.Ref)
				}
				delete(recorded, s.Ref)
			case ActionCreate, ActionUpdate, ActionAdopt:
				i := slices.IndexFunc(observed, func(o Observation) bool { return o.Ref == s.Ref })
				recorded[s.Ref] = Entry{Fingerprint: observed[i].Fingerprint}
			}
		}
		for i, o := range observed {
			if o.Absent {
				observed[i].Replica = Missing
			}
		}
		for _, s := range planOf(observed, recorded, prune) {
			if s.Action != ActionSkip {
				t.Fatalf("second plan: %s %s (%s)", s.Action, s.Ref, s.Reason)
			}
		}
	})
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

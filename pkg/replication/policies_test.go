package replication_test

import (
	"errors"
	"slices"
	"testing"

	"chefsync/pkg/fault"
	"chefsync/pkg/object"
	"chefsync/pkg/replication"
)

// policyWorld is a world whose pair replicates policyfiles too. The body of a
// policy in a group is its revision.
func policyWorld(t *testing.T) *world {
	w := newWorld(t)
	w.pair.Kinds = append(object.DefaultKinds(), object.Policy, object.PolicyGroup, object.CookbookArtifact)
	w.fill()
	w.primary.Set("/cookbook_artifacts/apt/0123", "artifact", "recipe", "of the artifact")
	w.primary.Set("/policies/app/revisions/r1", "r1 of app")
	w.primary.Set("/policies/db/revisions/r1", "r1 of db")
	w.primary.Set("/policy_groups/prod/policies/app", "r1")
	w.primary.Set("/policy_groups/prod/policies/db", "r1")
	w.primary.Set("/policy_groups/test/policies/app", "r1")
	return w
}

// order records in which order the replica is written.
func (w *world) order() *[]string {
	w.pair.Concurrency = 1
	var list []string
	w.replica.Refuse = func(op string, r object.Ref) error {
		if op == "put" || op == "delete" {
			list = append(list, op+" "+r.Path())
		}
		return nil
	}
	return &list
}

func TestPoliciesComeBeforeTheGroupsThatUseThemAndGoAfterThem(t *testing.T) {
	w := policyWorld(t)
	w.pass()
	w.wantEqual()
	w.primary.Set("/policy_groups/prod/policies/app", "r2")
	w.primary.Set("/policies/app/revisions/r2", "r2 of app")
	w.primary.Set("/cookbook_artifacts/apt/4567", "another artifact", "recipe2")
	w.primary.Unset("/cookbook_artifacts/apt/0123")
	w.primary.Unset("/policies/db/revisions/r1") // and its group loses it
	w.primary.Unset("/policy_groups/test/policies/app")
	w.primary.Unset("/policies/app/revisions/r1")
	order := w.order()
	w.pass()
	w.wantEqual()
	want := []string{
		"put /cookbook_artifacts/apt/4567", "put /policies/app/revisions/r2", "put /policy_groups/prod/policies/app",
		"delete /policy_groups/test/policies/app", "delete /policy_groups/prod/policies/db",
		"delete /policies/db/revisions/r1", "delete /policies/app/revisions/r1", "delete /cookbook_artifacts/apt/0123",
	}
	if !slices.Equal(*order, want) {
		t.Errorf("written\n %q\nwant\n %q", *order, want)
	}
	if u := w.unsynced(); len(u) != 0 {
		t.Errorf("unsynced %+v", u)
	}
}

func TestPolicyfilesAreNoDefaultKinds(t *testing.T) {
	w := policyWorld(t)
	w.pair.Kinds = nil
	w.pass()
	for path := range w.replica.Snapshot() {
		if k := mustRef(path).Kind; k == object.Policy || k == object.PolicyGroup || k == object.CookbookArtifact {
			t.Errorf("%s was copied", path)
		}
	}
	w.primary.Set("/policies/app/revisions/r2", "r2 of app")
	w.primary.Calls = 0
	w.pass()
	if w.primary.Calls != 1 {
		t.Errorf("%d calls to the primary, want the poll alone", w.primary.Calls)
	}
}

// A revision whose group isn't replicated stays until the group lets it go.
func TestARevisionThatTheReplicaUsesIsKept(t *testing.T) {
	w := policyWorld(t)
	w.pass()
	w.replica.Set("/policy_groups/local/policies/app", "r1")
	w.primary.Unset("/policies/app/revisions/r1")
	w.pass()
	if u := w.unsynced(); len(u) != 1 || u[0].Ref.Path() != "/policies/app/revisions/r1" {
		t.Errorf("unsynced %+v, want the revision", u)
	}
	if got := w.replica.Snapshot(); got["/policy_groups/local/policies/app"] == "" || got["/policies/app/revisions/r1"] == "" {
		t.Errorf("the replica holds %v", got)
	}
	w.replica.Unset("/policy_groups/local/policies/app")
	w.direct(replication.DesiredChange{Retry: new(w.now())})
	w.pass()
	w.wantEqual()
}

// Neither side's lack of a kind is taken for emptiness, and neither holds the
// rest up: not other kinds, not their deletions.
func TestAKindThatAServerDoesNotServeIsLeftAlone(t *testing.T) {
	for _, prune := range []replication.Prune{replication.PruneReplicated, replication.PruneAll} {
		for _, side := range []string{"primary", "replica"} {
			w := policyWorld(t)
			w.pair.Prune = prune
			w.pass()
			before := len(w.replica.Snapshot())
			org := w.primary
			if side == "replica" {
				org = w.replica
			}
			org.Refuse = func(_ string, r object.Ref) error {
				if r.Kind == object.Policy || r.Kind == object.PolicyGroup {
					return &fault.Error{Op: "list", Object: r, Class: fault.Unserved, Err: errors.New("no such kind")}
				}
				return nil
			}
			w.primary.Set("/policies/app/revisions/r2", "new")
			w.primary.Set("/roles/db", "db")
			w.primary.Unset("/roles/web")
			w.direct(replication.DesiredChange{Resync: new(w.now())})
			w.wantOutcome(w.pass(), replication.OutcomePartial)
			got := w.replica.Snapshot()
			if len(got) != before || got["/roles/db"] == "" || got["/roles/web"] != "" {
				t.Errorf("%s, prune %s: the replica went from %d to %d objects: %v", side, prune, before, len(got), got)
			}
			u := w.unsynced()
			if len(u) != 2 || !u[0].Ref.IsListing() || u[0].Class != fault.Unserved {
				t.Errorf("%s: unsynced %+v, want the listings of two kinds", side, u)
			}
			org.Refuse = nil
			w.direct(replication.DesiredChange{Resync: new(w.now())})
			w.pass()
			w.wantEqual()
			w.wantStatus(replication.Synced)
		}
	}
}

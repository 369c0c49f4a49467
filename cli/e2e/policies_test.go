package e2e

import (
	"fmt"
	"strings"
	"testing"

	"chefsync/pkg/chef/cheftest"
	"chefsync/pkg/fault"
	"chefsync/pkg/replication"
)

const withPolicies = "\n" + `kinds = ["roles", "policies", "policy_groups", "cookbook_artifacts"]`

func fillPolicies(o *cheftest.Org) {
	o.PutRole("web", `{}`)
	for _, id := range []string{"0123", "4567"} {
		o.PutArtifact("base", id, map[string][]byte{"metadata.rb": []byte("shared"), "recipes/default.rb": []byte(id)})
	}
	o.PutPolicy("app", "r1", `{"run_list":["recipe[base::default]"],"cookbook_locks":{"base":{"identifier":"0123","version":"1.0.0"}},"solution_dependencies":{"x":[1.50]}}`)
	o.PutPolicy("db", "r1", `{}`)
	o.BindPolicy("prod", "app", "r1")
	o.BindPolicy("prod", "db", "r1")
	o.BindPolicy("test", "app", "r1")
}

func editPolicies(o *cheftest.Org) {
	o.PutArtifact("base", "89ab", map[string][]byte{"metadata.rb": []byte("shared"), "recipes/default.rb": []byte("new")})
	o.DeleteArtifact("base", "4567")
	o.PutPolicy("app", "r2", `{"cookbook_locks":{"base":{"identifier":"89ab","version":"1.0.0"}}}`)
	o.BindPolicy("prod", "app", "r2")
	o.DeletePolicyGroup("test")
	o.DeletePolicy("app", "r1")
	o.DeletePolicy("db", "r1") // which the group prod loses
}

func TestPolicyfilesAreReplicated(t *testing.T) {
	for name, feed := range map[string]bool{"by the feed": true, "by compares": false} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, inMemory(t, "primary", cheftest.Options{UpdatedSince: feed}), inMemory(t, "replica", cheftest.Options{}))
			r.extra = `max_delete = "100%"` + withPolicies
			fillPolicies(r.primary.org)
			if run := r.mustPass(); run.Counts.Created != 8 {
				t.Errorf("created %d objects, want 8", run.Counts.Created)
			}
			r.wantInSync()
			editPolicies(r.primary.org)
			r.later()
			r.mustPass()
			// A policy that lost its revisions is still a name on the primary.
			r.primary.org.DeleteEmptyPolicies()
			r.wantInSync()
			r.later()
			r.replica.mem.ResetRequests()
			r.mustPass()
			if w := r.replica.writes(); len(w) != 0 {
				t.Errorf("a pass over equal sides wrote %v", w)
			}
			if w := r.primary.writes(); len(w) != 0 {
				t.Errorf("the primary was written: %v", w)
			}
		})
	}
}

func TestPolicyfilesAreCopiedToAnOlderReplica(t *testing.T) {
	r := newRig(t, inMemory(t, "primary", cheftest.Options{UpdatedSince: true}), inMemory(t, "replica", cheftest.Options{MaxAPIVersion: 1}))
	r.extra += withPolicies
	fillPolicies(r.primary.org)
	r.mustPass()
	r.wantInSync()
}

// Policyfiles are never copied unless they are chosen.
func TestPolicyfilesAreNotCopiedByDefault(t *testing.T) {
	r := pairOfServers(t)
	fillPolicies(r.primary.org)
	r.mustPass()
	for path := range r.replica.org.Snapshot() {
		if strings.HasPrefix(path, "/polic") || strings.HasPrefix(path, "/cookbook_art") {
			t.Errorf("%s was copied", path)
		}
	}
	for _, s := range []*server{r.primary, r.replica} {
		for _, kind := range []string{"/policies", "/policy_groups", "/cookbook_artifacts"} {
			if n := len(s.mem.Requests().Containing(kind)); n > 0 {
				t.Errorf("%s was asked %d times for %s", s.name, n, kind)
			}
		}
	}
}

func TestAnExcludedPolicyIsNotCopiedByAGroup(t *testing.T) {
	r := newRig(t, inMemory(t, "primary", cheftest.Options{UpdatedSince: true}), inMemory(t, "replica", cheftest.Options{}))
	r.extra += withPolicies + "\n" + `exclude = ["policies/db"]`
	fillPolicies(r.primary.org)
	r.replica.org.PutPolicy("db", "own", `{}`)
	r.replica.org.BindPolicy("prod", "db", "own")
	r.mustPass()
	editPolicies(r.primary.org)
	r.mustPass()
	got := r.replica.org.Snapshot()
	if got["/policies/db/revisions/own"] == "" || got["/policies/db/revisions/r1"] != "" || got["/policy_groups/prod/policies/db"] != `"own"` || got["/policy_groups/prod/policies/app"] != `"r2"` {
		t.Errorf("the replica holds %v", got)
	}
}

// A server of another make answers with 200 and nothing, an old one with a page.
// Whichever side it is on: nothing is deleted, the rest is replicated, and the
// reason is shown.
func TestAServerWithoutPoliciesIsNotAnEmptyOne(t *testing.T) {
	for name, f := range map[string]cheftest.Fault{"200 and nothing": {Status: 200, EmptyBody: true}, "a page": {Status: 404, HTML: true}} {
		for _, side := range []string{"primary", "replica"} {
			t.Run(name+" from the "+side, func(t *testing.T) {
				r := newRig(t, inMemory(t, "primary", cheftest.Options{UpdatedSince: true}), inMemory(t, "replica", cheftest.Options{}))
				r.extra = `max_delete = "100%"` + "\n" + `prune = "all"` + withPolicies
				fillPolicies(r.primary.org)
				r.mustPass()
				r.wantInSync()
				before := r.replica.org.Snapshot()
				s := map[string]*server{"primary": r.primary, "replica": r.replica}[side]
				for _, path := range []string{"/policies*", "/policy_groups*", "/cookbook_artifacts*"} {
					f.Path = path
					s.mem.Fault(f)
				}
				r.primary.org.PutRole("db", `{}`)
				r.primary.org.DeleteRole("web")
				for range 2 {
					if run, err := r.full(); err != nil || run.Outcome != replication.OutcomePartial || run.Left == 0 {
						t.Fatalf("outcome %s, %v", run.Outcome, err)
					}
				}
				_, u := r.record()
				if len(u) != 3 {
					t.Errorf("unsynced %+v, want the three kinds", u)
				}
				for _, x := range u {
					if x.Class != fault.Unserved || !x.Ref.IsListing() || !strings.Contains(x.Hint, "from kinds") {
						t.Errorf("unsynced %+v, want a kind that is not served and what to do", x)
					}
				}
				after := r.replica.org.Snapshot()
				if after["/roles/db"] == "" || after["/roles/web"] != "" || len(after) != len(before) {
					t.Errorf("the replica went from %d to %d objects: %v", len(before), len(after), after)
				}
			})
		}
	}
}

// goiardi has no policies at all.
func TestAGoiardiPrimaryHasNoPolicies(t *testing.T) {
	first := goiardi(t, "goiardi-1")
	seed := newRig(t, inMemory(t, "seed", cheftest.Options{UpdatedSince: true}), first)
	cheftest.Fill(seed.primary.org)
	seed.mustPass()
	r := newRig(t, first, inMemory(t, "replica", cheftest.Options{}))
	r.extra = `max_delete = "100%"` + "\n" + `prune = "all"` + withPolicies
	fillPolicies(r.replica.org)
	before := len(r.replica.org.Snapshot())
	run, err := r.full()
	_, u := r.record()
	if err != nil || run.Outcome != replication.OutcomePartial || run.Left != 3 || len(u) != 3 || u[0].Class != fault.Unserved {
		t.Errorf("outcome %s, %v, unsynced %+v", run.Outcome, err, u)
	}
	if after := len(r.replica.org.Snapshot()); after < before {
		t.Errorf("the replica went from %d to %d objects", before, after)
	}
}

// The selection over real clients: what is excluded isn't even asked for.
func TestWhatIsExcludedIsNeitherReadNorWritten(t *testing.T) {
	r := pairOfServers(t)
	r.extra += "\n" + `exclude = ["data_bags/secrets", "roles/own-*", "cookbooks/test_*"]` + "\n" + `prune = "all"`
	r.primary.org.PutDataBagItem("secrets", "key", `{"id":"key"}`)
	r.primary.org.PutCookbook("test_a", "1.0.0", map[string][]byte{"x": []byte("x")}, false)
	r.replica.org.PutRole("own-role", `{}`)
	r.replica.org.PutDataBagItem("secrets", "own", `{"id":"own"}`)
	r.mustPass()
	cheftest.Edit(r.primary.org)
	r.primary.org.PutDataBagItem("secrets", "key", `{"id":"key","n":1}`)
	r.primary.org.DeleteCookbook("test_a", "1.0.0")
	r.mustPass()
	if run, err := r.full(); err != nil || run.Outcome != replication.OutcomeDone {
		t.Fatal(run.Outcome, err)
	}
	for _, s := range []*server{r.primary, r.replica} {
		for _, path := range []string{"/data/secrets", "/roles/own-", "/cookbooks/test_"} {
			if got := s.mem.Requests().Containing(path); len(got) > 0 {
				t.Errorf("%s was sent %v", s.name, fmt.Sprint(got))
			}
		}
	}
	got := r.replica.org.Snapshot()
	if got["/roles/own-role"] == "" || got["/data/secrets/own"] == "" || got["/data/secrets/key"] != "" || got["/cookbooks/test_a/1.0.0"] != "" {
		t.Errorf("the replica holds %v", got)
	}
}

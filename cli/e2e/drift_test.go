package e2e

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"chefsync/pkg/chef/cheftest"
	"chefsync/pkg/replication"
	"chefsync/pkg/replication/replicationtest"
)

func (r *rig) verify(repair bool) replication.Report {
	r.t.Helper()
	report, err := r.engine().Verify(context.Background(), replication.VerifyOptions{Trigger: "test", Repair: repair})
	if err != nil {
		r.t.Fatalf("verify: %v", err)
	}
	return report
}

// changeReplica edits, deletes and adds something of every kind on a replica, as users
// with a knife do.
func changeReplica(o *cheftest.Org) {
	o.PutCookbook("apache2", "1.0.0", map[string][]byte{"recipes/default.rb": []byte("edited on the replica"), "README.md": []byte("# shared by many\n")}, true)
	o.DeleteCookbook("apache2", "1.9.0")
	o.PutRole("web", `{"description":"edited on the replica"}`)
	o.DeleteRole("base")
	o.PutEnvironment("prod", `{"description":"edited on the replica"}`)
	o.DeleteEnvironment("dev-1")
	o.PutDataBagItem("users", "user.1", `{"uid":1,"edited":true}`)
	o.DeleteDataBagItem("users", "user.2")
	o.DeleteDataBag("secrets")
	o.PutCookbook("theirs", "0.1.0", map[string][]byte{"recipes/default.rb": []byte("# of the replica")}, false)
	o.PutRole("theirs", `{}`)
}

// changesOfReplica is what changeReplica did to what replication had put there.
func changesOfReplica() map[string]replication.Cause {
	const changed, missing = replication.CauseChanged, replication.CauseMissing
	return map[string]replication.Cause{
		"/cookbooks/apache2/1.0.0": changed, "/cookbooks/apache2/1.9.0": missing, "/roles/web": changed, "/roles/base": missing,
		"/environments/prod": changed, "/environments/dev-1": missing, "/data/users/user.1": changed, "/data/users/user.2": missing,
		"/data/secrets": missing, "/data/secrets/db": missing, "/data/secrets/db_keys": missing,
	}
}

func wantCauses(t testing.TB, got []replication.Difference, want map[string]replication.Cause) {
	t.Helper()
	have := map[string]replication.Cause{}
	for _, d := range got {
		have[d.Ref.Path()] = d.Cause
	}
	for path, cause := range want {
		if have[path] != cause {
			t.Errorf("%s: cause %q, want %q", path, have[path], cause)
		}
	}
	if len(have) != len(want) {
		t.Errorf("%d differences, want %d: %v", len(have), len(want), have)
	}
}

// The primary is quiet, so its feed says nothing of what was done to the replica.
func TestDriftOfAReplicaIsNamedAndRepaired(t *testing.T) {
	for name, o := range map[string]cheftest.Options{
		"API version 2":         {},
		"API version 0":         {MaxAPIVersion: cheftest.OnlyVersion0},
		"without organizations": {Orgless: true, MaxAPIVersion: 1, EmptyUnknown: true, LenientVersion: true, NoFrontEnd: true},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, inMemory(t, "primary", cheftest.Options{UpdatedSince: true}), inMemory(t, "replica", o))
			cheftest.Fill(r.primary.org)
			r.mustPass()
			changeReplica(r.replica.org)
			r.mustPass()
			r.replica.mem.ResetRequests()
			found := r.verify(false)
			wantCauses(t, found.Differences, changesOfReplica())
			if len(found.Extras) != 2 || len(r.replica.writes()) != 0 {
				t.Errorf("extras %v, writes %v", found.Extras, r.replica.writes())
			}
			if st, _ := r.record(); st.Progress.Drift.Left() != len(changesOfReplica()) || !st.Progress.LastVerified.IsZero() {
				t.Errorf("recorded drift %+v, verified %s", st.Progress.Drift, st.Progress.LastVerified)
			}
			report := r.verify(true)
			wantCauses(t, report.Repaired, changesOfReplica())
			if !report.Equal() || len(report.Extras) != 2 {
				t.Errorf("after the repair: %v, extras %v", report.Differences, report.Extras)
			}
			r.replica.org.DeleteCookbook("theirs", "0.1.0")
			r.replica.org.DeleteRole("theirs")
			r.wantInSync()
			if w := r.primary.writes(); len(w) != 0 {
				t.Errorf("the primary was written: %v", w)
			}
		})
	}
}

func TestAMirrorLosesWhatWasAddedToIt(t *testing.T) {
	r := pairOfServers(t)
	r.extra += "\n" + `prune = "all"`
	r.mustPass()
	changeReplica(r.replica.org)
	report := r.verify(true)
	want := changesOfReplica()
	want["/cookbooks/theirs/0.1.0"], want["/roles/theirs"] = replication.CauseExtra, replication.CauseExtra
	wantCauses(t, report.Repaired, want)
	r.wantInSync()
}

// A repair that dies at any call, over real clients, SQLite and a folder.
func TestACrashAtEveryCallOfARepairConverges(t *testing.T) {
	for _, after := range []bool{false, true} {
		t.Run(fmt.Sprintf("after=%v", after), func(t *testing.T) {
			t.Parallel()
			points := 0
			for n := 1; ; n++ {
				r := newRig(t, inMemory(t, "primary", cheftest.Options{UpdatedSince: true}), inMemory(t, "replica", cheftest.Options{}))
				r.extra += "\n" + `prune = "all"`
				r.primary.org.PutCookbook("apt", "1.0.0", map[string][]byte{"recipes/default.rb": []byte("a"), "files/x": []byte("b")}, true)
				r.primary.org.PutRole("web", `{}`)
				r.primary.org.PutDataBagItem("users", "alice", `{"uid":1}`)
				r.primary.org.PutEnvironment("prod", `{}`)
				r.mustPass()
				r.replica.org.PutCookbook("apt", "1.0.0", map[string][]byte{"recipes/default.rb": []byte("c")}, true)
				r.replica.org.PutRole("web", `{"description":"edited"}`)
				r.replica.org.PutRole("theirs", `{}`)
				r.replica.org.DeleteDataBag("users")
				crash := &replicationtest.Crasher{At: n, After: after}
				e := r.engine()
				_, _ = e.Verify(crash.Wrap(context.Background(), e), replication.VerifyOptions{Repair: true})
				if crash.Calls() < n {
					break
				}
				points++
				r.skew = 2 * time.Minute // the lease of the dead process ends
				r.mustPass()
				if report := r.verify(true); !report.Equal() {
					t.Fatalf("died at call %d, %s: left %v", n, crash.Where, report.Differences)
				}
				wantSame(t, r.primary.org, r.replica.org)
			}
			if points < 40 {
				t.Errorf("only %d points were tried", points)
			}
			t.Logf("%d points", points)
		})
	}
}

// Whatever a server answers instead of a listing or an object, it is no drift and
// nothing is repaired by it.
func TestAPageOfAProxyIsNoDrift(t *testing.T) {
	for _, fault := range []cheftest.Fault{{Status: http.StatusOK, HTML: true}, {Status: http.StatusNotFound, HTML: true}, {Status: http.StatusOK, EmptyBody: true}, {Status: http.StatusServiceUnavailable}} {
		for _, side := range []string{"primary", "replica"} {
			t.Run(fmt.Sprintf("%d/html=%v/%s", fault.Status, fault.HTML, side), func(t *testing.T) {
				t.Parallel()
				r := pairOfServers(t)
				r.extra += "\n" + `prune = "all"`
				r.mustPass()
				srv := map[string]*server{"primary": r.primary, "replica": r.replica}[side].mem
				e := r.engine()
				srv.Fault(fault)
				r.replica.mem.ResetRequests()
				report, err := e.Verify(context.Background(), replication.VerifyOptions{Repair: true})
				if err == nil || len(report.Drift()) > 0 || len(r.replica.writes()) > 0 {
					t.Fatalf("%v, drift %v, writes %v; want a failure", err, report.Drift(), r.replica.writes())
				}
				srv.ClearFaults()
				if st, _ := r.record(); st.Progress.Drift != nil || !st.Progress.LastCheck.IsZero() {
					t.Errorf("recorded %+v", st.Progress)
				}
				r.wantInSync()
			})
		}
	}
}

// A real server as the replica, changed by a client of its own.
func TestDriftOfAGoiardiReplica(t *testing.T) {
	r := newRig(t, inMemory(t, "primary", cheftest.Options{UpdatedSince: true}), goiardi(t, "goiardi-1"))
	cheftest.Fill(r.primary.org)
	r.mustPass()
	if report := r.verify(true); !report.Equal() || len(report.Repaired) > 0 {
		t.Fatalf("right after the first pass: %v, repaired %v", report.Differences, report.Repaired)
	}
	org := r.replica.client(t)
	for _, do := range []struct{ method, path, body string }{
		{http.MethodPut, "/roles/web", `{"name":"web","description":"edited on the replica"}`},
		{http.MethodDelete, "/roles/base", ""},
		{http.MethodPut, "/environments/prod", `{"name":"prod","description":"edited on the replica"}`},
		{http.MethodPut, "/data/users/user.1", `{"id":"user.1","edited":true}`},
		{http.MethodDelete, "/data/secrets", ""},
		{http.MethodDelete, "/cookbooks/apache2/1.9.0", ""},
		{http.MethodPost, "/roles", `{"name":"theirs"}`},
	} {
		var body []byte
		if do.body != "" {
			body = []byte(do.body)
		}
		if _, err := org.Do(context.Background(), do.method, do.path, body); err != nil {
			t.Fatalf("%s %s: %v", do.method, do.path, err)
		}
	}
	r.mustPass() // the feed of the primary knows nothing of it
	const changed, missing = replication.CauseChanged, replication.CauseMissing
	want := map[string]replication.Cause{
		"/roles/web": changed, "/roles/base": missing, "/environments/prod": changed, "/data/users/user.1": changed, "/data/secrets": missing,
		"/data/secrets/db": missing, "/data/secrets/db_keys": missing, "/cookbooks/apache2/1.9.0": missing,
	}
	wantCauses(t, r.verify(false).Differences, want)
	report := r.verify(true)
	wantCauses(t, report.Repaired, want)
	if !report.Equal() || len(report.Extras) != 1 {
		t.Errorf("after the repair: %v, extras %v", report.Differences, report.Extras)
	}
	g := watch(t, r.replica)
	if report := r.verify(true); !report.Equal() || g.writes.Load() != 0 || g.reads.Load() == 0 {
		t.Errorf("the next one: %v, %d writes, %d reads", report.Differences, g.writes.Load(), g.reads.Load())
	}
}

func (r *rig) verifyFiles(repair bool) replication.Report {
	r.t.Helper()
	report, err := r.engine().Verify(context.Background(), replication.VerifyOptions{Trigger: "test", Repair: repair, Files: 1})
	if err != nil {
		r.t.Fatalf("verify --files: %v", err)
	}
	return report
}

// A database that is restored without its file store is the usual disaster.
func TestFilesThatTheReplicaLostAreFoundAndRestored(t *testing.T) {
	for name, o := range map[string]cheftest.Options{
		"it believes to have them": {}, "it checks its store": {ChecksStore: true}, "API version 0": {MaxAPIVersion: cheftest.OnlyVersion0},
		"without organizations": {Orgless: true, MaxAPIVersion: 1, EmptyUnknown: true, LenientVersion: true, NoFrontEnd: true},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, inMemory(t, "primary", cheftest.Options{UpdatedSince: true}), inMemory(t, "replica", o))
			cheftest.Fill(r.primary.org)
			r.mustPass()
			if report := r.verifyFiles(true); !report.Equal() || report.Files == 0 {
				t.Fatalf("at the beginning: %+v", report)
			}
			r.replica.org.LoseContent(cheftest.MD5([]byte("# shared by many\n")))
			r.replica.org.ReplaceContent(cheftest.MD5([]byte("name 'apache2'\nversion '1.9.0'\n")), []byte("scrambled"))
			torn := len(r.replica.org.DamagedCookbooks())
			if report := r.verify(true); torn < 2 || !report.Equal() {
				t.Fatalf("%d torn versions; without files: %+v", torn, report)
			}
			r.replica.mem.ResetRequests()
			found := r.verifyFiles(false)
			if len(found.Drift()) != 2 || len(r.replica.writes()) != 0 {
				t.Fatalf("%+v, writes %v", found, r.replica.writes())
			}
			for _, d := range found.Differences {
				if d.Cause != replication.CauseDamaged || len(d.Versions) == 0 {
					t.Errorf("%+v", d)
				}
			}
			report := r.verifyFiles(true)
			if !report.Equal() || len(report.Repaired) != len(found.Differences) {
				t.Errorf("left %v", report.Differences)
			}
			if torn := r.replica.org.DamagedCookbooks(); len(torn) > 0 {
				t.Errorf("torn: %v", torn)
			}
			r.wantInSync()
		})
	}
}

// A real server whose file store was damaged by hand.
func TestFilesThatAGoiardiReplicaLostAreFoundAndRestored(t *testing.T) {
	r := newRig(t, inMemory(t, "primary", cheftest.Options{UpdatedSince: true}), goiardi(t, "goiardi-1"))
	cheftest.Fill(r.primary.org)
	r.mustPass()
	if report := r.verifyFiles(true); !report.Equal() || report.Files < 5 {
		t.Fatalf("at the beginning: %+v", report)
	}
	stored, err := filepath.Glob(filepath.Join(r.replica.real.FileStore(), "*"))
	if err != nil || len(stored) < 3 {
		t.Fatalf("stored %v, %v", stored, err)
	}
	if err := os.Remove(stored[0]); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(stored[1], []byte("scrambled"), 0o600); err != nil {
		t.Fatal(err)
	}
	found := r.verifyFiles(false)
	if len(found.Drift()) != 2 {
		t.Fatalf("found %+v", found)
	}
	report := r.verifyFiles(true)
	if !report.Equal() || len(report.Repaired) != 2 {
		t.Fatalf("left %+v", report.Differences)
	}
	if report := r.verifyFiles(false); !report.Equal() {
		t.Errorf("afterwards: %+v", report)
	}
}

// An organization that was deleted and made again has another GUID, and is empty.
func TestAnOrganizationThatWasMadeAgainIsFilled(t *testing.T) {
	var later atomic.Int64 // everybody's clock
	now := func() time.Time { return time.Now().Add(time.Duration(later.Load())) }
	r := newRig(t, inMemory(t, "primary", cheftest.Options{UpdatedSince: true, Now: now}), inMemory(t, "replica", cheftest.Options{Now: now}))
	cheftest.Fill(r.primary.org)
	r.mustPass()
	r.replica.mem.DeleteOrg(orgName)
	r.replica.org = r.replica.mem.AddOrg(orgName)
	r.replica.org.Associate(r.replica.user)
	r.replica.org.AddToGroup("admins", r.replica.user)
	r.skew = time.Hour
	later.Store(int64(time.Hour))
	if run := r.mustPass(); run.Mode != "compare" || run.Counts.Created != cheftest.Filled {
		t.Errorf("run %+v", run)
	}
	r.wantInSync()
	if st, _ := r.record(); st.Progress.ReplicaNew.IsZero() {
		t.Errorf("recorded %+v", st.Progress)
	}
}

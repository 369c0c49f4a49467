package e2e

import (
	"context"
	"crypto/rand"
	"crypto/rsa"
	"net/http"
	"strings"
	"testing"
	"time"

	"chefsync/pkg/chef/cheftest"
	"chefsync/pkg/fault"
	"chefsync/pkg/replication"
)

// Each bad day happens to a pair in sync, with changes waiting. It must be said
// clearly, lose nothing, and be over once its cause is.
func TestABadDayOfAWholeServer(t *testing.T) {
	for name, day := range map[string]struct {
		spoil  func(*rig)
		repair func(*rig)
		status replication.Status
		says   []string // in the message or hint
	}{
		"wrong key": {
			func(r *rig) { r.primary.key = otherKey(t) }, func(r *rig) { r.primary.key = r.primary.mem.AddUser(r.primary.user) },
			replication.Blocked, []string{"primary", "key"}},
		"user unknown to the replica": {
			func(r *rig) { r.replica.user = "nobody" }, func(r *rig) { r.replica.user = "replicator" },
			replication.Blocked, []string{"eu", "key"}},
		"clock 16 minutes off": {
			func(r *rig) { r.skew = 16 * time.Minute }, func(r *rig) { r.skew = 0 },
			replication.Blocked, []string{"clock"}},
		"organization missing on the replica": {
			func(r *rig) { r.replica.mem.DeleteOrg(orgName) }, func(r *rig) {
				r.replica.org = r.replica.mem.AddOrg(orgName)
				r.replica.org.Associate(r.replica.user)
			},
			replication.Blocked, []string{"organization", orgName}},
		"organization not prepared": {
			func(r *rig) { r.replica.org.Dissociate(r.replica.user) }, func(r *rig) { r.replica.org.Associate(r.replica.user) },
			replication.Blocked, []string{"not associated", "prepare-org"}},
		"license expired": {
			func(r *rig) { r.primary.mem.SetLicense("The license has expired") }, func(r *rig) { r.primary.mem.SetLicense("") },
			replication.Blocked, []string{"license"}},
		"a proxy's page instead of the replica": {
			func(r *rig) { r.replica.mem.Fault(cheftest.Fault{HTML: true}) }, func(r *rig) { r.replica.mem.ClearFaults() },
			replication.Blocked, []string{"eu", "proxy"}},
		"an empty 200 for everything": {
			func(r *rig) { r.replica.mem.Fault(cheftest.Fault{Status: http.StatusOK, EmptyBody: true}) },
			func(r *rig) { r.replica.mem.ClearFaults() },
			replication.Blocked, []string{"empty answer"}},
		"replica in maintenance": {
			func(r *rig) { r.replica.mem.SetMaintenance(true) }, func(r *rig) { r.replica.mem.SetMaintenance(false) },
			replication.Retrying, []string{"eu", "503"}},
		"replica unreachable": {
			func(r *rig) { r.replica.url = "http://127.0.0.1:1" }, func(r *rig) { r.replica.url = r.replica.mem.URL },
			replication.Retrying, []string{"eu", "unreachable"}},
		"primary unreachable": {
			func(r *rig) { r.primary.url = "http://127.0.0.1:1" }, func(r *rig) { r.primary.url = r.primary.mem.URL },
			replication.Retrying, []string{"primary", "unreachable"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := pairOfServers(t)
			r.mustPass()
			cheftest.Edit(r.primary.org)
			position := func() int64 { st, _ := r.record(); return st.Progress.Position.Seq }
			before, at := len(r.replica.org.Snapshot()), position()
			day.spoil(r)
			run, err := r.pass()
			if err == nil || run.Outcome != replication.OutcomeFailed {
				t.Fatalf("outcome %s, %v; want a failure", run.Outcome, err)
			}
			text := err.Error() + " " + fault.HintOf(err)
			for _, want := range day.says {
				if !strings.Contains(strings.ToLower(text), strings.ToLower(want)) {
					t.Errorf("%q doesn't say %q", text, want)
				}
			}
			st, u := r.record()
			if st.Status() != day.status || position() != at || len(u) != 0 {
				t.Errorf("status %s, position %d (was %d), unsynced %+v; want %s, the position kept and nothing unsynced", st.Status(), position(), at, u, day.status)
			}
			if n := len(r.replica.org.Snapshot()); n != before && name != "organization missing on the replica" {
				t.Errorf("%d objects on the replica, want %d", n, before)
			}
			day.repair(r)
			if name == "organization missing on the replica" {
				r.full() // the feed can't tell that the replica was made again
				r.wantInSync()
				return
			}
			r.mustPass()
			r.wantInSync()
		})
	}
}

func otherKey(t *testing.T) *rsa.PrivateKey {
	k, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// A bad object becomes unsynced, with its reason; the others are replicated.
func TestABadDayOfOneObject(t *testing.T) {
	for name, day := range map[string]struct {
		spoil, repair func(*rig)
		object        string
		says          string
	}{
		"403 on the primary": {
			func(r *rig) { r.primary.org.SetACE("roles/web", "read", "admins") },
			func(r *rig) { r.primary.org.SetACE("roles/web", "read", "users") }, "/roles/web", "permission"},
		"403 on the replica": {
			func(r *rig) { r.replica.org.SetACE("roles/web", "update", "admins") },
			func(r *rig) { r.replica.org.SetACE("roles/web", "update", "users") }, "/roles/web", "permission"},
		"413 on the replica": {
			func(r *rig) {
				r.replica.mem.Fault(cheftest.Fault{Method: "PUT", Path: "/roles/web", Status: 413, Body: `{"error":"JSON must be no more than 1000 bytes."}`})
			}, func(r *rig) { r.replica.mem.ClearFaults() }, "/roles/web", "too large"},
		"a proxy dislikes the object": {
			func(r *rig) {
				r.replica.mem.Fault(cheftest.Fault{Method: "PUT", Path: "/roles/web", Status: 403, HTML: true})
			},
			func(r *rig) { r.replica.mem.ClearFaults() }, "/roles/web", "not for this object"},
		"a file with wrong bytes on the primary": {
			func(r *rig) {
				r.primary.org.ReplaceContent(cheftest.MD5([]byte("uploaded again")), []byte("UPLOADED AGAIN"))
			},
			func(r *rig) {
				r.primary.org.ReplaceContent(cheftest.MD5([]byte("uploaded again")), []byte("uploaded again"))
			},
			"/cookbooks/apache2/1.9.0", "checksum"},
		"a file lost by the primary": {
			func(r *rig) { r.primary.org.LoseContent(cheftest.MD5([]byte("uploaded again"))) },
			func(r *rig) {
				r.primary.org.ReplaceContent(cheftest.MD5([]byte("uploaded again")), []byte("uploaded again"))
			},
			"/cookbooks/apache2/1.9.0", "primary"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := pairOfServers(t)
			r.mustPass()
			cheftest.Edit(r.primary.org)
			day.spoil(r)
			if run, err := r.pass(); err != nil || run.Left != 1 {
				t.Fatalf("%d left, outcome %s, %v; want the others done", run.Left, run.Outcome, err)
			}
			st, u := r.record()
			if len(u) != 1 || u[0].Ref.Path() != day.object || !strings.Contains(u[0].Reason+u[0].Hint, day.says) || u[0].Hint == "" {
				t.Fatalf("unsynced %+v; want %s with a reason that says %q, and a hint", u, day.object, day.says)
			}
			if st.Status() != replication.Retrying {
				t.Errorf("status %s", st.Status())
			}
			if torn := r.replica.org.DamagedCookbooks(); len(torn) > 0 {
				t.Errorf("torn on the replica: %v", torn)
			}
			want, got := r.primary.org.Snapshot(), r.replica.org.Snapshot()
			for path := range want {
				if path != day.object && got[path] != want[path] {
					t.Errorf("%s was held up by %s", path, day.object)
				}
			}
			day.repair(r)
			e := r.engine()
			now := time.Now()
			if err := e.State.ChangeDesired(context.Background(), e.Pair.ID, replication.DesiredChange{Retry: &now, At: now}); err != nil {
				t.Fatal(err)
			}
			r.mustPass()
			r.wantInSync()
		})
	}
}

// A replica that was away catches up by itself, and others aren't delayed.
func TestAReplicaThatWasAwayCatchesUp(t *testing.T) {
	r := pairOfServers(t)
	other := newRig(t, r.primary, inMemory(t, "other", cheftest.Options{}))
	r.mustPass()
	other.mustPass()
	r.replica.url = "http://127.0.0.1:1"
	cheftest.Edit(r.primary.org)
	_, _ = r.pass()
	other.mustPass()
	other.wantInSync()
	r.replica.url = r.replica.mem.URL
	r.mustPass()
	r.wantInSync()
}

// With real listings: an emptied primary empties nothing until the operator
// approves.
func TestAnEmptiedPrimaryIsHeld(t *testing.T) {
	r := pairOfServers(t)
	r.mustPass()
	before := len(r.replica.org.Snapshot())
	for path := range r.primary.org.Snapshot() {
		parts := strings.Split(path, "/")
		switch parts[1] {
		case "cookbooks":
			r.primary.org.DeleteCookbook(parts[2], parts[3])
		case "roles":
			r.primary.org.DeleteRole(parts[2])
		case "environments":
			r.primary.org.DeleteEnvironment(parts[2])
		case "data":
			r.primary.org.DeleteDataBag(parts[2])
		}
	}
	for range 2 {
		run, _ := r.pass()
		if run.Outcome != replication.OutcomeHeld {
			t.Fatalf("outcome %s, want held", run.Outcome)
		}
	}
	if n := len(r.replica.org.Snapshot()); n != before {
		t.Fatalf("%d objects left of %d", n, before)
	}
	e := r.engine()
	all := 1000
	if err := e.State.ChangeDesired(context.Background(), e.Pair.ID, replication.DesiredChange{AllowDeletes: &all, At: time.Now()}); err != nil {
		t.Fatal(err)
	}
	r.mustPass()
	r.wantInSync()
}

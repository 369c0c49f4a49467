package e2e

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"chefsync/pkg/chef/cheftest"
	"chefsync/pkg/replication"
)

// massByChangeLog is a rig in sync by the change log, with 60 roles and 120 items.
func massByChangeLog(t *testing.T) *rig {
	r := byChangeLog(t, inMemory(t, "primary", cheftest.Options{}), inMemory(t, "eu", cheftest.Options{}))
	r.extra, r.changeLog = "", r.changeLog+fmt.Sprintf("\ntoken = %q", "file:"+r.write("token", "s3cret"))
	cheftest.Fill(r.primary.org)
	for i := range 60 {
		r.primary.org.PutRole(fmt.Sprintf("r%02d", i), `{}`)
	}
	r.primary.org.PutDataBag("many")
	for i := range 120 {
		r.primary.org.PutDataBagItem("many", fmt.Sprintf("i%03d", i), `{}`)
	}
	r.scan()
	r.mustPass()
	r.wantInSync()
	return r
}

// roles counts the replica's.
func (r *rig) roles() (n int) {
	for p := range r.replica.org.Snapshot() {
		if strings.HasPrefix(p, "/roles/r") {
			n++
		}
	}
	return n
}

// look scans and passes, a while later. Nothing is compared whole.
func (r *rig) look() replication.Run {
	r.t.Helper()
	r.skew += 10 * time.Second
	r.scan()
	return r.changes()
}

func (r *rig) changes() replication.Run {
	r.t.Helper()
	run, err := r.pass()
	if err != nil || run.Mode == "compare" {
		r.t.Fatalf("pass: %+v, %v", run, err)
	}
	return run
}

// pusher posts what the primary's data collector would, to what the program serves.
func (r *rig) pusher() func(task, entity, name string) {
	r.t.Helper()
	a, _ := r.open()
	h, err := a.ChangesHandler(context.Background(), func(string) {})
	if err != nil {
		r.t.Fatal(err)
	}
	srv := httptest.NewServer(h)
	r.t.Cleanup(srv.Close)
	return func(task, entity, name string) {
		r.t.Helper()
		body := fmt.Sprintf(`{"message_type":"action","organization_name":%q,"task":%q,"entity_type":%q,"entity_name":%q,"data":{}}`, orgName, task, entity, name)
		q, err := http.NewRequestWithContext(context.Background(), http.MethodPost, srv.URL+"/", strings.NewReader(body))
		if err != nil {
			r.t.Fatal(err)
		}
		q.Header.Set("X-Data-Collector-Token", "s3cret")
		a, err := http.DefaultClient.Do(q)
		if err != nil {
			r.t.Fatal(err)
		}
		_ = a.Body.Close()
		if a.StatusCode != http.StatusNoContent {
			r.t.Fatalf("push: status %d", a.StatusCode)
		}
	}
}

// The change log cuts one mass deletion into many passes. The brake looks at an hour.
func TestAMassDeletionByTheChangeLogIsHeld(t *testing.T) {
	for name, drive := range map[string]func(*rig){
		"by scans, at once": func(r *rig) {
			for i := range 60 {
				r.primary.org.DeleteRole(fmt.Sprintf("r%02d", i))
			}
			for range 4 {
				r.look()
			}
		},
		"by scans, drop by drop": func(r *rig) {
			for i := range 60 {
				r.primary.org.DeleteRole(fmt.Sprintf("r%02d", i))
				if i%5 == 4 {
					r.look()
				}
			}
			r.look()
		},
		"by pushes, at once": func(r *rig) {
			push := r.pusher()
			for i := range 60 {
				r.primary.org.DeleteRole(fmt.Sprintf("r%02d", i))
				push("delete", "role", fmt.Sprintf("r%02d", i))
			}
			r.changes()
		},
		"by pushes, drop by drop": func(r *rig) {
			push := r.pusher()
			for i := range 60 {
				r.primary.org.DeleteRole(fmt.Sprintf("r%02d", i))
				push("delete", "role", fmt.Sprintf("r%02d", i))
				if i%3 == 2 {
					r.changes()
				}
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := massByChangeLog(t)
			drive(r)
			left := r.roles()
			st, _ := r.record()
			if h := st.Progress.Hold; left < 30 || st.Status() != replication.Held || h == nil || h.Deletes != left {
				t.Fatalf("%d of 60 roles are left, status %s, hold %+v", left, st.Status(), h)
			}
			r.primary.org.PutRole("new", `{}`)
			r.look()
			if r.replica.org.Snapshot()["/roles/new"] == "" || r.roles() != left {
				t.Errorf("the new role isn't there, or %d of %d roles are left", r.roles(), left)
			}
			for i := range 60 {
				r.primary.org.PutRole(fmt.Sprintf("r%02d", i), `{}`)
			}
			r.look()
			r.wantInSync() // the hold ended
		})
	}
}

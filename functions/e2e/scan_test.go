package e2e

import (
	"context"
	"net/http"
	"strings"
	"sync"
	"testing"

	"chefsync/pkg/chef/cheftest"
	"chefsync/pkg/cloud"
	"chefsync/pkg/config"
)

// duringScan begins a scan and calls do while the primary keeps it waiting. It
// returns what the scan answered.
func (r *testStack) duringScan(do func()) (answer cloud.ChangesResult, err error) {
	r.t.Helper()
	reached, resume := make(chan struct{}), make(chan struct{})
	fault := r.primary.mem.Fault(cheftest.Fault{Path: "*/environments", Times: 1, Do: func(q *http.Request) {
		close(reached)
		select {
		case <-resume:
		case <-q.Context().Done():
		}
	}})
	defer fault.Remove()
	done := make(chan struct{})
	go func() {
		defer close(done)
		answer, err = r.startScan()
	}()
	<-reached
	do()
	close(resume)
	<-done
	return answer, err
}

// startScan is what a schedule does.
func (r *testStack) startScan() (answer cloud.ChangesResult, err error) {
	result, err := r.changes.Invoke(context.Background(), cloud.ChangesEvent{Source: orgName, Trigger: cloud.TriggerSchedule})
	if err == nil {
		err = result.Decode(&answer)
	}
	return answer, err
}

// TestScansOfAFunctionDontOverlap: a scan that takes longer than scan_every is
// followed by the next one; those that are started meanwhile ask the primary nothing,
// and leave nothing in the log but what Lambda itself writes.
func TestScansOfAFunctionDontOverlap(t *testing.T) {
	t.Parallel()
	r := newChangeLogStack(t)
	scanSource(r)
	r.primary.org.PutRole("new", `{}`)
	answer, err := r.duringScan(func() {
		before, said := len(r.primary.mem.Requests()), len(r.changes.Log())
		var others sync.WaitGroup
		for range 6 {
			others.Go(func() {
				if answer, err := r.startScan(); err != nil || !answer.Busy || answer.Error != "" {
					t.Errorf("%+v, %v; want it busy", answer, err)
				}
			})
		}
		others.Wait()
		if n := len(r.primary.mem.Requests()) - before; n != 0 {
			t.Errorf("scans that found another one sent %d requests", n)
		}
		for _, line := range r.changes.Log()[said:] {
			if strings.HasPrefix(line, "{") {
				t.Errorf("a busy scan logged %s", line)
			}
		}
	})
	if err != nil || answer.Busy || answer.Changes != 1 {
		t.Errorf("%+v, %v", answer, err)
	}
}

// TestAKilledScanIsFollowedByAnother at the end of its lease.
func TestAKilledScanIsFollowedByAnother(t *testing.T) {
	t.Parallel()
	r := newChangeLogStack(t)
	scanSource(r)
	r.primary.org.PutRole("new", `{}`)
	if answer, err := r.duringScan(r.changes.Kill); err == nil {
		t.Errorf("%+v of a scan that was killed", answer)
	}
	if answer := scanSource(r); !answer.Busy {
		t.Errorf("%+v, want the lease of the dead scan to be held", answer)
	}
	r.endScanLease()
	if answer := scanSource(r); answer.Busy || answer.Changes != 1 {
		t.Errorf("%+v", answer)
	}
	r.runPass()
	r.wantEqual()
}

// endScanLease ends the lease of a scan, which a minute would do.
func (r *testStack) endScanLease() {
	r.t.Helper()
	ctx := context.Background()
	changeLogs, err := r.backend.ChangeLogs(ctx)
	if err != nil {
		r.t.Fatal(err)
	}
	source := r.sourceSpace()
	lease, err := changeLogs.Lease(ctx, source)
	if err != nil {
		r.t.Fatal(err)
	}
	if err := changeLogs.Release(ctx, source, lease.Fence); err != nil {
		r.t.Fatal(err)
	}
}

// sourceSpace returns the name of the organization in the change log.
func (r *testStack) sourceSpace() string {
	r.t.Helper()
	c, err := config.Loader{}.Parse("chef-sync.toml", []byte(r.configText()))
	if err != nil {
		r.t.Fatal(err)
	}
	return c.Pairs()[0].Space
}

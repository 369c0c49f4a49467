package e2e

import (
	"context"
	"testing"
	"time"

	"chefsync/pkg/chef/cheftest"
	"chefsync/pkg/cloud"
	"chefsync/pkg/replication"
)

// TestTheFunctionReplicatesToARealServer: the deployed program, an in-memory
// primary with a feed, and goiardi as the replica.
func TestTheFunctionReplicatesToARealServer(t *testing.T) {
	t.Parallel()
	replica := goiardi(t)
	r := newRig(t, inMemory(t, "primary", withFeed()), replica)
	cheftest.Fill(r.primary.org)
	r.mustDeploy()
	if run := r.pass(); run.Counts.Created != cheftest.Filled {
		t.Errorf("created %d objects, want %d", run.Counts.Created, cheftest.Filled)
	}
	r.wantEqual()
	cheftest.Edit(r.primary.org)
	if run := r.pass(); run.Mode != "changes" || run.Counts.Deleted == 0 {
		t.Errorf("a pass over changes: %+v", run)
	}
	for _, answer := range r.together(3) {
		if answer.Error != "" {
			t.Errorf("one of three at once: %s", answer.Error)
		}
	}
	r.wantEqual()
}

// TestDeadlinesAndKillsLoseNothingOnARealServer: a slow primary, so that a first
// copy to goiardi meets its deadline and is killed on the way, and then ends.
func TestDeadlinesAndKillsLoseNothingOnARealServer(t *testing.T) {
	t.Parallel()
	r := newRig(t, inMemory(t, "primary", withFeed()), goiardi(t))
	cheftest.Fill(r.primary.org)
	r.mustDeploy()
	slow := r.primary.mem.Fault(cheftest.Fault{Method: "GET", Delay: 500 * time.Millisecond})
	result, err := r.sync.InvokeWithin(context.Background(), r.event(), 7*time.Second)
	if err != nil {
		t.Fatal(err)
	}
	var answer cloud.SyncResult
	if err := result.Decode(&answer); err != nil || answer.Run.Outcome != replication.OutcomePartial {
		t.Fatalf("an invocation of seven seconds: %+v, %v", answer, err)
	}
	if _, err := r.sync.InvokeEvent(r.event()); err != nil {
		t.Fatal(err)
	}
	for before := len(r.primary.mem.Requests()); len(r.primary.mem.Requests()) < before+3; {
		time.Sleep(10 * time.Millisecond) // until it is at work
	}
	r.sync.Kill()
	r.sync.Wait()
	slow.Remove()
	r.expireLease()
	r.pass()
	r.wantEqual()
}

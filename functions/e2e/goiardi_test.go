package e2e

import (
	"testing"

	"chefsync/pkg/chef/cheftest"
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

package e2e

import (
	"strings"
	"testing"

	"chefsync/pkg/chef/cheftest"
	"chefsync/pkg/cloud"
	"chefsync/pkg/replication"
)

// TestAKeyThatCannotBeReadIsInTheStatusAndInTheLog: the likeliest mistake of a
// first deployment. Blocked pairs ring an alarm.
func TestAKeyThatCannotBeReadIsInTheStatusAndInTheLog(t *testing.T) {
	t.Parallel()
	r := newRig(t, inMemory(t, "primary", withFeed()), inMemory(t, "eu", cheftest.Options{}))
	r.aws.SetSecret("chef-sync/eu", "")
	r.mustDeploy()
	answer, result := r.invoke(r.event())
	if !strings.Contains(answer.Error, "chef-sync/eu") || result.Error != nil {
		t.Errorf("the answer: %+v, %v", answer, result.Error)
	}
	progress := r.record().Progress
	if progress.Status != replication.Blocked || progress.LastError == nil || !strings.Contains(progress.LastError.Message, "chef-sync/eu") {
		t.Errorf("the record: %+v", progress)
	}
	if log := r.sync.Log().String(); !strings.Contains(log, "chef-sync/eu") || !strings.Contains(log, `"pair":"eu/acme"`) {
		t.Errorf("the log:\n%s", log)
	}
	if again, _ := r.invoke(r.event()); again.Run.Outcome != replication.OutcomeWaiting {
		t.Errorf("the next poll is %s, want it to wait as after any failure", again.Run.Outcome)
	}
	verdict, _ := r.invoke(cloud.SyncEvent{Pair: r.pair(), Task: cloud.TaskVerify})
	if verdict.Class != answer.Class || verdict.Class != progress.LastError.Class {
		t.Errorf("class of a verification %q, of a pass %q, in the record %q", verdict.Class, answer.Class, progress.LastError.Class)
	}
	r.aws.SetSecret("chef-sync/eu", r.replica.key)
	r.invoke(cloud.SyncEvent{Pair: r.pair()}) // a person's: doesn't wait
	if status := r.record().Status(); status != replication.Synced {
		t.Errorf("status %s when the key is there", status)
	}
}

package e2e

import (
	"strings"
	"testing"

	"chefsync/pkg/chef/cheftest"
	"chefsync/pkg/cloud"
	"chefsync/pkg/fault"
	"chefsync/pkg/replication"
)

// TestAnUnreadableKeyIsInTheStatusAndTheLog: the likeliest mistake of a
// first deployment. Blocked pairs ring an alarm.
func TestAnUnreadableKeyIsInTheStatusAndTheLog(t *testing.T) {
	t.Parallel()
	r := newTestStack(t, newMemoryServer(t, "primary", withFeed()), newMemoryServer(t, "eu", cheftest.Options{}))
	r.aws.SetSecret("chef-sync/eu", "")
	r.mustDeploy()
	answer, result := r.invokeSync(r.scheduleEvent())
	if !strings.Contains(answer.Error, "chef-sync/eu") || result.Error != nil {
		t.Errorf("the answer: %+v, %v", answer, result.Error)
	}
	progress := r.pairRecord().Progress
	if progress.Status != replication.Blocked || progress.LastError == nil || !strings.Contains(progress.LastError.Message, "chef-sync/eu") {
		t.Errorf("the record: %+v", progress)
	}
	if log := r.sync.Log().String(); !strings.Contains(log, "chef-sync/eu") || !strings.Contains(log, `"pair":"eu/acme"`) {
		t.Errorf("the log:\n%s", log)
	}
	if again, _ := r.invokeSync(r.scheduleEvent()); again.Run.Outcome != replication.OutcomeWaiting {
		t.Errorf("the next poll is %s, want it to wait as after any failure", again.Run.Outcome)
	}
	verdict, _ := r.invokeSync(cloud.SyncEvent{Pair: r.pairID(), Task: cloud.TaskVerify})
	if verdict.Class != answer.Class || verdict.Class != progress.LastError.Class {
		t.Errorf("class of a verification %q, of a pass %q, in the record %q", verdict.Class, answer.Class, progress.LastError.Class)
	}
	r.aws.SetSecret("chef-sync/eu", r.replica.key)
	r.invokeSync(cloud.SyncEvent{Pair: r.pairID()}) // of an operator: doesn't wait
	if status := r.pairRecord().Status(); status != replication.Synced {
		t.Errorf("status %s when the key is there", status)
	}
}

// TestATransientErrorOfAWSIsNoWrongKey: many cold starts at once are throttled. That passes
// by itself, so no pair may wait for an operator because of it.
func TestATransientErrorOfAWSIsNoWrongKey(t *testing.T) {
	t.Parallel()
	for _, code := range []string{"ThrottlingException", "InternalServiceError"} {
		t.Run(code, func(t *testing.T) {
			t.Parallel()
			r := newTestStack(t, newMemoryServer(t, "primary", withFeed()), newMemoryServer(t, "eu", cheftest.Options{}))
			r.mustDeploy()
			r.aws.Refuse("GetSecretValue", code)
			answer, _ := r.invokeSync(r.scheduleEvent())
			progress := r.pairRecord().Progress
			if answer.Class != fault.Transient || progress.Status != replication.Retrying || progress.LastError == nil ||
				progress.LastError.Class != fault.Transient || strings.Contains(progress.LastError.Hint, "prepare-org") {
				t.Errorf("the answer: %+v\nthe record: %+v, %+v", answer, progress, progress.LastError)
			}
			if e := progress.LastError; e != nil && (strings.Contains(e.Message, "RequestID") || strings.Count(e.Message, "chef-sync/") != 1 || !strings.Contains(e.Message, code)) {
				t.Errorf("the message %q", e.Message)
			}
			r.aws.Refuse("GetSecretValue", "")
			r.invokeSync(cloud.SyncEvent{Pair: r.pairID()})
			if status := r.pairRecord().Status(); status != replication.Synced {
				t.Errorf("status %s when AWS answers again", status)
			}
		})
	}
}

package e2e

import (
	"context"
	"slices"
	"strings"
	"testing"
	"time"

	"chefsync/pkg/chef/cheftest"
	"chefsync/pkg/cloud"
	"chefsync/pkg/cloud/cloudtest"
	"chefsync/pkg/replication"
)

func withFeed() cheftest.Options { return cheftest.Options{UpdatedSince: true} }

// deployed is a rig between in-memory servers whose primary is filled.
func deployed(t testing.TB) *rig {
	t.Helper()
	r := newRig(t, inMemory(t, "primary", withFeed()), inMemory(t, "eu", cheftest.Options{}))
	cheftest.Fill(r.primary.org)
	r.mustDeploy()
	return r
}

func TestTheFunctionReplicates(t *testing.T) {
	t.Parallel()
	r := deployed(t)
	if run := r.pass(); run.Counts.Created != cheftest.Filled {
		t.Errorf("created %d objects, want %d", run.Counts.Created, cheftest.Filled)
	}
	r.wantEqual()
	cheftest.Edit(r.primary.org)
	if run := r.pass(); run.Mode != "changes" || run.Counts.Deleted == 0 {
		t.Errorf("a pass over changes: %+v", run)
	}
	r.wantEqual()
}

// TestAnEmptyPollIsCheap: the budget of design.md §12, in calls to AWS and
// requests to the primary, of a warm environment.
func TestAnEmptyPollIsCheap(t *testing.T) {
	t.Parallel()
	r := deployed(t)
	r.pass()
	r.pass()
	r.aws.Forget()
	before := len(r.primary.mem.Requests())
	_, result := r.invoke(r.event())
	// The record of the pass before stands for some minutes, see cloud.NoteEvery.
	want := []cloudtest.Call{{Action: "dynamodb:GetItem", Resource: r.stack.Table}}
	if seen := r.aws.Seen(); !slices.Equal(seen, want) {
		t.Errorf("calls to AWS %v, want %v", seen, want)
	}
	if n := len(r.primary.mem.Requests()) - before; n != 1 {
		t.Errorf("%d requests to the primary", n)
	}
	for _, line := range result.Log {
		if strings.HasPrefix(line.Text, "{") {
			t.Errorf("it logs %s", line.Text)
		}
	}
}

func TestTheSameEventTwiceAndAtOnceIsHarmless(t *testing.T) {
	t.Parallel()
	r := deployed(t)
	done := 0
	for _, answer := range r.together(4) {
		if answer.Run == nil {
			t.Fatalf("answer %+v", answer)
		}
		switch answer.Run.Outcome {
		case replication.OutcomeDone:
			done++
		case replication.OutcomeBusy:
		default:
			t.Errorf("outcome %s: %s", answer.Run.Outcome, answer.Error)
		}
	}
	if done == 0 {
		t.Error("none of them did it")
	}
	writes := len(r.replica.mem.Requests().Writes())
	for range 3 {
		r.pass()
	}
	if n := len(r.replica.mem.Requests().Writes()) - writes; n != 0 {
		t.Errorf("%d writes to the replica by events that came again", n)
	}
	r.wantEqual()
}

// TestADeadlineInTheMiddleIsContinued: a first copy that takes longer than the
// function may run goes on in the next invocations, and makes progress in each.
func TestADeadlineInTheMiddleIsContinued(t *testing.T) {
	t.Parallel()
	r := newRig(t, inMemory(t, "primary", withFeed()), inMemory(t, "eu", cheftest.Options{}))
	cheftest.Fill(r.primary.org)
	r.organization = `kinds = ["cookbooks", "roles", "environments", "data_bags"]`
	r.mustDeploy()
	r.replica.mem.Fault(cheftest.Fault{Method: "PUT", Delay: 400 * time.Millisecond, Times: 1000})
	partial := 0
	for range 60 {
		before := r.record().Progress.Objects
		result, err := r.sync.InvokeWithin(context.Background(), r.event(), 7*time.Second)
		if err != nil {
			t.Fatal(err)
		}
		var answer cloud.SyncResult
		if err := result.Decode(&answer); err != nil {
			t.Fatalf("the function did not end in time: %v", err)
		}
		if answer.Run.Outcome == replication.OutcomeDone {
			break
		}
		if answer.Run.Outcome != replication.OutcomePartial {
			t.Fatalf("outcome %s: %s", answer.Run.Outcome, answer.Error)
		}
		partial++
		if after := r.record().Progress.Objects; after <= before {
			t.Errorf("an invocation went from %d objects to %d", before, after)
		}
	}
	if partial == 0 {
		t.Error("it was done before its deadline; the test shows nothing")
	}
	r.replica.mem.ClearFaults()
	r.pass()
	r.wantEqual()
}

// TestAKilledEnvironmentLosesNothing: the platform ends the process in the middle
// of a pass; the next one takes over when the lease has ended.
func TestAKilledEnvironmentLosesNothing(t *testing.T) {
	t.Parallel()
	r := deployed(t)
	r.replica.mem.Fault(cheftest.Fault{Method: "PUT", Delay: 300 * time.Millisecond, Times: 1000})
	if _, err := r.sync.InvokeEvent(r.event()); err != nil {
		t.Fatal(err)
	}
	for len(r.replica.mem.Requests().Writes()) < 5 {
		time.Sleep(10 * time.Millisecond) // until it is at work
	}
	r.sync.Kill()
	r.sync.Wait()
	r.replica.mem.ClearFaults()
	answer, _ := r.invoke(r.event())
	if answer.Run.Outcome != replication.OutcomeBusy {
		t.Fatalf("the lease of the dead is %s", answer.Run.Outcome)
	}
	r.expireLease()
	r.pass()
	r.wantEqual()
}

func TestWhatGoesWrongIsAnAnswerUnlessTheTableIsTheTrouble(t *testing.T) {
	t.Parallel()
	r := deployed(t)
	r.pass()
	r.primary.mem.Fault(cheftest.Fault{Status: 401, Times: 1000})
	if answer, _ := r.invoke(r.event()); answer.Error == "" || answer.Run.Outcome != replication.OutcomeFailed {
		t.Errorf("a refusal: %+v", answer)
	}
	if st := r.record(); st.Status() != replication.Blocked {
		t.Errorf("status %s", st.Status())
	}
	r.primary.mem.ClearFaults()
	r.aws.Refuse("GetItem", "AccessDeniedException")
	result, err := r.sync.Invoke(t.Context(), r.event())
	if err != nil || result.Error == nil || !strings.Contains(result.Error.Message, r.stack.Table) {
		t.Errorf("a table that can't be read: %v, %v", err, result.Error)
	}
	r.aws.Refuse("GetItem", "")
	r.invoke(cloud.SyncEvent{Pair: r.pair()}) // a person's: doesn't wait
	if st := r.record(); st.Status() != replication.Synced {
		t.Errorf("status %s after all is well", st.Status())
	}
}

// TestARotatedKeyIsReadAgain: a key that was replaced is refused once.
func TestARotatedKeyIsReadAgain(t *testing.T) {
	t.Parallel()
	r := deployed(t)
	r.pass()
	r.aws.SetSecret("chef-sync/primary", "-----BEGIN RSA PRIVATE KEY-----\nAAAA\n-----END RSA PRIVATE KEY-----\n")
	r.sync.Kill() // a fresh environment reads the broken key
	if answer, _ := r.invoke(cloud.SyncEvent{Pair: r.pair()}); !strings.Contains(answer.Error, "primary") {
		t.Errorf("a broken key: %+v", answer)
	}
	r.aws.SetSecret("chef-sync/primary", r.primary.key)
	if answer, _ := r.invoke(cloud.SyncEvent{Pair: r.pair()}); answer.Error != "" {
		t.Errorf("the key that was put back: %+v", answer)
	}
}

func TestNoSecretAndNoValueIsLogged(t *testing.T) {
	t.Parallel()
	r := deployed(t)
	r.primary.org.PutDataBagItem("secrets", "api", `{"token":"swordfish"}`)
	r.pass()
	r.aws.SetSecret("chef-sync/eu", "not a key: swordfish")
	r.sync.Kill()
	r.invoke(cloud.SyncEvent{Pair: r.pair()})
	log := r.sync.Log().String() + r.manager.Log().String()
	for _, secret := range []string{"swordfish", "PRIVATE KEY", "encrypted_data"} {
		if strings.Contains(log, secret) {
			t.Errorf("the log holds %q", secret)
		}
	}
}

package e2e

import (
	"context"
	"testing"
	"time"

	"chefsync/pkg/chef/cheftest"
	"chefsync/pkg/chef/goiarditest"
	"chefsync/pkg/cloud"
	"chefsync/pkg/replication"
)

// pairPromises hold wherever the records and the replica of a pair are. Each wants a
// stack without a configuration and a primary without objects.
func pairPromises() map[string]func(*testStack) {
	return map[string]func(*testStack){
		"bootstrap, change and delete":           replicatesChanges,
		"the same event again and several times": survivesRepeatedEvents,
		"killed in the middle and run again":     survivesKills,
		"a deadline in the middle and continued": continuesAfterDeadlines,
	}
}

func TestPromises(t *testing.T) {
	testPromises(t, func(t *testing.T) *testStack {
		return newTestStack(t, newPrimary(t), newMemoryServer(t, "eu", cheftest.Options{}))
	})
}

// TestPromisesWithARealServer: the replica is goiardi.
func TestPromisesWithARealServer(t *testing.T) {
	goiarditest.Require(t)
	testPromises(t, func(t *testing.T) *testStack { return newTestStack(t, newPrimary(t), newGoiardi(t)) })
}

func newPrimary(t testing.TB) *chefServer { return newMemoryServer(t, "primary", withFeed()) }

// testPromises tests all promises, each on a stack of its own.
func testPromises(t *testing.T, stack func(*testing.T) *testStack) {
	t.Parallel()
	for name, promise := range pairPromises() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			promise(stack(t))
		})
	}
}

func replicatesChanges(r *testStack) {
	cheftest.Fill(r.primary.org)
	r.mustDeploy()
	if run := r.runPass(); run.Counts.Created != cheftest.Filled {
		r.t.Errorf("created %d objects, want %d", run.Counts.Created, cheftest.Filled)
	}
	r.wantEqual()
	cheftest.Edit(r.primary.org)
	if run := r.runPass(); run.Mode != "changes" || run.Counts.Deleted == 0 {
		r.t.Errorf("a pass over changes: %+v", run)
	}
	r.wantEqual()
}

// survivesRepeatedEvents: the first copy and the changes after it, by events that come together.
// What comes again writes nothing.
func survivesRepeatedEvents(r *testStack) {
	cheftest.Fill(r.primary.org)
	r.mustDeploy()
	for _, change := range []func(*cheftest.Org){func(*cheftest.Org) {}, cheftest.Edit} {
		change(r.primary.org)
		r.syncConcurrently(4)
		writes := r.replica.writes()
		for range 3 {
			r.runPass()
		}
		if n := r.replica.writes() - writes; n != 0 {
			r.t.Errorf("%d writes to the replica by events that came again", n)
		}
		r.wantEqual()
	}
}

// syncConcurrently sends the event of the schedule n times at once. One does the work;
// the others do or find nothing.
func (r *testStack) syncConcurrently(n int) {
	r.t.Helper()
	done := 0
	for _, answer := range r.invokeConcurrently(n) {
		if answer.Run == nil {
			r.t.Fatalf("answer %+v", answer)
		}
		switch answer.Run.Outcome {
		case replication.OutcomeDone:
			done++
		case replication.OutcomeBusy:
		default:
			r.t.Errorf("outcome %s: %s", answer.Run.Outcome, answer.Error)
		}
	}
	if done == 0 {
		r.t.Error("none of them did it")
	}
}

// survivesKills: the platform ends the process in the middle of a first copy and of
// changes; the next one takes over when the lease has ended.
func survivesKills(r *testStack) {
	cheftest.Fill(r.primary.org)
	r.mustDeploy()
	for _, change := range []func(*cheftest.Org){func(*cheftest.Org) {}, cheftest.Edit} {
		change(r.primary.org)
		held := r.replica.hold(6)
		r.startPass(r.scheduleEvent(), held)
		r.sync.Kill()
		r.sync.Wait()
		held.remove() // the waiting request has ended with the process
		if answer, _ := r.invokeSync(r.scheduleEvent()); answer.Run.Outcome != replication.OutcomeBusy {
			r.t.Fatalf("the lease of the dead is %s", answer.Run.Outcome)
		}
		r.expireLease()
		r.runPass()
		r.wantEqual()
	}
}

// startPass invokes the sync function and returns when it is at a gate of the replica.
func (r *testStack) startPass(event cloud.SyncEvent, at *gate) {
	r.t.Helper()
	if err := r.sync.InvokeEvent(event); err != nil {
		r.t.Fatal(err)
	}
	over := make(chan struct{})
	go func() {
		r.sync.Wait()
		close(over)
	}()
	select {
	case <-at.reached:
	case <-over:
		r.t.Fatal("the pass was over before it wrote that much")
	}
}

// continuesAfterDeadlines: a first copy that takes longer than the function may run goes on in
// the next invocations: the replica lets 15 writes of each through, and the others when the
// pass must begin nothing new, 5 s before its end. One that makes no progress or has to be
// killed, since the machine is busy, is followed by one with twice the time.
func continuesAfterDeadlines(r *testStack) {
	cheftest.Fill(r.primary.org)
	r.organizationConfig = `kinds = ["cookbooks", "roles", "environments", "data_bags"]`
	r.mustDeploy()
	partial := 0
	for timeout := 7 * time.Second; ; {
		before := r.pairRecord().Progress.Objects
		outcome, killed := r.runHeldPass(timeout)
		if outcome == replication.OutcomeDone {
			break
		}
		if !killed && outcome != replication.OutcomePartial {
			r.t.Fatalf("outcome %s, want %s or %s", outcome, replication.OutcomePartial, replication.OutcomeDone)
		}
		if !killed && r.pairRecord().Progress.Objects > before {
			partial++
		} else if timeout *= 2; timeout > time.Minute {
			r.t.Fatalf("an invocation of %s was killed (%t), or made no progress", timeout/2, killed)
		}
	}
	if partial == 0 {
		r.t.Error("it was done before its deadline; the test shows nothing")
	}
	r.runPass()
	r.wantEqual()
}

// runHeldPass runs a pass in an invocation with that timeout. Beyond 15 writes, the replica
// answers in the last 4 s of it only.
func (r *testStack) runHeldPass(timeout time.Duration) (outcome replication.Outcome, killed bool) {
	r.t.Helper()
	held := r.replica.hold(16)
	release := time.AfterFunc(timeout-4*time.Second, held.release)
	result, err := r.sync.InvokeWithin(context.Background(), r.scheduleEvent(), timeout)
	if err != nil {
		r.t.Fatal(err)
	}
	if release.Stop() {
		held.remove()
	}
	var answer cloud.SyncResult
	if err := result.Decode(&answer); err != nil {
		r.t.Logf("the function did not end in %s: %v", timeout, err)
		r.expireLease()
		return "", true
	}
	return answer.Run.Outcome, false
}

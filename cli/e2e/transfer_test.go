package e2e

import (
	"bytes"
	"context"
	"testing"
	"time"

	"chefsync/pkg/chef/cheftest"
	"chefsync/pkg/cloud/dynamotest"
	"chefsync/pkg/replication"
	"chefsync/pkg/store"
	"chefsync/pkg/store/dynamo"
	"chefsync/pkg/store/transfer"
)

// onDynamoDB is a state in a table of a DynamoDB in this process.
func onDynamoDB(t *testing.T) replication.State {
	t.Helper()
	c := dynamotest.Start(t)
	if _, err := c.CreateTable(t.Context(), dynamotest.Table("t", dynamo.Definition().PartitionKey, dynamo.Definition().SortKey)); err != nil {
		t.Fatal(err)
	}
	return store.New(dynamo.Open(c, "t"))
}

// A pair moves from a daemon's file to a table while the primary goes on: what
// was changed and deleted meanwhile follows, and nothing is written but that.
func TestAPairThatMovesToAnotherStateResumesWhereItStopped(t *testing.T) {
	ctx := context.Background()
	r := pairOfServers(t)
	r.mustPass()
	here := r.engine()
	now, yes, no := time.Now(), true, false
	if err := here.State.ChangeDesired(ctx, here.Pair.ID, replication.DesiredChange{Stop: &yes, At: now}); err != nil {
		t.Fatal(err)
	}
	cheftest.Edit(r.primary.org)
	var text bytes.Buffer
	d, err := transfer.Export(ctx, here.State, []replication.PairID{here.Pair.ID}, now)
	if err != nil {
		t.Fatal(err)
	}
	if err := transfer.Encode(&text, d); err != nil {
		t.Fatal(err)
	}
	if d, err = transfer.Decode(&text); err != nil {
		t.Fatal(err)
	}

	there := r.engine()
	there.State = onDynamoDB(t)
	if _, err := transfer.Import(ctx, there.State, d.Pairs[0], transfer.Options{Owner: "importer"}); err != nil {
		t.Fatal(err)
	}
	r.replica.mem.ResetRequests()
	for name, e := range map[string]*replication.Engine{"the old place": here, "the new place": there} {
		if run, err := e.Pass(ctx, replication.PassOptions{}); err != nil || run.Outcome != replication.OutcomeStopped || len(r.replica.writes()) != 0 {
			t.Errorf("%s: %s, %v, writes %v; want it stopped", name, run.Outcome, err, r.replica.writes())
		}
	}

	if err := there.State.ChangeDesired(ctx, there.Pair.ID, replication.DesiredChange{Stop: &no, At: time.Now()}); err != nil {
		t.Fatal(err)
	}
	run, err := there.Pass(ctx, replication.PassOptions{Trigger: "test"})
	if err != nil || run.Outcome != replication.OutcomeDone {
		t.Fatalf("%s, %v", run.Outcome, err)
	}
	wantSame(t, r.primary.org, r.replica.org)

	// The same edits without a move, for comparison.
	stayed := pairOfServers(t)
	stayed.mustPass()
	cheftest.Edit(stayed.primary.org)
	want := stayed.mustPass()
	if run.Mode != want.Mode || run.Counts != want.Counts {
		t.Errorf("after the move a pass of %s did %+v; without it %s, %+v", run.Mode, run.Counts, want.Mode, want.Counts)
	}
	r.replica.mem.ResetRequests()
	report, err := there.Verify(ctx, replication.VerifyOptions{Repair: true})
	if err != nil || !report.Equal() || len(report.Repaired) > 0 || len(r.replica.writes()) > 0 {
		t.Errorf("%v, %v, writes %v", report.Differences, err, r.replica.writes())
	}
}

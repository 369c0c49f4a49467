package e2e

import (
	"context"
	"slices"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"

	"chefsync/pkg/chef/cheftest"
	"chefsync/pkg/cloud"
	"chefsync/pkg/replication"
	"chefsync/pkg/store"
	"chefsync/pkg/store/dynamo"
)

// dispatchAll runs the manager and all that it starts. It returns the functions that the
// manager invoked.
func (r *testStack) dispatchAll() []string {
	r.t.Helper()
	before := len(r.invokedBy(cloud.ManagerFunction))
	r.runManager(cloud.TaskDispatch)
	started := r.invokedBy(cloud.ManagerFunction)[before:]
	r.changes.Wait()
	r.sync.Wait()
	slices.Sort(started)
	return started
}

func (r *testStack) invokedBy(function string) []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.invoked[function])
}

// newScannedStack is a test stack whose primary serves no feed, and whose manager has assessed the
// pairs, which it does in its first run.
func newScannedStack(t testing.TB) *testStack {
	r := newTestStack(t, newMemoryServer(t, "primary", cheftest.Options{}), newMemoryServer(t, "eu", cheftest.Options{}))
	cheftest.Fill(r.primary.org)
	r.organizationConfig = "verify_every = \"0s\"\nverify_files_every = \"0s\""
	r.mustDeploy()
	return r
}

// TestTheManagerStartsWhatIsDue: the rule's event alone replicates, from the first copy
// on, and a pair whose source has nothing new isn't started.
func TestTheManagerStartsWhatIsDue(t *testing.T) {
	t.Parallel()
	r := newScannedStack(t)
	r.dispatchAll() // the scan, and a pass that compares everything
	r.dispatchAll() // whatever the two left to each other
	r.wantEqual()
	if got, want := r.dispatchAll(), []string{r.stack.Changes}; !slices.Equal(got, want) {
		t.Errorf("a run without news started %q, want the scan alone", got)
	}
	r.primary.org.PutRole("web", `{"description":"new"}`)
	r.dispatchAll()
	r.wantEqual()
}

// TestALostEventIsSentAgain: the scan starts a pair, and the event is lost.
func TestALostEventIsSentAgain(t *testing.T) {
	t.Parallel()
	r := newScannedStack(t)
	r.dispatchAll()
	r.dispatchAll()
	r.primary.org.PutRole("web", `{"description":"new"}`)
	r.whileStopped(func() { r.dispatchAll() }) // the pair's own event finds it stopped
	if diff := r.primary.org.Snapshot()["/roles/web"] == r.replica.org.Snapshot()["/roles/web"]; diff {
		t.Fatal("the pair was not stopped")
	}
	if got := r.dispatchAll(); !slices.Contains(got, r.stack.Sync) {
		t.Errorf("the next run started %q", got)
	}
	r.wantEqual()
}

// whileStopped does something while the pair is stopped.
func (r *testStack) whileStopped(do func()) {
	r.t.Helper()
	for _, stop := range []bool{true, false} {
		r.changeDesired(replication.DesiredChange{Stop: &stop})
		if stop {
			do()
		}
	}
}

func TestRunningAndStoppedPairsAreNotStarted(t *testing.T) {
	t.Parallel()
	r := newScannedStack(t)
	r.dispatchAll()
	r.dispatchAll()
	r.duringPass(func() {
		r.primary.org.PutRole("web", `{"description":"meanwhile"}`)
		before := len(r.invokedBy(cloud.ManagerFunction))
		r.runManager(cloud.TaskDispatch)
		r.changes.Wait()
		if started := r.invokedBy(cloud.ManagerFunction)[before:]; slices.Contains(started, r.stack.Sync) {
			t.Errorf("a run during a pass started %q", started)
		}
	})
	r.dispatchAll()
	r.wantEqual()
	r.whileStopped(func() {
		r.primary.org.PutRole("web", `{"description":"while stopped"}`)
		for range 2 {
			if got := r.dispatchAll(); slices.Contains(got, r.stack.Sync) {
				t.Errorf("a stopped pair was started: %q", got)
			}
		}
	})
	r.dispatchAll()
	r.wantEqual()
}

// TestConcurrentRunsOfTheManagerAreHarmless: a rule may fire twice, and
// a slow run may overlap the next.
func TestConcurrentRunsOfTheManagerAreHarmless(t *testing.T) {
	t.Parallel()
	r := newScannedStack(t)
	for range 3 {
		for range 2 {
			if err := r.manager.InvokeEvent(cloud.ManagerEvent{Task: cloud.TaskDispatch}); err != nil {
				t.Fatal(err)
			}
		}
		r.manager.Wait()
		r.changes.Wait()
		r.sync.Wait()
	}
	r.wantEqual()
}

func TestADeployedConfigurationIsUsedByTheNextRun(t *testing.T) {
	t.Parallel()
	r := newScannedStack(t)
	r.dispatchAll()
	r.moreConfig = "[[organization]]\nsource = \"lab\"\n"
	for _, s := range []*chefServer{r.primary, r.replica} {
		s.mem.AddOrg("lab").Associate(s.user)
	}
	r.mustDeploy()
	if got := r.dispatchAll(); len(got) < 3 {
		t.Errorf("a run with another organization started %q, want two scans and its pass", got)
	}
	r.moreConfig = ""
	r.mustDeploy()
	r.dispatchAll()
	if got := r.dispatchAll(); !slices.Equal(got, []string{r.stack.Changes}) {
		t.Errorf("a run without it started %q", got)
	}
}

// TestADamagedRecordStopsNoOtherPair: the manager fails, which alarms, and starts the others.
func TestADamagedRecordStopsNoOtherPair(t *testing.T) {
	t.Parallel()
	r := newScannedStack(t)
	r.moreConfig = "[[organization]]\nsource = \"lab\"\n"
	for _, s := range []*chefServer{r.primary, r.replica} {
		s.mem.AddOrg("lab").Associate(s.user)
	}
	r.mustDeploy()
	newer := store.Item{Key: store.Key{Partition: "PAIRS", Sort: "eu/lab"}, Data: []byte(`{"schema":99}`)}
	if _, err := dynamo.Open(dynamodb.NewFromConfig(r.cfg), r.stack.Table).Transact(t.Context(), store.Put(newer)); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		result, err := r.manager.Invoke(t.Context(), cloud.ManagerEvent{Task: cloud.TaskDispatch})
		if err != nil || result.Error == nil || !strings.Contains(result.Error.Message, "eu/lab") {
			t.Fatalf("manager: %v, %v; want an error that names the pair", err, result.Error)
		}
		r.changes.Wait()
		r.sync.Wait()
	}
	r.wantEqual()
	if log := r.sync.Log().String(); strings.Contains(log, "eu/lab") {
		t.Errorf("the pair that can't be read was started:\n%s", log)
	}
}

// removeStack removes the stack with its data, as CloudFormation does.
func (r *testStack) removeStack() {
	r.t.Helper()
	bucket := r.assetBucket()
	status, reason := r.manager.CustomResource("Delete", cloud.ConfigurationResource,
		map[string]string{"Bucket": bucket, "Key": "0a1b2c.toml", "EmptyBucket": "arn:aws:s3:::" + r.stack.Bucket})
	if status != "SUCCESS" {
		r.t.Fatalf("removal: %s, %s", status, reason)
	}
}

// countObjectVersions returns how many versions of objects the stack's bucket has.
func (r *testStack) countObjectVersions() int {
	r.t.Helper()
	out, err := r.s3Client().ListObjectVersions(context.Background(), &s3.ListObjectVersionsInput{Bucket: &r.stack.Bucket})
	if err != nil {
		r.t.Fatal(err)
	}
	return len(out.Versions) + len(out.DeleteMarkers)
}

// TestTheBucketIsEmptiedWithTheStack, only where its data goes with it, and only that
// of the stack.
func TestTheBucketIsEmptiedWithTheStack(t *testing.T) {
	t.Parallel()
	r := newTestStack(t, newMemoryServer(t, "primary", withFeed()), newMemoryServer(t, "eu", cheftest.Options{}))
	cheftest.Fill(r.primary.org)
	_, err := r.s3Client().PutBucketVersioning(t.Context(), &s3.PutBucketVersioningInput{Bucket: &r.stack.Bucket,
		VersioningConfiguration: &types.VersioningConfiguration{Status: types.BucketVersioningStatusEnabled}})
	if err != nil {
		t.Fatal(err)
	}
	r.mustDeploy()
	r.runPass()
	r.mustDeploy() // a second version of the configuration
	had := r.countObjectVersions()
	if status, reason := r.sendResourceEvent("Delete", r.configText()); status != "SUCCESS" || r.countObjectVersions() != had || had == 0 {
		t.Errorf("the bucket of a stack that keeps its data: %s %s, %d of %d objects", status, reason, r.countObjectVersions(), had)
	}
	status, reason := r.manager.CustomResource("Delete", cloud.ConfigurationResource, map[string]string{"EmptyBucket": "arn:aws:s3:::of-others"})
	if status != "FAILED" || !strings.Contains(reason, "of-others") || r.countObjectVersions() != had {
		t.Errorf("the bucket of others: %s, %s", status, reason)
	}
	r.removeStack()
	if n := r.countObjectVersions(); n != 0 {
		t.Errorf("%d objects are left", n)
	}
	r.removeStack() // CloudFormation may ask twice
}

package e2e

import (
	"context"
	"slices"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"

	"chefsync/pkg/chef/cheftest"
	"chefsync/pkg/cloud"
	"chefsync/pkg/replication"
)

// dispatch is a turn of the manager, and all that it starts. It returns the functions
// that the turn invoked.
func (r *rig) dispatch() []string {
	r.t.Helper()
	before := len(r.invokedBy(cloud.ManagerFunction))
	r.manage(cloud.TaskDispatch)
	started := r.invokedBy(cloud.ManagerFunction)[before:]
	r.changes.Wait()
	r.sync.Wait()
	slices.Sort(started)
	return started
}

func (r *rig) invokedBy(function string) []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.invoked[function])
}

// scanned is a rig whose primary serves no feed, and whose manager has assessed the
// pairs, which it does in its first turn.
func scanned(t testing.TB) *rig {
	r := newRig(t, inMemory(t, "primary", cheftest.Options{}), inMemory(t, "eu", cheftest.Options{}))
	cheftest.Fill(r.primary.org)
	r.organization = "verify_every = \"0s\"\nverify_files_every = \"0s\""
	r.mustDeploy()
	return r
}

// TestTheManagerStartsWhatIsDue: the rule's event alone replicates, from the first copy
// on, and a pair whose source has nothing new isn't started.
func TestTheManagerStartsWhatIsDue(t *testing.T) {
	t.Parallel()
	r := scanned(t)
	r.dispatch() // the scan, and a pass that compares everything
	r.dispatch() // whatever the two left to each other
	r.wantEqual()
	if got, want := r.dispatch(), []string{r.stack.Changes}; !slices.Equal(got, want) {
		t.Errorf("a turn without news started %q, want the scan alone", got)
	}
	r.primary.org.PutRole("web", `{"description":"new"}`)
	r.dispatch()
	r.wantEqual()
}

// TestAnEventThatIsLostIsSentAgain: the scan wakes a pair, and no function hears it.
func TestAnEventThatIsLostIsSentAgain(t *testing.T) {
	t.Parallel()
	r := scanned(t)
	r.dispatch()
	r.dispatch()
	r.primary.org.PutRole("web", `{"description":"new"}`)
	r.stopped(func() { r.dispatch() }) // the pair's own event finds it stopped
	if diff := r.primary.org.Snapshot()["/roles/web"] == r.replica.org.Snapshot()["/roles/web"]; diff {
		t.Fatal("the pair was not stopped")
	}
	if got := r.dispatch(); !slices.Contains(got, r.stack.Sync) {
		t.Errorf("the next turn started %q", got)
	}
	r.wantEqual()
}

// stopped does something while the pair is stopped.
func (r *rig) stopped(do func()) {
	r.t.Helper()
	for _, stop := range []bool{true, false} {
		r.direct(replication.DesiredChange{Stop: &stop})
		if stop {
			do()
		}
	}
}

func TestAPairAtWorkAndAStoppedOneAreNotStarted(t *testing.T) {
	t.Parallel()
	r := scanned(t)
	r.dispatch()
	r.dispatch()
	r.whileAtWork(func() {
		r.primary.org.PutRole("web", `{"description":"meanwhile"}`)
		before := len(r.invokedBy(cloud.ManagerFunction))
		r.manage(cloud.TaskDispatch)
		r.changes.Wait()
		if started := r.invokedBy(cloud.ManagerFunction)[before:]; slices.Contains(started, r.stack.Sync) {
			t.Errorf("a turn during a pass started %q", started)
		}
	})
	r.dispatch()
	r.wantEqual()
	r.stopped(func() {
		r.primary.org.PutRole("web", `{"description":"while stopped"}`)
		for range 2 {
			if got := r.dispatch(); slices.Contains(got, r.stack.Sync) {
				t.Errorf("a stopped pair was started: %q", got)
			}
		}
	})
	r.dispatch()
	r.wantEqual()
}

// TestTurnsAtOnceDoNoHarm: a rule may fire twice, and a slow turn may meet the next.
func TestTurnsAtOnceDoNoHarm(t *testing.T) {
	t.Parallel()
	r := scanned(t)
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

func TestADeployedConfigurationIsFollowedByTheNextTurn(t *testing.T) {
	t.Parallel()
	r := scanned(t)
	r.dispatch()
	r.more = "[[organization]]\nsource = \"lab\"\n"
	for _, s := range []*server{r.primary, r.replica} {
		s.mem.AddOrg("lab").Associate(s.user)
	}
	r.mustDeploy()
	if got := r.dispatch(); len(got) < 3 {
		t.Errorf("a turn with another organization started %q, want two scans and its pass", got)
	}
	r.more = ""
	r.mustDeploy()
	r.dispatch()
	if got := r.dispatch(); !slices.Equal(got, []string{r.stack.Changes}) {
		t.Errorf("a turn without it started %q", got)
	}
}

// remove removes the stack with its data, as CloudFormation does.
func (r *rig) remove() {
	r.t.Helper()
	bucket := r.assets()
	status, reason := r.manager.CustomResource("Delete", cloud.ConfigurationResource,
		map[string]string{"Bucket": bucket, "Key": "0a1b2c.toml", "EmptyBucket": "arn:aws:s3:::" + r.stack.Bucket})
	if status != "SUCCESS" {
		r.t.Fatalf("removal: %s, %s", status, reason)
	}
}

// holds returns how many versions of objects the stack's bucket has.
func (r *rig) holds() int {
	r.t.Helper()
	out, err := r.s3().ListObjectVersions(context.Background(), &s3.ListObjectVersionsInput{Bucket: &r.stack.Bucket})
	if err != nil {
		r.t.Fatal(err)
	}
	return len(out.Versions) + len(out.DeleteMarkers)
}

// TestTheBucketIsEmptiedWithTheStack, only where its data goes with it, and only that
// of the stack.
func TestTheBucketIsEmptiedWithTheStack(t *testing.T) {
	t.Parallel()
	r := newRig(t, inMemory(t, "primary", withFeed()), inMemory(t, "eu", cheftest.Options{}))
	cheftest.Fill(r.primary.org)
	_, err := r.s3().PutBucketVersioning(t.Context(), &s3.PutBucketVersioningInput{Bucket: &r.stack.Bucket,
		VersioningConfiguration: &types.VersioningConfiguration{Status: types.BucketVersioningStatusEnabled}})
	if err != nil {
		t.Fatal(err)
	}
	r.mustDeploy()
	r.pass()
	r.mustDeploy() // a second version of the configuration
	had := r.holds()
	if status, reason := r.cloudFormation("Delete", r.config()); status != "SUCCESS" || r.holds() != had || had == 0 {
		t.Errorf("the bucket of a stack that keeps its data: %s %s, %d of %d objects", status, reason, r.holds(), had)
	}
	status, reason := r.manager.CustomResource("Delete", cloud.ConfigurationResource, map[string]string{"EmptyBucket": "arn:aws:s3:::of-others"})
	if status != "FAILED" || !strings.Contains(reason, "of-others") || r.holds() != had {
		t.Errorf("the bucket of others: %s, %s", status, reason)
	}
	r.remove()
	if n := r.holds(); n != 0 {
		t.Errorf("%d objects are left", n)
	}
	r.remove() // CloudFormation may ask twice
}

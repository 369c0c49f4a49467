package e2e

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/google/go-cmp/cmp"

	"chefsync/pkg/chef/cheftest"
	"chefsync/pkg/cloud"
	"chefsync/pkg/cloud/cloudtest"
	"chefsync/pkg/cloud/dynamotest"
	"chefsync/pkg/replication"
	"chefsync/pkg/store/kvtest"
)

// previousTemplate is what the last version with a schedule for each pair deployed, commit
// 61f3f4a: its template for infra/testdata/chef-sync.toml without a region and with
// journal_url = false. It has no metadata, alarms,
// dashboard or check of CDK's bootstrap, and the version of the format, without which moto
// fails.
const previousTemplate = "../../infra/testdata/previous.template.json"

// TestAStackOfThePreviousVersionIsUpgradedOnAnEmulator deploys the template of the version
// with a schedule for each pair to moto, fills its table with records of that version, and
// upgrades the stack to the released template. Its table and bucket stay, its schedule
// roles go, and the functions know of each pair what the previous version knew. Moto's
// CloudFormation ignores AWS::Scheduler::ScheduleGroup and AWS::Scheduler::Schedule, so
// TestAnUpgradeRemovesTheSchedules of infra/chefsync looks for these in the templates.
func TestAStackOfThePreviousVersionIsUpgradedOnAnEmulator(t *testing.T) {
	there := inTurn(leadTo(t, endpointName))
	files := newEmulatedRelease(t, fmt.Sprintf("upgrade-%d", os.Getpid()))
	old := deployPrevious(t, files)
	fillPreviousTable(t, old)
	if roles := files.roles("Schedule"); len(roles) != 2 {
		t.Fatalf("the previous version has the schedule roles %v, want 2", roles)
	}

	r := &testStack{t: t, primary: newMemoryServer(t, "primary", cheftest.Options{}), replica: newMemoryServer(t, "eu", cheftest.Options{}),
		stack: cloud.Resources{Stack: files.stack}}
	files.write("chef-sync.toml", []byte(r.configText()))
	files.createSecrets(r)
	files.mustDeploy()
	if roles := files.roles("Schedule"); len(roles) != 0 {
		t.Errorf("the schedule roles %v are left", roles)
	}
	r = newTestStackOf(t, there, files.managerResources(), r.primary, r.replica)
	if r.stack.Table != old.Table || r.stack.Bucket != old.Bucket {
		t.Fatalf("table %s and bucket %s, want %s and %s as before", r.stack.Table, r.stack.Bucket, old.Table, old.Bucket)
	}
	if status, reason := r.manager.CustomResource("Update", cloud.ConfigurationResource, files.resourceProperties()); status != "SUCCESS" {
		t.Fatalf("the configuration: %s, %s", status, reason)
	}
	if _, err := r.manager.Invoke(t.Context(), cloud.ManagerEvent{Task: cloud.TaskManage}); err != nil { // as a schedule of before may do, too
		t.Fatal(err)
	}
	wantPreviousPairs(t, r)
}

// deployPrevious deploys the stack of the previous version, and returns its table and bucket.
func deployPrevious(t *testing.T, files *emulatedRelease) cloud.Resources {
	t.Helper()
	text, err := os.ReadFile(previousTemplate)
	if err != nil {
		t.Fatal(err)
	}
	text = bytes.ReplaceAll(text, []byte("chef-sync"), []byte(files.stack))
	files.write("previous.template.json", text)
	const assets = "cdk-hnb659fds-assets-123456789012-" + cloudtest.Region
	files.aws(nil, "s3api", "create-bucket", "--bucket", assets)
	zip := files.write("placeholder.zip", placeholderZip(t))
	for _, key := range regexp.MustCompile(`[0-9a-f]{64}\.zip`).FindAllString(string(text), -1) {
		files.aws(nil, "s3api", "put-object", "--bucket", assets, "--key", key, "--body", zip)
	}
	files.aws(nil, "cloudformation", "create-stack", "--stack-name", files.stack, "--capabilities", "CAPABILITY_IAM", "--template-body", "file://previous.template.json")
	return cloud.Resources{Table: files.resourcesOfType("AWS::DynamoDB::Table")[0], Bucket: files.resourcesOfType("AWS::S3::Bucket")[0]}
}

// resourcesOfType are the physical ids of resources of the stack.
func (r *emulatedRelease) resourcesOfType(kind string) (ids []string) {
	r.t.Helper()
	var stack struct {
		StackResources []struct {
			ResourceType       string
			PhysicalResourceID string `json:"PhysicalResourceId"`
		}
	}
	r.aws(&stack, "cloudformation", "describe-stack-resources", "--stack-name", r.stack)
	for _, resource := range stack.StackResources {
		if resource.ResourceType == kind {
			ids = append(ids, resource.PhysicalResourceID)
		}
	}
	return ids
}

// roles are the roles of the stack whose names contain a word.
func (r *emulatedRelease) roles(word string) (names []string) {
	r.t.Helper()
	var all struct{ Roles []struct{ RoleName string } }
	r.aws(&all, "iam", "list-roles")
	for _, role := range all.Roles {
		if strings.HasPrefix(role.RoleName, r.stack+"-") && strings.Contains(role.RoleName, word) {
			names = append(names, role.RoleName)
		}
	}
	return names
}

// fillPreviousTable writes the records of the previous version to its table and bucket.
func fillPreviousTable(t *testing.T, old cloud.Resources) {
	t.Helper()
	cfg, err := cloudtest.Config(t.Context(), os.Getenv(endpointName))
	if err != nil {
		t.Fatal(err)
	}
	var stored struct {
		Items []map[string]dynamotest.Attribute
		Blobs map[string][]byte
	}
	if err := json.Unmarshal(kvtest.Previous(t, "table.json"), &stored); err != nil {
		t.Fatal(err)
	}
	table := dynamodb.NewFromConfig(cfg, func(o *dynamodb.Options) { o.DisableValidateResponseChecksum = true })
	dynamotest.Fill(t, table, old.Table, stored.Items)
	for key, data := range stored.Blobs {
		in := &s3.PutObjectInput{Bucket: &old.Bucket, Key: aws.String(cloud.StatePrefix + key), Body: bytes.NewReader(data)}
		if _, err := cloudtest.S3(cfg).PutObject(t.Context(), in); err != nil {
			t.Fatal(err)
		}
	}
}

// wantPreviousPairs fails the test unless the stack has the pairs of the previous version,
// with their statuses, what operators asked for, and as many objects and runs.
func wantPreviousPairs(t *testing.T, r *testStack) {
	t.Helper()
	var previous struct {
		Pairs []struct {
			State     replication.PairState
			Inventory []json.RawMessage
			Runs      []replication.Run
		}
	}
	if err := json.Unmarshal(kvtest.Previous(t, "dynamo.json"), &previous); err != nil || len(previous.Pairs) == 0 {
		t.Fatalf("%d pairs, %v", len(previous.Pairs), err)
	}
	records, err := r.backend.State(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range previous.Pairs {
		id := want.State.ID
		got, err := records.Pair(t.Context(), id)
		if err != nil {
			t.Fatal(err)
		}
		if got.Status() != want.State.Status() || got.Lease.Fence != want.State.Lease.Fence {
			t.Errorf("%s: status %s and fence %d, want %s and %d", id, got.Status(), got.Lease.Fence, want.State.Status(), want.State.Lease.Fence)
		}
		if diff := cmp.Diff(want.State.Desired, got.Desired); diff != "" {
			t.Errorf("%s: the desired state (-previous +now):\n%s", id, diff)
		}
		ledger, err := records.Entries(t.Context(), id)
		if err != nil {
			t.Fatal(err)
		}
		written := 0
		for _, e := range ledger {
			if e.Fingerprint != "" || e.Dirty {
				written++
			}
		}
		runs, err := records.Runs(t.Context(), id, 100)
		if err != nil || written != len(want.Inventory) || len(runs) != len(want.Runs) {
			t.Errorf("%s: %d objects and %d runs, %v; want %d and %d", id, written, len(runs), err, len(want.Inventory), len(want.Runs))
		}
	}
}

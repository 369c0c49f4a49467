package e2e

import (
	"bytes"
	"context"
	"crypto/rand"
	"fmt"
	"io"
	"maps"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/aws/aws-sdk-go-v2/service/s3"

	"chefsync/infra/permissions"
	"chefsync/pkg/chef/cheftest"
	"chefsync/pkg/cloud"
	"chefsync/pkg/config"
	"chefsync/pkg/health"
	"chefsync/pkg/replication"
	"chefsync/pkg/store/dynamo"
)

// notCalls are permissions that no call of a function shows, and why they are needed.
func notCalls() map[string]string {
	return map[string]string{
		"logs:CreateLogStream": "Lambda writes the log in the function's name",
		"logs:PutLogEvents":    "Lambda writes the log in the function's name",
		"sqs:SendMessage":      "Lambda sends the events that failed in the function's name",
		"s3:ListBucket":        "without it S3 calls an object denied that isn't there",
		"dynamodb:UpdateItem":  "part of taking over the records of the previous version",

		"dynamodb:ConditionCheckItem":    "part of large commits, and of taking over the records of the previous version",
		"s3:GetObject ${Bucket}/state/*": "part of taking over the records of the previous version",
	}
}

// TestRolesAllowExactlyTheCallsOfTheFunctions: the permissions of the template's
// roles against the calls that the programs make in a long life of a stack.
func TestRolesAllowExactlyTheCallsOfTheFunctions(t *testing.T) {
	t.Parallel()
	r := newTestStack(t, newMemoryServer(t, "primary", cheftest.Options{}), newMemoryServer(t, "eu", cheftest.Options{}))
	r.aws.SetSecret("chef-sync/collector-token", "token")
	r.aws.SetSecret("chef-sync/primary-header-tenant", "tenant-1")
	r.primaryConfig = "headers = { Tenant-Id = \"secretsmanager:chef-sync/primary-header-tenant\" }\n[journal]\ntoken = \"secretsmanager:chef-sync/collector-token\"\n[notify]\nafter = \"1s\"\n"
	useAllFunctions(r)
	c, err := config.Loader{}.Parse("chef-sync.toml", []byte(r.configText()))
	if err != nil {
		t.Fatal(err)
	}
	scope := permissions.ScopeOf(c)
	template := permissions.TemplateScope(r.stack.Stack)
	template.EmptyBucket = true // only stacks of CDK are removed with their data
	fromTemplate := map[string][]permissions.Permission{
		cloud.SyncFunction: permissions.Sync(template), cloud.ChangesFunction: permissions.Changes(template), cloud.WebFunction: permissions.Web(template), cloud.ManagerFunction: permissions.Manager(template),
	}
	for name, granted := range map[string][]permissions.Permission{
		cloud.SyncFunction: permissions.Sync(scope), cloud.ChangesFunction: permissions.Changes(scope), cloud.WebFunction: permissions.Web(scope), cloud.ManagerFunction: permissions.Manager(scope),
	} {
		t.Run(name, func(t *testing.T) {
			seen := r.recordedCalls(name)
			for call := range maps.Keys(seen) {
				action, resource, _ := strings.Cut(call, " ")
				if !isAllowed(granted, action, resource) {
					t.Errorf("the function calls %s on %s, which its role doesn't allow", action, resource)
				}
				if !isAllowed(fromTemplate[name], action, resource) {
					t.Errorf("the function calls %s on %s, which its role in the released template doesn't allow", action, resource)
				}
			}
			for _, permission := range granted {
				for _, action := range permission.Actions {
					for _, resource := range permission.Resources {
						_, known := notCalls()[action]
						_, knownHere := notCalls()[action+" "+resource]
						if !known && !knownHere && !isUsed(seen, action, resource) {
							t.Errorf("the role allows %s on %s, which the function was never seen to call", action, resource)
						}
					}
				}
			}
		})
	}
}

// useAllFunctions makes all functions do all they can do.
func useAllFunctions(r *testStack) {
	r.t.Helper()
	r.moreConfig = "[[organization]]\nsource = \"lab\"\n[aws]\nremoval = \"destroy\"\n"
	r.primary.mem.AddOrg("lab").Associate(r.primary.user)
	r.replica.mem.AddOrg("lab").Associate(r.replica.user)
	r.organizationConfig = "verify_every = \"1h\""
	r.mustDeploy()
	cheftest.Fill(r.primary.org)
	many := func(value int) { // a pass over several windows
		for i := range 300 {
			r.primary.org.PutDataBagItem("many", fmt.Sprintf("item-%d", i), fmt.Sprintf(`{"value":%d}`, value))
		}
	}
	many(0)
	scanSource(r)
	r.sync.Wait()
	r.duringPass(func() { r.runManager(cloud.TaskDispatch) })
	r.runPass()
	for i := range 20 {
		r.primary.org.PutRole("web", fmt.Sprintf(`{"description":"%d"}`, i))
		mustPush(r, actionMessage{kind: "role", name: "web"})
	}
	cheftest.Edit(r.primary.org)
	mustPush(r, actionMessage{"version", "1.0.0", "cookbook", "apache2"})
	scanSource(r)
	r.runPass()
	if _, err := r.newChangeLogClient().Org(orgName).Do(r.t.Context(), http.MethodGet, "/updated_since?seq=0", nil); err != nil {
		r.t.Fatal(err)
	}
	for i := range 3 {
		many(i + 1)
		r.primary.org.PutRole("web", fmt.Sprintf(`{"description":"scan %d"}`, i))
		scanSource(r)
	}
	r.changeObjects(cloud.StagePrefix, func(b []byte) []byte { clear(b); return b })
	r.replica.org.DeleteCookbook("apache2", "1.0.0")
	r.invokeSync(cloud.SyncEvent{Pair: r.pairID(), Full: true})
	r.loseChangeLog()
	scanSource(r)
	r.runPass()
	r.moreConfig = "[aws]\njournal_concurrency = 0\nremoval = \"destroy\"\n"
	stop := true
	r.changeDesired(replication.DesiredChange{Stop: &stop})
	r.mustDeploy()
	r.runManager(cloud.TaskManage)
	stop = false
	r.changeDesired(replication.DesiredChange{Stop: &stop})
	r.runManager(cloud.TaskManage)
	r.sync.Wait()
	r.wantEqual()
	r.dispatchAll()
	r.publishEvent()
	r.removeStack()
}

// publishEvent makes the manager publish that a server is down.
func (r *testStack) publishEvent() {
	r.t.Helper()
	servers, err := r.backend.Health(r.t.Context())
	if err != nil {
		r.t.Fatal(err)
	}
	for range 2 {
		r.sync.Wait() // for a probe
		down := health.Server{Name: "eu", CheckedAt: time.Now(), DownSince: time.Now(), Error: "no route to host"}
		if err := servers.SaveServer(r.t.Context(), down); err != nil {
			r.t.Fatal(err)
		}
		r.runManager(cloud.TaskManage)
	}
	events := r.aws.Events()
	if len(events) != 1 || events[0].DetailType != "Replication Unreachable" || events[0].Source != cloud.EventSource {
		r.t.Errorf("published %+v", events)
	}
}

// recordedCalls are the calls of a function as ACTION RESOURCE, with the resources as the
// table of permissions writes them.
func (r *testStack) recordedCalls(name string) map[string]bool {
	calls := map[string]bool{}
	for _, c := range r.proxies[name].Calls() {
		service, _, _ := strings.Cut(c.Action, ":")
		resource := c.Resource
		switch service {
		case "dynamodb":
			resource = strings.Replace(resource, r.stack.Table, "${Table}", 1)
		case "s3":
			resource = strings.Replace(strings.Replace(resource, r.stack.Bucket, "${Bucket}", 1), r.assetBucket(), "${Assets}", 1)
		case "secretsmanager":
			resource = "arn:${Here:secretsmanager}:secret:" + resource + "-a1B2c3"
		case "events":
			resource = "arn:${Here:events}:event-bus/" + resource
		}
		calls[c.Action+" "+resource] = true
	}
	for _, invoked := range r.invoked[name] {
		resource := invoked
		switch invoked {
		case r.stack.Sync:
			resource = "${SyncFunction}"
		case r.stack.Changes:
			resource = "${ChangesFunction}"
		}
		calls["lambda:InvokeFunction "+resource] = true
	}
	if name == cloud.ManagerFunction {
		for _, call := range r.concurrencyCalls {
			calls[call] = true
		}
	}
	return calls
}

// isAllowed reports whether permissions allow a call.
func isAllowed(granted []permissions.Permission, action, resource string) bool {
	return slices.ContainsFunc(granted, func(permission permissions.Permission) bool {
		return slices.Contains(permission.Actions, action) && slices.ContainsFunc(permission.Resources, func(pattern string) bool {
			return matchesPattern(pattern, resource)
		})
	})
}

// isUsed reports whether a function has used a permission.
func isUsed(seen map[string]bool, action, pattern string) bool {
	for call := range seen {
		if a, resource, _ := strings.Cut(call, " "); a == action && matchesPattern(pattern, resource) {
			return true
		}
	}
	return false
}

func matchesPattern(pattern, resource string) bool {
	expr := strings.NewReplacer(`\*`, ".*", `\?`, ".").Replace(regexp.QuoteMeta(pattern))
	return regexp.MustCompile("^" + expr + "$").MatchString(resource)
}

func TestTheComparisonOfRightsCanFail(t *testing.T) {
	granted := []permissions.Permission{{Actions: []string{"s3:GetObject"}, Resources: []string{"${Bucket}/stage/*"}}}
	for call, want := range map[string]bool{
		"s3:GetObject ${Bucket}/stage/a/b": true, "s3:GetObject ${Bucket}/state/a": false, "s3:PutObject ${Bucket}/stage/a": false,
	} {
		action, resource, _ := strings.Cut(call, " ")
		if isAllowed(granted, action, resource) != want {
			t.Errorf("%s: want allowed %v", call, want)
		}
	}
}

// duringPass does something while a pass with many objects is under way.
func (r *testStack) duringPass(do func()) {
	r.t.Helper()
	for range 90 {
		r.primary.org.PutRole(strings.ToLower(rand.Text()), `{"description":"new"}`)
	}
	held := r.replica.hold(2)
	r.startPass(cloud.SyncEvent{Pair: r.pairID(), Full: true}, held)
	do()
	held.release()
	r.sync.Wait()
}

// loseChangeLog removes the head of the change log, as the hint for a damaged one suggests.
func (r *testStack) loseChangeLog() {
	r.t.Helper()
	c, err := config.Loader{}.Parse("chef-sync.toml", []byte(r.configText()))
	if err != nil {
		r.t.Fatal(err)
	}
	d := dynamo.Definition()
	key := func(s string) types.AttributeValue { return &types.AttributeValueMemberS{Value: s} }
	_, err = dynamodb.NewFromConfig(r.cfg).DeleteItem(context.Background(), &dynamodb.DeleteItemInput{TableName: &r.stack.Table,
		Key: map[string]types.AttributeValue{d.PartitionKey: key("SOURCE#" + c.Pairs()[0].Space), d.SortKey: key("HEAD")}})
	if err != nil {
		r.t.Fatal(err)
	}
}

// changeObjects changes all objects of the bucket below a prefix.
func (r *testStack) changeObjects(prefix string, change func([]byte) []byte) {
	r.t.Helper()
	ctx := context.Background()
	out, err := r.s3Client().ListObjectsV2(ctx, &s3.ListObjectsV2Input{Bucket: &r.stack.Bucket, Prefix: &prefix})
	if err != nil || len(out.Contents) == 0 {
		r.t.Fatalf("nothing below %s: %v", prefix, err)
	}
	for _, object := range out.Contents {
		got, err := r.s3Client().GetObject(ctx, &s3.GetObjectInput{Bucket: &r.stack.Bucket, Key: object.Key})
		if err != nil {
			r.t.Fatal(err)
		}
		content, err := io.ReadAll(got.Body)
		if err != nil {
			r.t.Fatal(err)
		}
		_, err = r.s3Client().PutObject(ctx, &s3.PutObjectInput{Bucket: &r.stack.Bucket, Key: object.Key, Body: bytes.NewReader(change(content))})
		if err != nil {
			r.t.Fatal(err)
		}
	}
}

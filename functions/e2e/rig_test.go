package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/google/go-cmp/cmp"

	"chefsync/pkg/assembly/onaws"
	"chefsync/pkg/chef/cheftest"
	"chefsync/pkg/chef/goiarditest"
	"chefsync/pkg/cloud"
	"chefsync/pkg/cloud/cloudtest"
	"chefsync/pkg/cloud/runtimetest"
	"chefsync/pkg/replication"
	"chefsync/pkg/state/dynamostate"
)

// programs are the functions, built once.
var programs runtimetest.Programs

func TestMain(m *testing.M) { os.Exit(programs.Main(m)) }

const (
	orgName = "acme"
	assets  = "deployment-assets" // the bucket that deployments upload to
)

// server is a Chef Server of a rig, in memory or real.
type server struct {
	name, url, user, key string
	orgless              bool
	mem                  *cheftest.Server // nil for a real one
	org                  *cheftest.Org
}

func inMemory(t testing.TB, name string, o cheftest.Options) *server {
	srv := cheftest.Start(t, o)
	s := &server{name: name, url: srv.URL, user: "ec_sync_user", mem: srv, org: srv.AddOrg(orgName)}
	s.key = string(cheftest.PrivatePEM(srv.AddUser(s.user)))
	s.org.Associate(s.user)
	return s
}

func goiardi(t testing.TB) *server {
	g := goiarditest.Start(t)
	return &server{name: "eu", url: g.URL, user: goiarditest.AdminUser, key: string(cheftest.PrivatePEM(g.AdminKey)), orgless: true}
}

// rig is a deployed stack: a fake of AWS, the functions, a primary and a replica.
type rig struct {
	t                       testing.TB
	aws                     *cloudtest.Server
	stack                   cloud.Resources
	cfg                     aws.Config
	backend                 *onaws.Backend
	sync, manager, changes  *runtimetest.Function
	primary, replica        *server
	fronts                  map[string]*cloudtest.Front // what each function asks of AWS
	lambdaURL, changesURL   string
	mu                      sync.Mutex
	invoked                 map[string][]string // functions, by who invoked them
	organization, more, top string              // lines of the configuration
}

func newRig(t testing.TB, primary, replica *server) *rig {
	t.Helper()
	fake := cloudtest.Start()
	t.Cleanup(fake.Close)
	r := &rig{t: t, aws: fake, fronts: map[string]*cloudtest.Front{}, invoked: map[string][]string{}, primary: primary, replica: replica, stack: cloudtest.Resources("chef-sync", fake.URL)}
	ctx := context.Background()
	var err error
	if r.cfg, err = cloudtest.Config(ctx, fake.URL); err != nil {
		t.Fatal(err)
	}
	r.backend = onaws.New(r.cfg, r.stack)
	if _, err := dynamodb.NewFromConfig(r.cfg).CreateTable(ctx, dynamostate.Definition().CreateTableInput(r.stack.Table)); err != nil {
		t.Fatal(err)
	}
	for _, bucket := range []string{r.stack.Bucket, assets} {
		if _, err := r.s3().CreateBucket(ctx, &s3.CreateBucketInput{Bucket: &bucket}); err != nil {
			t.Fatal(err)
		}
	}
	fake.AddStack(r.stack.Stack, map[string]string{"ScheduleGroup": r.stack.ScheduleGroup})
	for _, s := range []*server{primary, replica} {
		fake.SetSecret("chef-sync/"+s.name, s.key)
	}
	lambda := runtimetest.NewService(t)
	r.lambdaURL = lambda.URL
	r.sync = r.add(lambda, cloud.SyncFunction)
	r.manager = r.add(lambda, cloud.ManagerFunction)
	r.changes = r.add(lambda, cloud.ChangesFunction)
	return r
}

func (r *rig) add(lambda *runtimetest.Service, name string) *runtimetest.Function {
	front := r.aws.Front(r.t)
	r.fronts[name] = front
	env := cloudtest.Environment(front.URL)
	env["AWS_ENDPOINT_URL_LAMBDA"] = r.invocations(name, lambda.URL)
	maps.Copy(env, r.stack.Environment())
	return lambda.Add(runtimetest.Config{
		Name: r.stack.Stack + "-" + name, Program: programs.Build(r.t, "chefsync/functions/"+name), Env: env, Timeout: time.Minute,
	})
}

// invocations is the address at which a function invokes others: theirs, with a
// note of who was invoked.
func (r *rig) invocations(name, lambdaURL string) string {
	target, err := url.Parse(lambdaURL)
	if err != nil {
		r.t.Fatal(err)
	}
	proxy := httputil.NewSingleHostReverseProxy(target)
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		r.mu.Lock()
		r.invoked[name] = append(r.invoked[name], strings.Split(q.URL.Path, "/")[3])
		r.mu.Unlock()
		proxy.ServeHTTP(w, q)
	}))
	r.t.Cleanup(srv.Close)
	return srv.URL
}

func (r *rig) s3() *s3.Client {
	return s3.NewFromConfig(r.cfg, func(o *s3.Options) { o.UsePathStyle = true })
}

// config is the configuration of the stack.
func (r *rig) config() string {
	var b strings.Builder
	section := func(head string, s *server) {
		fmt.Fprintf(&b, "%s\nurl = %q\nuser = %q\nkey = \"secretsmanager:chef-sync/%s\"\norganizations = %v\n", head, s.url, s.user, s.name, !s.orgless)
	}
	section("[primary]", r.primary)
	b.WriteString(r.top)
	section("[[replica]]\nname = \"eu\"", r.replica)
	destination := orgName
	if r.replica.orgless {
		destination = "default"
	}
	fmt.Fprintf(&b, "[[organization]]\nsource = %q\ndestination = %q\nmax_delete = \"50%%\"\n%s\n%s\n", orgName, destination, r.organization, r.more)
	return b.String()
}

// deploy brings the configuration as CloudFormation does, and returns what the
// manager answered to it: SUCCESS or FAILED, and the reason.
func (r *rig) deploy() (status, reason string) {
	r.t.Helper()
	return r.cloudFormation("Update", r.config())
}

func (r *rig) cloudFormation(request, config string) (status, reason string) {
	r.t.Helper()
	bucket, key := assets, "0a1b2c.toml"
	if _, err := r.s3().PutObject(context.Background(), &s3.PutObjectInput{Bucket: &bucket, Key: &key, Body: strings.NewReader(config)}); err != nil {
		r.t.Fatal(err)
	}
	var answer struct{ Status, Reason, PhysicalResourceId string }
	heard := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, q *http.Request) {
		body, _ := io.ReadAll(q.Body)
		if err := json.Unmarshal(body, &answer); err != nil {
			r.t.Errorf("answer to CloudFormation: %v", err)
		}
	}))
	defer heard.Close()
	event := map[string]any{
		"RequestType": request, "ResponseURL": heard.URL, "StackId": "stack", "RequestId": "1", "ResourceType": cloud.ConfigurationResource,
		"LogicalResourceId": "Configuration", "PhysicalResourceId": "configuration",
		"ResourceProperties": map[string]string{"Bucket": bucket, "Key": key},
	}
	result, err := r.manager.Invoke(context.Background(), event)
	if err != nil || result.Error != nil {
		r.t.Fatalf("manager: %v, %v", err, result.Error)
	}
	return answer.Status, answer.Reason
}

func (r *rig) mustDeploy() {
	r.t.Helper()
	if status, reason := r.deploy(); status != "SUCCESS" {
		r.t.Fatalf("deployment: %s, %s", status, reason)
	}
}

func (r *rig) pair() replication.PairID {
	if r.replica.orgless {
		return replication.PairID{Replica: "eu", Org: "default"}
	}
	return replication.PairID{Replica: "eu", Org: orgName}
}

// event is what the pair's schedule sends.
func (r *rig) event() cloud.SyncEvent {
	return cloud.SyncEvent{Pair: r.pair(), Trigger: cloud.TriggerSchedule}
}

// invoke invokes the sync function and expects it to end well.
func (r *rig) invoke(event cloud.SyncEvent) (cloud.SyncResult, runtimetest.Result) {
	r.t.Helper()
	result, err := r.sync.Invoke(context.Background(), event)
	if err != nil {
		r.t.Fatal(err)
	}
	var answer cloud.SyncResult
	if err := result.Decode(&answer); err != nil {
		r.t.Fatalf("sync: %v", err)
	}
	return answer, result
}

// pass does a pass that must leave nothing.
func (r *rig) pass() replication.Run {
	r.t.Helper()
	answer, _ := r.invoke(r.event())
	if answer.Run == nil || answer.Run.Outcome != replication.OutcomeDone {
		r.t.Fatalf("pass: %+v", answer)
	}
	return *answer.Run
}

func (r *rig) record() replication.PairState {
	r.t.Helper()
	state, err := r.backend.State(context.Background())
	if err != nil {
		r.t.Fatal(err)
	}
	st, err := state.Pair(context.Background(), r.pair())
	if err != nil {
		r.t.Fatal(err)
	}
	return st
}

func (r *rig) wantEqual() {
	r.t.Helper()
	if r.replica.mem != nil {
		if diff := cmp.Diff(r.primary.org.Snapshot(), r.replica.org.Snapshot()); diff != "" {
			r.t.Fatalf("organizations differ (-primary +replica):\n%s", diff)
		}
		if torn := r.replica.org.Torn(); len(torn) > 0 {
			r.t.Fatalf("torn cookbook versions: %v", torn)
		}
	}
	answer, _ := r.invoke(cloud.SyncEvent{Pair: r.pair(), Task: cloud.TaskVerify})
	if answer.Equal == nil || !*answer.Equal {
		r.t.Fatalf("verification: %+v", answer)
	}
}

// together invokes the sync function several times at once.
func (r *rig) together(n int) []cloud.SyncResult {
	r.t.Helper()
	answers := make([]cloud.SyncResult, n)
	var group sync.WaitGroup
	for i := range n {
		group.Go(func() {
			result, err := r.sync.Invoke(context.Background(), r.event())
			if err == nil {
				err = result.Decode(&answers[i])
			}
			if err != nil {
				r.t.Errorf("sync: %v", err)
			}
		})
	}
	group.Wait()
	return answers
}

// expireLease frees the lease of a holder that is gone, as a minute would.
func (r *rig) expireLease() {
	r.t.Helper()
	state, err := r.backend.State(context.Background())
	if err == nil {
		err = state.Release(context.Background(), r.pair(), r.record().Lease.Fence)
	}
	if err != nil {
		r.t.Fatal(err)
	}
}

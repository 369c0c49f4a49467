package e2e

import (
	"bytes"
	"context"
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
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"
	"github.com/google/go-cmp/cmp"

	"chefsync/pkg/assembly/onaws"
	"chefsync/pkg/chef/cheftest"
	"chefsync/pkg/chef/goiarditest"
	"chefsync/pkg/cloud"
	"chefsync/pkg/cloud/cloudtest"
	"chefsync/pkg/cloud/dynamotest"
	"chefsync/pkg/cloud/runtimetest"
	"chefsync/pkg/replication"
	"chefsync/pkg/secret"
	"chefsync/pkg/store/dynamo"
)

// programs are the functions, built once.
var programs runtimetest.Programs

func TestMain(m *testing.M) { os.Exit(programs.Main(m)) }

const orgName = "acme"

// chefServer is a Chef Server of a test stack, in memory or real.
type chefServer struct {
	name, url, user, key string
	orgless              bool
	mem                  *cheftest.Server // nil for a real one
	org                  *cheftest.Org

	writes func() int        // how many requests meant to change something
	hold   func(n int) *gate // keeps the n-th of them, and all after it, waiting
}

// gate blocks requests until it is released or their client disconnects.
type gate struct {
	reached, opened chan struct{} // closed when the first request waits, and to let them go
	once            sync.Once
	remove          func()
}

func newGate() *gate { return &gate{reached: make(chan struct{}), opened: make(chan struct{})} }

func (g *gate) block(q *http.Request) {
	g.once.Do(func() { close(g.reached) })
	select {
	case <-g.opened:
	case <-q.Context().Done():
		panic(http.ErrAbortHandler) // it has no effect
	}
}

// release lets all requests go.
func (g *gate) release() {
	g.remove()
	close(g.opened)
}

func newMemoryServer(t testing.TB, name string, o cheftest.Options) *chefServer {
	srv := cheftest.Start(t, o)
	s := &chefServer{name: name, url: srv.URL, user: "ec_sync_user", mem: srv, org: srv.AddOrg(orgName)}
	s.key = string(cheftest.PrivatePEM(srv.AddUser(s.user)))
	s.org.Associate(s.user)
	s.writes = func() int { return len(srv.Requests().Writes()) }
	s.hold = func(n int) *gate {
		g := newGate()
		g.remove = srv.Fault(cheftest.Fault{Match: isWrite, Nth: n, Do: g.block}).Remove
		return g
	}
	return s
}

// isWrite reports whether a request writes.
func isWrite(q *http.Request) bool {
	return q.Method != http.MethodGet && !strings.Contains(q.URL.Path, "/search/")
}

// newGoiardi starts a real server behind a proxy that counts and blocks writes.
// Transfers of files bypass it.
func newGoiardi(t testing.TB) *chefServer {
	g := goiarditest.Start(t)
	target, err := url.Parse(g.URL)
	if err != nil {
		t.Fatal(err)
	}
	var writes, held atomic.Int64
	var holding atomic.Pointer[gate]
	inside := httputil.NewSingleHostReverseProxy(target)
	door := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		if isWrite(q) {
			n := writes.Add(1)
			if g := holding.Load(); g != nil && n >= held.Load() {
				// The end of the connection is noticed after the body only.
				body, err := io.ReadAll(q.Body)
				if err != nil {
					panic(http.ErrAbortHandler)
				}
				q.Body = io.NopCloser(bytes.NewReader(body))
				g.block(q)
			}
		}
		inside.ServeHTTP(w, q)
	}))
	t.Cleanup(door.Close)
	return &chefServer{
		name: "eu", url: door.URL, user: goiarditest.AdminUser, key: string(cheftest.PrivatePEM(g.AdminKey)), orgless: true,
		writes: func() int { return int(writes.Load()) },
		hold: func(n int) *gate {
			g := newGate()
			g.remove = func() { holding.Store(nil) }
			held.Store(writes.Load() + int64(n))
			holding.Store(g)
			return g
		},
	}
}

// testStack is a deployed stack: a fake of AWS, the functions, a primary and a replica.
type testStack struct {
	t                                             testing.TB
	endpoint                                      http.Handler      // serves AWS
	aws                                           *cloudtest.Server // the fake of AWS; nil for another one
	stack                                         cloud.Resources
	cfg                                           aws.Config
	backend                                       *onaws.Backend
	sync, manager, changes                        *runtimetest.Function
	web                                           *runtimetest.Function // for the URL of the change log
	lambda                                        *runtimetest.Service
	primary, replica                              *chefServer
	proxies                                       map[string]*cloudtest.Proxy // of each function
	lambdaURL, changesURL                         string
	mu                                            sync.Mutex
	invoked                                       map[string][]string // functions, by who invoked them
	concurrencyCalls                              []string            // calls of the manager about reserved concurrency
	organizationConfig, moreConfig, primaryConfig string              // lines of the configuration
}

func newTestStack(t testing.TB, primary, replica *chefServer) *testStack {
	t.Helper()
	fake := cloudtest.Start()
	t.Cleanup(fake.Close)
	fake.AddStack("chef-sync", map[string]string{})
	r := newTestStackOn(t, fake, "chef-sync", primary, replica)
	r.aws = fake
	return r
}

// newTestStackOn makes a stack on an AWS.
func newTestStackOn(t testing.TB, there http.Handler, stack string, primary, replica *chefServer) *testStack {
	t.Helper()
	r := newTestStackOf(t, there, cloudtest.Resources(stack, ""), primary, replica)
	ctx := context.Background()
	if err := cloudtest.CreateResources(ctx, r.cfg, dynamotest.Table(r.stack.Table, dynamo.Definition().PartitionKey, dynamo.Definition().SortKey), r.stack.Bucket, r.assetBucket()); err != nil {
		t.Fatal(err)
	}
	for _, s := range []*chefServer{primary, replica} {
		if err := secret.Create(ctx, secretsmanager.NewFromConfig(r.cfg), r.secretName(s), "", []byte(s.key)); err != nil {
			t.Fatal(err)
		}
	}
	return r
}

// newTestStackOf starts the functions of a stack with these resources on an AWS.
func newTestStackOf(t testing.TB, there http.Handler, stack cloud.Resources, primary, replica *chefServer) *testStack {
	t.Helper()
	front := cloudtest.NewProxy(t, there)
	r := &testStack{t: t, endpoint: there, proxies: map[string]*cloudtest.Proxy{}, invoked: map[string][]string{}, primary: primary, replica: replica, stack: stack}
	var err error
	if r.cfg, err = cloudtest.Config(context.Background(), front.URL); err != nil {
		t.Fatal(err)
	}
	r.backend = onaws.New(r.cfg, r.stack)
	lambda := runtimetest.NewService(t)
	r.lambda, r.lambdaURL = lambda, lambda.URL
	r.sync = r.addFunction(lambda, cloud.SyncFunction)
	r.manager = r.addFunction(lambda, cloud.ManagerFunction)
	r.changes = r.addFunction(lambda, cloud.ChangesFunction)
	r.web = r.addFunction(lambda, cloud.WebFunction)
	return r
}

// assetBucket is the bucket that deployments upload to.
func (r *testStack) assetBucket() string { return r.stack.Stack + "-assets" }

// secretName is the name of a server's key.
func (r *testStack) secretName(s *chefServer) string { return r.stack.Stack + "/" + s.name }

func (r *testStack) addFunction(lambda *runtimetest.Service, name string) *runtimetest.Function {
	front := cloudtest.NewProxy(r.t, r.endpoint)
	r.proxies[name] = front
	env := cloudtest.Environment(front.URL)
	env["AWS_ENDPOINT_URL_LAMBDA"] = r.newLambdaProxy(name, lambda.URL)
	env["AWS_SESSION_TOKEN"] = "" // versitygw knows none
	maps.Copy(env, r.stack.Environment())
	return lambda.Add(runtimetest.Config{
		Name: r.stack.Stack + "-" + name, Program: programs.Build(r.t, "chefsync/functions/cmd/"+name), Env: env, Timeout: time.Minute,
	})
}

// newLambdaProxy is the address at which a function invokes others: Lambda's, behind a
// proxy that records the functions invoked.
func (r *testStack) newLambdaProxy(name, lambdaURL string) string {
	target, err := url.Parse(lambdaURL)
	if err != nil {
		r.t.Fatal(err)
	}
	proxy := httputil.NewSingleHostReverseProxy(target)
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		r.mu.Lock()
		if function := strings.Split(q.URL.Path, "/")[3]; strings.HasSuffix(q.URL.Path, "/concurrency") {
			verb := map[string]string{http.MethodPut: "Put", http.MethodDelete: "Delete"}[q.Method]
			r.concurrencyCalls = append(r.concurrencyCalls, "lambda:"+verb+"FunctionConcurrency "+strings.Replace(function, r.stack.Web, "${WebFunction}", 1))
		} else {
			r.invoked[name] = append(r.invoked[name], function)
		}
		r.mu.Unlock()
		proxy.ServeHTTP(w, q)
	}))
	r.t.Cleanup(srv.Close)
	return srv.URL
}

func (r *testStack) s3Client() *s3.Client { return cloudtest.S3(r.cfg) }

// configText is the configuration of the stack.
func (r *testStack) configText() string {
	var b strings.Builder
	section := func(head string, s *chefServer) {
		fmt.Fprintf(&b, "%s\nurl = %q\nuser = %q\nkey = \"secretsmanager:%s\"\norganizations = %v\n", head, s.url, s.user, r.secretName(s), !s.orgless)
	}
	section("[primary]", r.primary)
	b.WriteString(r.primaryConfig)
	section("[[replica]]\nname = \"eu\"", r.replica)
	destination := orgName
	if r.replica.orgless {
		destination = "default"
	}
	fmt.Fprintf(&b, "[[organization]]\nsource = %q\ndestination = %q\nmax_delete = \"50%%\"\n%s\n%s\n", orgName, destination, r.organizationConfig, r.moreConfig)
	return b.String()
}

// deployConfig brings the configuration as CloudFormation does, and returns what the
// manager answered to it: SUCCESS or FAILED, and the reason.
func (r *testStack) deployConfig() (status, reason string) {
	r.t.Helper()
	return r.sendResourceEvent("Update", r.configText())
}

func (r *testStack) sendResourceEvent(request, config string) (status, reason string) {
	r.t.Helper()
	return r.sendResourceEventWith(request, config, map[string]string{})
}

// sendResourceEventWith sends an event with more properties.
func (r *testStack) sendResourceEventWith(request, config string, properties map[string]string) (status, reason string) {
	r.t.Helper()
	bucket, key := r.assetBucket(), "0a1b2c.toml"
	if _, err := r.s3Client().PutObject(context.Background(), &s3.PutObjectInput{Bucket: &bucket, Key: &key, Body: strings.NewReader(config)}); err != nil {
		r.t.Fatal(err)
	}
	properties["Bucket"], properties["Key"] = bucket, key
	return r.manager.CustomResource(request, cloud.ConfigurationResource, properties)
}

func (r *testStack) mustDeploy() {
	r.t.Helper()
	if status, reason := r.deployConfig(); status != "SUCCESS" {
		r.t.Fatalf("deployment: %s, %s", status, reason)
	}
}

func (r *testStack) pairID() replication.PairID {
	if r.replica.orgless {
		return replication.PairID{Replica: "eu", Org: "default"}
	}
	return replication.PairID{Replica: "eu", Org: orgName}
}

// scheduleEvent is what the manager sends for the pair.
func (r *testStack) scheduleEvent() cloud.SyncEvent {
	return cloud.SyncEvent{Pair: r.pairID(), Trigger: cloud.TriggerSchedule}
}

// invokeSync invokes the sync function and expects it to end well.
func (r *testStack) invokeSync(event cloud.SyncEvent) (cloud.SyncResult, runtimetest.Result) {
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

// runPass does a pass that must leave nothing.
func (r *testStack) runPass() replication.Run {
	r.t.Helper()
	answer, _ := r.invokeSync(r.scheduleEvent())
	if answer.Run == nil || answer.Run.Outcome != replication.OutcomeDone {
		r.t.Fatalf("pass: %+v", answer)
	}
	return *answer.Run
}

func (r *testStack) pairRecord() replication.PairState {
	r.t.Helper()
	state, err := r.backend.State(context.Background())
	if err != nil {
		r.t.Fatal(err)
	}
	st, err := state.Pair(context.Background(), r.pairID())
	if err != nil {
		r.t.Fatal(err)
	}
	return st
}

func (r *testStack) wantEqual() {
	r.t.Helper()
	if r.replica.mem != nil {
		if diff := cmp.Diff(r.primary.org.Snapshot(), r.replica.org.Snapshot()); diff != "" {
			r.t.Fatalf("organizations differ (-primary +replica):\n%s", diff)
		}
		if torn := r.replica.org.DamagedCookbooks(); len(torn) > 0 {
			r.t.Fatalf("torn cookbook versions: %v", torn)
		}
	}
	answer, _ := r.invokeSync(cloud.SyncEvent{Pair: r.pairID(), Task: cloud.TaskVerify})
	if answer.Equal == nil || !*answer.Equal {
		r.t.Fatalf("verification: %+v", answer)
	}
}

// invokeConcurrently invokes the sync function several times at once.
func (r *testStack) invokeConcurrently(n int) []cloud.SyncResult {
	r.t.Helper()
	answers := make([]cloud.SyncResult, n)
	var group sync.WaitGroup
	for i := range n {
		group.Go(func() {
			result, err := r.sync.Invoke(context.Background(), r.scheduleEvent())
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

// expireLease ends the lease of a dead holder, which a minute would do.
func (r *testStack) expireLease() {
	r.t.Helper()
	state, err := r.backend.State(context.Background())
	if err == nil {
		err = state.Release(context.Background(), r.pairID(), r.pairRecord().Lease.Fence)
	}
	if err != nil {
		r.t.Fatal(err)
	}
}

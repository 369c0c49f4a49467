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

// server is a Chef Server of a rig, in memory or real.
type server struct {
	name, url, user, key string
	orgless              bool
	mem                  *cheftest.Server // nil for a real one
	org                  *cheftest.Org

	writes func() int                       // how many requests meant to change something
	slow   func(time.Duration) (end func()) // delays them
	hold   func(n int) *gate                // keeps the n-th of them, and all after it, waiting
}

// gate keeps requests waiting until it is opened, or whoever sent them is gone.
type gate struct {
	reached, opened chan struct{} // closed when the first request waits, and to let them go
	once            sync.Once
	remove          func()
}

func newGate() *gate { return &gate{reached: make(chan struct{}), opened: make(chan struct{})} }

func (g *gate) wait(q *http.Request) {
	g.once.Do(func() { close(g.reached) })
	select {
	case <-g.opened:
	case <-q.Context().Done():
		panic(http.ErrAbortHandler) // it has no effect
	}
}

// open lets all requests go.
func (g *gate) open() {
	g.remove()
	close(g.opened)
}

func inMemory(t testing.TB, name string, o cheftest.Options) *server {
	srv := cheftest.Start(t, o)
	s := &server{name: name, url: srv.URL, user: "ec_sync_user", mem: srv, org: srv.AddOrg(orgName)}
	s.key = string(cheftest.PrivatePEM(srv.AddUser(s.user)))
	s.org.Associate(s.user)
	s.writes = func() int { return len(srv.Requests().Writes()) }
	s.slow = func(by time.Duration) func() { return srv.Fault(cheftest.Fault{Match: writing, Delay: by}).Remove }
	s.hold = func(n int) *gate {
		g := newGate()
		g.remove = srv.Fault(cheftest.Fault{Match: writing, Nth: n, Do: g.wait}).Remove
		return g
	}
	return s
}

// writing tells whether a request means to change something.
func writing(q *http.Request) bool {
	return q.Method != http.MethodGet && !strings.Contains(q.URL.Path, "/search/")
}

// goiardi is a real server behind a door that counts, slows and holds what it is
// sent. Files are fetched and stored past it.
func goiardi(t testing.TB) *server {
	g := goiarditest.Start(t)
	target, err := url.Parse(g.URL)
	if err != nil {
		t.Fatal(err)
	}
	var writes, delay, held atomic.Int64
	var holding atomic.Pointer[gate]
	inside := httputil.NewSingleHostReverseProxy(target)
	door := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		if writing(q) {
			n := writes.Add(1)
			time.Sleep(time.Duration(delay.Load()))
			if g := holding.Load(); g != nil && n >= held.Load() {
				// Only behind its body is it noticed that the client has gone.
				body, err := io.ReadAll(q.Body)
				if err != nil {
					panic(http.ErrAbortHandler)
				}
				q.Body = io.NopCloser(bytes.NewReader(body))
				g.wait(q)
			}
		}
		inside.ServeHTTP(w, q)
	}))
	t.Cleanup(door.Close)
	return &server{
		name: "eu", url: door.URL, user: goiarditest.AdminUser, key: string(cheftest.PrivatePEM(g.AdminKey)), orgless: true,
		writes: func() int { return int(writes.Load()) },
		slow:   func(by time.Duration) func() { delay.Store(int64(by)); return func() { delay.Store(0) } },
		hold: func(n int) *gate {
			g := newGate()
			g.remove = func() { holding.Store(nil) }
			held.Store(writes.Load() + int64(n))
			holding.Store(g)
			return g
		},
	}
}

// rig is a deployed stack: a fake of AWS, the functions, a primary and a replica.
type rig struct {
	t                       testing.TB
	there                   http.Handler      // what answers for AWS
	aws                     *cloudtest.Server // likewise; nil if it isn't the fake
	stack                   cloud.Resources
	cfg                     aws.Config
	backend                 *onaws.Backend
	sync, manager, changes  *runtimetest.Function
	web                     *runtimetest.Function // for the URL of the journal
	lambda                  *runtimetest.Service
	primary, replica        *server
	fronts                  map[string]*cloudtest.Proxy // what each function asks of AWS
	lambdaURL, changesURL   string
	mu                      sync.Mutex
	invoked                 map[string][]string // functions, by who invoked them
	reserving               []string            // what the manager asked for of Lambda's concurrency
	organization, more, top string              // lines of the configuration
}

func newRig(t testing.TB, primary, replica *server) *rig {
	t.Helper()
	fake := cloudtest.Start()
	t.Cleanup(fake.Close)
	fake.AddStack("chef-sync", map[string]string{})
	r := rigOn(t, fake, "chef-sync", primary, replica)
	r.aws = fake
	return r
}

// rigOn makes a stack on an AWS.
func rigOn(t testing.TB, there http.Handler, stack string, primary, replica *server) *rig {
	t.Helper()
	front := cloudtest.NewProxy(t, there)
	r := &rig{t: t, there: there, fronts: map[string]*cloudtest.Proxy{}, invoked: map[string][]string{}, primary: primary, replica: replica, stack: cloudtest.Resources(stack, front.URL)}
	ctx := context.Background()
	var err error
	if r.cfg, err = cloudtest.Config(ctx, front.URL); err != nil {
		t.Fatal(err)
	}
	r.backend = onaws.New(r.cfg, r.stack)
	if err := cloudtest.CreateResources(ctx, r.cfg, dynamotest.Table(r.stack.Table, dynamo.Definition().PartitionKey, dynamo.Definition().SortKey), r.stack.Bucket, r.assets()); err != nil {
		t.Fatal(err)
	}
	for _, s := range []*server{primary, replica} {
		if err := secret.Create(ctx, secretsmanager.NewFromConfig(r.cfg), r.secret(s), "", []byte(s.key)); err != nil {
			t.Fatal(err)
		}
	}
	lambda := runtimetest.NewService(t)
	r.lambda, r.lambdaURL = lambda, lambda.URL
	r.sync = r.add(lambda, cloud.SyncFunction)
	r.manager = r.add(lambda, cloud.ManagerFunction)
	r.changes = r.add(lambda, cloud.ChangesFunction)
	r.web = r.add(lambda, cloud.WebFunction)
	return r
}

// assets is the bucket that deployments upload to.
func (r *rig) assets() string { return r.stack.Stack + "-assets" }

// secret is the name of a server's key.
func (r *rig) secret(s *server) string { return r.stack.Stack + "/" + s.name }

func (r *rig) add(lambda *runtimetest.Service, name string) *runtimetest.Function {
	front := cloudtest.NewProxy(r.t, r.there)
	r.fronts[name] = front
	env := cloudtest.Environment(front.URL)
	env["AWS_ENDPOINT_URL_LAMBDA"] = r.invocations(name, lambda.URL)
	env["AWS_SESSION_TOKEN"] = "" // versitygw knows none
	maps.Copy(env, r.stack.Environment())
	return lambda.Add(runtimetest.Config{
		Name: r.stack.Stack + "-" + name, Program: programs.Build(r.t, "chefsync/functions/cmd/"+name), Env: env, Timeout: time.Minute,
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
		if function := strings.Split(q.URL.Path, "/")[3]; strings.HasSuffix(q.URL.Path, "/concurrency") {
			verb := map[string]string{http.MethodPut: "Put", http.MethodDelete: "Delete"}[q.Method]
			r.reserving = append(r.reserving, "lambda:"+verb+"FunctionConcurrency "+strings.Replace(function, r.stack.Web, "${WebFunction}", 1))
		} else {
			r.invoked[name] = append(r.invoked[name], function)
		}
		r.mu.Unlock()
		proxy.ServeHTTP(w, q)
	}))
	r.t.Cleanup(srv.Close)
	return srv.URL
}

func (r *rig) s3() *s3.Client { return cloudtest.S3(r.cfg) }

// config is the configuration of the stack.
func (r *rig) config() string {
	var b strings.Builder
	section := func(head string, s *server) {
		fmt.Fprintf(&b, "%s\nurl = %q\nuser = %q\nkey = \"secretsmanager:%s\"\norganizations = %v\n", head, s.url, s.user, r.secret(s), !s.orgless)
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
	bucket, key := r.assets(), "0a1b2c.toml"
	if _, err := r.s3().PutObject(context.Background(), &s3.PutObjectInput{Bucket: &bucket, Key: &key, Body: strings.NewReader(config)}); err != nil {
		r.t.Fatal(err)
	}
	return r.manager.CustomResource(request, cloud.ConfigurationResource, map[string]string{"Bucket": bucket, "Key": key})
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

// event is what the manager sends for the pair.
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
		if torn := r.replica.org.DamagedCookbooks(); len(torn) > 0 {
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

package localstack

import (
	"bytes"
	"context"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"

	"chefsync/pkg/chef/cheftest"
	"chefsync/pkg/chef/goiarditest"
	"chefsync/pkg/cloud"
	"chefsync/pkg/cloud/cloudtest"
	"chefsync/pkg/cloud/dynamotest"
	"chefsync/pkg/cloud/runtimetest"
	"chefsync/pkg/store/dynamo"
)

// programs are the functions, built once.
var programs runtimetest.Programs

func TestMain(m *testing.M) { os.Exit(programs.Main(m)) }

// runStep runs the script with only PATH and some variables in its environment.
func runStep(t *testing.T, env map[string]string, args ...string) (stdout, stderr string, err error) {
	t.Helper()
	return runScript(t, absPath(t, "run"), env, args...)
}

func runScript(t *testing.T, script string, env map[string]string, args ...string) (stdout, stderr string, err error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	var out, problems bytes.Buffer
	cmd := exec.CommandContext(ctx, script, args...)
	cmd.Env = []string{"PATH=" + os.Getenv("PATH")}
	for name, value := range env {
		cmd.Env = append(cmd.Env, name+"="+value)
	}
	cmd.Stdout, cmd.Stderr, cmd.WaitDelay = &out, &problems, time.Second
	err = cmd.Run()
	return out.String(), problems.String(), err
}

func absPath(t *testing.T, path string) string {
	t.Helper()
	path, err := filepath.Abs(path)
	if err != nil {
		t.Fatal(err)
	}
	return path
}

func mustRun(t *testing.T, env map[string]string, args ...string) string {
	t.Helper()
	out, problems, err := runStep(t, env, args...)
	if err != nil {
		t.Fatalf("localstack/run %q: %v\n%s%s", args, err, out, problems)
	}
	return out
}

// chefServer is the address and the key file of a Chef Server without organizations.
type chefServer struct{ url, user, key string }

// startGoiardiLike starts a server in memory with the features of goiardi.
func startGoiardiLike(t *testing.T) chefServer {
	srv := cheftest.Start(t, cheftest.Options{Orgless: true, MaxAPIVersion: 1, LenientVersion: true, EmptyUnknown: true, NoFrontEnd: true})
	user, key := srv.Superuser()
	return chefServer{srv.URL, user, keyFile(t, cheftest.PrivatePEM(key))}
}

func startGoiardi(t *testing.T) chefServer {
	g := goiarditest.Start(t)
	return chefServer{g.URL, goiarditest.AdminUser, keyFile(t, cheftest.PrivatePEM(g.AdminKey))}
}

func keyFile(t *testing.T, pem []byte) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "admin.pem")
	if err := os.WriteFile(file, pem, 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

// emulator is a fake of AWS with a stack that was deployed without CDK.
type emulator struct {
	t       *testing.T
	aws     *cloudtest.Server
	cfg     aws.Config
	stack   cloud.Resources
	manager *runtimetest.Function
	lambda  string // its endpoint
}

const stackName = "local"

func newEmulator(t *testing.T) *emulator {
	t.Helper()
	fake := cloudtest.Start()
	t.Cleanup(fake.Close)
	e := &emulator{t: t, aws: fake, stack: cloudtest.Resources(stackName, fake.URL)}
	var err error
	e.cfg, err = cloudtest.Config(t.Context(), fake.URL)
	if err == nil {
		err = cloudtest.CreateResources(t.Context(), e.cfg, dynamotest.Table(e.stack.Table, dynamo.Definition().PartitionKey, dynamo.Definition().SortKey), e.stack.Bucket)
	}
	if err != nil {
		t.Fatal(err)
	}
	outputs, vars := map[string]string{}, e.stack.Environment()
	for _, name := range cloud.OutputNames() {
		outputs[name] = vars[cloud.EnvName(name)]
	}
	fake.AddStack(stackName, outputs)
	lambda := runtimetest.NewService(t)
	e.lambda = lambda.URL
	env := cloudtest.Environment(fake.URL)
	env["AWS_ENDPOINT_URL_LAMBDA"] = lambda.URL
	maps.Copy(env, vars)
	for _, name := range []string{cloud.SyncFunction, cloud.ManagerFunction, cloud.ChangesFunction} {
		lambda.Add(runtimetest.Config{Name: stackName + "-" + name, Program: programs.Build(t, "chefsync/functions/cmd/"+name), Env: env, Timeout: time.Minute})
	}
	e.manager = lambda.Get(stackName + "-" + cloud.ManagerFunction)
	return e
}

// scriptEnvironment returns the variables of the script for the emulator and the Chef
// Servers.
func (e *emulator) scriptEnvironment(primary, replica chefServer) map[string]string {
	env := cloudtest.Environment(e.aws.URL)
	maps.Copy(env, map[string]string{
		"AWS_ENDPOINT_URL_LAMBDA": e.lambda, "STACK": stackName, "TOOLS": toolsDir(e.t), "PAUSE": "0.2", "PATIENCE": "60",
		"CHEF_USER": primary.user, "PRIMARY_URL": primary.url, "PRIMARY_KEY": primary.key, "REPLICA_URL": replica.url, "REPLICA_KEY": replica.key,
	})
	return env
}

// toolsDir returns a folder with the programs that the script calls.
func toolsDir(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	for name, pkg := range map[string]string{"chef-sync-ctl": "chefsync/cli/chef-sync-ctl", "seed": "chefsync/localstack/seed"} {
		if err := os.Symlink(programs.Build(t, pkg), filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// deployConfig deploys a configuration as CloudFormation does for CDK.
func (e *emulator) deployConfig(config string) {
	e.t.Helper()
	key := "assets/chef-sync.toml"
	if _, err := cloudtest.S3(e.cfg).PutObject(e.t.Context(), &s3.PutObjectInput{Bucket: &e.stack.Bucket, Key: &key, Body: strings.NewReader(config)}); err != nil {
		e.t.Fatal(err)
	}
	if status, reason := e.manager.CustomResource("Create", cloud.ConfigurationResource, map[string]string{"Bucket": e.stack.Bucket, "Key": key}); status != "SUCCESS" {
		e.t.Fatalf("deployment: %s, %s", status, reason)
	}
	go e.fireRule(e.t.Context())
}

// fireRule invokes the manager as the rule of the stack does, but more often.
func (e *emulator) fireRule(ctx context.Context) {
	for ctx.Err() == nil {
		// What fails is in the log of the manager, and shows in what the replica lacks.
		_, _ = e.manager.Invoke(ctx, cloud.ManagerEvent{Task: cloud.TaskDispatch})
		select {
		case <-time.After(200 * time.Millisecond):
		case <-ctx.Done():
		}
	}
}

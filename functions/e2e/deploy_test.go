package e2e

import (
	"archive/zip"
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"chefsync/pkg/chef/cheftest"
	"chefsync/pkg/cloud"
	"chefsync/pkg/cloud/cloudtest"
)

// release is the unpacked release, with placeholders for the functions.
type release struct {
	t      *testing.T
	folder string
	env    []string
}

// newRelease puts together what make template writes. The template is the golden file.
func newRelease(t *testing.T) *release {
	t.Helper()
	r := &release{t: t, folder: t.TempDir()}
	for from, to := range map[string]string{"../../infra/deploy.sh": "deploy.sh", "../../infra/testdata/template.golden.json": "chef-sync.template.json"} {
		content, err := os.ReadFile(from)
		if err != nil {
			t.Fatal(err)
		}
		if filepath.Ext(from) == ".json" {
			var line bytes.Buffer
			if err := json.Compact(&line, content); err != nil {
				t.Fatal(err)
			}
			content = line.Bytes()
			for _, key := range regexp.MustCompile(`functions/([a-z]+-0\.zip)`).FindAllSubmatch(content, -1) {
				r.write(string(key[1]), placeholderZip(t))
			}
		}
		r.write(to, content)
	}
	return r
}

func (r *release) write(name string, content []byte) string {
	r.t.Helper()
	path := filepath.Join(r.folder, name)
	if err := os.WriteFile(path, content, 0o755); err != nil {
		r.t.Fatal(err)
	}
	return path
}

func placeholderZip(t *testing.T) []byte {
	t.Helper()
	var b bytes.Buffer
	z := zip.NewWriter(&b)
	if _, err := z.Create("bootstrap"); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// run runs a program of the release's folder, or one of the PATH.
func (r *release) run(name string, args ...string) (string, error) {
	r.t.Helper()
	cmd := exec.CommandContext(r.t.Context(), name, args...)
	cmd.Env, cmd.Dir = append(os.Environ(), r.env...), r.folder
	out, err := cmd.CombinedOutput()
	return string(out), err
}

func (r *release) deploy(args ...string) (string, error) {
	r.t.Helper()
	return r.run("./deploy.sh", args...)
}

// newEmulatedRelease is a release that is deployed as a stack to the emulator of
// endpointName.
func newEmulatedRelease(t *testing.T, stack string) *emulatedRelease {
	t.Helper()
	r := &emulatedRelease{release: newRelease(t), stack: stack, endpoint: []string{"--endpoint-url", os.Getenv(endpointName)}}
	for name, value := range cloudtest.Environment(os.Getenv(endpointName)) {
		if name != "AWS_ENDPOINT_URL" { // the option is tested
			r.env = append(r.env, name+"="+value)
			if name == "AWS_REGION" {
				r.env = append(r.env, "AWS_DEFAULT_REGION="+value) // version 1 of the CLI reads this one only
			}
		}
	}
	return r
}

type emulatedRelease struct {
	*release
	stack    string
	endpoint []string
}

// mustDeploy runs deploy.sh.
func (r *emulatedRelease) mustDeploy(args ...string) string {
	r.t.Helper()
	out, err := r.deploy(append(append(r.endpoint, "--stack", r.stack), args...)...)
	if err != nil {
		r.t.Fatalf("deploy.sh %v: %v\n%s", args, err, out)
	}
	return out
}

// aws runs the AWS CLI, and decodes its output unless into is nil.
func (r *emulatedRelease) aws(into any, args ...string) {
	r.t.Helper()
	out, err := r.run("aws", append(append(r.endpoint, "--output", "json"), args...)...)
	if err == nil && into != nil {
		err = json.Unmarshal([]byte(out), into)
	}
	if err != nil {
		r.t.Fatalf("aws %v: %v\n%s", args, err, out)
	}
}

// createSecrets creates the secrets of Chef Servers.
func (r *emulatedRelease) createSecrets(s *testStack) {
	r.t.Helper()
	for _, server := range []*chefServer{s.primary, s.replica} {
		r.aws(nil, "secretsmanager", "create-secret", "--name", s.secretName(server), "--secret-string", "file://"+r.write(server.name+".pem", []byte(server.key)))
	}
}

// managerResources are the resources that the manager is told, with a function for the
// URL, since newTestStackOf starts all functions.
func (r *emulatedRelease) managerResources() cloud.Resources {
	r.t.Helper()
	var function struct {
		Environment struct{ Variables map[string]string }
	}
	r.aws(&function, "lambda", "get-function-configuration", "--function-name", r.stack+"-manager")
	resources, err := cloud.FromEnvironment(func(name string) (string, bool) { v, ok := function.Environment.Variables[name]; return v, ok })
	if err != nil || resources.Stack != r.stack || resources.Web != "" || resources.Changes != r.stack+"-changes" {
		r.t.Fatalf("the manager is told %+v, %v", resources, err)
	}
	resources.Web = r.stack + "-web"
	return resources
}

// TestTheReleaseDeploysToAnEmulator deploys the released template with the AWS CLI to
// moto, and runs the functions with what is in the stack then. Moto makes tables,
// buckets, roles, functions and the rule; it ignores alarms and the policies of buckets,
// queues and topics, fires no rule and runs no function, so the test sends the manager
// what CloudFormation would.
func TestTheReleaseDeploysToAnEmulator(t *testing.T) {
	there := inTurn(leadTo(t, endpointName))
	primary, replica := newMemoryServer(t, "primary", cheftest.Options{}), newMemoryServer(t, "eu", cheftest.Options{})
	files := newEmulatedRelease(t, fmt.Sprintf("release-%d", os.Getpid()))
	stack := files.stack
	r := &testStack{t: t, primary: primary, replica: replica, stack: cloud.Resources{Stack: stack}}
	files.write("chef-sync.toml", []byte(r.configText()))

	out := files.mustDeploy("Timeout=120")
	wantAll(t, out, "Making the bucket chef-sync-artifacts-", "uploaded functions/sync-0.zip", "missing  secretsmanager:"+stack+"/primary",
		"aws secretsmanager create-secret --name "+stack+"/eu --secret-string file://FILE", "Deployed: "+stack, "sync-status --stack "+stack)
	files.createSecrets(r)
	out = files.mustDeploy("Memory=512", "--tag", "team=chef")
	wantAll(t, out, "there    secretsmanager:"+stack+"/eu", "Deployed: "+stack)
	if strings.Contains(out, "uploaded") || strings.Contains(out, "Making") {
		t.Errorf("what was there is uploaded again:\n%s", out)
	}

	var function struct{ MemorySize, Timeout int }
	files.aws(&function, "lambda", "get-function-configuration", "--function-name", stack+"-sync")
	if function.MemorySize != 512 || function.Timeout != 120 {
		t.Errorf("%+v, want the memory of the second deployment and the timeout of the first", function)
	}
	r = newTestStackOf(t, there, files.managerResources(), primary, replica)
	status, reason := r.manager.CustomResource("Create", cloud.ConfigurationResource, files.resourceProperties())
	if status != "SUCCESS" {
		t.Fatalf("the configuration: %s, %s", status, reason)
	}
	cheftest.Fill(primary.org)
	scanSource(r)
	r.runPass()
	r.wantEqual()
}

// resourceProperties are what CloudFormation sends to the manager: values of parameters.
func (r *emulatedRelease) resourceProperties() map[string]string {
	r.t.Helper()
	var stacks struct {
		Stacks []struct {
			Parameters []struct{ ParameterKey, ParameterValue string }
		}
	}
	r.aws(&stacks, "cloudformation", "describe-stacks", "--stack-name", r.stack)
	names := map[string]string{"ArtifactBucket": "Bucket", "ConfigurationKey": "Key", "Timeout": cloud.TimeoutProperty, "AlarmAge": cloud.AlarmAgeProperty}
	properties := map[string]string{}
	for _, p := range stacks.Stacks[0].Parameters {
		if name := names[p.ParameterKey]; name != "" {
			properties[name] = p.ParameterValue
		}
	}
	if len(properties) != len(names) {
		r.t.Fatalf("parameters %+v", stacks)
	}
	return properties
}

func wantAll(t *testing.T, text string, want ...string) {
	t.Helper()
	for _, w := range want {
		if !strings.Contains(text, w) {
			t.Errorf("no %q in:\n%s", w, text)
		}
	}
}

// fakeCLI records its calls, and answers by the cases of a shell script.
const fakeCLI = `#!/usr/bin/env bash
printf '%s\n' "$*" >>calls
case "$*" in
CASES
*'get-caller-identity'*) echo 123456789012 ;;
*'describe-stacks'*StackStatus*) echo CREATE_COMPLETE ;;
*'describe-change-set'*) printf 'Modify\tAWS::Lambda::Function\tSync\tFalse\n' ;;
*'--no-execute-changeset'*) echo 'aws cloudformation describe-change-set --change-set-name arn:aws:cloudformation:us-east-1:123456789012:changeSet/c/1' ;;
esac
`

// newScript is a release whose AWS CLI answers by cases.
func newScript(t *testing.T, cases string) *release {
	r := newRelease(t)
	r.write("chef-sync.toml", []byte("[primary]\nkey = \"secretsmanager:chef-sync/primary\"\n# key = \"ssm:/chef-sync/old\"\n"))
	bin := filepath.Join(r.folder, "bin")
	if err := os.Mkdir(bin, 0o755); err != nil {
		t.Fatal(err)
	}
	r.write("bin/aws", []byte(strings.Replace(fakeCLI, "CASES", cases, 1)))
	r.env = []string{"PATH=" + bin + ":" + os.Getenv("PATH"), "AWS_REGION=eu-central-1", "AWS_DEFAULT_REGION="}
	return r
}

func (r *release) calls() string {
	r.t.Helper()
	text, err := os.ReadFile(filepath.Join(r.folder, "calls"))
	if err != nil && !os.IsNotExist(err) {
		r.t.Fatal(err)
	}
	return string(text)
}

func TestDeployScriptSaysWhatIsWrong(t *testing.T) {
	for name, c := range map[string]struct {
		cases string // of the AWS CLI
		args  []string
		want  []string
	}{
		"an unknown option":    {"", []string{"--sauce"}, []string{"unknown option --sauce", "deploy.sh --help"}},
		"no value":             {"", []string{"--stack"}, []string{"--stack needs a value"}},
		"a stray word":         {"", []string{"prod"}, []string{"prod is neither an option nor PARAMETER=VALUE"}},
		"an unknown parameter": {"", []string{"Memry=512"}, []string{"the template has no parameter Memry", "AlarmAge AlarmEmail", "Timeout"}},
		"its own parameter":    {"", []string{"ArtifactBucket=x"}, []string{"the template has no parameter ArtifactBucket"}},
		"no configuration":     {"", []string{"--config", "none.toml"}, []string{"the configuration none.toml is missing", "chef-sync-ctl init"}},
		"nobody signed in":     {"*get-caller-identity*) exit 255 ;;", nil, []string{"the AWS CLI is not signed in", "aws sso login"}},
		"another's bucket": {"*head-bucket* | *create-bucket*) exit 254 ;;", nil,
			[]string{"the bucket chef-sync-artifacts-123456789012-eu-central-1 can't be made or used", "--bucket"}},
		"a failed deployment": {"*'cloudformation deploy'*) exit 255 ;;\n*describe-stack-events*) printf 't\\tConfiguration\\tUPDATE_FAILED\\taws.memory: remove it\\n' ;;", nil,
			[]string{"Configuration\taws.memory: remove it", "the stack chef-sync was not deployed"}},
	} {
		t.Run(name, func(t *testing.T) {
			out, err := newScript(t, c.cases).deploy(c.args...)
			if err == nil {
				t.Error("it ended well")
			}
			wantAll(t, out, c.want...)
		})
	}
}

// TestDeployScriptShowsTheCauseFirst: CloudFormation lists the newest event first, and the
// resources that it cancels fail after the one that is the cause.
func TestDeployScriptShowsTheCauseFirst(t *testing.T) {
	events := []string{"t7\tchef-sync\tUPDATE_ROLLBACK_COMPLETE\tNone"}
	for i := range 12 {
		events = append(events, fmt.Sprintf("t6\tAlarm%d\tUPDATE_FAILED\tResource update cancelled", i))
	}
	events = append(events,
		"t5\tConfiguration\tUPDATE_FAILED\tfile:1:1: one mistake", "file:2:1: another one",
		"t4\tSync\tUPDATE_COMPLETE\tNone",
		"t3\tchef-sync\tUPDATE_IN_PROGRESS\tUser Initiated",
		"t2\tOld\tUPDATE_FAILED\tof the deployment before",
		"None")
	r := newScript(t, "*'cloudformation deploy'*) exit 255 ;;\n*describe-stack-events*) cat events ;;")
	r.write("events", []byte(strings.Join(events, "\n")+"\n"))
	out, err := r.deploy()
	if err == nil {
		t.Error("it ended well")
	}
	_, shown, _ := strings.Cut(out, "== Deploying the stack chef-sync\n")
	want := "\nt5\tConfiguration\tfile:1:1: one mistake\nfile:2:1: another one\nt6\tAlarm11\tResource update cancelled\n"
	if !strings.HasPrefix(shown, want) || strings.Contains(shown, "of the deployment before") || strings.Contains(shown, "None") {
		t.Errorf("%q, want it to begin with %q", shown, want)
	}
}

func TestDeployScriptNeedsTheFilesOfTheTemplate(t *testing.T) {
	for _, name := range []string{"chef-sync.template.json", "web-0.zip"} {
		r := newScript(t, "")
		if err := os.Remove(filepath.Join(r.folder, name)); err != nil {
			t.Fatal(err)
		}
		out, err := r.deploy()
		if err == nil || r.calls() != "" {
			t.Errorf("without %s it called the AWS CLI: %v\n%s", name, err, r.calls())
		}
		wantAll(t, out, name+" is missing")
	}
}

func TestDeployScriptDeploys(t *testing.T) {
	r := newScript(t, "*describe-secret*) echo 'An error occurred (ResourceNotFoundException)' >&2; exit 254 ;;\n*head-*) exit 254 ;;")
	out, err := r.deploy("--profile", "ops", "--tag", "team=chef infra", "Subnets=subnet-1,subnet-2", "SecurityGroups=sg-1")
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	wantAll(t, out, "missing  secretsmanager:chef-sync/primary")
	if strings.Contains(out, "/chef-sync/old") {
		t.Errorf("it asks for a secret in a comment:\n%s", out)
	}
	wantAll(t, r.calls(), "--profile ops",
		"create-bucket --bucket chef-sync-artifacts-123456789012-eu-central-1 --create-bucket-configuration LocationConstraint=eu-central-1",
		"BlockPublicAcls=true", "aws:SecureTransport", "s3 cp", "s3://chef-sync-artifacts-123456789012-eu-central-1/config/",
		"cloudformation deploy --stack-name chef-sync", "--capabilities CAPABILITY_IAM", "--tags team=chef infra",
		"ConfigurationKey=config/", "Subnets=subnet-1,subnet-2 SecurityGroups=sg-1")
	if strings.Contains(r.calls(), "delete") {
		t.Errorf("it deletes:\n%s", r.calls())
	}
}

func TestDeployScriptLooksForSecrets(t *testing.T) {
	for answer, want := range map[string]string{
		"echo chef-sync/mirror-NotFound-error":                                           "there    secretsmanager:chef-sync/primary",
		"echo 'An error occurred (ResourceNotFoundException)' >&2; exit 254":             "missing  secretsmanager:chef-sync/primary",
		"echo 'An error occurred (AccessDeniedException): not authorized' >&2; exit 254": "unknown  secretsmanager:chef-sync/primary: An error occurred (AccessDeniedException)",
	} {
		out, err := newScript(t, "*describe-secret*) "+answer+" ;;").deploy()
		if err != nil {
			t.Errorf("%s: %v", answer, err)
		}
		wantAll(t, out, want)
	}
}

// CloudFormation can't update a stack whose first deployment failed.
func TestDeployScriptRemovesAStackThatNeverWas(t *testing.T) {
	r := newScript(t, "*describe-stacks*StackStatus*) echo ROLLBACK_COMPLETE ;;")
	if out, err := r.deploy(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	wantAll(t, r.calls(), "delete-stack --stack-name chef-sync", "wait stack-delete-complete")
}

func TestDeployScriptPreviewChangesNothing(t *testing.T) {
	r := newScript(t, "")
	out, err := r.deploy("--preview")
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	wantAll(t, out, "Modify\tAWS::Lambda::Function\tSync")
	wantAll(t, r.calls(), "--no-execute-changeset", "delete-change-set --change-set-name arn:aws:cloudformation:us-east-1:123456789012:changeSet/c/1")
	if strings.Contains(out, "Deployed") || strings.Contains(r.calls(), "delete-stack") {
		t.Errorf("it deployed or deleted:\n%s\n%s", out, r.calls())
	}
}

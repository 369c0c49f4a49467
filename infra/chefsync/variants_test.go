//go:build infra

package chefsync

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/aws/aws-cdk-go/awscdk/v2/assertions"
	"github.com/aws/jsii-runtime-go"
)

const ownKey = "arn:aws:kms:eu-central-1:123456789012:key/0a1b2c3d-0000-4000-8000-000000000000"

// stackVariants are configurations that make different templates.
func stackVariants(t *testing.T) map[string]string {
	base := exampleConfig(t)
	return map[string]string{
		"example":       base,
		"destroy":       addLines(base, "[aws]", `removal = "destroy"`),
		"no change log": addLines(base, "[aws]", "journal = false"),
		"no url":        addLines(base, "[aws]", "journal_url = false"),
		"x86_64":        addLines(base, "[aws]", `architecture = "x86_64"`, "reserved_concurrency = 5", "journal_concurrency = 3"),
		"vpc":           addLines(base, "[aws]", `vpc = "vpc-0123456789abcdef0"`, `subnets = ["subnet-0123456789abcdef0", "subnet-0123456789abcdef1"]`),
		"groups":        addLines(base, "[aws]", `subnets = ["subnet-0123456789abcdef0"]`, `security_groups = ["sg-0123456789abcdef0"]`),
		"boundary":      addLines(base, "[aws]", `permissions_boundary = "arn:aws:iam::123456789012:policy/limits"`, `removal = "destroy"`),
		"own keys":      addLines(base, "[aws]", `kms_keys = ["arn:aws:kms:eu-central-1:123456789012:key/0a1b"]`),
		"own key":       addLines(base, "[aws]", `kms_key = "`+ownKey+`"`),
		"any region":    strings.Replace(base, `region = "eu-central-1"`, "", 1),
		"own secrets":   strings.ReplaceAll(base, "secretsmanager:chef-sync/", "secretsmanager:arn:aws:secretsmanager:eu-central-1:123456789012:secret:"),
	}
}

// synthesizeAll returns all variants and the released template.
func synthesizeAll(t *testing.T) map[string]synthesized {
	t.Helper()
	all := map[string]synthesized{"template": synthesizeTemplate(t)}
	for name, text := range stackVariants(t) {
		all[name] = mustSynthesize(t, text)
	}
	return all
}

func TestFindingsOfCdkNagHaveReasons(t *testing.T) {
	for name, s := range synthesizeAll(t) {
		t.Run(name, func(t *testing.T) {
			runAssertions(t, func() {
				found := assertions.Annotations_FromStack(s.stack)
				pattern := assertions.Match_StringLikeRegexp(jsii.String("AwsSolutions-.*"))
				found.HasNoError(jsii.String("*"), pattern)
				found.HasNoWarning(jsii.String("*"), pattern)
			})
		})
	}
}

func TestTemplatesPassCfnLint(t *testing.T) {
	if os.Getenv("CHEFSYNC_CFNLINT") == "" {
		t.Skip("SKIPPED: set CHEFSYNC_CFNLINT to lint templates with cfn-lint")
	}
	folder := t.TempDir()
	args := []string{"-i", "W3005", "--"} // CDK writes dependencies that references imply
	for name, s := range synthesizeAll(t) {
		path := filepath.Join(folder, strings.ReplaceAll(name, " ", "-")+".template.json")
		if err := os.WriteFile(path, []byte(s.text), 0o600); err != nil {
			t.Fatal(err)
		}
		args = append(args, path)
	}
	if out, err := exec.Command("cfn-lint", args...).CombinedOutput(); err != nil {
		t.Errorf("cfn-lint: %v\n%s", err, out)
	}
}

// Whoever adds an organization wants to read one line in the difference.
func TestAnotherOrganizationChangesTheConfigurationOnly(t *testing.T) {
	before := mustSynthesize(t, exampleConfig(t))
	after := mustSynthesize(t, strings.Replace(exampleConfig(t), "[aws]", "[[organization]]\nsource = \"operations\"\ninterval = \"10m\"\n\n[aws]", 1))
	var changed []string
	a, b := strings.Split(before.text, "\n"), strings.Split(after.text, "\n")
	if len(a) != len(b) {
		t.Fatalf("the template has %d lines, and %d with another organization", len(a), len(b))
	}
	for i := range a {
		if a[i] != b[i] {
			changed = append(changed, strings.TrimSpace(b[i]))
		}
	}
	if len(changed) != 1 || !strings.HasPrefix(changed[0], `"Key": "`) || !strings.HasSuffix(changed[0], `.toml",`) {
		t.Errorf("changed lines: %q, want the key of the configuration", changed)
	}
}

func TestTwoStacksOfAnAccountHaveNoNamesInCommon(t *testing.T) {
	names := map[string]string{}
	for _, stack := range []string{"chef-one", "chef-two"} {
		for id, r := range mustSynthesize(t, addLines(exampleConfig(t), "[aws]", "stack = \""+stack+"\"")).parseTemplate(t).Resources {
			for _, property := range []string{"FunctionName", "LogGroupName", "AlarmName", "DashboardName", "TableName", "BucketName", "QueueName", "RoleName", "TopicName", "GroupName", "Name"} {
				name, fixed := r.Properties[property].(string)
				key := r.Type + " " + name
				if other, taken := names[key]; fixed && taken && other != stack {
					t.Errorf("%s: both stacks have a %s", id, key)
				} else if fixed {
					names[key] = stack
				}
			}
		}
	}
	if len(names) < 10 {
		t.Errorf("only %d names were compared", len(names))
	}
}

func TestFunctionsThatReachServersJoinTheVPC(t *testing.T) {
	for name, want := range map[string]any{"vpc": assertions.Match_AnyValue(), "groups": []any{"sg-0123456789abcdef0"}} {
		s := mustSynthesize(t, stackVariants(t)[name])
		for _, f := range []string{"sync", "changes", "web"} {
			s.wantResource(t, "AWS::Lambda::Function", map[string]any{"FunctionName": "chef-sync-" + f, "VpcConfig": map[string]any{
				"SubnetIds": assertions.Match_ArrayWith(&[]any{"subnet-0123456789abcdef0"}), "SecurityGroupIds": want}})
		}
		s.wantResource(t, "AWS::Lambda::Function", map[string]any{"FunctionName": "chef-sync-manager", "VpcConfig": assertions.Match_Absent()})
	}
	own := mustSynthesize(t, stackVariants(t)["vpc"])
	own.wantResource(t, "AWS::EC2::SecurityGroup", map[string]any{"VpcId": "vpc-0123456789abcdef0", "SecurityGroupIngress": assertions.Match_Absent()})
	mustSynthesize(t, stackVariants(t)["groups"]).wantCount(t, "AWS::EC2::SecurityGroup", 0)
}

func TestEveryRoleHasThePermissionsBoundary(t *testing.T) {
	d := mustSynthesize(t, stackVariants(t)["boundary"]).parseTemplate(t)
	roles := 0
	for id, r := range d.Resources {
		if r.Type == "AWS::IAM::Role" {
			roles++
			if r.Properties["PermissionsBoundary"] != "arn:aws:iam::123456789012:policy/limits" {
				t.Errorf("%s: boundary %v", id, r.Properties["PermissionsBoundary"])
			}
		}
	}
	if roles != 4 { // one for each function
		t.Errorf("%d roles, want 4", roles)
	}
}

func TestArchitectureAndConcurrency(t *testing.T) {
	s := mustSynthesize(t, stackVariants(t)["x86_64"])
	s.wantResource(t, "AWS::Lambda::Function", map[string]any{"FunctionName": "chef-sync-sync", "Architectures": []any{"x86_64"}, "ReservedConcurrentExecutions": 5})
	for _, name := range []string{"changes", "web"} { // the manager reserves that of web
		s.wantResource(t, "AWS::Lambda::Function", map[string]any{"FunctionName": "chef-sync-" + name, "ReservedConcurrentExecutions": assertions.Match_Absent()})
	}
}

// A company's rule that all data is encrypted with its own keys holds for all of
// the stack.
func TestACustomerKeyEncryptsEverything(t *testing.T) {
	s := mustSynthesize(t, stackVariants(t)["own key"])
	s.wantResource(t, "AWS::DynamoDB::Table", map[string]any{"SSESpecification": map[string]any{"SSEEnabled": true, "SSEType": "KMS", "KMSMasterKeyId": ownKey}})
	s.wantResource(t, "AWS::S3::Bucket", map[string]any{"BucketEncryption": map[string]any{"ServerSideEncryptionConfiguration": []any{
		map[string]any{"BucketKeyEnabled": true, "ServerSideEncryptionByDefault": map[string]any{"SSEAlgorithm": "aws:kms", "KMSMasterKeyID": ownKey}}}}})
	s.wantResource(t, "AWS::SQS::Queue", map[string]any{"KmsMasterKeyId": ownKey})
	s.wantResource(t, "AWS::SNS::Topic", map[string]any{"KmsMasterKeyId": ownKey})
	runAssertions(t, func() {
		s.template.AllResourcesProperties(jsii.String("AWS::Logs::LogGroup"), map[string]any{"KmsKeyId": ownKey})
	})
	s.wantCount(t, "AWS::KMS::Key", 0)
	// Without, nothing names a key.
	if text := mustSynthesize(t, exampleConfig(t)).text; strings.Contains(strings.ToLower(text), "kms") {
		t.Error("the stack names keys that nobody asked for")
	}
}

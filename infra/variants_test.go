//go:build infra

package main

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

// variants are configurations that make different templates.
func variants(t *testing.T) map[string]string {
	base := example(t)
	return map[string]string{
		"example":     base,
		"destroy":     under(base, "[aws]", `removal = "destroy"`),
		"no journal":  under(base, "[aws]", "journal = false"),
		"no url":      under(base, "[aws]", "journal_url = false"),
		"x86_64":      under(base, "[aws]", `architecture = "x86_64"`, "reserved_concurrency = 5", "journal_concurrency = 3"),
		"vpc":         under(base, "[aws]", `vpc = "vpc-0123456789abcdef0"`, `subnets = ["subnet-0123456789abcdef0", "subnet-0123456789abcdef1"]`),
		"groups":      under(base, "[aws]", `subnets = ["subnet-0123456789abcdef0"]`, `security_groups = ["sg-0123456789abcdef0"]`),
		"boundary":    under(base, "[aws]", `permissions_boundary = "arn:aws:iam::123456789012:policy/limits"`, `removal = "destroy"`),
		"own keys":    under(base, "[aws]", `kms_keys = ["arn:aws:kms:eu-central-1:123456789012:key/0a1b"]`),
		"own key":     under(base, "[aws]", `kms_key = "`+ownKey+`"`),
		"any region":  strings.Replace(base, `region = "eu-central-1"`, "", 1),
		"own secrets": strings.ReplaceAll(base, "secretsmanager:chef-sync/", "secretsmanager:arn:aws:secretsmanager:eu-central-1:123456789012:secret:"),
	}
}

func TestNoRuleOfCdkNagIsBrokenWithoutAReason(t *testing.T) {
	for name, text := range variants(t) {
		t.Run(name, func(t *testing.T) {
			s := synthesize(t, text)
			check(t, func() {
				found := assertions.Annotations_FromStack(s.scope)
				pattern := assertions.Match_StringLikeRegexp(jsii.String("AwsSolutions-.*"))
				found.HasNoError(jsii.String("*"), pattern)
				found.HasNoWarning(jsii.String("*"), pattern)
			})
		})
	}
}

func TestTemplatesAreCleanToCfnLint(t *testing.T) {
	if os.Getenv("CHEFSYNC_CFNLINT") == "" {
		t.Skip("SKIPPED: set CHEFSYNC_CFNLINT to lint templates with cfn-lint")
	}
	folder := t.TempDir()
	args := []string{"-i", "W3005", "--"} // CDK writes dependencies that references imply
	for name, text := range variants(t) {
		path := filepath.Join(folder, strings.ReplaceAll(name, " ", "-")+".template.json")
		if err := os.WriteFile(path, []byte(synthesize(t, text).text), 0o600); err != nil {
			t.Fatal(err)
		}
		args = append(args, path)
	}
	if out, err := exec.Command("cfn-lint", args...).CombinedOutput(); err != nil {
		t.Errorf("cfn-lint: %v\n%s", err, out)
	}
}

// Whoever adds an organization wants to read one line in the difference.
func TestAnotherOrganizationChangesTheConfigurationAndNothingElse(t *testing.T) {
	before := synthesize(t, example(t))
	after := synthesize(t, strings.Replace(example(t), "[aws]", "[[organization]]\nsource = \"operations\"\ninterval = \"10m\"\n\n[aws]", 1))
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

func TestTwoStacksOfAnAccountDoNotCollide(t *testing.T) {
	names := map[string]string{}
	for _, stack := range []string{"chef-one", "chef-two"} {
		for id, r := range synthesize(t, under(example(t), "[aws]", "stack = \""+stack+"\"")).document(t).Resources {
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
		s := synthesize(t, variants(t)[name])
		for _, f := range []string{"sync", "changes", "web"} {
			s.has(t, "AWS::Lambda::Function", map[string]any{"FunctionName": "chef-sync-" + f, "VpcConfig": map[string]any{
				"SubnetIds": assertions.Match_ArrayWith(&[]any{"subnet-0123456789abcdef0"}), "SecurityGroupIds": want}})
		}
		s.has(t, "AWS::Lambda::Function", map[string]any{"FunctionName": "chef-sync-manager", "VpcConfig": assertions.Match_Absent()})
	}
	own := synthesize(t, variants(t)["vpc"])
	own.has(t, "AWS::EC2::SecurityGroup", map[string]any{"VpcId": "vpc-0123456789abcdef0", "SecurityGroupIngress": assertions.Match_Absent()})
	synthesize(t, variants(t)["groups"]).count(t, "AWS::EC2::SecurityGroup", 0)
}

func TestEveryRoleHasThePermissionsBoundary(t *testing.T) {
	d := synthesize(t, variants(t)["boundary"]).document(t)
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

func TestTheOtherArchitectureAndAConcurrencyOfOnesOwn(t *testing.T) {
	s := synthesize(t, variants(t)["x86_64"])
	s.has(t, "AWS::Lambda::Function", map[string]any{"FunctionName": "chef-sync-sync", "Architectures": []any{"x86_64"}, "ReservedConcurrentExecutions": 5})
	s.has(t, "AWS::Lambda::Function", map[string]any{"FunctionName": "chef-sync-web", "ReservedConcurrentExecutions": 3})
	s.has(t, "AWS::Lambda::Function", map[string]any{"FunctionName": "chef-sync-changes", "ReservedConcurrentExecutions": assertions.Match_Absent()})
	if s.aws.Architecture != "x86_64" || goArch(s.aws) != "amd64" {
		t.Errorf("built for %s", goArch(s.aws))
	}
}

// A company's rule that all data is encrypted with its own keys holds for all of
// the stack.
func TestWithAKeyOfOnesOwnEverythingIsEncryptedWithIt(t *testing.T) {
	s := synthesize(t, variants(t)["own key"])
	s.has(t, "AWS::DynamoDB::Table", map[string]any{"SSESpecification": map[string]any{"SSEEnabled": true, "SSEType": "KMS", "KMSMasterKeyId": ownKey}})
	s.has(t, "AWS::S3::Bucket", map[string]any{"BucketEncryption": map[string]any{"ServerSideEncryptionConfiguration": []any{
		map[string]any{"BucketKeyEnabled": true, "ServerSideEncryptionByDefault": map[string]any{"SSEAlgorithm": "aws:kms", "KMSMasterKeyID": ownKey}}}}})
	s.has(t, "AWS::SQS::Queue", map[string]any{"KmsMasterKeyId": ownKey})
	s.has(t, "AWS::SNS::Topic", map[string]any{"KmsMasterKeyId": ownKey})
	check(t, func() {
		s.template.AllResourcesProperties(jsii.String("AWS::Logs::LogGroup"), map[string]any{"KmsKeyId": ownKey})
	})
	s.count(t, "AWS::KMS::Key", 0)
	// Without, nothing names a key.
	if text := synthesize(t, example(t)).text; strings.Contains(strings.ToLower(text), "kms") {
		t.Error("the stack names keys that nobody asked for")
	}
}

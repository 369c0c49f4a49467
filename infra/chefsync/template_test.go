//go:build infra

package chefsync

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/aws/aws-cdk-go/awscdk/v2"
	"github.com/aws/aws-cdk-go/awscdk/v2/assertions"
	"github.com/google/go-cmp/cmp"

	"chefsync/pkg/cloud"
	"chefsync/pkg/config"
)

const goldenTemplate = "../testdata/template.golden.json"

// synthesizeTemplate is the released template, as it is written to its file.
func synthesizeTemplate(t *testing.T) synthesized { return synthesizeTemplateOf(t, "0") }

// synthesizeTemplateOf is the template of a version.
func synthesizeTemplateOf(t *testing.T, version string) synthesized {
	t.Helper()
	keys := map[string]string{}
	for _, name := range FunctionNames(config.AWS{ChangeLog: true, ChangeLogURL: true}) {
		keys[name] = "functions/" + name + "-" + version + ".zip"
	}
	s := synthesizeWith(t, func(app awscdk.App) *ChefSync {
		return NewTemplate(app, &TemplateProps{Keys: keys, Architecture: config.ARM64})
	})
	text, err := RenderTemplate(s.template.ToJSON())
	if err != nil {
		t.Fatal(err)
	}
	s.text = string(text)
	return s
}

// The golden file is the template itself: tests without Node deploy it, and reviewers
// read it.
func TestTheReleasedTemplateIsGolden(t *testing.T) {
	var got bytes.Buffer
	if err := json.Indent(&got, []byte(synthesizeTemplate(t).text), "", "  "); err != nil {
		t.Fatal(err)
	}
	if updateGolden() {
		if err := os.WriteFile(goldenTemplate, got.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(goldenTemplate)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got.String()); diff != "" {
		t.Errorf("the released template differs from %s (make test-infra UPDATE=-update accepts it):\n%s", goldenTemplate, diff)
	}
}

// A new version may refuse the configuration that the one before accepted. CloudFormation
// asks the manager only if a property changes, and without an answer the upgrade would
// succeed though nothing is replicated.
func TestAnUpgradeHasTheConfigurationChecked(t *testing.T) {
	properties := func(version string) map[string]any {
		return synthesizeTemplateOf(t, version).parseTemplate(t).findResource(t, cloud.ConfigurationResource, "").Properties
	}
	if cmp.Equal(properties("0"), properties("1")) {
		t.Errorf("the properties of two versions are the same: %v", properties("0"))
	}
}

// CloudFormation takes a template of this size without a bucket for it, and deploy.sh
// reads the names of the parameters from its only line.
func TestTheReleasedTemplateIsSmall(t *testing.T) {
	text := synthesizeTemplate(t).text
	if len(text) > 51_200 || strings.Count(text, "\n") != 1 {
		t.Errorf("%d characters, want at most 51200, in one line", len(text))
	}
}

// A stack may change between CDK and the template: what has the same logical id is
// neither removed nor made again.
func TestTheReleasedTemplateHasTheResourcesOfTheStack(t *testing.T) {
	stack, template := mustSynthesize(t, exampleConfig(t)).parseTemplate(t), synthesizeTemplate(t).parseTemplate(t)
	for id, r := range stack.Resources {
		if r.Type != "AWS::SNS::Subscription" && template.Resources[id].Type != r.Type {
			t.Errorf("%s is a %s in the stack and a %q in the template", id, r.Type, template.Resources[id].Type)
		}
	}
	if got, want := len(template.Resources), len(stack.Resources)+1; got != want { // the policy for a VPC
		t.Errorf("%d resources, want %d", got, want)
	}
	for _, name := range []string{"KeySchema", "BillingMode", "DeletionProtectionEnabled", "PointInTimeRecoverySpecification", "TimeToLiveSpecification"} {
		if diff := cmp.Diff(stack.findResource(t, "AWS::DynamoDB::Table", "").Properties[name], template.findResource(t, "AWS::DynamoDB::Table", "").Properties[name]); diff != "" {
			t.Errorf("table %s (-stack +template):\n%s", name, diff)
		}
	}
	for _, kind := range []string{"AWS::DynamoDB::Table", "AWS::S3::Bucket"} {
		if p := template.findResource(t, kind, "").DeletionPolicy; p != "Retain" {
			t.Errorf("%s: %s", kind, p)
		}
	}
}

func TestTheReleasedTemplateHasTheAlarmsOfTheStack(t *testing.T) {
	stack, template := mustSynthesize(t, exampleConfig(t)).parseTemplate(t), synthesizeTemplate(t).parseTemplate(t)
	for id, want := range stack.Resources {
		if want.Type != "AWS::CloudWatch::Alarm" {
			continue
		}
		got := template.Resources[id].Properties
		for _, name := range []string{"MetricName", "Namespace", "Statistic", "Period", "EvaluationPeriods", "DatapointsToAlarm", "TreatMissingData", "ComparisonOperator", "AlarmActions", "OKActions"} {
			if diff := cmp.Diff(want.Properties[name], got[name]); diff != "" {
				t.Errorf("%s, %s (-stack +template):\n%s", id, name, diff)
			}
		}
		threshold := want.Properties["Threshold"]
		if threshold == 3600.0 {
			threshold = map[string]any{"Ref": "AlarmAge"}
		}
		if diff := cmp.Diff(threshold, got["Threshold"]); diff != "" {
			t.Errorf("%s, threshold (-want +got):\n%s", id, diff)
		}
	}
}

// The defaults are those of the keys of [aws] that the parameters replace.
func TestParametersReplaceTheKeysOfAWS(t *testing.T) {
	var document struct {
		Parameters map[string]struct{ Default any }
	}
	if err := json.Unmarshal([]byte(synthesizeTemplate(t).text), &document); err != nil {
		t.Fatal(err)
	}
	want := map[string]string{ // by the defaults of the configuration
		"Memory": "256", "Timeout": "600", "ReservedConcurrency": "0", "LogRetention": "30", "AlarmAge": "3600", "AlarmEmail": "",
		"JournalUrl": "false", "LogLevel": "INFO", "Subnets": "", "SecurityGroups": "", "PermissionsBoundary": "",
		"ArtifactBucket": "<nil>", "ConfigurationKey": "<nil>",
	}
	got := map[string]string{}
	for name, p := range document.Parameters {
		got[name] = fmt.Sprint(p.Default)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("parameters (-want +got):\n%s", diff)
	}
	for key, name := range config.TemplateParameters() {
		if _, ok := got[name]; !ok {
			t.Errorf("aws.%s: the template has no parameter %s", key, name)
		}
	}
}

// The function that anybody can reach may not read the keys of replicas.
func TestRolesOfTheReleasedTemplateReadSecretsBelowTheStackOnly(t *testing.T) {
	d := synthesizeTemplate(t).parseTemplate(t)
	primary := []string{"parameter/STACK/primary", "parameter/STACK/primary-ca", "parameter/STACK/primary-header-*", "secret:STACK/primary-header-*", "secret:STACK/primary-??????", "secret:STACK/primary-ca-??????"}
	for role, want := range map[string][]string{
		"SyncRole":    {"parameter/STACK/*", "secret:STACK/*"},
		"ChangesRole": primary,
		"WebRole": append([]string{"parameter/STACK/collector-token", "parameter/STACK/reader-*", "secret:STACK/collector-token-??????",
			"secret:STACK/reader-*"}, primary...),
		"ManagerRole": nil,
	} {
		text, err := json.Marshal(longNames(d.findResource(t, "AWS::IAM::Role", role).Properties["Policies"]))
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, part := range strings.Split(string(text), `"`) {
			for _, mark := range []string{":secret:", ":parameter/"} {
				if _, after, ok := strings.Cut(part, mark); ok {
					got = append(got, mark[1:]+after)
				}
			}
		}
		slices.Sort(got)
		slices.Sort(want)
		if !slices.Equal(got, want) {
			t.Errorf("%s reads %q, want %q", role, got, want)
		}
	}
}

// longNames resolves references, with STACK for the stack's name.
func longNames(value any) any {
	switch v := value.(type) {
	case []any:
		list := make([]any, len(v))
		for i := range v {
			list[i] = longNames(v[i])
		}
		return list
	case map[string]any:
		if v["Ref"] == "AWS::StackName" {
			return "STACK"
		}
		if text, ok := resolveIntrinsic(v); ok && v["Fn::Join"] == nil {
			return text
		}
		if join, ok := v["Fn::Join"].([]any); ok {
			var parts []string
			for _, p := range join[1].([]any) {
				parts = append(parts, fmt.Sprint(longNames(p)))
			}
			return strings.Join(parts, join[0].(string))
		}
		object := map[string]any{}
		for k, e := range v {
			object[k] = longNames(e)
		}
		return object
	}
	return value
}

// Without a URL nobody can call the function web, and neither the manager nor
// chef-sync-ctl knows it.
func TestTheURLOfTheReleasedTemplateIsConditional(t *testing.T) {
	var document struct {
		Resources, Outputs map[string]struct {
			Type, Condition string
			Properties      map[string]any
		}
	}
	if err := json.Unmarshal([]byte(synthesizeTemplate(t).text), &document); err != nil {
		t.Fatal(err)
	}
	conditional := map[string][]string{}
	for id, r := range document.Resources {
		if r.Condition != "" {
			conditional[r.Condition] = append(conditional[r.Condition], r.Type)
		}
		if r.Type == "AWS::Lambda::Permission" && r.Properties["Principal"] == "*" && r.Condition != "HasUrl" {
			t.Errorf("%s lets anybody call without a URL", id)
		}
	}
	for name, o := range document.Outputs {
		if o.Condition != "" {
			conditional[o.Condition] = append(conditional[o.Condition], name)
		}
	}
	for _, list := range conditional {
		slices.Sort(list)
	}
	want := map[string][]string{
		"HasUrl":        {"AWS::Lambda::Permission", "AWS::Lambda::Permission", "AWS::Lambda::Url", "ChangesUrl", "WebFunction", "WebLog"},
		"HasAlarmEmail": {"AWS::SNS::Subscription"},
		"HasSubnets":    {"AWS::IAM::ManagedPolicy"},
	}
	if diff := cmp.Diff(want, conditional); diff != "" {
		t.Errorf("conditions (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(cloud.OutputNames(), slices.Sorted(maps.Keys(document.Outputs))); diff != "" {
		t.Errorf("outputs (-wanted +there):\n%s", diff)
	}
}

func TestTheManagerChecksConfigurationsAgainstTheParameters(t *testing.T) {
	s := synthesizeTemplate(t)
	s.wantResource(t, cloud.ConfigurationResource, map[string]any{
		"Bucket": map[string]any{"Ref": "ArtifactBucket"}, "Key": map[string]any{"Ref": "ConfigurationKey"},
		cloud.TimeoutProperty: map[string]any{"Ref": "Timeout"}, cloud.AlarmAgeProperty: map[string]any{"Ref": "AlarmAge"},
	})
	s.wantResource(t, "AWS::IAM::Role", map[string]any{"Policies": []any{map[string]any{"PolicyName": "rights", "PolicyDocument": map[string]any{
		"Statement": assertions.Match_ArrayWith(&[]any{assertions.Match_ObjectLike(&map[string]any{"Action": "s3:GetObject", "Resource": assertions.Match_ArrayWith(&[]any{
			map[string]any{"Fn::Join": []any{"", []any{"arn:", map[string]any{"Ref": "AWS::Partition"}, ":s3:::", map[string]any{"Ref": "ArtifactBucket"}, "/config/*.toml"}}},
		})})})}}}})
}

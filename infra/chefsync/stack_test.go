//go:build infra

package chefsync

import (
	"encoding/json"
	"maps"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/aws/aws-cdk-go/awscdk/v2/assertions"
	"github.com/aws/jsii-runtime-go"
	"github.com/google/go-cmp/cmp"

	"chefsync/pkg/cloud"
	"chefsync/pkg/store/dynamo"
)

func TestTheTableHasTheKeysOfTheStore(t *testing.T) {
	s := mustSynthesize(t, exampleConfig(t))
	want := dynamo.Definition()
	s.wantResource(t, "AWS::DynamoDB::Table", map[string]any{
		"KeySchema": []any{
			map[string]any{"AttributeName": want.PartitionKey, "KeyType": "HASH"},
			map[string]any{"AttributeName": want.SortKey, "KeyType": "RANGE"},
		},
		"AttributeDefinitions": []any{
			map[string]any{"AttributeName": want.PartitionKey, "AttributeType": "S"},
			map[string]any{"AttributeName": want.SortKey, "AttributeType": "S"},
		},
		"TimeToLiveSpecification":          map[string]any{"AttributeName": want.TTLAttribute, "Enabled": true},
		"BillingMode":                      "PAY_PER_REQUEST",
		"PointInTimeRecoverySpecification": map[string]any{"PointInTimeRecoveryEnabled": true},
		"DeletionProtectionEnabled":        true,
	})
}

func TestTheBucketIsPrivateAndOnlyStagedFilesExpire(t *testing.T) {
	s := mustSynthesize(t, exampleConfig(t))
	s.wantResource(t, "AWS::S3::Bucket", map[string]any{
		"PublicAccessBlockConfiguration": map[string]any{"BlockPublicAcls": true, "BlockPublicPolicy": true, "IgnorePublicAcls": true, "RestrictPublicBuckets": true},
		"BucketEncryption":               assertions.Match_AnyValue(),
		"VersioningConfiguration":        map[string]any{"Status": "Enabled"},
	})
	s.wantResource(t, "AWS::S3::BucketPolicy", map[string]any{"PolicyDocument": map[string]any{"Statement": assertions.Match_ArrayWith(&[]any{
		assertions.Match_ObjectLike(&map[string]any{"Effect": "Deny", "Action": "s3:*", "Condition": map[string]any{"Bool": map[string]any{"aws:SecureTransport": "false"}}}),
	})}})
	bucket := s.parseTemplate(t).findResource(t, "AWS::S3::Bucket", "Bucket")
	rules := bucket.Properties["LifecycleConfiguration"].(map[string]any)["Rules"].([]any)
	uploads := false
	for _, r := range rules {
		rule := r.(map[string]any)
		if days, expires := rule["ExpirationInDays"]; expires && (rule["Prefix"] != cloud.StagePrefix || days != 7.0) {
			t.Errorf("rule %v lets something expire", rule)
		}
		uploads = uploads || rule["AbortIncompleteMultipartUpload"] != nil && rule["Prefix"] == nil
	}
	if !uploads {
		t.Error("uploads that broke off stay forever")
	}
}

func TestDataIsRetainedWhenTheStackIsRemoved(t *testing.T) {
	d := mustSynthesize(t, exampleConfig(t)).parseTemplate(t)
	for _, kind := range []string{"AWS::DynamoDB::Table", "AWS::S3::Bucket"} {
		if p := d.findResource(t, kind, "").DeletionPolicy; p != "Retain" {
			t.Errorf("%s: %s", kind, p)
		}
	}
}

func TestDataIsDeletedWithADestroyedStack(t *testing.T) {
	s := mustSynthesize(t, addLines(exampleConfig(t), "[aws]", `removal = "destroy"`))
	for id, r := range s.parseTemplate(t).Resources {
		if r.DeletionPolicy == "Retain" {
			t.Errorf("%s stays", id)
		}
	}
	s.wantResource(t, "AWS::DynamoDB::Table", map[string]any{"DeletionProtectionEnabled": false})
	// CloudFormation deletes no bucket that isn't empty: the manager empties it.
	s.wantResource(t, cloud.ConfigurationResource, map[string]any{"EmptyBucket": map[string]any{"Fn::GetAtt": []any{assertions.Match_AnyValue(), "Arn"}}})
	mustSynthesize(t, exampleConfig(t)).wantResource(t, cloud.ConfigurationResource, map[string]any{"EmptyBucket": assertions.Match_Absent()})
}

func TestMemoryAndTimeoutsOfFunctions(t *testing.T) {
	s := mustSynthesize(t, exampleConfig(t))
	s.wantCount(t, "AWS::Lambda::Function", 4)
	for name, timeout := range map[string]int{"sync": 600, "changes": 600, "web": 60, "manager": 300} {
		s.wantResource(t, "AWS::Lambda::Function", map[string]any{
			"FunctionName": "chef-sync-" + name, "Runtime": "provided.al2023", "Architectures": []any{"arm64"}, "MemorySize": 256, "Timeout": timeout,
			"LoggingConfig":                map[string]any{"LogFormat": "JSON", "SystemLogLevel": "WARN", "ApplicationLogLevel": "INFO", "LogGroup": assertions.Match_AnyValue()},
			"ReservedConcurrentExecutions": assertions.Match_Absent(), "VpcConfig": assertions.Match_Absent(),
		})
		s.wantResource(t, "AWS::Logs::LogGroup", map[string]any{"LogGroupName": "/aws/lambda/chef-sync-" + name, "RetentionInDays": 30})
	}
	s.wantCount(t, "AWS::Logs::LogGroup", 4)
	runAssertions(t, func() {
		s.template.AllResourcesProperties(jsii.String("AWS::Lambda::EventInvokeConfig"), map[string]any{
			"MaximumRetryAttempts": 0, "MaximumEventAgeInSeconds": 60, "DestinationConfig": map[string]any{"OnFailure": map[string]any{"Destination": assertions.Match_AnyValue()}},
		})
	})
	s.wantCount(t, "AWS::Lambda::EventInvokeConfig", 4)
}

// Functions are told what they need by the words of pkg/cloud.
func TestFunctionsHaveTheVariablesTheyNeed(t *testing.T) {
	d := mustSynthesize(t, exampleConfig(t)).parseTemplate(t)
	for name, want := range map[string][]string{
		"Sync":    {"Stack", "Table", "Bucket"},
		"Changes": {"Stack", "Table", "Bucket", "SyncFunction"},
		"Web":     {"Stack", "Table", "Bucket", "SyncFunction"},
		"Manager": {"Stack", "Table", "Bucket", "SyncFunction", "ChangesFunction", "WebFunction"},
	} {
		var vars []string
		for _, w := range want {
			vars = append(vars, cloud.EnvName(w))
		}
		slices.Sort(vars)
		env := d.findResource(t, "AWS::Lambda::Function", name).Properties["Environment"].(map[string]any)["Variables"].(map[string]any)
		if got := slices.Sorted(maps.Keys(env)); !slices.Equal(got, vars) {
			t.Errorf("%s is told %v, want %v", name, got, vars)
		}
	}
}

func TestOutputsAreThoseThatTheCommandLineReads(t *testing.T) {
	d := mustSynthesize(t, exampleConfig(t)).parseTemplate(t)
	if diff := cmp.Diff(cloud.OutputNames(), slices.Sorted(maps.Keys(d.Outputs))); diff != "" {
		t.Errorf("outputs (-wanted +there):\n%s", diff)
	}
	for line, prefixes := range map[string][]string{"journal = false": {"Changes", "Web"}, "journal_url = false": {"Web"}} {
		for name := range mustSynthesize(t, addLines(exampleConfig(t), "[aws]", line)).parseTemplate(t).Outputs {
			if slices.ContainsFunc(prefixes, func(p string) bool { return strings.HasPrefix(name, p) }) {
				t.Errorf("a stack with %s has the output %s", line, name)
			}
		}
	}
}

func TestTheRuleInvokesTheManagerEachMinute(t *testing.T) {
	s := mustSynthesize(t, exampleConfig(t))
	s.wantCount(t, "AWS::Events::Rule", 1)
	s.wantResource(t, "AWS::Events::Rule", map[string]any{
		"Name": "chef-sync-dispatch", "ScheduleExpression": "rate(1 minute)", "State": "ENABLED",
		"Targets": []any{map[string]any{"Id": "manager", "Arn": assertions.Match_AnyValue(), "Input": `{"task":"dispatch"}`,
			"RetryPolicy": map[string]any{"MaximumRetryAttempts": 1, "MaximumEventAgeInSeconds": 60}}},
	})
	s.wantResource(t, "AWS::Lambda::Permission", map[string]any{"Principal": "events.amazonaws.com", "Action": "lambda:InvokeFunction",
		"SourceArn": map[string]any{"Fn::GetAtt": []any{"Dispatch", "Arn"}}})
}

// Its first turn would fail without a configuration, and its last would start what has
// just been removed.
func TestTheRuleDependsOnTheConfiguration(t *testing.T) {
	rule := mustSynthesize(t, exampleConfig(t)).parseTemplate(t).findResource(t, "AWS::Events::Rule", "")
	if after, _ := rule.DependsOn.([]any); !slices.Contains(after, any("Configuration")) {
		t.Errorf("the rule only waits for %v", rule.DependsOn)
	}
}

// Emulators know neither alarms on an expression nor CDK's own functions, which need
// Node and its SDK.
func TestEmulatorsCanDeployTheStack(t *testing.T) {
	for name, s := range synthesizeAll(t) {
		for id, r := range s.parseTemplate(t).Resources {
			switch {
			case r.Type == "AWS::Lambda::Function" && r.Properties["Runtime"] != "provided.al2023":
				t.Errorf("%s: %s runs on %v", name, id, r.Properties["Runtime"])
			case r.Type == "AWS::CloudWatch::Alarm" && r.Properties["Metrics"] != nil:
				t.Errorf("%s: %s is on an expression", name, id)
			case strings.HasPrefix(r.Type, "Custom::") && r.Type != cloud.ConfigurationResource:
				t.Errorf("%s: %s is a %s", name, id, r.Type)
			}
		}
	}
}

// The URL has a separate function, so that requests can't use up the concurrency of
// scans.
func TestTheURLIsPublicAndOptional(t *testing.T) {
	open := mustSynthesize(t, exampleConfig(t))
	open.wantResource(t, "AWS::Lambda::Url", map[string]any{"AuthType": "NONE", "TargetFunctionArn": map[string]any{
		"Fn::GetAtt": []any{assertions.Match_StringLikeRegexp(jsii.String("^Web")), "Arn"}}})
	nobody := strings.Replace(exampleConfig(t), `token = "secretsmanager:chef-sync/collector-token"`, "", 1)
	for name, text := range map[string]string{
		"closed": addLines(exampleConfig(t), "[aws]", "journal_url = false"), "no change log": addLines(exampleConfig(t), "[aws]", "journal = false"), "no token": nobody,
	} {
		s := mustSynthesize(t, text)
		s.wantCount(t, "AWS::Lambda::Url", 0)
		s.wantCount(t, "AWS::Lambda::Permission", 1) // the rule's
		for _, word := range []string{"Refused", "chef-sync-refused", "chef-sync-web", "FunctionConcurrency"} {
			if strings.Contains(s.text, word) {
				t.Errorf("%s: the template names %s", name, word)
			}
		}
	}
}

func TestWithoutAChangeLogItHasNoResources(t *testing.T) {
	s := mustSynthesize(t, addLines(exampleConfig(t), "[primary]", `feed = "updated_since"`))
	s.wantCount(t, "AWS::Lambda::Function", 2)
	if strings.Contains(s.text, "chef-sync-changes") || strings.Contains(s.text, "CHANGES") {
		t.Error("something of the function changes is left")
	}
}

func TestAlarmsAreMailedIfThereIsAnAddress(t *testing.T) {
	s := mustSynthesize(t, exampleConfig(t))
	s.wantCount(t, "AWS::CloudWatch::Alarm", 14)
	s.wantResource(t, "AWS::SNS::Subscription", map[string]any{"Protocol": "email", "Endpoint": "chef@example.com"})
	runAssertions(t, func() {
		s.template.AllResourcesProperties(jsii.String("AWS::CloudWatch::Alarm"), map[string]any{"AlarmActions": assertions.Match_AnyValue(), "OKActions": assertions.Match_AnyValue()})
	})
	s.wantResource(t, "AWS::SNS::TopicPolicy", map[string]any{"PolicyDocument": map[string]any{"Statement": assertions.Match_ArrayWith(&[]any{
		assertions.Match_ObjectLike(&map[string]any{"Effect": "Allow", "Action": "sns:Publish", "Principal": map[string]any{"Service": "cloudwatch.amazonaws.com"}}),
	})}})
	nobody := mustSynthesize(t, strings.Replace(exampleConfig(t), `alarm_email = "chef@example.com"`, "", 1))
	nobody.wantCount(t, "AWS::CloudWatch::Alarm", 14)
	nobody.wantCount(t, "AWS::SNS::Topic", 0)
}

func TestAMissingManagerRaisesAnAlarm(t *testing.T) {
	mustSynthesize(t, addLines(exampleConfig(t), "[aws]", `alarm_age = "2h"`)).wantResource(t, "AWS::CloudWatch::Alarm", map[string]any{
		"AlarmName": "chef-sync-age", "Namespace": "ChefSync", "MetricName": "OldestGoodPassAge", "Threshold": 7200, "TreatMissingData": "breaching",
		"Dimensions": []any{map[string]any{"Name": "Stack", "Value": "chef-sync"}},
	})
}

func TestAnUnreadPrimaryRaisesAnAlarm(t *testing.T) {
	mustSynthesize(t, addLines(exampleConfig(t), "[aws]", `alarm_age = "2h"`)).wantResource(t, "AWS::CloudWatch::Alarm", map[string]any{
		"AlarmName": "chef-sync-scan", "Namespace": "ChefSync", "MetricName": "OldestGoodScanAge", "Threshold": 7200,
	})
	if text := mustSynthesize(t, addLines(exampleConfig(t), "[aws]", "journal = false")).text; strings.Contains(text, "chef-sync-scan\"") {
		t.Error("scans are watched that nobody does")
	}
}

func TestAlarmsNeedSeveralSamplesOfOneMetric(t *testing.T) {
	d := mustSynthesize(t, exampleConfig(t)).parseTemplate(t)
	watched := map[string]string{}
	for id, r := range d.Resources {
		if r.Type != "AWS::CloudWatch::Alarm" {
			continue
		}
		metric, _ := r.Properties["MetricName"].(string)
		if metric == "" {
			t.Errorf("%s is on an expression, which not every emulator knows", id)
		}
		watched[r.Properties["AlarmName"].(string)] = metric
		if of, in := r.Properties["DatapointsToAlarm"].(float64), r.Properties["EvaluationPeriods"].(float64); of < 2 || of > in {
			t.Errorf("%s rings after %v samples of %v", id, of, in)
		}
	}
	want := map[string]string{
		"chef-sync-age": "OldestGoodPassAge", "chef-sync-scan": "OldestGoodScanAge", "chef-sync-waiting": "Waiting", "chef-sync-unsynced": "Unsynced", "chef-sync-refused": "Refused",
		// What arrives, not what lies there: else somebody would have to purge the queue.
		"chef-sync-dead-letters": "NumberOfMessagesSent",
	}
	for _, f := range []string{"sync", "manager", "changes", "web"} {
		want["chef-sync-errors-"+f], want["chef-sync-throttles-"+f] = "Errors", "Throttles"
	}
	if diff := cmp.Diff(want, watched); diff != "" {
		t.Errorf("alarms (-want +there):\n%s", diff)
	}
}

// An alarm on a metric that nobody writes rings never, or always.
func TestAlarmsAndDashboardUseMetricsThatFunctionsWrite(t *testing.T) {
	s := mustSynthesize(t, exampleConfig(t))
	var written []string
	for _, names := range cloud.MetricNames() {
		written = append(written, names...)
	}
	slices.Sort(written)
	var watched []string
	watch := regexp.MustCompile(`"Dimensions":\[(\{[^]]*\})\],"MetricName":"([^"]*)","Namespace":"ChefSync"`)
	shown := regexp.MustCompile(`\["ChefSync","([^"]*)","([^"]*)","([^"]*)"`)
	for _, r := range s.parseTemplate(t).Resources {
		properties, err := json.Marshal(r.Properties)
		if err != nil {
			t.Fatal(err)
		}
		text := strings.ReplaceAll(string(properties), `\"`, `"`)
		for _, m := range watch.FindAllStringSubmatch(text, -1) {
			if m[1] != `{"Name":"Stack","Value":"chef-sync"}` {
				t.Errorf("%s is watched by %s", m[2], m[1])
			}
			watched = append(watched, m[2])
		}
		for _, m := range shown.FindAllStringSubmatch(text, -1) {
			if m[2] != cloud.MetricDimension || m[3] != "chef-sync" {
				t.Errorf("%s is shown by %s %s", m[1], m[2], m[3])
			}
			watched = append(watched, m[1])
		}
	}
	slices.Sort(watched)
	// All are shown or watched, too: each costs money.
	if diff := cmp.Diff(written, slices.Compact(watched)); diff != "" {
		t.Errorf("metrics (-written +watched):\n%s", diff)
	}
}

func TestResourcesAreTagged(t *testing.T) {
	s := mustSynthesize(t, exampleConfig(t))
	none := []string{"AWS::S3::BucketPolicy", "AWS::SQS::QueuePolicy", "AWS::SNS::TopicPolicy", "AWS::SNS::Subscription", "AWS::Lambda::EventInvokeConfig",
		"AWS::Lambda::Url", "AWS::Lambda::Permission", "AWS::CloudWatch::Dashboard", cloud.ConfigurationResource}
	for id, r := range s.parseTemplate(t).Resources {
		tags, _ := r.Properties["Tags"].([]any)
		tagged := slices.ContainsFunc(tags, func(tag any) bool { return cmp.Equal(tag, map[string]any{"Key": "team", "Value": "chef"}) })
		if tagged == slices.Contains(none, r.Type) {
			t.Errorf("%s, %s: tags %v", id, r.Type, tags)
		}
	}
}

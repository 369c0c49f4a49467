//go:build infra

package chefsync

import (
	"encoding/json"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// The last version with a schedule for each pair deployed this template: commit 61f3f4a,
// for chef-sync.toml without a region and with journal_url = false.
const previousTemplate = "../testdata/previous.template.json"

// TestAnUpgradeRemovesTheSchedules: what a template doesn't have any more, CloudFormation
// deletes, and the schedules of pairs with their group; see infra/README.md.
func TestAnUpgradeRemovesTheSchedules(t *testing.T) {
	isSchedule := func(r resource) bool {
		properties, err := json.Marshal(r.Properties)
		if err != nil {
			t.Fatal(err)
		}
		return strings.HasPrefix(r.Type, "AWS::Scheduler::") || r.Type == "AWS::IAM::Role" && strings.Contains(string(properties), "scheduler.amazonaws.com")
	}
	before := 0
	for _, r := range readPreviousTemplate(t).Resources {
		if isSchedule(r) {
			before++
		}
	}
	if before != 5 {
		t.Fatalf("the previous version had %d resources for schedules, want a group, a schedule, two roles, and one that may pass a role", before)
	}
	for name, s := range synthesizeAll(t) {
		for id, r := range s.parseTemplate(t).Resources {
			if isSchedule(r) {
				t.Errorf("%s: %s is a %s for schedules", name, id, r.Type)
			}
		}
	}
}

// TestAnUpgradeKeepsTheData: a resource with another logical id, type or key property would
// be made again, without what the one before held.
func TestAnUpgradeKeepsTheData(t *testing.T) {
	keys := map[string][]string{
		"AWS::DynamoDB::Table":          {"TableName", "KeySchema", "AttributeDefinitions"},
		"AWS::S3::Bucket":               {"BucketName"},
		"AWS::SQS::Queue":               {"QueueName"},
		"AWS::Logs::LogGroup":           {"LogGroupName"},
		"AWS::Lambda::Function":         {"FunctionName"},
		"AWS::SNS::Topic":               {"TopicName"},
		"Custom::ChefSyncConfiguration": {"ServiceToken"},
	}
	now := mustSynthesize(t, exampleConfig(t)).parseTemplate(t)
	kept := 0
	for id, before := range readPreviousTemplate(t).Resources {
		properties, holdsData := keys[before.Type]
		if !holdsData {
			continue
		}
		kept++
		after := now.Resources[id]
		if after.Type != before.Type {
			t.Errorf("%s was a %s and is a %q", id, before.Type, after.Type)
		}
		for _, name := range properties {
			if diff := cmp.Diff(before.Properties[name], after.Properties[name]); diff != "" {
				t.Errorf("%s of %s (-before +now):\n%s", name, id, diff)
			}
		}
	}
	if kept < len(keys) {
		t.Errorf("the previous version had %d resources of %d types", kept, len(keys))
	}
}

func readPreviousTemplate(t *testing.T) (d parsedTemplate) {
	t.Helper()
	text, err := os.ReadFile(previousTemplate)
	if err == nil {
		err = json.Unmarshal(text, &d)
	}
	if err != nil {
		t.Fatal(err)
	}
	return d
}

package main

import (
	"maps"
	"slices"

	"github.com/aws/aws-cdk-go/awscdk/v2"
	"github.com/aws/jsii-runtime-go"
)

// addOutputs adds the outputs that the command line reads, named as in
// cloud.OutputNames. Parts that a stack doesn't have have no output.
func (s *stack) addOutputs() {
	outputs := map[string]*string{
		"Table":           s.table.TableName(),
		"Bucket":          s.bucket.BucketName(),
		"SyncFunction":    s.sync.FunctionName(),
		"SyncLog":         s.sync.logs.LogGroupName(),
		"ManagerFunction": s.manager.FunctionName(),
		"ManagerLog":      s.manager.logs.LogGroupName(),
		"DeadLetters":     s.deadLetters.QueueUrl(),
	}
	if s.changes != nil {
		outputs["ChangesFunction"] = s.changes.FunctionName()
		outputs["ChangesLog"] = s.changes.logs.LogGroupName()
	}
	if s.web != nil {
		outputs["WebFunction"] = s.web.FunctionName()
		outputs["WebLog"] = s.web.logs.LogGroupName()
		outputs["ChangesUrl"] = s.url.Url()
	}
	for _, name := range slices.Sorted(maps.Keys(outputs)) {
		awscdk.NewCfnOutput(s.scope, jsii.String("Output"+name), &awscdk.CfnOutputProps{Value: outputs[name]}).OverrideLogicalId(jsii.String(name))
	}
}

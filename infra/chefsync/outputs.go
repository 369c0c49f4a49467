package chefsync

import (
	"maps"
	"slices"

	"github.com/aws/aws-cdk-go/awscdk/v2"
	"github.com/aws/jsii-runtime-go"
)

// addOutputs adds the outputs that the command line reads, named as in
// cloud.OutputNames. Parts that a stack doesn't have have no output.
func (s *ChefSync) addOutputs() {
	outputs := map[string]*string{
		"Table":           s.Table.TableName(),
		"Bucket":          s.Bucket.BucketName(),
		"SyncFunction":    s.sync.FunctionName(),
		"SyncLog":         s.sync.logs.LogGroupName(),
		"ManagerFunction": s.manager.FunctionName(),
		"ManagerLog":      s.manager.logs.LogGroupName(),
		"DeadLetters":     s.DeadLetters.QueueUrl(),
	}
	if s.changes != nil {
		outputs["ChangesFunction"] = s.changes.FunctionName()
		outputs["ChangesLog"] = s.changes.logs.LogGroupName()
	}
	if s.web != nil {
		outputs["WebFunction"] = s.web.FunctionName()
		outputs["WebLog"] = s.web.logs.LogGroupName()
		outputs["ChangesUrl"] = s.URL.Url()
	}
	s.outputs = map[string]awscdk.CfnOutput{}
	for _, name := range slices.Sorted(maps.Keys(outputs)) {
		s.outputs[name] = awscdk.NewCfnOutput(s.Construct, jsii.String("Output"+name), &awscdk.CfnOutputProps{Value: outputs[name]})
		s.outputs[name].OverrideLogicalId(&name)
	}
}

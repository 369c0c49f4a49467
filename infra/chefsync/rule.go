package chefsync

import (
	"encoding/json"
	"fmt"

	"github.com/aws/aws-cdk-go/awscdk/v2"
	"github.com/aws/aws-cdk-go/awscdk/v2/awsevents"
	"github.com/aws/aws-cdk-go/awscdk/v2/awslambda"
	"github.com/aws/aws-cdk-go/awscdk/v2/awssqs"
	"github.com/aws/constructs-go/constructs/v10"
	"github.com/aws/jsii-runtime-go"

	"chefsync/pkg/cloud"
)

// addDeadLetters adds the queue of events that were not delivered or failed. No event is
// lost, since the manager sends it again; the queue is for operators.
func (s *ChefSync) addDeadLetters() {
	encryption := awssqs.QueueEncryption_SQS_MANAGED
	if s.key != nil {
		encryption = awssqs.QueueEncryption_KMS
	}
	s.DeadLetters = awssqs.NewQueue(s.Construct, jsii.String("DeadLetters"), &awssqs.QueueProps{
		EnforceSSL: jsii.Bool(true),
		Encryption: encryption, EncryptionMasterKey: s.key,
		RetentionPeriod: awscdk.Duration_Days(jsii.Number(14)),
	})
}

// addRule adds the rule that invokes the manager, which starts everything else. It
// depends on the configuration, without which the manager fails.
func (s *ChefSync) addRule(configuration constructs.IDependable) {
	event, err := json.Marshal(cloud.ManagerEvent{Task: cloud.TaskDispatch})
	if err != nil {
		panic(err) // of strings alone
	}
	rule := awsevents.NewCfnRule(s.Construct, jsii.String("Dispatch"), &awsevents.CfnRuleProps{
		Name:               s.resourceName("dispatch"),
		Description:        jsii.String("Fires the manager of " + s.aws.Stack),
		ScheduleExpression: jsii.String(fmt.Sprintf("rate(%.0f minute)", cloud.DispatchEvery.Minutes())),
		State:              jsii.String("ENABLED"),
		Targets: []any{&awsevents.CfnRule_TargetProperty{
			Id: jsii.String("manager"), Arn: s.manager.FunctionArn(), Input: jsii.String(string(event)),
			RetryPolicy: &awsevents.CfnRule_RetryPolicyProperty{
				MaximumEventAgeInSeconds: jsii.Number(eventAge.Seconds()), MaximumRetryAttempts: jsii.Number(1),
			},
		}},
	})
	rule.Node().AddDependency(configuration)
	// Not added to the manager, which the configuration, and so the rule, depends on.
	awslambda.NewCfnPermission(s.Construct, jsii.String("DispatchPermission"), &awslambda.CfnPermissionProps{
		Action: jsii.String("lambda:InvokeFunction"), FunctionName: s.manager.FunctionArn(),
		Principal: jsii.String("events.amazonaws.com"), SourceArn: rule.AttrArn(),
	})
}

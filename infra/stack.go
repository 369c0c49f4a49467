package main

import (
	"maps"
	"os"
	"slices"

	"github.com/aws/aws-cdk-go/awscdk/v2"
	"github.com/aws/aws-cdk-go/awscdk/v2/awsdynamodb"
	"github.com/aws/aws-cdk-go/awscdk/v2/awsiam"
	"github.com/aws/aws-cdk-go/awscdk/v2/awskms"
	"github.com/aws/aws-cdk-go/awscdk/v2/awslambda"
	"github.com/aws/aws-cdk-go/awscdk/v2/awss3"
	"github.com/aws/aws-cdk-go/awscdk/v2/awssns"
	"github.com/aws/aws-cdk-go/awscdk/v2/awssqs"
	"github.com/aws/constructs-go/constructs/v10"
	"github.com/aws/jsii-runtime-go"

	"chefsync/pkg/config"
)

// stack is the stack while it is put together. Each part is made by a method
// that needs those before it.
type stack struct {
	scope  awscdk.Stack
	config *config.Config
	aws    config.AWS
	code   map[string]string // folder of each function's bootstrap

	key         awskms.IKey // nil for keys that AWS owns
	table       awsdynamodb.Table
	bucket      awss3.Bucket
	deadLetters awssqs.Queue
	network     *awslambda.CfnFunction_VpcConfigProperty // nil outside a VPC
	sync        *function
	changes     *function // nil without a journal
	web         *function // nil without a URL of the journal
	manager     *function
	url         awslambda.FunctionUrl // nil if there is none
	topic       awssns.Topic          // nil if nobody wants to know
}

// newStack adds the stack of a configuration to an app.
func newStack(app awscdk.App, c *config.Config, code map[string]string) *stack {
	a := c.AWS
	s := &stack{config: c, aws: a, code: code}
	s.scope = awscdk.NewStack(app, jsii.String(a.Stack), &awscdk.StackProps{
		StackName:          jsii.String(a.Stack),
		Description:        jsii.String("Chef Replication: copies organizations of a Chef Server to others"),
		Env:                environment(a),
		AnalyticsReporting: jsii.Bool(false), // no CDKMetadata: the template says what is there and no more
	})
	for _, name := range slices.Sorted(maps.Keys(a.Tags)) {
		awscdk.Tags_Of(s.scope).Add(jsii.String(name), jsii.String(a.Tags[name]), &awscdk.TagProps{
			// Known to CDK, but not to every validator of templates.
			ExcludeResourceTypes: jsii.Strings("AWS::CloudWatch::Dashboard"),
		})
	}
	s.addKey()
	s.addTable()
	s.addBucket()
	s.addDeadLetters()
	s.addNetwork()
	s.addFunctions()
	configuration := s.addConfiguration()
	s.addRule(configuration)
	s.addTopic()
	s.addAlarms()
	s.addDashboard()
	s.addOutputs()
	if a.PermissionsBoundary != "" {
		awsiam.PermissionsBoundary_Of(s.scope).Apply(awsiam.ManagedPolicy_FromManagedPolicyArn(s.scope, jsii.String("Boundary"), jsii.String(a.PermissionsBoundary)))
	}
	s.checkRules()
	return s
}

// environment is the account and region. The account is whose credentials the
// cdk command has; without it the template fits any account.
func environment(a config.AWS) *awscdk.Environment {
	e := &awscdk.Environment{}
	if account := os.Getenv("CDK_DEFAULT_ACCOUNT"); account != "" {
		e.Account = &account
	}
	region := a.Region
	if region == "" {
		region = os.Getenv("CDK_DEFAULT_REGION")
	}
	if region != "" {
		e.Region = &region
	}
	return e
}

// removal is what happens to what holds data when the stack is removed.
func (s *stack) removal() awscdk.RemovalPolicy {
	if s.aws.Removal == config.Destroy {
		return awscdk.RemovalPolicy_DESTROY
	}
	return awscdk.RemovalPolicy_RETAIN
}

// name begins with the stack's, so that two stacks of an account don't collide.
func (s *stack) name(of string) *string { return jsii.String(s.aws.Stack + "-" + of) }

// dependOn makes a construct wait for others, which its properties don't mention.
func dependOn(c constructs.Construct, others ...constructs.IDependable) {
	c.Node().AddDependency(others...)
}

func stringsOf(values map[string]string) *map[string]*string {
	list := map[string]*string{}
	for k, v := range values {
		list[k] = jsii.String(v)
	}
	return &list
}

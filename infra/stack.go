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

// stack is the stack while it is built. Each part is added by a method that needs those
// before it.
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
	topic       awssns.Topic          // nil without alarm_email
}

// newStack adds the stack of a configuration to an app.
func newStack(app awscdk.App, c *config.Config, code map[string]string) *stack {
	a := c.AWS
	s := &stack{config: c, aws: a, code: code}
	s.scope = awscdk.NewStack(app, jsii.String(a.Stack), &awscdk.StackProps{
		StackName:          jsii.String(a.Stack),
		Description:        jsii.String("Chef Replication: copies organizations of a Chef Server to others"),
		Env:                deployEnvironment(a),
		AnalyticsReporting: jsii.Bool(false), // no resource CDKMetadata
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

// deployEnvironment returns the account and region. The account is that of the
// credentials of the cdk command; without it the template fits any account.
func deployEnvironment(a config.AWS) *awscdk.Environment {
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

// removalPolicy returns what happens to the data when the stack is removed.
func (s *stack) removalPolicy() awscdk.RemovalPolicy {
	if s.aws.Removal == config.Destroy {
		return awscdk.RemovalPolicy_DESTROY
	}
	return awscdk.RemovalPolicy_RETAIN
}

// resourceName returns a name that begins with that of the stack, so that two stacks of
// an account don't collide.
func (s *stack) resourceName(suffix string) *string { return jsii.String(s.aws.Stack + "-" + suffix) }

// dependOn adds dependencies that aren't in the properties of a construct.
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

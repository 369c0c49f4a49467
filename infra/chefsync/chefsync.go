// Package chefsync is the CDK construct of Chef Replication: a table, a bucket, the
// functions, the rule that fires them, alarms and a dashboard. New makes it for one
// configuration, and NewTemplate for all, with parameters.
package chefsync

import (
	"fmt"
	"maps"
	"slices"

	"github.com/aws/aws-cdk-go/awscdk/v2"
	"github.com/aws/aws-cdk-go/awscdk/v2/awsdynamodb"
	"github.com/aws/aws-cdk-go/awscdk/v2/awsiam"
	"github.com/aws/aws-cdk-go/awscdk/v2/awskms"
	"github.com/aws/aws-cdk-go/awscdk/v2/awslambda"
	"github.com/aws/aws-cdk-go/awscdk/v2/awss3"
	"github.com/aws/aws-cdk-go/awscdk/v2/awss3assets"
	"github.com/aws/aws-cdk-go/awscdk/v2/awssns"
	"github.com/aws/aws-cdk-go/awscdk/v2/awssqs"
	"github.com/aws/constructs-go/constructs/v10"
	"github.com/aws/jsii-runtime-go"
	"github.com/cdklabs/cdk-nag-go/cdknag/v2"

	"chefsync/infra/permissions"
	"chefsync/pkg/cloud"
	"chefsync/pkg/config"
)

// Props are the properties of a ChefSync.
type Props struct {
	// Config is the configuration; config.Loader reads it. Its table [aws] decides what
	// the construct consists of: memory, alarms, network, keys. The file that it was read
	// from is uploaded with the stack, and the functions read servers, organizations and
	// intervals from there. CheckAWS must accept it. Required.
	Config *config.Config
	// Code returns the code of a function, one of FunctionNames: an asset of a folder
	// or ZIP file with its program, named bootstrap, for provided.al2023 and the
	// architecture of the configuration. Required.
	Code func(function string) awslambda.Code
}

// ChefSync is the construct. Each part is added by a method that needs those before it.
type ChefSync struct {
	Construct   constructs.Construct
	Table       awsdynamodb.Table     // the records
	Bucket      awss3.Bucket          // staged files, and the configuration in use
	DeadLetters awssqs.Queue          // events that failed
	URL         awslambda.FunctionUrl // of the change log; nil if there is none
	Topic       awssns.Topic          // of the alarms; nil without alarm_email

	stack    awscdk.Stack
	config   *config.Config
	aws      config.AWS
	scope    permissions.Scope
	code     func(function string) awslambda.Code
	uploaded upload
	key      awskms.IKey                              // nil for keys that AWS owns
	network  *awslambda.CfnFunction_VpcConfigProperty // nil outside a VPC
	sync     *function
	changes  *function // nil without a change log
	web      *function // nil without a URL of the change log
	manager  *function
	outputs  map[string]awscdk.CfnOutput

	alarmAge     float64 // seconds, as the alarms' threshold
	alarmAgeText string
}

// upload is where a deployment uploads the configuration to.
type upload struct {
	bucket, key string
	folder      string // ARN of the bucket, and the path of all configurations in it
	properties  map[string]any
}

// New adds the construct to a stack, which must have the name that the configuration
// gives: chef-sync-ctl finds the stack, and the outputs in it, by this name. So a stack
// has one ChefSync. The logical ids of the resources are those of make deploy if the id
// is Default.
func New(scope constructs.Construct, id string, props *Props) *ChefSync {
	s := newConstruct(scope, id, props.Config)
	s.code = props.Code
	s.scope = permissions.ScopeOf(props.Config)
	if name := s.stack.StackName(); *name != s.aws.Stack {
		awscdk.Annotations_Of(s.Construct).AddError(jsii.String(fmt.Sprintf(
			"the stack is named %s, and %s in the configuration: give it this name, or write stack = %q under [aws]", *name, s.aws.Stack, *name)))
	}
	file := awss3assets.NewAsset(s.Construct, jsii.String("ConfigurationFile"), &awss3assets.AssetProps{Path: jsii.String(s.config.File)})
	s.uploaded = upload{bucket: *file.S3BucketName(), key: *file.S3ObjectKey(), folder: "arn:" + *s.stack.Partition() + ":s3:::" + s.assetBucket()}
	s.addParts()
	if s.aws.PermissionsBoundary != "" {
		boundary := awsiam.ManagedPolicy_FromManagedPolicyArn(s.Construct, jsii.String("Boundary"), jsii.String(s.aws.PermissionsBoundary))
		awsiam.PermissionsBoundary_Of(s.Construct).Apply(boundary)
	}
	for _, name := range slices.Sorted(maps.Keys(s.aws.Tags)) {
		awscdk.Tags_Of(s.Construct).Add(jsii.String(name), jsii.String(s.aws.Tags[name]), &awscdk.TagProps{
			// Known to CDK, but not to every validator of templates.
			ExcludeResourceTypes: jsii.Strings("AWS::CloudWatch::Dashboard"),
		})
	}
	return s
}

// NewStack adds a stack with a ChefSync and nothing else to an app, named as the
// configuration says. cdk-nag checks it whenever it is synthesized.
func NewStack(app awscdk.App, env *awscdk.Environment, props *Props) *ChefSync {
	a := props.Config.AWS
	stack := awscdk.NewStack(app, &a.Stack, &awscdk.StackProps{
		StackName: &a.Stack, Description: jsii.String(description), Env: env, Tags: stringsOf(a.Tags),
		AnalyticsReporting: jsii.Bool(false), // no resource CDKMetadata
	})
	awscdk.Aspects_Of(stack).Add(cdknag.NewAwsSolutionsChecks(nil), nil)
	return New(stack, "Default", props)
}

const description = "Chef Replication: copies organizations of a Chef Server to others"

// Stack returns the stack that the construct is in.
func (s *ChefSync) Stack() awscdk.Stack { return s.stack }

func newConstruct(scope constructs.Construct, id string, c *config.Config) *ChefSync {
	s := &ChefSync{Construct: constructs.NewConstruct(scope, &id), config: c, aws: c.AWS,
		alarmAge: c.AWS.AlarmAge.Seconds(), alarmAgeText: config.FormatDuration(c.AWS.AlarmAge)}
	s.stack = awscdk.Stack_Of(s.Construct)
	return s
}

func (s *ChefSync) addParts() {
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
	s.suppressFindings()
}

// FunctionNames returns the functions of a stack, which are named like the folders of
// functions/cmd.
func FunctionNames(a config.AWS) []string {
	names := []string{cloud.SyncFunction, cloud.ManagerFunction}
	if a.ChangeLog {
		names = append(names, cloud.ChangesFunction)
	}
	if a.ChangeLog && a.ChangeLogURL {
		names = append(names, cloud.WebFunction)
	}
	return names
}

// removalPolicy returns what happens to the data when the stack is removed.
func (s *ChefSync) removalPolicy() awscdk.RemovalPolicy {
	if s.aws.Removal == config.Destroy {
		return awscdk.RemovalPolicy_DESTROY
	}
	return awscdk.RemovalPolicy_RETAIN
}

// resourceName returns a name that begins with that of the stack, so that two stacks of
// an account don't collide.
func (s *ChefSync) resourceName(suffix string) *string {
	return jsii.String(s.aws.Stack + "-" + suffix)
}

func stringsOf(values map[string]string) *map[string]*string {
	list := map[string]*string{}
	for k, v := range values {
		list[k] = jsii.String(v)
	}
	return &list
}

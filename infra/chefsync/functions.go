package chefsync

import (
	"strings"
	"time"

	"github.com/aws/aws-cdk-go/awscdk/v2"
	"github.com/aws/aws-cdk-go/awscdk/v2/awsec2"
	"github.com/aws/aws-cdk-go/awscdk/v2/awsiam"
	"github.com/aws/aws-cdk-go/awscdk/v2/awslambda"
	"github.com/aws/aws-cdk-go/awscdk/v2/awslambdadestinations"
	"github.com/aws/aws-cdk-go/awscdk/v2/awslogs"
	"github.com/aws/jsii-runtime-go"

	"chefsync/infra/permissions"
	"chefsync/pkg/cloud"
	"chefsync/pkg/config"
)

// eventAge is how long EventBridge and Lambda try to deliver an event. The next run of
// the manager sends it again if it is still due.
const eventAge = time.Minute

// A run of the manager takes seconds. It has minutes, to empty a large bucket.
const (
	managerEvery   = cloud.ManagerEvery
	managerTimeout = managerEvery
	managerMemory  = 256
)

// webTimeout is that of requests from outside, whose senders don't wait longer.
const webTimeout = time.Minute

// function is a function with its own resources.
type function struct {
	awslambda.Function
	name string // without the stack's
	logs awslogs.LogGroup
	role awsiam.Role
}

// functionProps is the properties in which functions differ.
type functionProps struct {
	name, description string
	memory            int
	timeout           time.Duration
	concurrency       int  // 0 for as many as the account allows
	reachesServers    bool // joins the VPC, if there is one
	resources         cloud.Resources
	permissions       []permissions.Permission
}

func (s *ChefSync) addFunctions() {
	resources := cloud.Resources{Stack: s.aws.Stack, Table: *s.Table.TableName(), Bucket: *s.Bucket.BucketName()}
	s.sync = s.addFunction(functionProps{
		name: cloud.SyncFunction, description: "One pass for one pair",
		memory: s.aws.Memory, timeout: s.aws.Timeout, concurrency: s.aws.ReservedConcurrency, reachesServers: true,
		resources: resources, permissions: permissions.Sync(s.scope),
	})
	resources.Sync = *s.sync.FunctionName()
	if s.aws.ChangeLog {
		s.addChanges(resources)
	}
	s.addManager(resources)
}

// addChanges adds the function that scans for the change log, and the one that serves its
// URL, so that requests from outside can't use the concurrency or time of scans.
func (s *ChefSync) addChanges(resources cloud.Resources) {
	s.changes = s.addFunction(functionProps{
		name: cloud.ChangesFunction, description: "The change log of the primary's changes: scans",
		memory: s.aws.Memory, timeout: s.aws.Timeout, reachesServers: true,
		resources: resources, permissions: permissions.Changes(s.scope),
	})
	if s.aws.ChangeLogURL {
		s.addWeb(resources)
	}
}

// addWeb adds the function of the change log's URL. The URL is public, since a Chef Server
// can't sign requests for AWS: the function refuses pushes without the token and reads
// without the signature of a Chef Server's user, and counts refusals. The manager
// reserves its concurrency, if the account can.
func (s *ChefSync) addWeb(resources cloud.Resources) {
	s.web = s.addFunction(functionProps{
		name: cloud.WebFunction, description: "The change log's URL: pushes, updated_since",
		memory: s.aws.Memory, timeout: webTimeout, reachesServers: true,
		resources: resources, permissions: permissions.Web(s.scope),
	})
	s.URL = s.web.AddFunctionUrl(&awslambda.FunctionUrlOptions{AuthType: awslambda.FunctionUrlAuthType_NONE})
}

// addManager adds the manager. It calls only AWS, so it isn't in the VPC, whose subnets
// may have no route to CloudFormation.
func (s *ChefSync) addManager(resources cloud.Resources) {
	if s.changes != nil {
		resources.Changes = *s.changes.FunctionName()
	}
	if s.web != nil {
		resources.Web = *s.web.FunctionName()
	}
	s.manager = s.addFunction(functionProps{
		name: cloud.ManagerFunction, description: "Starts passes and scans, and looks after all pairs",
		memory: managerMemory, timeout: managerTimeout,
		resources: resources, permissions: permissions.Manager(s.scope),
	})
}

// addFunction adds a function. It isn't traced by X-Ray: a pass is one function that calls
// Chef Servers, its log has more details, and traces would cost more than the polls.
func (s *ChefSync) addFunction(p functionProps) *function {
	id := strings.ToUpper(p.name[:1]) + p.name[1:]
	log := "/aws/lambda/" + *s.resourceName(p.name)
	f := &function{name: p.name, logs: awslogs.NewLogGroup(s.Construct, jsii.String(id+"Log"), &awslogs.LogGroupProps{
		LogGroupName: &log, EncryptionKey: s.key,
		// A log group that remained would conflict with the next deployment of the stack.
		RemovalPolicy: awscdk.RemovalPolicy_DESTROY,
	})}
	// CDK has an enum of days, CloudFormation the number itself.
	f.logs.Node().DefaultChild().(awslogs.CfnLogGroup).SetRetentionInDays(jsii.Number(s.aws.LogRetention.Hours() / 24))
	granted := p.permissions
	if p.reachesServers && s.network != nil {
		granted = append(granted, permissions.Network()...)
	}
	f.role = s.addRole(id+"Role", awsiam.NewServicePrincipal(jsii.String("lambda.amazonaws.com"), nil), granted, log)
	props := &awslambda.FunctionProps{
		FunctionName: s.resourceName(p.name),
		Description:  jsii.String(p.description),
		Runtime:      awslambda.Runtime_PROVIDED_AL2023(),
		Handler:      jsii.String("bootstrap"),
		Architecture: s.lambdaArchitecture(),
		Code:         s.code(p.name),
		MemorySize:   jsii.Number(float64(p.memory)),
		Timeout:      durationSeconds(p.timeout),
		Environment:  stringsOf(p.resources.Environment()),
		// The permissions are complete, so CDK adds nothing to the role.
		Role:     f.role.WithoutPolicyUpdates(nil),
		LogGroup: f.logs,
		// The log lines of Lambda for each call cost more than the calls.
		LoggingFormat:         awslambda.LoggingFormat_JSON,
		SystemLogLevelV2:      awslambda.SystemLogLevel_WARN,
		ApplicationLogLevelV2: s.logLevel(),
		RetryAttempts:         jsii.Number(0),
		MaxEventAge:           durationSeconds(eventAge),
		OnFailure:             awslambdadestinations.NewSqsDestination(s.DeadLetters),
	}
	if p.concurrency > 0 {
		props.ReservedConcurrentExecutions = jsii.Number(float64(p.concurrency))
	}
	f.Function = awslambda.NewFunction(s.Construct, jsii.String(id), props)
	if p.reachesServers && s.network != nil {
		f.Node().DefaultChild().(awslambda.CfnFunction).SetVpcConfig(s.network)
	}
	return f
}

// logLevel is never above INFO, at which Lambda would drop the lines that carry
// metrics.
func (s *ChefSync) logLevel() awslambda.ApplicationLogLevel {
	if s.config.LogLevel == "debug" {
		return awslambda.ApplicationLogLevel_DEBUG
	}
	return awslambda.ApplicationLogLevel_INFO
}

func (s *ChefSync) lambdaArchitecture() awslambda.Architecture {
	if s.aws.Architecture == config.X8664 {
		return awslambda.Architecture_X86_64()
	}
	return awslambda.Architecture_ARM_64()
}

// addNetwork sets the VPC of the functions that reach Chef Servers. It uses the
// properties of CloudFormation, since those of CDK need more details of the VPC.
func (s *ChefSync) addNetwork() {
	if len(s.aws.Subnets) == 0 {
		return
	}
	groups := jsii.Strings(s.aws.SecurityGroups...)
	if len(s.aws.SecurityGroups) == 0 {
		own := awsec2.NewCfnSecurityGroup(s.Construct, jsii.String("SecurityGroup"), &awsec2.CfnSecurityGroupProps{
			GroupDescription: jsii.String("Functions of " + s.aws.Stack + ": connections out, none in"),
			VpcId:            jsii.String(s.aws.VPC),
		})
		groups = &[]*string{own.AttrGroupId()}
	}
	s.network = &awslambda.CfnFunction_VpcConfigProperty{SubnetIds: jsii.Strings(s.aws.Subnets...), SecurityGroupIds: groups}
}

package chefsync

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/aws/aws-cdk-go/awscdk/v2"
	"github.com/aws/aws-cdk-go/awscdk/v2/awsiam"
	"github.com/aws/aws-cdk-go/awscdk/v2/awslambda"
	"github.com/aws/aws-cdk-go/awscdk/v2/awss3"
	"github.com/aws/constructs-go/constructs/v10"
	"github.com/aws/jsii-runtime-go"
	"github.com/cdklabs/cdk-nag-go/cdknag/v2"

	"chefsync/infra/permissions"
	"chefsync/pkg/cloud"
	"chefsync/pkg/config"
)

// UploadFolder is the folder of the artifact bucket that configurations are uploaded to.
const UploadFolder = "config"

// TemplateProps are the properties of a released template.
type TemplateProps struct {
	// Keys are the keys of the functions' ZIP files in the artifact bucket, by function.
	Keys map[string]string
	// Architecture is what the functions were built for.
	Architecture string
}

// NewTemplate adds a stack to an app whose template fits all configurations: it is
// released, and deployed without CDK. Parameters take the place of the table [aws]; what
// they can't do, deployments with New can: keys of one's own, another architecture,
// removal of the data, a security group. All functions are part of it; the URL of the
// change log and what needs it depend on a parameter. The roles may read secrets below the
// name of the stack, which config.TemplateStack lists.
func NewTemplate(app awscdk.App, props *TemplateProps) *ChefSync {
	stack := awscdk.NewStack(app, jsii.String("chef-sync"), &awscdk.StackProps{
		Description: jsii.String(description), AnalyticsReporting: jsii.Bool(false),
		Synthesizer: awscdk.NewDefaultStackSynthesizer(&awscdk.DefaultStackSynthesizerProps{GenerateBootstrapVersionRule: jsii.Bool(false)}),
	})
	stack.TemplateOptions().SetTemplateFormatVersion(jsii.String("2010-09-09")) // tools expect it
	awscdk.Aspects_Of(stack).Add(cdknag.NewAwsSolutionsChecks(nil), nil)
	name := *awscdk.Aws_STACK_NAME()
	defaults := templateDefaults()
	defaults.AWS.Stack, defaults.AWS.Architecture = name, props.Architecture
	p := addParameters(stack, defaults.AWS)
	defaults.AWS.AlarmEmail = *p.alarmEmail.ValueAsString()

	s := newConstruct(stack, "Default", defaults)
	s.alarmAge, s.alarmAgeText = *p.alarmAge.ValueAsNumber(), *p.alarmAge.ValueAsString()+" seconds"
	s.scope = permissions.TemplateScope(name)
	artifacts := *p.artifacts.ValueAsString()
	bucket := awss3.Bucket_FromBucketName(stack, jsii.String("Artifacts"), &artifacts)
	// The key of a ZIP file has the hash of its content.
	awscdk.Annotations_Of(stack).AcknowledgeWarning(jsii.String("@aws-cdk/aws-lambda:codeFromBucketObjectVersionNotSpecified"), nil)
	s.code = func(function string) awslambda.Code {
		return awslambda.Code_FromBucket(bucket, jsii.String(props.Keys[function]), nil)
	}
	s.uploaded = upload{
		bucket: artifacts, key: *p.configuration.ValueAsString(), folder: "arn:" + *stack.Partition() + ":s3:::" + artifacts + "/" + UploadFolder,
		properties: map[string]any{cloud.TimeoutProperty: p.timeout.ValueAsString(), cloud.AlarmAgeProperty: p.alarmAge.ValueAsString(),
			cloud.ProgramProperty: props.Keys[cloud.ManagerFunction]},
	}
	s.addParts()
	s.applyParameters(p)
	return s
}

// templateDefaults returns a configuration with the defaults of all keys of [aws].
func templateDefaults() *config.Config {
	c, err := config.Loader{}.Parse("the released template", []byte(
		"[primary]\nurl = \"https://primary.invalid\"\nuser = \"u\"\nkey = \"ssm:/key\"\n"+
			"[[replica]]\nname = \"r\"\nurl = \"https://replica.invalid\"\nuser = \"u\"\nkey = \"ssm:/key\"\n[[organization]]\nsource = \"o\"\n"))
	if err != nil {
		panic(err) // of a constant text
	}
	c.AWS.ChangeLog, c.AWS.ChangeLogURL = true, true
	return c
}

// parameters are the parameters of the template.
type parameters struct {
	artifacts, configuration                           awscdk.CfnParameter
	memory, timeout, concurrency                       awscdk.CfnParameter
	changeLogURL, alarmEmail, alarmAge                 awscdk.CfnParameter
	logRetention, logLevel                             awscdk.CfnParameter
	subnets, securityGroups                            awscdk.CfnParameter
	boundary                                           awscdk.CfnParameter
	hasURL, hasEmail, isBounded, isLimited, hasSubnets awscdk.CfnCondition
}

func addParameters(scope constructs.Construct, a config.AWS) parameters {
	add := func(name, kind string, fallback any, description string, limits awscdk.CfnParameterProps) awscdk.CfnParameter {
		limits.Type, limits.Default, limits.Description = &kind, fallback, &description
		return awscdk.NewCfnParameter(scope, &name, &limits)
	}
	number := func(name string, fallback, least, most float64, description string) awscdk.CfnParameter {
		return add(name, "Number", fallback, description, awscdk.CfnParameterProps{MinValue: &least, MaxValue: &most})
	}
	var days []*string
	for _, n := range config.RetentionDays() {
		days = append(days, jsii.String(fmt.Sprint(n)))
	}
	p := parameters{
		artifacts: add("ArtifactBucket", "String", nil, "The bucket with the functions' ZIP files and the configuration, in the stack's region",
			awscdk.CfnParameterProps{}),
		configuration: add("ConfigurationKey", "String", nil, "The key of chef-sync.toml in the bucket: "+UploadFolder+"/NAME.toml, another one for each content",
			awscdk.CfnParameterProps{AllowedPattern: jsii.String(UploadFolder + `/[^/]+\.toml`)}),
		memory:  number("Memory", float64(a.Memory), config.MinMemory, config.MaxMemory, "Of the functions that reach Chef Servers, in MiB"),
		timeout: number("Timeout", a.Timeout.Seconds(), config.MinTimeout.Seconds(), config.MaxTimeout.Seconds(), "How long a pass or a scan may run, in seconds"),
		concurrency: number("ReservedConcurrency", 0, 0, 1000,
			"How many passes may run at once, reserved from the account's concurrency; 0 for as many as the account allows"),
		changeLogURL: add("JournalUrl", "String", "false", "Whether the change log has a public URL, for pushed changes and updated_since",
			awscdk.CfnParameterProps{AllowedValues: jsii.Strings("true", "false")}),
		alarmEmail: add("AlarmEmail", "String", "", "The address that alarms are mailed to; empty for nobody", awscdk.CfnParameterProps{}),
		alarmAge: number("AlarmAge", a.AlarmAge.Seconds(), 600, 86400*30,
			"Alarms fire when a pair had no successful pass, or an organization no successful scan, for this many seconds"),
		logRetention: add("LogRetention", "Number", fmt.Sprint(a.LogRetention.Hours()/24), "How many days logs are kept",
			awscdk.CfnParameterProps{AllowedValues: &days}),
		logLevel: add("LogLevel", "String", "INFO", "Of the functions' logs",
			awscdk.CfnParameterProps{AllowedValues: jsii.Strings("DEBUG", "INFO")}),
		subnets: add("Subnets", "CommaDelimitedList", "", "For Chef Servers that only a private network reaches: subnets with a way to them and to AWS",
			awscdk.CfnParameterProps{}),
		securityGroups: add("SecurityGroups", "CommaDelimitedList", "", "Security groups of the functions in these subnets", awscdk.CfnParameterProps{}),
		boundary: add("PermissionsBoundary", "String", "", "The name of a policy of the account that limits all roles of the stack",
			awscdk.CfnParameterProps{}),
	}
	condition := func(name string, expression awscdk.ICfnRuleConditionExpression) awscdk.CfnCondition {
		return awscdk.NewCfnCondition(scope, &name, &awscdk.CfnConditionProps{Expression: expression})
	}
	isNot := func(value any, other string) awscdk.ICfnRuleConditionExpression {
		return awscdk.Fn_ConditionNot(awscdk.Fn_ConditionEquals(value, other))
	}
	p.hasURL = condition("HasUrl", awscdk.Fn_ConditionEquals(p.changeLogURL.ValueAsString(), "true"))
	p.hasEmail = condition("HasAlarmEmail", isNot(p.alarmEmail.ValueAsString(), ""))
	p.isLimited = condition("HasReservedConcurrency", isNot(p.concurrency.ValueAsString(), "0"))
	p.isBounded = condition("HasPermissionsBoundary", isNot(p.boundary.ValueAsString(), ""))
	p.hasSubnets = condition("HasSubnets", isNot(awscdk.Fn_Join(jsii.String(""), p.subnets.ValueAsList()), ""))
	return p
}

// applyParameters puts the parameters into the resources that were made with defaults.
func (s *ChefSync) applyParameters(p parameters) {
	network := s.addNetworkPolicy(p)
	for _, f := range s.allFunctions() {
		made := f.Node().DefaultChild().(awslambda.CfnFunction)
		made.AddPropertyOverride(jsii.String("LoggingConfig.ApplicationLogLevel"), ref(p.logLevel))
		f.logs.Node().DefaultChild().(awscdk.CfnResource).AddPropertyOverride(jsii.String("RetentionInDays"), ref(p.logRetention))
		role := f.role.Node().DefaultChild().(awscdk.CfnResource)
		role.AddPropertyOverride(jsii.String("PermissionsBoundary"), onlyIf(p.isBounded, map[string]any{
			"Fn::Sub": "arn:${AWS::Partition}:iam::${AWS::AccountId}:policy/${" + *p.boundary.Node().Id() + "}"}))
		if f == s.manager {
			made.AddPropertyOverride(jsii.String("Environment.Variables."+cloud.EnvName("WebFunction")), map[string]any{
				"Fn::If": []any{*p.hasURL.LogicalId(), *s.web.FunctionName(), ""}})
			continue
		}
		made.AddPropertyOverride(jsii.String("MemorySize"), ref(p.memory))
		if f != s.web {
			made.AddPropertyOverride(jsii.String("Timeout"), ref(p.timeout))
		}
		made.AddPropertyOverride(jsii.String("VpcConfig"), onlyIf(p.hasSubnets, map[string]any{
			"SubnetIds": ref(p.subnets), "SecurityGroupIds": ref(p.securityGroups)}))
		for _, rule := range []string{"F3031", "E1150"} {
			awscdk.Validations_Of(f.Function).Acknowledge(&awscdk.Acknowledgment{Id: jsii.String("CloudFormation-Validate::" + rule),
				Reason: jsii.String("security groups are empty by default, and used with subnets only")})
		}
		role.AddPropertyOverride(jsii.String("ManagedPolicyArns"), onlyIf(p.hasSubnets, []any{map[string]any{"Ref": network}}))
	}
	s.sync.Node().DefaultChild().(awscdk.CfnResource).AddPropertyOverride(jsii.String("ReservedConcurrentExecutions"), onlyIf(p.isLimited, ref(p.concurrency)))
	for _, c := range *s.web.Node().FindAll(constructs.ConstructOrder_PREORDER) {
		if made, ok := c.(awscdk.CfnResource); ok && slices.Contains([]string{"AWS::Lambda::Url", "AWS::Lambda::Permission"}, *made.CfnResourceType()) {
			made.CfnOptions().SetCondition(p.hasURL)
		}
	}
	for _, c := range *s.Topic.Node().FindAll(constructs.ConstructOrder_PREORDER) {
		if made, ok := c.(awscdk.CfnResource); ok && *made.CfnResourceType() == "AWS::SNS::Subscription" {
			made.CfnOptions().SetCondition(p.hasEmail)
		}
	}
	for name, output := range s.outputs {
		if name == "ChangesUrl" || strings.HasPrefix(name, "Web") {
			output.SetCondition(p.hasURL)
		}
	}
}

// ref refers to a parameter.
func ref(p awscdk.CfnParameter) map[string]any { return map[string]any{"Ref": *p.LogicalId()} }

// onlyIf is a value of a property that is left out unless a condition holds.
func onlyIf(c awscdk.CfnCondition, value any) map[string]any {
	return map[string]any{"Fn::If": []any{*c.LogicalId(), value, map[string]any{"Ref": "AWS::NoValue"}}}
}

// addNetworkPolicy adds the policy that roles need for functions in a VPC, and returns
// its logical id.
func (s *ChefSync) addNetworkPolicy(p parameters) string {
	granted := permissions.Network()
	policy := awsiam.NewManagedPolicy(s.Construct, jsii.String("NetworkPolicy"), &awsiam.ManagedPolicyProps{
		Description: jsii.String("Lets functions of Chef Replication join a VPC"), Statements: s.newStatements(granted, ""),
	})
	s.explainPatterns(policy, granted)
	made := policy.Node().DefaultChild().(awscdk.CfnResource)
	made.CfnOptions().SetCondition(p.hasSubnets)
	return *s.stack.GetLogicalId(made)
}

// RenderTemplate returns the text of a synthesized template, without what is for CDK
// alone: the reasons for cdk-nag. It is compact, since CloudFormation takes a
// template of up to 51,200 characters without an upload.
func RenderTemplate(template any) ([]byte, error) {
	text, err := json.Marshal(template)
	if err != nil {
		return nil, err
	}
	var document map[string]any
	if err := json.Unmarshal(text, &document); err != nil {
		return nil, err
	}
	resources, _ := document["Resources"].(map[string]any)
	for _, r := range resources {
		if made, ok := r.(map[string]any); ok {
			delete(made, "Metadata")
		}
	}
	var b bytes.Buffer
	encoder := json.NewEncoder(&b)
	encoder.SetEscapeHTML(false)
	err = encoder.Encode(document)
	return b.Bytes(), err
}

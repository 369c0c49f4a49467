package chefsync

import (
	"regexp"
	"strings"

	"github.com/aws/aws-cdk-go/awscdk/v2/awsiam"
	"github.com/aws/jsii-runtime-go"

	"chefsync/infra/permissions"
)

// addRole adds a role with permissions. Log is the name of the log group of its function.
func (s *ChefSync) addRole(id string, trusted awsiam.IPrincipal, granted []permissions.Permission, log string) awsiam.Role {
	role := awsiam.NewRole(s.Construct, jsii.String(id), &awsiam.RoleProps{
		AssumedBy: trusted,
		InlinePolicies: &map[string]awsiam.PolicyDocument{
			// The name in deployed stacks, where another one would change every role.
			"rights": awsiam.NewPolicyDocument(&awsiam.PolicyDocumentProps{Statements: s.newStatements(granted, log)}),
		},
	})
	s.explainPatterns(role, granted)
	return role
}

// newStatements returns the statements of a policy. Log is the name of a log group.
func (s *ChefSync) newStatements(granted []permissions.Permission, log string) *[]awsiam.PolicyStatement {
	var statements []awsiam.PolicyStatement
	for _, r := range granted {
		var resources []*string
		for _, pattern := range r.Resources {
			resources = append(resources, jsii.String(s.expandVariables(pattern, log)))
		}
		statements = append(statements, awsiam.NewPolicyStatement(&awsiam.PolicyStatementProps{
			Actions: jsii.Strings(r.Actions...), Resources: &resources, Conditions: s.expandConditions(r.Conditions),
		}))
	}
	return &statements
}

// expandVariables replaces the variables in a resource of a permission.
func (s *ChefSync) expandVariables(pattern, log string) string {
	variable := regexp.MustCompile(`\$\{([A-Za-z]+)(?::([a-z]+))?\}`)
	return variable.ReplaceAllStringFunc(pattern, func(text string) string {
		part := variable.FindStringSubmatch(text)
		switch part[1] {
		case "Here":
			return strings.Join([]string{*s.stack.Partition(), part[2], *s.stack.Region(), *s.stack.Account()}, ":")
		case "Region":
			return *s.stack.Region()
		case "Table":
			return *s.Table.TableArn()
		case "Bucket":
			return *s.Bucket.BucketArn()
		case "Assets":
			return s.uploaded.folder
		case "DeadLetters":
			return *s.DeadLetters.QueueArn()
		case "Log":
			return "arn:" + strings.Join([]string{*s.stack.Partition(), "logs", *s.stack.Region(), *s.stack.Account(), "log-group", log}, ":")
		case "SyncFunction":
			return *s.sync.FunctionArn()
		case "ChangesFunction":
			return *s.changes.FunctionArn()
		case "WebFunction":
			return *s.web.FunctionArn()
		}
		panic("no such variable of a permission: " + text)
	})
}

func (s *ChefSync) expandConditions(only map[string]map[string][]string) *map[string]any {
	if len(only) == 0 {
		return nil
	}
	all := map[string]any{}
	for operator, keys := range only {
		of := map[string]any{}
		for key, values := range keys {
			var list []any
			for _, v := range values {
				list = append(list, s.expandVariables(v, ""))
			}
			of[key] = list
		}
		all[operator] = of
	}
	return &all
}

// assetBucket returns the name of the bucket of the account's CDK bootstrap.
func (s *ChefSync) assetBucket() string {
	q := "hnb659fds" // CDK's own, unless somebody bootstraps with another
	if given, ok := s.Construct.Node().TryGetContext(jsii.String("@aws-cdk/core:bootstrapQualifier")).(string); ok && given != "" {
		q = given
	}
	return strings.Join([]string{"cdk", q, "assets", *s.stack.Account(), *s.stack.Region()}, "-")
}

// Package permissions is the table of what the roles of a stack may do. The stack turns it
// into policies; tests compare it with the calls that the functions make. It doesn't
// import CDK, so that such tests need no Node.
package permissions

import (
	"fmt"
	"slices"
	"strings"

	"chefsync/pkg/cloud"
	"chefsync/pkg/config"
)

// Permission allows a role some actions on some resources.
type Permission struct {
	Actions []string
	// Resources are ARNs, or patterns of them, with variables of the stack:
	// ${Table}, ${Bucket}, ${SyncFunction} and so on are ARNs, and so are
	// ${Log}, the log group of the function whose role it is, and ${Assets}, the
	// bucket that deployments upload to. ${Here} is
	// PARTITION:SERVICE:REGION:ACCOUNT, as in arn:${Here:ssm}:parameter/x.
	Resources []string
	// Conditions are IAM conditions: operator, key and values.
	Conditions map[string]map[string][]string
	// Reason is why a resource with a * can't be narrower.
	Reason string
}

// HasPattern reports whether some resource is a pattern.
func (p Permission) HasPattern() bool {
	return slices.ContainsFunc(p.Resources, func(s string) bool { return strings.ContainsAny(s, "*?") })
}

// Scope is what the permissions of a stack's roles depend on.
type Scope struct {
	// The secrets that functions/sync, changes and web read. A name may end in *, for
	// which SecretsReason is the reason.
	SyncSecrets, ScanSecrets, WebSecrets []config.KeyRef
	SecretsReason                        string
	KMSKeys                              []string // ARNs of the keys that encrypt secrets
	KMSKey                               string   // ARN of the key of the stack's data; "" for keys of AWS
	ChangeLog, ChangeLogURL              bool     // whether there are changes and web
	EmptyBucket                          bool     // when the stack is removed
}

// ScopeOf returns the scope of a stack that is made for one configuration.
func ScopeOf(c *config.Config) Scope {
	return Scope{
		SyncSecrets: c.SyncSecrets(), ScanSecrets: c.ScanSecrets(), WebSecrets: c.ChangeLogSecrets(),
		SecretsReason: "there are more secrets under the stack's name than a policy can name",
		KMSKeys:       c.AWS.KMSKeys, KMSKey: c.AWS.KMSKey,
		ChangeLog: c.AWS.ChangeLog, ChangeLogURL: c.AWS.ChangeLog && c.AWS.ChangeLogURL,
		EmptyBucket: c.AWS.Removal == config.Destroy,
	}
}

// TemplateScope returns the scope of a stack from the released template, which has all
// functions. Stack is its name.
func TemplateScope(stack string) Scope {
	secrets := config.TemplateStack{Name: stack}.Secrets()
	return Scope{
		SyncSecrets: secrets.Sync, ScanSecrets: secrets.Scans, WebSecrets: secrets.URL,
		SecretsReason: "a template that fits all configurations can't name the secrets of one",
		ChangeLog:     true, ChangeLogURL: true,
	}
}

// Network returns the permissions that Lambda needs to join a function to a VPC.
func Network() []Permission {
	return []Permission{{
		Actions: []string{"ec2:CreateNetworkInterface", "ec2:DescribeNetworkInterfaces", "ec2:DescribeSubnets",
			"ec2:DeleteNetworkInterface", "ec2:AssignPrivateIpAddresses", "ec2:UnassignPrivateIpAddresses"},
		Resources: []string{"*"},
		Reason:    "Lambda makes the network interfaces, under names of its own, and EC2 lists them for whole accounts only",
	}}
}

// Sync returns the permissions of functions/sync.
func Sync(s Scope) []Permission {
	return slices.Concat(basePermissions(), storePermissions(), stagePermissions(), readSecrets(s, s.SyncSecrets...),
		[]Permission{readConfiguration()}, writeStore(s))
}

// Changes returns the permissions of functions/changes: to scan, and to start the pairs of
// an organization that changed.
func Changes(s Scope) []Permission {
	return slices.Concat(basePermissions(), storePermissions(), readSecrets(s, s.ScanSecrets...),
		[]Permission{listBucket(), readConfiguration(), invokeFunctions("${SyncFunction}")}, writeStore(s))
}

// Web returns the permissions of functions/web: to record pushes and start pairs, to read the
// change log, and to look up readers at the primary.
func Web(s Scope) []Permission {
	return slices.Concat(basePermissions(), []Permission{
		{Actions: []string{"dynamodb:GetItem", "dynamodb:Query", "dynamodb:PutItem"}, Resources: []string{"${Table}"}},
		readConfiguration(), invokeFunctions("${SyncFunction}"),
	}, readSecrets(s, s.WebSecrets...), useDataKey(s, []string{"kms:Decrypt"}, "s3"), writeTable(s), writeEncrypted(s, "dynamodb", "sqs"))
}

// Manager returns the permissions of functions/manager.
func Manager(s Scope) []Permission {
	return slices.Concat(basePermissions(), importPermissions(), []Permission{
		// It reads pairs and scans, and records that it did. After an upgrade it imports the
		// records of any pair.
		{
			Actions:   []string{"dynamodb:GetItem", "dynamodb:Query", "dynamodb:PutItem", "dynamodb:ConditionCheckItem"},
			Resources: []string{"${Table}"},
		},
		listBucket(), invokeFunctions(startedFunctions(s)...), publishEvents(),
		{Actions: []string{"s3:GetObject", "s3:PutObject"}, Resources: []string{"${Bucket}/" + cloud.ConfigKey}},
		{
			Actions:   []string{"s3:GetObject"},
			Resources: []string{"${Assets}/*.toml"},
			Reason: "an uploaded configuration is named by its hash: naming one here would change the role with every organization, " +
				"and a deployment that is rolled back needs the one before",
		},
	}, emptyBucket(s), reserveConcurrency(s), decryptSecrets(s, "s3"), writeStore(s))
}

// publishEvents allows the manager to publish events of its own source.
func publishEvents() Permission {
	return Permission{
		Actions: []string{"events:PutEvents"}, Resources: []string{"arn:${Here:events}:event-bus/default"},
		Conditions: map[string]map[string][]string{"StringEquals": {"events:source": {cloud.EventSource}}},
	}
}

// reserveConcurrency allows the manager to bound the concurrency of requests to the
// change log's URL.
func reserveConcurrency(s Scope) []Permission {
	if !s.ChangeLogURL {
		return nil
	}
	return []Permission{{Actions: []string{"lambda:PutFunctionConcurrency", "lambda:DeleteFunctionConcurrency"}, Resources: []string{"${WebFunction}"}}}
}

// startedFunctions returns the functions that the manager invokes.
func startedFunctions(s Scope) []string {
	if s.ChangeLog {
		return []string{"${SyncFunction}", "${ChangesFunction}"}
	}
	return []string{"${SyncFunction}"}
}

// emptyBucket allows the manager to empty the bucket when the stack is removed with its
// data.
func emptyBucket(s Scope) []Permission {
	if !s.EmptyBucket {
		return nil
	}
	return []Permission{
		{Actions: []string{"s3:PutBucketPolicy", "s3:ListBucketVersions"}, Resources: []string{"${Bucket}"}},
		{
			Actions: []string{"s3:DeleteObjectVersion"}, Resources: []string{"${Bucket}/*"},
			Reason: "CloudFormation deletes no bucket that isn't empty",
		},
	}
}

// basePermissions returns the permissions of every function: to write its log, and to send events
// that failed to the queue of dead letters.
func basePermissions() []Permission {
	return []Permission{
		{
			Actions:   []string{"logs:CreateLogStream", "logs:PutLogEvents"},
			Resources: []string{"${Log}:*"},
			Reason:    "Lambda names the streams of a log group; the group is the function's own",
		},
		sendDeadLetters(),
	}
}

// storePermissions returns the permissions that pkg/store/dynamo needs. Transactions are
// authorized by their parts.
func storePermissions() []Permission {
	return append([]Permission{{
		Actions: []string{"dynamodb:GetItem", "dynamodb:Query",
			"dynamodb:PutItem", "dynamodb:DeleteItem", "dynamodb:ConditionCheckItem"},
		Resources: []string{"${Table}"},
	}}, importPermissions()...)
}

// importPermissions returns the permissions that pkg/store/dynamo/previous needs in addition, once
// after an upgrade.
func importPermissions() []Permission {
	return []Permission{
		{Actions: []string{"dynamodb:UpdateItem"}, Resources: []string{"${Table}"}},
		{
			Actions: []string{"s3:GetObject"}, Resources: []string{"${Bucket}/" + cloud.StatePrefix + "*"},
			Reason: "the previous version kept large parts of its records there, named after pairs",
		},
	}
}

// stagePermissions returns the permissions that pkg/stage/s3stage needs.
func stagePermissions() []Permission {
	return []Permission{
		{
			Actions:   []string{"s3:GetObject", "s3:PutObject", "s3:DeleteObject"},
			Resources: []string{"${Bucket}/" + cloud.StagePrefix + "*"},
			Reason:    "staged files are named by their checksums",
		},
		listBucket(),
	}
}

// listBucket returns the permission without which S3 responds "denied" for objects that don't
// exist. A condition on the prefix would remove it again, since reading an object has
// no prefix.
func listBucket() Permission {
	return Permission{Actions: []string{"s3:ListBucket"}, Resources: []string{"${Bucket}"}}
}

func readConfiguration() Permission {
	return Permission{Actions: []string{"s3:GetObject"}, Resources: []string{"${Bucket}/" + cloud.ConfigKey}}
}

func invokeFunctions(functions ...string) Permission {
	return Permission{Actions: []string{"lambda:InvokeFunction"}, Resources: functions}
}

func sendDeadLetters() Permission {
	return Permission{Actions: []string{"sqs:SendMessage"}, Resources: []string{"${DeadLetters}"}}
}

// readSecrets returns the permissions to read secrets. A reference whose name ends in *
// stands for several: for all under the stack's name, if there are too many to name each.
func readSecrets(s Scope, refs ...config.KeyRef) []Permission {
	named := map[string][]string{}
	for _, ref := range refs {
		if arn := secretARN(ref); arn != "" && !slices.Contains(named[ref.Scheme], arn) {
			named[ref.Scheme] = append(named[ref.Scheme], arn)
		}
	}
	var all []Permission
	if arns := named["secretsmanager"]; len(arns) > 0 {
		why := "Secrets Manager ends the ARN of a secret in six characters that are unknown before it exists"
		if hasPattern(arns) {
			why += "; " + s.SecretsReason
		}
		all = append(all, Permission{Actions: []string{"secretsmanager:GetSecretValue"}, Resources: arns, Reason: why})
	}
	if arns := named["ssm"]; len(arns) > 0 {
		why := ""
		if hasPattern(arns) {
			why = s.SecretsReason
		}
		all = append(all, Permission{Actions: []string{"ssm:GetParameter"}, Resources: arns, Reason: why})
	}
	return append(all, decryptSecrets(s, "secretsmanager", "ssm")...)
}

// hasPattern reports whether one of the ARNs stands for several secrets.
func hasPattern(arns []string) bool {
	return slices.ContainsFunc(arns, func(arn string) bool { return strings.Contains(arn, "*") })
}

// secretARN returns the ARN of a secret, or a pattern that matches it alone.
func secretARN(ref config.KeyRef) string {
	switch {
	case ref.Scheme != "secretsmanager" && ref.Scheme != "ssm":
		return ""
	case strings.HasPrefix(ref.Name, "arn:"):
		return ref.Name
	case strings.HasSuffix(ref.Name, "*") && ref.Scheme == "secretsmanager":
		return "arn:${Here:secretsmanager}:secret:" + ref.Name
	case ref.Scheme == "ssm":
		return "arn:${Here:ssm}:parameter/" + strings.TrimPrefix(ref.Name, "/")
	}
	return fmt.Sprintf("arn:${Here:secretsmanager}:secret:%s-??????", ref.Name)
}

// decryptSecrets allows services to decrypt with the customer's keys on behalf of a role.
func decryptSecrets(s Scope, services ...string) []Permission {
	if len(s.KMSKeys) == 0 {
		return nil
	}
	return []Permission{{Actions: []string{"kms:Decrypt"}, Resources: s.KMSKeys, Conditions: viaServices(services)}}
}

// useDataKey allows services to use the key of the stack's data on behalf of a role. Keys
// that AWS owns need no permission.
func useDataKey(s Scope, actions []string, services ...string) []Permission {
	if s.KMSKey == "" {
		return nil
	}
	return []Permission{{Actions: actions, Resources: []string{s.KMSKey}, Conditions: viaServices(services)}}
}

// writeEncrypted returns the permissions to write and read encrypted data.
func writeEncrypted(s Scope, services ...string) []Permission {
	return useDataKey(s, []string{"kms:Decrypt", "kms:GenerateDataKey"}, services...)
}

// writeStore returns the permissions to the key that a function with a store needs.
func writeStore(s Scope) []Permission {
	return append(writeEncrypted(s, "dynamodb", "s3", "sqs"), writeTable(s)...)
}

// writeTable returns the permissions that DynamoDB needs in addition to other services.
func writeTable(s Scope) []Permission {
	return useDataKey(s, []string{"kms:DescribeKey", "kms:Encrypt", "kms:ReEncryptFrom", "kms:ReEncryptTo"}, "dynamodb")
}

// viaServices returns the condition that a key is used by one of some services.
func viaServices(services []string) map[string]map[string][]string {
	var names []string
	for _, s := range services {
		names = append(names, s+".${Region}.amazonaws.com")
	}
	return map[string]map[string][]string{"StringEquals": {"kms:ViaService": names}}
}

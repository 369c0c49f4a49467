// Package rights is the one table of what the roles of a stack may do. The stack
// turns it into policies; tests compare it with the calls that the functions are
// seen to make. It knows nothing of CDK, so that such tests need no Node.
package rights

import (
	"fmt"
	"slices"
	"strings"

	"chefsync/pkg/cloud"
	"chefsync/pkg/config"
)

// Right lets a role do some actions on some resources.
type Right struct {
	Actions []string
	// Resources are ARNs, or patterns of them, with variables of the stack:
	// ${Table}, ${Bucket}, ${SyncFunction} and so on are ARNs, and so are
	// ${Log}, the log group of the function whose role it is, and ${Assets}, the
	// bucket that deployments upload to. ${Here} is
	// PARTITION:SERVICE:REGION:ACCOUNT, as in arn:${Here:ssm}:parameter/x.
	Resources []string
	// Only narrows it: operator, key and values of an IAM condition.
	Only map[string]map[string][]string
	// Why says why a resource with a * can't be narrower.
	Why string
}

// Pattern tells whether some resource is a pattern.
func (r Right) Pattern() bool {
	return slices.ContainsFunc(r.Resources, func(s string) bool { return strings.ContainsAny(s, "*?") })
}

// Network lets Lambda join a function to a VPC.
func Network() []Right {
	return []Right{{
		Actions: []string{"ec2:CreateNetworkInterface", "ec2:DescribeNetworkInterfaces", "ec2:DescribeSubnets",
			"ec2:DeleteNetworkInterface", "ec2:AssignPrivateIpAddresses", "ec2:UnassignPrivateIpAddresses"},
		Resources: []string{"*"},
		Why:       "Lambda makes the network interfaces, under names of its own, and EC2 lists them for whole accounts only",
	}}
}

// Sync is what functions/sync may do.
func Sync(c *config.Config) []Right {
	ledger := Right{Actions: []string{"dynamodb:BatchGetItem"}, Resources: []string{"${Table}"}}
	return slices.Concat(function(), state(), []Right{ledger}, objects(), secrets(c, c.SyncSecrets()...), []Right{configuration()}, sealedState(c))
}

// Changes is what functions/changes may do: scan, and start the pairs of an
// organization that changed.
func Changes(c *config.Config) []Right {
	return slices.Concat(function(), state(), secrets(c, c.ScanSecrets()...),
		[]Right{list(), configuration(), invoke("${SyncFunction}")}, sealedState(c))
}

// Web is what functions/web may do: note what is pushed and start pairs, read the
// journal, and ask the primary who reads.
func Web(c *config.Config) []Right {
	return slices.Concat(function(), []Right{
		{Actions: []string{"dynamodb:GetItem", "dynamodb:Query", "dynamodb:PutItem"}, Resources: []string{"${Table}"}},
		configuration(), invoke("${SyncFunction}"),
	}, secrets(c, c.JournalSecrets()...), sealed(c, []string{"kms:Decrypt"}, "s3"), sealedTable(c), sealedWrites(c, "dynamodb", "sqs"))
}

// Manager is what functions/manager may do.
func Manager(c *config.Config) []Right {
	return slices.Concat(function(), takeOver(), []Right{
		// It reads pairs and scans, and records that it did. After an upgrade it takes over
		// the records of any pair.
		{
			Actions:   []string{"dynamodb:GetItem", "dynamodb:Query", "dynamodb:PutItem", "dynamodb:ConditionCheckItem"},
			Resources: []string{"${Table}"},
		},
		list(), invoke(started(c)...),
		{Actions: []string{"s3:GetObject", "s3:PutObject"}, Resources: []string{"${Bucket}/" + cloud.ConfigKey}},
		{
			Actions:   []string{"s3:GetObject"},
			Resources: []string{"${Assets}/*.toml"},
			Why: "an uploaded configuration is named by its hash: naming one here would change the role with every organization, " +
				"and a deployment that is rolled back needs the one before",
		},
	}, empty(c), reserve(c), keys(c, "s3"), sealedState(c))
}

// reserve lets the manager bound how much of the account's concurrency requests to
// the journal's URL can take.
func reserve(c *config.Config) []Right {
	if !c.AWS.Journal || !c.AWS.JournalURL {
		return nil
	}
	return []Right{{Actions: []string{"lambda:PutFunctionConcurrency", "lambda:DeleteFunctionConcurrency"}, Resources: []string{"${WebFunction}"}}}
}

// started are the functions that the manager starts.
func started(c *config.Config) []string {
	if c.AWS.Journal {
		return []string{"${SyncFunction}", "${ChangesFunction}"}
	}
	return []string{"${SyncFunction}"}
}

// empty lets the manager empty the bucket when the stack is removed with its data.
func empty(c *config.Config) []Right {
	if c.AWS.Removal != config.Destroy {
		return nil
	}
	return []Right{
		{Actions: []string{"s3:PutBucketPolicy", "s3:ListBucketVersions"}, Resources: []string{"${Bucket}"}},
		{
			Actions: []string{"s3:DeleteObjectVersion"}, Resources: []string{"${Bucket}/*"},
			Why: "CloudFormation deletes no bucket that isn't empty",
		},
	}
}

// function is what every function may do: write its log, and leave behind the
// events that it failed on.
func function() []Right {
	return []Right{
		{
			Actions:   []string{"logs:CreateLogStream", "logs:PutLogEvents"},
			Resources: []string{"${Log}:*"},
			Why:       "the streams of a log group are Lambda's to name; the group is the function's own",
		},
		send(),
	}
}

// state is what pkg/store/dynamo calls. Transactions are authorized by their parts.
func state() []Right {
	return append([]Right{{
		Actions: []string{"dynamodb:GetItem", "dynamodb:Query",
			"dynamodb:PutItem", "dynamodb:DeleteItem", "dynamodb:ConditionCheckItem"},
		Resources: []string{"${Table}"},
	}}, takeOver()...)
}

// takeOver is what pkg/store/dynamo/previous calls besides, once after an upgrade.
func takeOver() []Right {
	return []Right{
		{Actions: []string{"dynamodb:UpdateItem"}, Resources: []string{"${Table}"}},
		{
			Actions: []string{"s3:GetObject"}, Resources: []string{"${Bucket}/" + cloud.StatePrefix + "*"},
			Why: "the previous version kept large parts of its records there, named after pairs",
		},
	}
}

// objects are what pkg/stage/s3stage calls.
func objects() []Right {
	return []Right{
		{
			Actions:   []string{"s3:GetObject", "s3:PutObject", "s3:DeleteObject"},
			Resources: []string{"${Bucket}/" + cloud.StagePrefix + "*"},
			Why:       "staged files are named by their checksums",
		},
		list(),
	}
}

// list is needed for S3 to say that an object isn't there: it says "denied" to
// who may not list. A condition on the prefix would take that away again, since
// reading an object has none.
func list() Right { return Right{Actions: []string{"s3:ListBucket"}, Resources: []string{"${Bucket}"}} }

func configuration() Right {
	return Right{Actions: []string{"s3:GetObject"}, Resources: []string{"${Bucket}/" + cloud.ConfigKey}}
}

func invoke(functions ...string) Right {
	return Right{Actions: []string{"lambda:InvokeFunction"}, Resources: functions}
}

func send() Right {
	return Right{Actions: []string{"sqs:SendMessage"}, Resources: []string{"${DeadLetters}"}}
}

// secrets lets a role read what is referred to. A reference whose name ends in /*
// is all secrets under the stack's name, where there are too many to name each.
func secrets(c *config.Config, refs ...config.KeyRef) []Right {
	named := map[string][]string{}
	for _, ref := range refs {
		if arn := secretARN(ref); arn != "" && !slices.Contains(named[ref.Scheme], arn) {
			named[ref.Scheme] = append(named[ref.Scheme], arn)
		}
	}
	var all []Right
	if arns := named["secretsmanager"]; len(arns) > 0 {
		why := "Secrets Manager ends the ARN of a secret in six characters that are only known once it is there"
		if folded(arns) {
			why += "; " + tooMany
		}
		all = append(all, Right{Actions: []string{"secretsmanager:GetSecretValue"}, Resources: arns, Why: why})
	}
	if arns := named["ssm"]; len(arns) > 0 {
		why := ""
		if folded(arns) {
			why = tooMany
		}
		all = append(all, Right{Actions: []string{"ssm:GetParameter"}, Resources: arns, Why: why})
	}
	return append(all, keys(c, "secretsmanager", "ssm")...)
}

const tooMany = "there are more secrets under the stack's name than a policy can name"

// folded reports whether one of the ARNs stands for all secrets under a name.
func folded(arns []string) bool {
	return slices.ContainsFunc(arns, func(arn string) bool { return strings.HasSuffix(arn, "/*") })
}

// secretARN is the ARN of a secret, or a pattern that matches it alone.
func secretARN(ref config.KeyRef) string {
	switch {
	case ref.Scheme != "secretsmanager" && ref.Scheme != "ssm":
		return ""
	case strings.HasPrefix(ref.Name, "arn:"):
		return ref.Name
	case strings.HasSuffix(ref.Name, "/*") && ref.Scheme == "secretsmanager":
		return "arn:${Here:secretsmanager}:secret:" + ref.Name
	case ref.Scheme == "ssm":
		return "arn:${Here:ssm}:parameter/" + strings.TrimPrefix(ref.Name, "/")
	}
	return fmt.Sprintf("arn:${Here:secretsmanager}:secret:%s-??????", ref.Name)
}

// keys lets services decrypt with the customer's own keys on a role's behalf.
func keys(c *config.Config, services ...string) []Right {
	if len(c.AWS.KMSKeys) == 0 {
		return nil
	}
	return []Right{{Actions: []string{"kms:Decrypt"}, Resources: c.AWS.KMSKeys, Only: via(services)}}
}

// sealed lets services use the key that the stack's data is encrypted with, on a
// role's behalf. There is nothing to allow where AWS owns the keys.
func sealed(c *config.Config, actions []string, services ...string) []Right {
	if c.AWS.KMSKey == "" {
		return nil
	}
	return []Right{{Actions: actions, Resources: []string{c.AWS.KMSKey}, Only: via(services)}}
}

// sealedWrites are what writing needs, and reading what was written.
func sealedWrites(c *config.Config, services ...string) []Right {
	return sealed(c, []string{"kms:Decrypt", "kms:GenerateDataKey"}, services...)
}

// sealedState are what a function needs that keeps state.
func sealedState(c *config.Config) []Right {
	return append(sealedWrites(c, "dynamodb", "s3", "sqs"), sealedTable(c)...)
}

// sealedTable is what DynamoDB wants of who writes, beside what all services do.
func sealedTable(c *config.Config) []Right {
	return sealed(c, []string{"kms:DescribeKey", "kms:Encrypt", "kms:ReEncryptFrom", "kms:ReEncryptTo"}, "dynamodb")
}

// via is the condition that it is one of some services that uses a key.
func via(services []string) map[string]map[string][]string {
	var names []string
	for _, s := range services {
		names = append(names, s+".${Region}.amazonaws.com")
	}
	return map[string]map[string][]string{"StringEquals": {"kms:ViaService": names}}
}

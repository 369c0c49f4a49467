package config

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// AWS is the [aws] table: the settings of a stack on AWS. Environment variables don't
// override it, because the functions read the file, not the environment of whoever
// deployed it.
type AWS struct {
	Stack        string
	Region       string // "" for the one of the AWS environment
	Architecture string // arm64 or x86_64
	Memory       int    // of the function sync, in MiB
	Timeout      time.Duration
	// ReservedConcurrency is how many passes may run at once; 0 leaves it to the
	// account.
	ReservedConcurrency int
	// ChangeLogConcurrency is how many requests to the change log's URL may run at once;
	// 0 leaves it to the account, and Auto is a few where the account can reserve
	// them.
	ChangeLogConcurrency int
	// ChangeLog is whether functions/changes is part of the stack, and ChangeLogURL
	// whether its change log has a public URL: by default only if a token or readers are
	// configured.
	ChangeLog, ChangeLogURL bool
	LogRetention            time.Duration
	AlarmEmail              string // "" for nobody
	AlarmAge                time.Duration
	// VPC is only needed to create a security group.
	VPC                     string
	Subnets, SecurityGroups []string
	PermissionsBoundary     string   // ARN of a policy
	KMSKeys                 []string // ARNs of customer managed keys that encrypt secrets
	KMSKey                  string   // ARN of a customer managed key for all data of the stack; "" for keys of AWS
	Removal                 string   // retain or destroy
	Tags                    map[string]string
}

// The values of removal and architecture.
const (
	Retain  = "retain"
	Destroy = "destroy"
	ARM64   = "arm64"
	X8664   = "x86_64"
)

// Auto stands for a number that is chosen at deployment, when the limits are known.
const Auto = -1

// Limits of Lambda. A pass needs time to end cleanly.
const (
	MinTimeout = 30 * time.Second
	MaxTimeout = 15 * time.Minute
	MinMemory  = 128 // MiB
	MaxMemory  = 10240
)

const (
	defaultStack = "chef-sync"
	maxTags      = 40 // AWS allows 50, and CloudFormation adds its own
)

const keyARN = `^arn:aws[a-z-]*:kms:[a-z0-9-]+:[0-9]{12}:key/[A-Za-z0-9-]+$`

// RetentionDays returns the retention periods that CloudWatch Logs supports.
func RetentionDays() []int {
	return []int{1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731, 1096, 1827, 2192, 2557, 2922, 3288, 3653}
}

func (s *section) readAWS(feed string, changeLog ChangeLog) AWS {
	a := AWS{
		Stack: s.matchingString("stack", defaultStack, `^[A-Za-z][A-Za-z0-9-]{0,39}$`,
			"use up to 40 letters, digits and hyphens, starting with a letter"),
		Region:               s.matchingString("region", "", `^[a-z]{2}(-[a-z]+)+-[0-9]$`, `write a region such as "eu-central-1"`),
		Architecture:         enumValue(s, "architecture", ARM64, ARM64, X8664),
		Memory:               s.intValue("memory", 256, MinMemory, MaxMemory),
		Timeout:              s.readTimeout(),
		ReservedConcurrency:  s.intValue("reserved_concurrency", 0, 0, 1000),
		ChangeLogConcurrency: s.intOrAuto("journal_concurrency", 0, 1000),
		ChangeLog:            s.boolValue("journal", feed != FeedUpdatedSince),
		ChangeLogURL:         s.boolValue("journal_url", changeLog.identifiesCallers()),
		LogRetention:         s.readLogRetention(),
		AlarmEmail:           s.matchingString("alarm_email", "", `^[^@\s]+@[^@\s]+\.[^@\s]+$`, "write one address"),
		AlarmAge:             s.durationValue("alarm_age", time.Hour, 10*time.Minute),
		VPC:                  s.matchingString("vpc", "", `^vpc-([0-9a-f]{8}|[0-9a-f]{17})$`, `write its id, such as "vpc-0123456789abcdef0"`),
		Subnets:              s.matchingStrings("subnets", `^subnet-([0-9a-f]{8}|[0-9a-f]{17})$`, `write ids such as "subnet-0123456789abcdef0"`),
		SecurityGroups:       s.matchingStrings("security_groups", `^sg-([0-9a-f]{8}|[0-9a-f]{17})$`, `write ids such as "sg-0123456789abcdef0"`),
		PermissionsBoundary: s.matchingString("permissions_boundary", "", `^arn:aws[a-z-]*:iam::(aws|[0-9]{12}):policy/[A-Za-z0-9+=,.@_/-]+$`,
			`write the ARN of a policy, such as "arn:aws:iam::123456789012:policy/NAME"`),
		KMSKeys: s.matchingStrings("kms_keys", keyARN,
			`write ARNs of keys, not of aliases, such as "arn:aws:kms:eu-central-1:123456789012:key/ID"`),
		KMSKey: s.matchingString("kms_key", "", keyARN,
			`write the ARN of a key, not of an alias, such as "arn:aws:kms:eu-central-1:123456789012:key/ID"`),
		Removal: enumValue(s, "removal", Retain, Retain, Destroy),
		Tags:    s.readTags(),
	}
	s.checkNetwork(a)
	s.reportUnknownKeys(map[string]string{"name": "stack", "stack_name": "stack", "email": "alarm_email", "subnet_ids": "subnets",
		"vpc_id":             "vpc",
		"security_group_ids": "security_groups", "concurrency": "reserved_concurrency", "retention": "log_retention",
		"removal_policy": "removal", "memory_size": "memory", "arch": "architecture"})
	return a
}

// checkNetwork verifies that functions in a VPC have subnets and a security group.
func (s *section) checkNetwork(a AWS) {
	switch {
	case len(a.Subnets) == 0 && a.VPC != "":
		s.badValue("vpc", "write subnets too: private ones with a route to the Chef Servers", "a VPC alone isn't enough")
	case len(a.Subnets) == 0 && len(a.SecurityGroups) > 0:
		s.badValue("security_groups", "write subnets too", "security groups are only for functions in a VPC")
	case len(a.Subnets) > 0 && a.VPC == "" && len(a.SecurityGroups) == 0:
		s.badValue("subnets", "write security_groups, or vpc to create one that only allows outgoing connections", "subnets need a security group")
	}
}

func (s *section) readTimeout() time.Duration {
	d := s.durationValue("timeout", 10*time.Minute, MinTimeout)
	switch {
	case d > MaxTimeout:
		s.badValue("timeout", "the next pass continues what one doesn't finish", "%q is too long: Lambda allows %s",
			FormatDuration(d), FormatDuration(MaxTimeout))
	case d%time.Second != 0:
		s.badValue("timeout", "", "must be whole seconds")
	}
	return d
}

func (s *section) readLogRetention() time.Duration {
	d := s.durationValue("log_retention", 30*day, day)
	if d%day != 0 || !slices.Contains(RetentionDays(), int(d/day)) {
		var words []string
		for _, n := range RetentionDays() {
			words = append(words, fmt.Sprintf("%dd", n))
		}
		s.badValue("log_retention", "write "+quoteList(words), "CloudWatch Logs doesn't support %q", FormatDuration(d))
	}
	return d
}

func (s *section) readTags() map[string]string {
	t := s.subTable("tags", false)
	t.recordForm(anyName, "string")
	if len(t.values) > maxTags {
		s.badValue("tags", "", "there are more than %d", maxTags)
	}
	return readTable(t, "string", func(name, value string) (string, error) {
		switch {
		case strings.HasPrefix(strings.ToLower(name), "aws:"):
			return "", refuse("", "tags that start with aws: are reserved for AWS")
		case !isTag(name, 1, 128) || !isTag(value, 0, 256):
			return "", refuse("use letters, digits, spaces and _.:/=+-@, up to 128 for the name and 256 for the value", "can't be a tag")
		}
		return value, nil
	}, sameText)
}

func isTag(text string, least, most int) bool {
	return matches(fmt.Sprintf(`^[\p{L}\p{Z}\p{N}_.:/=+@-]{%d,%d}$`, least, most), text)
}

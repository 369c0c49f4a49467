package config

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"time"
)

// AWS is the [aws] table: what a stack on AWS looks like. Environment variables
// don't override it: what is deployed is what the file says, for the functions
// read the file and not the environment of whoever deployed it.
type AWS struct {
	Stack        string
	Region       string // "" for the one that AWS's own settings name
	Architecture string // arm64 or x86_64
	Memory       int    // of the function sync, in MiB
	Timeout      time.Duration
	// ReservedConcurrency is how many passes may run at once; 0 leaves it to the
	// account.
	ReservedConcurrency int
	// JournalConcurrency is how many requests to the journal's URL may run at once;
	// 0 leaves it to the account, and Auto is a few where the account can reserve
	// them.
	JournalConcurrency int
	// Journal says that functions/changes is part of the stack, and JournalURL
	// that its journal can be reached from outside: by default only where a token
	// or readers say by whom.
	Journal, JournalURL bool
	LogRetention        time.Duration
	AlarmEmail          string // "" for nobody
	AlarmAge            time.Duration
	// VPC is only needed for a security group of the stack's own.
	VPC                     string
	Subnets, SecurityGroups []string
	PermissionsBoundary     string   // ARN of a policy
	KMSKeys                 []string // ARNs of the customer's keys that secrets are encrypted with
	KMSKey                  string   // ARN of the customer's key for all that the stack keeps; "" for keys of AWS
	Removal                 string   // retain or destroy
	Tags                    map[string]string
}

// The words of removal and architecture.
const (
	Retain  = "retain"
	Destroy = "destroy"
	ARM64   = "arm64"
	X8664   = "x86_64"
)

// Auto stands for a number that is chosen where it is known what is possible.
const Auto = -1

const (
	defaultStack = "chef-sync"
	// Limits of Lambda. A pass wants time to end in good order.
	leastTimeout, mostTimeout = 30 * time.Second, 15 * time.Minute
	leastMemory, mostMemory   = 128, 10240
	mostTags                  = 40 // AWS takes 50, and CloudFormation adds its own
)

const keyARN = `^arn:aws[a-z-]*:kms:[a-z0-9-]+:[0-9]{12}:key/[A-Za-z0-9-]+$`

// retentionDays are those that CloudWatch Logs knows.
func retentionDays() []int {
	return []int{1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731, 1096, 1827, 2192, 2557, 2922, 3288, 3653}
}

func (s *section) aws(feed string, journal Journal) AWS {
	a := AWS{
		Stack: s.pattern("stack", defaultStack, `^[A-Za-z][A-Za-z0-9-]{0,39}$`,
			"use up to 40 letters, digits and hyphens, beginning with a letter"),
		Region:              s.pattern("region", "", `^[a-z]{2}(-[a-z]+)+-[0-9]$`, `write a region such as "eu-central-1"`),
		Architecture:        s.word("architecture", ARM64, ARM64, X8664),
		Memory:              s.number("memory", 256, leastMemory, mostMemory),
		Timeout:             s.timeout(),
		ReservedConcurrency: s.number("reserved_concurrency", 0, 0, 1000),
		JournalConcurrency:  s.numberOrAuto("journal_concurrency", 0, 1000),
		Journal:             s.flag("journal", feed != "updated_since"),
		JournalURL:          s.flag("journal_url", journal.knowsCallers()),
		LogRetention:        s.retention(),
		AlarmEmail:          s.pattern("alarm_email", "", `^[^@\s]+@[^@\s]+\.[^@\s]+$`, "write one address"),
		AlarmAge:            s.duration("alarm_age", time.Hour, 10*time.Minute, ""),
		VPC:                 s.pattern("vpc", "", `^vpc-([0-9a-f]{8}|[0-9a-f]{17})$`, `write its id, such as "vpc-0123456789abcdef0"`),
		Subnets:             s.patterns("subnets", `^subnet-([0-9a-f]{8}|[0-9a-f]{17})$`, `write ids such as "subnet-0123456789abcdef0"`),
		SecurityGroups:      s.patterns("security_groups", `^sg-([0-9a-f]{8}|[0-9a-f]{17})$`, `write ids such as "sg-0123456789abcdef0"`),
		PermissionsBoundary: s.pattern("permissions_boundary", "", `^arn:aws[a-z-]*:iam::(aws|[0-9]{12}):policy/[A-Za-z0-9+=,.@_/-]+$`,
			`write the ARN of a policy, such as "arn:aws:iam::123456789012:policy/NAME"`),
		KMSKeys: s.patterns("kms_keys", keyARN,
			`write ARNs of keys, not of aliases, such as "arn:aws:kms:eu-central-1:123456789012:key/ID"`),
		KMSKey: s.pattern("kms_key", "", keyARN,
			`write the ARN of a key, not of an alias, such as "arn:aws:kms:eu-central-1:123456789012:key/ID"`),
		Removal: s.word("removal", Retain, Retain, Destroy),
		Tags:    s.tags(),
	}
	s.checkNetwork(a)
	s.done(map[string]string{"name": "stack", "stack_name": "stack", "email": "alarm_email", "subnet_ids": "subnets", "vpc_id": "vpc",
		"security_group_ids": "security_groups", "concurrency": "reserved_concurrency", "retention": "log_retention",
		"removal_policy": "removal", "memory_size": "memory", "arch": "architecture"})
	return a
}

// checkNetwork: functions in a VPC need subnets and a security group.
func (s *section) checkNetwork(a AWS) {
	switch {
	case len(a.Subnets) == 0 && a.VPC != "":
		s.bad("vpc", "write subnets, too: private ones, with a way to the Chef Servers", "a VPC alone isn't enough")
	case len(a.Subnets) == 0 && len(a.SecurityGroups) > 0:
		s.bad("security_groups", "write subnets, too", "security groups are only for functions in a VPC")
	case len(a.Subnets) > 0 && a.VPC == "" && len(a.SecurityGroups) == 0:
		s.bad("subnets", "write security_groups, or vpc to have one made that only lets connections out", "subnets need a security group")
	}
}

func (s *section) timeout() time.Duration {
	d := s.duration("timeout", 10*time.Minute, leastTimeout, "")
	switch {
	case d > mostTimeout:
		s.bad("timeout", "what a pass doesn't finish, the next goes on with", "%q is too long: Lambda allows %s",
			FormatDuration(d), FormatDuration(mostTimeout))
	case d%time.Second != 0:
		s.bad("timeout", "", "must be whole seconds")
	}
	return d
}

func (s *section) retention() time.Duration {
	d := s.duration("log_retention", 30*day, day, "")
	if d%day != 0 || !slices.Contains(retentionDays(), int(d/day)) {
		var words []string
		for _, n := range retentionDays() {
			words = append(words, fmt.Sprintf("%dd", n))
		}
		s.bad("log_retention", "write "+oneOf(words), "CloudWatch Logs doesn't know %q", FormatDuration(d))
	}
	return d
}

// pattern reads a string of a certain form. "" is allowed where it is the
// default: none.
func (s *section) pattern(key, fallback, pattern, try string) string {
	value, given := s.text(key)
	if !given {
		value = fallback
	} else if ok, err := regexp.MatchString(pattern, value); (err != nil || !ok) && (value != "" || fallback != "") {
		s.bad(key, try, "%q can't be used", value)
		return fallback
	}
	s.effective(key, value, given)
	return value
}

// patterns reads an array of strings of a certain form, each there once.
func (s *section) patterns(key, pattern, try string) []string {
	list, given := s.texts(key)
	for i, v := range list {
		at := index(join(s.path, key), i)
		if ok, err := regexp.MatchString(pattern, v); err != nil || !ok {
			s.problem(at, try, "%q can't be used", v)
		} else if slices.Contains(list[:i], v) {
			s.problem(at, "", "%q stands here twice", v)
		}
	}
	s.effective(key, fmt.Sprintf("%q", list), given)
	return list
}

func (s *section) tags() map[string]string {
	t := s.table("tags", false)
	if len(t.values) == 0 {
		return nil
	}
	if len(t.values) > mostTags {
		s.bad("tags", "", "there are more than %d", mostTags)
	}
	tags := map[string]string{}
	for _, name := range slices.Sorted(maps.Keys(t.values)) {
		value, given := t.text(name)
		at := join(t.path, name)
		switch {
		case !given:
			continue // reported
		case strings.HasPrefix(strings.ToLower(name), "aws:"):
			t.problem(at, "", "AWS keeps tags that begin with aws: to itself")
		case !isTag(name, 1, 128) || !isTag(value, 0, 256):
			t.problem(at, "use letters, digits, spaces and _.:/=+-@; 128 for the name, 256 for the value", "can't be a tag")
		}
		t.effective(name, value, true)
		tags[name] = value
	}
	return tags
}

func isTag(text string, least, most int) bool {
	ok, err := regexp.MatchString(fmt.Sprintf(`^[\p{L}\p{Z}\p{N}_.:/=+@-]{%d,%d}$`, least, most), text)
	return err == nil && ok
}

package config

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

// awsConfig is least with keys that functions can read, in lines 1 to 11.
func awsConfig() string {
	return strings.ReplaceAll(minimalConfig, "env:KEY", "secretsmanager:chef-sync/key")
}

func TestEveryKeyOfAWS(t *testing.T) {
	c := mustParse(t, Loader{}, awsConfig()+`
[aws]
stack = "chef-eu"
region = "eu-central-1"
architecture = "x86_64"
memory = 512
timeout = "15m"
reserved_concurrency = 5
journal_concurrency = 3
journal = false
journal_url = false
log_retention = "1827d"
alarm_email = "ops@example.com"
alarm_age = "2h"
vpc = "vpc-0a1b2c3d"
subnets = ["subnet-0a1b2c3d", "subnet-0a1b2c3e"]
security_groups = ["sg-0a1b2c3d"]
permissions_boundary = "arn:aws:iam::123456789012:policy/limits/chef"
kms_keys = ["arn:aws:kms:eu-central-1:123456789012:key/0a1b-2c"]
kms_key = "arn:aws:kms:eu-central-1:123456789012:key/mrk-3d"
removal = "destroy"
[aws.tags]
team = "infra"
"cost center" = "7"
`)
	want := AWS{Stack: "chef-eu", Region: "eu-central-1", Architecture: X8664, Memory: 512, Timeout: 15 * time.Minute,
		ReservedConcurrency: 5, ChangeLogConcurrency: 3,
		LogRetention: 1827 * day, AlarmEmail: "ops@example.com", AlarmAge: 2 * time.Hour, VPC: "vpc-0a1b2c3d",
		Subnets: []string{"subnet-0a1b2c3d", "subnet-0a1b2c3e"}, SecurityGroups: []string{"sg-0a1b2c3d"},
		PermissionsBoundary: "arn:aws:iam::123456789012:policy/limits/chef",
		KMSKeys:             []string{"arn:aws:kms:eu-central-1:123456789012:key/0a1b-2c"},
		KMSKey:              "arn:aws:kms:eu-central-1:123456789012:key/mrk-3d",
		Removal:             Destroy, Tags: map[string]string{"team": "infra", "cost center": "7"}}
	if diff := cmp.Diff(want, c.AWS, cmpopts.IgnoreUnexported(KeyRef{})); diff != "" {
		t.Error(diff)
	}
	shown := map[string]Setting{}
	for _, s := range c.Effective() {
		shown[s.Key] = s
	}
	for _, want := range []Setting{
		{"aws.memory", "512", "/etc/chef-sync/chef-sync.toml:17"},
		{`aws.tags."cost center"`, "7", "/etc/chef-sync/chef-sync.toml:35"},
	} {
		if shown[want.Key] != want {
			t.Errorf("config show has %+v, want %+v", shown[want.Key], want)
		}
	}
}

func TestChangeLogIsPartOfTheStackUnlessThePrimaryHasAFeed(t *testing.T) {
	for feed, want := range map[string]bool{"auto": true, "journal": true, "updated_since": false} {
		text := strings.Replace(awsConfig(), "[primary]", "[primary]\nfeed = \""+feed+"\"", 1)
		if got := mustParse(t, Loader{}, text).AWS.ChangeLog; got != want {
			t.Errorf("feed %s: change log %v, want %v", feed, got, want)
		}
	}
}

// A URL that anybody can reach is only there for somebody.
func TestChangeLogHasAURLIfCallersAreConfigured(t *testing.T) {
	for name, c := range map[string]struct {
		text string
		want bool
		warn string
	}{
		"nobody":       {"", false, ""},
		"a token":      {"[journal]\ntoken = \"secretsmanager:chef-sync/token\"\n", true, ""},
		"readers":      {"[journal]\nreaders = [\"old\"]\n", true, ""},
		"keys":         {"[journal.keys]\nold = \"secretsmanager:chef-sync/old\"\n", true, ""},
		"closed":       {"[journal]\ntoken = \"secretsmanager:chef-sync/token\"\n[aws]\njournal_url = false\n", false, ""},
		"open, nobody": {"[aws]\njournal_url = true\n", true, "aws.journal_url: the URL is open"},
	} {
		got := mustParse(t, Loader{}, awsConfig()+c.text)
		if got.AWS.ChangeLogURL != c.want {
			t.Errorf("%s: a URL %v, want %v", name, got.AWS.ChangeLogURL, c.want)
		}
		if warnings := strings.Join(got.Warnings(), "\n"); c.warn == "" && warnings != "" || !strings.Contains(warnings, c.warn) {
			t.Errorf("%s: warnings %q, want %q", name, warnings, c.warn)
		}
	}
}

func TestProblemsUnderAWSHaveTheirLine(t *testing.T) {
	for line, want := range map[string]string{
		`stck = "x"`:              `f:13:1: aws.stck: unknown key; did you mean stack?`,
		`email = "a@example.com"`: `f:13:1: aws.email: unknown key; it is called alarm_email here`,
		`stack = "chef_sync"`:     `f:13:1: aws.stack: "chef_sync" can't be used; use up to 40 letters`,
		`stack = ""`:              `aws.stack: "" can't be used`,
		`region = "Frankfurt"`:    `aws.region: "Frankfurt" can't be used; write a region such as "eu-central-1"`,
		`architecture = "arm"`:    `aws.architecture: "arm" isn't known; did you mean "arm64"?`,
		`journal_concurrency = "some"`: `aws.journal_concurrency: must be "auto" or a whole number; write "auto",` +
			` or a number`,
		`journal_concurrency = 1001`:                      `aws.journal_concurrency: must be between 0 and 1000`,
		`memory = 64`:                                     `aws.memory: must be between 128 and 10240`,
		`timeout = "16m"`:                                 `aws.timeout: "16m" is too long: Lambda allows 15m`,
		`timeout = "90500ms"`:                             `aws.timeout: must be whole seconds`,
		`log_retention = "31d"`:                           `aws.log_retention: CloudWatch Logs doesn't support "31d"; write "1d", "3d"`,
		`alarm_email = "ops"`:                             `aws.alarm_email: "ops" can't be used`,
		`vpc = "vpc-0a1b2c3d"`:                            `aws.vpc: a VPC alone isn't enough`,
		`subnets = ["subnet-0a1b2c3d"]`:                   `aws.subnets: subnets need a security group; write security_groups, or vpc`,
		`security_groups = ["sg-0a1b2c3d"]`:               `aws.security_groups: security groups are only for functions in a VPC`,
		`subnets = ["a"]`:                                 `f:13:12: aws.subnets[0]: "a" can't be used`,
		`kms_keys = ["alias/chef"]`:                       `aws.kms_keys[0]: "alias/chef" can't be used; write ARNs of keys`,
		`kms_key = "alias/chef"`:                          `aws.kms_key: "alias/chef" can't be used; write the ARN of a key`,
		`permissions_boundary = "chef"`:                   `aws.permissions_boundary: "chef" can't be used`,
		`removal = "delete"`:                              `aws.removal: "delete" isn't known`,
		`tags = "x"`:                                      `aws.tags: must be a table`,
		`tags = { team = 1 }`:                             `aws.tags.team: must be a string`,
		`tags = { "aws:team" = "x" }`:                     `aws.tags."aws:team": tags that start with aws:`,
		`tags = { team = "a\tb" }`:                        `aws.tags.team: can't be a tag`,
		`subnets = ["subnet-0a1b2c3d","subnet-0a1b2c3d"]`: `aws.subnets[1]: "subnet-0a1b2c3d" is listed twice`,
	} {
		_, err := Loader{}.Parse("f", []byte(awsConfig()+"[aws]\n"+line+"\n"))
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s\n got %v\nwant %s", line, err, want)
		}
	}
}

func TestConfigurationForAWSPassesTheCheck(t *testing.T) {
	for _, ref := range []string{"secretsmanager:chef-sync/key", "ssm:/chef-sync/key",
		"secretsmanager:arn:aws:secretsmanager:eu-central-1:123456789012:secret:key-AbCdEf"} {
		if err := mustParse(t, Loader{}, strings.ReplaceAll(minimalConfig, "env:KEY", ref)).CheckAWS(); err != nil {
			t.Errorf("%s: %v", ref, err)
		}
	}
}

func TestSettingsThatFunctionsCannotUseAreRefused(t *testing.T) {
	for name, c := range map[string]struct{ text, want string }{
		"a file": {strings.Replace(awsConfig(), "secretsmanager:chef-sync/key", "file:/etc/key.pem", 1),
			`f:4:1: primary.key: the functions on AWS can't read file: references; store it in Secrets Manager and write ` +
				`"secretsmanager:chef-sync/primary"`},
		"a variable": {strings.Replace(awsConfig(), "\"u\"\nkey = \"secretsmanager:chef-sync/key\"\n[[org",
			"\"u\"\nkey = \"env:KEY\"\n[[org", 1), `f:9:1: replica[0].key: the functions on AWS can't read env: references`},
		"a file's CA": {strings.Replace(awsConfig(), "[[replica]]", "ca = \"file:ca.pem\"\n[[replica]]", 1),
			`f:5:1: primary.ca: the functions`},
		"a token": {awsConfig() + "[journal]\ntoken = \"env:TOKEN\"\n",
			`f:13:1: journal.token: the functions on AWS can't read env: references`},
		"a wildcard": {strings.Replace(awsConfig(), "chef-sync/key", "chef-sync/*", 1),
			`f:4:1: primary.key: "secretsmanager:chef-sync/*" can't be the name of a secret`},
		"no change log": {strings.Replace(awsConfig(), "[primary]", "[primary]\nfeed = \"journal\"", 1) +
			"[aws]\njournal = false\n", `f:14:1: aws.journal: is false, but the primary's feed is "journal"`},
		"an alarm between compares": {awsConfig() + "compare_every = \"6h\"\n[aws]\njournal = false\n",
			`f:12:1: organization[0].compare_every: the alarm on the age of the last success (1h) would fire although acme is only ` +
				`checked every 6h; write alarm_age under [aws] with more than 6h5m`},
		"a long pass": {awsConfig() + "[aws]\nalarm_age = \"10m\"\n",
			`f:13:1: aws.alarm_age: the alarm on the age of the last good pass (10m) would fire during a pass,` +
				` which may take 10m; write alarm_age under [aws] with more than 15m`},
		"rare scans": {awsConfig() + "[journal]\nscan_every = \"2h\"\n",
			`f:13:1: journal.scan_every: the alarm on the age of the last scan (1h) would fire although scans are 2h apart; write ` +
				`alarm_age under [aws] with more than 2h5m`},
		"a key elsewhere": {awsConfig() + "[aws]\nregion = \"eu-central-1\"\nkms_key = " +
			"\"arn:aws:kms:us-east-1:123456789012:key/1\"\n", `f:14:1: aws.kms_key: isn't in the region of the stack; name a key of eu-central-1`},
		"a hasty alarm": {awsConfig() + "interval = \"2h\"\n",
			`f:12:1: organization[0].interval: the alarm on the age of the last success (1h) would fire although acme is only checked ` +
				`every 2h; write alarm_age under [aws] with more than 2h5m`},
		"a poll each second": {awsConfig() + "interval = \"30s\"\n",
			`f:12:1: organization[0].interval: 30s is too short: on AWS, the minimum interval is one minute; write "1m" or more, in whole minutes`},
		"a scan each second": {awsConfig() + "[journal]\nscan_every = \"59s\"\n",
			`f:13:1: journal.scan_every: 59s is too short: on AWS, the minimum interval is one minute; write "1m" or more, in whole minutes`},
	} {
		parsed, err := Loader{}.Parse("f", []byte(c.text))
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		err = parsed.CheckAWS()
		var problems Problems
		if !errors.As(err, &problems) || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s\n got %v\nwant %s", name, err, c.want)
		}
	}
}

func TestProfilesAreRefusedForFunctions(t *testing.T) {
	l := Loader{Home: newHome(t, map[string]string{"credentials": credentials})}
	c := mustParse(t, l, strings.Replace(awsConfig(), "user = \"u\"\nkey = \"secretsmanager:chef-sync/key\"", `profile = "default"`, 1))
	if err := c.CheckAWS(); err == nil || !strings.Contains(err.Error(),
		"chef-sync.toml:3:1: primary.profile: the functions on AWS can't use profiles") {
		t.Errorf("error %v", err)
	}
}

//go:build infra

package chefsync

import (
	"encoding/json"
	"fmt"
	"regexp"
	"strings"
	"testing"
)

// Limits of IAM, in characters without white space, and in policies of a role.
const (
	mostInline   = 10240
	mostManaged  = 6144
	mostAttached = 10
)

// withReplicas is a configuration with n replicas more. Names and stack are as
// long as they may be, or nearly.
func withReplicas(text string, n int, under string) string {
	var more strings.Builder
	for i := range n {
		fmt.Fprintf(&more, "[[replica]]\nname = \"a-replica-in-region-%03d\"\nurl = \"https://chef-%03d.example.com\"\nuser = \"u\"\nkey = \"secretsmanager:%s/a-replica-in-region-%03d\"\nca = \"ssm:/%s/a-replica-in-region-%03d-ca\"\n",
			i, i, under, i, under, i)
	}
	return strings.Replace(text, "[[organization]]", more.String()+"[[organization]]", 1)
}

func TestPoliciesFitIAMForAnyNumberOfReplicas(t *testing.T) {
	const long = "a-stack-whose-name-has-forty-characters-"
	base := addLines(strings.Replace(exampleConfig(t), `region = "eu-central-1"`, "", 1), "[aws]", `stack = "`+long+`"`,
		`kms_keys = ["arn:aws-us-gov:kms:ap-southeast-1:123456789012:key/mrk-0123456789abcdef0123456789abcdef"]`,
		`kms_key = "arn:aws-us-gov:kms:ap-southeast-1:123456789012:key/mrk-0123456789abcdef0123456789abcdef"`,
		`vpc = "vpc-0123456789abcdef0"`, `subnets = ["subnet-0123456789abcdef0"]`)
	most := 0 // replicas outside the stack's name that are just accepted
	for ; ; most += 5 {
		if _, err := parseConfig(t, withReplicas(base, most+5, "prod/chef")); err != nil {
			break
		}
	}
	if most < 20 {
		t.Errorf("only %d replicas are accepted whose secrets are outside the stack's name", most)
	}
	for name, text := range map[string]string{
		"one": base, "50": withReplicas(base, 50, long), "500": withReplicas(base, 500, long), "elsewhere": withReplicas(base, most, "prod/chef"),
	} {
		t.Run(name, func(t *testing.T) {
			for id, r := range mustSynthesize(t, text).parseTemplate(t).Resources {
				switch r.Type {
				case "AWS::IAM::Role":
					inline, _ := r.Properties["Policies"].([]any)
					size := 0
					for _, p := range inline {
						size += policySize(t, p.(map[string]any)["PolicyDocument"])
					}
					if size > mostInline {
						t.Errorf("%s: %d characters of inline policies, IAM takes %d", id, size, mostInline)
					}
					if attached, _ := r.Properties["ManagedPolicyArns"].([]any); len(attached) > mostAttached {
						t.Errorf("%s: %d managed policies, IAM takes %d", id, len(attached), mostAttached)
					}
					t.Logf("%s: %d", id, size)
				case "AWS::IAM::ManagedPolicy":
					if size := policySize(t, r.Properties["PolicyDocument"]); size > mostManaged {
						t.Errorf("%s: %d characters, IAM takes %d", id, size, mostManaged)
					}
				case "AWS::IAM::Policy":
					t.Errorf("%s is an inline policy that its role doesn't show", id)
				}
			}
		})
	}
}

// policySize counts a policy as IAM does once CloudFormation has put in names
// that are as long as they can be.
func policySize(t *testing.T, document any) int {
	t.Helper()
	text, err := json.Marshal(longestNames(document))
	if err != nil {
		t.Fatal(err)
	}
	return len(regexp.MustCompile(`\s`).ReplaceAllString(string(text), ""))
}

// longestNames replaces CloudFormation's functions.
func longestNames(value any) any {
	switch v := value.(type) {
	case []any:
		list := make([]any, len(v))
		for i := range v {
			list[i] = longestNames(v[i])
		}
		return list
	case map[string]any:
		if join, ok := v["Fn::Join"].([]any); ok {
			var parts []string
			for _, p := range join[1].([]any) {
				parts = append(parts, longestNames(p).(string))
			}
			return strings.Join(parts, join[0].(string))
		}
		if ref, ok := v["Ref"].(string); ok {
			known := map[string]string{"AWS::Partition": "aws-us-gov", "AWS::Region": "ap-southeast-1", "AWS::AccountId": "123456789012"}
			if text, ok := known[ref]; ok {
				return text
			}
			return strings.Repeat("r", 64)
		}
		if _, ok := v["Fn::GetAtt"]; ok { // a function's name is the longest
			return "arn:aws-us-gov:lambda:ap-southeast-1:123456789012:function:" + strings.Repeat("f", 64)
		}
		object := map[string]any{}
		for k, e := range v {
			object[k] = longestNames(e)
		}
		return object
	}
	return value
}

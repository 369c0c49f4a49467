package chefsync

import (
	"regexp"
	"strings"

	"github.com/aws/aws-cdk-go/awscdk/v2"
	"github.com/aws/jsii-runtime-go"
	"github.com/cdklabs/cdk-nag-go/cdknag/v2"

	"chefsync/infra/permissions"
)

// suppressFindings suppresses findings of cdk-nag that aren't fixed, each with a reason;
// the others have that of a permission.
func (s *ChefSync) suppressFindings() {
	suppress := func(id, reason string) *cdknag.NagPackSuppression {
		return &cdknag.NagPackSuppression{Id: &id, Reason: &reason}
	}
	cdknag.NagSuppressions_AddResourceSuppressions(s.Bucket, &[]*cdknag.NagPackSuppression{
		suppress("AwsSolutions-S1", "only the functions, which log what they do, and operators of the stack use it; access logs would cost more than the bucket"),
	}, nil)
	cdknag.NagSuppressions_AddResourceSuppressions(s.DeadLetters, &[]*cdknag.NagPackSuppression{
		suppress("AwsSolutions-SQS3", "it is a dead-letter queue itself"),
	}, nil)
}

// explainPatterns suppresses the findings of cdk-nag about patterns in a role's policy
// with the reasons of the permissions. A pattern without a reason stays a finding.
func (s *ChefSync) explainPatterns(role awscdk.Resource, granted []permissions.Permission) {
	var suppressions []*cdknag.NagPackSuppression
	for _, r := range granted {
		if !r.HasPattern() || r.Reason == "" {
			continue
		}
		var applies []any
		for _, resource := range r.Resources {
			applies = append(applies, &cdknag.RegexAppliesTo{Regex: jsii.String(findingPattern(resource))})
		}
		suppressions = append(suppressions, &cdknag.NagPackSuppression{Id: jsii.String("AwsSolutions-IAM5"), Reason: jsii.String(r.Reason), AppliesTo: &applies})
	}
	if len(suppressions) > 0 {
		cdknag.NagSuppressions_AddResourceSuppressions(role, &suppressions, nil)
	}
}

// findingPattern returns a regular expression for the name that cdk-nag gives a pattern
// of a permission. It matches no * in names of the stack, or one reason would suppress
// other findings.
func findingPattern(resource string) string {
	names := regexp.MustCompile(`\$\{[^}]+\}`)
	var parts []string
	for _, fixed := range names.Split(resource, -1) {
		parts = append(parts, regexp.QuoteMeta(fixed))
	}
	return "/^Resource::" + strings.Join(parts, "[^*]+") + "$/"
}

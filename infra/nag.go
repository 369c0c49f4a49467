package main

import (
	"regexp"
	"strings"

	"github.com/aws/aws-cdk-go/awscdk/v2"
	"github.com/aws/jsii-runtime-go"
	"github.com/cdklabs/cdk-nag-go/cdknag/v2"

	"chefsync/infra/rights"
)

// checkRules lets cdk-nag look at the stack whenever it is synthesized. Each
// finding is mended, or answered here or by the reason of a right.
func (s *stack) checkRules() {
	awscdk.Aspects_Of(s.scope).Add(cdknag.NewAwsSolutionsChecks(nil), nil)
	answer := func(id, reason string) *cdknag.NagPackSuppression {
		return &cdknag.NagPackSuppression{Id: &id, Reason: &reason}
	}
	cdknag.NagSuppressions_AddResourceSuppressions(s.bucket, &[]*cdknag.NagPackSuppression{
		answer("AwsSolutions-S1", "the functions touch it, which log what they do, and operators of the stack; access logs would cost more than the bucket"),
	}, nil)
	cdknag.NagSuppressions_AddResourceSuppressions(s.deadLetters, &[]*cdknag.NagPackSuppression{
		answer("AwsSolutions-SQS3", "it is a dead-letter queue itself"),
	}, nil)
}

// explainPatterns answers what cdk-nag says about patterns in a role's policy
// with the reasons that the rights give. A pattern without a reason stays a
// finding.
func (s *stack) explainPatterns(role awscdk.Resource, granted []rights.Right) {
	var answers []*cdknag.NagPackSuppression
	for _, r := range granted {
		if !r.Pattern() || r.Why == "" {
			continue
		}
		var applies []any
		for _, resource := range r.Resources {
			applies = append(applies, &cdknag.RegexAppliesTo{Regex: jsii.String(finding(resource))})
		}
		answers = append(answers, &cdknag.NagPackSuppression{Id: jsii.String("AwsSolutions-IAM5"), Reason: jsii.String(r.Why), AppliesTo: &applies})
	}
	if len(answers) > 0 {
		cdknag.NagSuppressions_AddResourceSuppressions(role, &answers, nil)
	}
}

// finding is a regular expression for what cdk-nag calls the pattern of a right.
// A name of the stack has no * itself, or one reason would answer for others.
func finding(resource string) string {
	names := regexp.MustCompile(`\$\{[^}]+\}`)
	var parts []string
	for _, fixed := range names.Split(resource, -1) {
		parts = append(parts, regexp.QuoteMeta(fixed))
	}
	return "/^Resource::" + strings.Join(parts, "[^*]+") + "$/"
}

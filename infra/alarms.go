package main

import (
	"fmt"
	"strings"
	"time"

	"github.com/aws/aws-cdk-go/awscdk/v2/awscloudwatch"
	"github.com/aws/aws-cdk-go/awscdk/v2/awscloudwatchactions"
	"github.com/aws/aws-cdk-go/awscdk/v2/awsiam"
	"github.com/aws/aws-cdk-go/awscdk/v2/awssns"
	"github.com/aws/aws-cdk-go/awscdk/v2/awssnssubscriptions"
	"github.com/aws/jsii-runtime-go"

	"chefsync/pkg/config"
)

// Two turns of the manager fit into a period, so that one that comes late leaves
// no hole.
const alarmPeriod = 2 * managerEvery

// alarm rings when something is over a number for some periods.
type alarm struct {
	name, description string
	of                awscloudwatch.IMetric
	over              float64
	periods           float64
	// silence says what it means that nothing is measured.
	silence awscloudwatch.TreatMissingData
}

// addAlarms makes one alarm for each thing that a person should look at, for the
// stack as a whole: one for each pair would cost more than the pair.
func (s *stack) addAlarms() {
	quiet := awscloudwatch.TreatMissingData_NOT_BREACHING
	alarms := []alarm{
		{"age", "Some pair had no success for " + config.FormatDuration(s.aws.AlarmAge) + ", or the manager doesn't run: chef-sync-ctl sync-status",
			s.metric("OldestSuccessAge", maximum, alarmPeriod), s.aws.AlarmAge.Seconds(), 2, awscloudwatch.TreatMissingData_BREACHING},
		{"waiting", "Pairs are held by a safety brake, or blocked by a server: chef-sync-ctl sync-status",
			total("Held and blocked", alarmPeriod, s.metric("Held", maximum, alarmPeriod), s.metric("Blocked", maximum, alarmPeriod)), 0, 1, quiet},
		// An object is often set aside and mended by the next try.
		{"unsynced", "Objects could not be replicated for half an hour: chef-sync-ctl unsynced-objects",
			s.metric("Unsynced", maximum, alarmPeriod), 0, 3, quiet},
		{"dead-letters", "Events were not taken or failed; the queue holds them for 14 days",
			s.deadLetters.MetricApproximateNumberOfMessagesVisible(options(maximum, alarmPeriod)), 0, 1, quiet},
		{"errors", "Functions failed: chef-sync-ctl sync-log and manager-log", s.errors(), 0, 1, quiet},
	}
	if s.url != nil {
		// Scanners of the internet try a few; a Chef Server with a wrong token tries
		// with every change.
		alarms = append(alarms, alarm{"refused", "Many requests to the journal's URL are refused: is a Chef Server's token wrong?",
			s.metric("Refused", sum, alarmPeriod), 20, 2, quiet})
	}
	for _, a := range alarms {
		s.addAlarm(a)
	}
}

func (s *stack) addAlarm(a alarm) {
	made := awscloudwatch.NewAlarm(s.scope, jsii.String("Alarm"+strings.ToUpper(a.name[:1])+strings.ReplaceAll(a.name[1:], "-", "")), &awscloudwatch.AlarmProps{
		AlarmName: s.name(a.name), AlarmDescription: &a.description, Metric: a.of,
		ComparisonOperator: awscloudwatch.ComparisonOperator_GREATER_THAN_THRESHOLD,
		Threshold:          &a.over, EvaluationPeriods: &a.periods, TreatMissingData: a.silence,
	})
	if s.topic != nil {
		action := awscloudwatchactions.NewSnsAction(s.topic)
		made.AddAlarmAction(action)
		made.AddOkAction(action)
	}
}

// errors are those of all functions.
func (s *stack) errors() awscloudwatch.IMetric {
	var all []awscloudwatch.IMetric
	for _, f := range s.functions() {
		all = append(all, f.MetricErrors(options(sum, alarmPeriod)))
	}
	return total("Errors", alarmPeriod, all...)
}

// total adds metrics up; one that isn't measured counts as 0.
func total(label string, period time.Duration, metrics ...awscloudwatch.IMetric) awscloudwatch.IMetric {
	using, terms := map[string]awscloudwatch.IMetric{}, []string{}
	for i, m := range metrics {
		id := fmt.Sprintf("m%d", i)
		using[id], terms = m, append(terms, "FILL("+id+", 0)")
	}
	return awscloudwatch.NewMathExpression(&awscloudwatch.MathExpressionProps{
		Expression: jsii.String(strings.Join(terms, " + ")), UsingMetrics: &using, Label: &label, Period: seconds(period),
	})
}

func options(statistic string, period time.Duration) *awscloudwatch.MetricOptions {
	return &awscloudwatch.MetricOptions{Statistic: &statistic, Period: seconds(period)}
}

// addTopic makes the topic of the alarms if somebody wants to know. It isn't
// encrypted: with the key that AWS keeps for topics CloudWatch may not write to
// it, and an alarm's text is no secret.
func (s *stack) addTopic() {
	if s.aws.AlarmEmail == "" {
		return
	}
	s.topic = awssns.NewTopic(s.scope, jsii.String("Alarms"), &awssns.TopicProps{
		DisplayName: jsii.String("Chef Replication " + s.aws.Stack), EnforceSSL: jsii.Bool(true),
	})
	// A topic with a policy of its own has lost the one that lets its account in.
	s.topic.AddToResourcePolicy(awsiam.NewPolicyStatement(&awsiam.PolicyStatementProps{
		Principals: &[]awsiam.IPrincipal{awsiam.NewServicePrincipal(jsii.String("cloudwatch.amazonaws.com"), nil)},
		Actions:    jsii.Strings("sns:Publish"), Resources: &[]*string{s.topic.TopicArn()},
		Conditions: &map[string]any{"StringEquals": map[string]any{"aws:SourceAccount": *s.scope.Account()}},
	}))
	s.topic.AddSubscription(awssnssubscriptions.NewEmailSubscription(jsii.String(s.aws.AlarmEmail), nil))
}

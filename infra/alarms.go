package main

import (
	"strings"
	"time"

	"github.com/aws/aws-cdk-go/awscdk/v2/awscloudwatch"
	"github.com/aws/aws-cdk-go/awscdk/v2/awscloudwatchactions"
	"github.com/aws/aws-cdk-go/awscdk/v2/awsiam"
	"github.com/aws/aws-cdk-go/awscdk/v2/awssns"
	"github.com/aws/aws-cdk-go/awscdk/v2/awssnssubscriptions"
	"github.com/aws/jsii-runtime-go"

	"chefsync/pkg/cloud"
	"chefsync/pkg/config"
)

// Two turns of the manager fit into a period, so that one that comes late leaves
// no hole.
const alarmPeriod = 2 * managerEvery

// alarm rings when something is over a number in some of the last periods. One
// sample of a state that passes by itself, or one call that failed, is nothing that
// a person should be woken for.
type alarm struct {
	name, description string
	of                awscloudwatch.IMetric
	over              float64
	samples, periods  float64 // so many of so many
	// silence says what it means that nothing is measured.
	silence awscloudwatch.TreatMissingData
}

// often is an alarm on something that was over a number in two of three periods.
func often(name string, of awscloudwatch.IMetric, over float64, description string) alarm {
	return alarm{name: name, description: description, of: of, over: over, samples: 2, periods: 3, silence: awscloudwatch.TreatMissingData_NOT_BREACHING}
}

// addAlarms makes one alarm for each thing that a person should look at, for the
// stack as a whole: one for each pair would cost more than the pair. All end by
// themselves when what they are about has ended, and each is on one metric: not
// every emulator knows alarms on an expression.
func (s *stack) addAlarms() {
	alarms := []alarm{
		// Not on the last success: a first copy may take longer, and its passes are good.
		{"age", "Some pair had no good pass for " + config.FormatDuration(s.aws.AlarmAge) + ", or the manager doesn't run: chef-sync-ctl sync-status",
			s.metric(cloud.MetricOldestGoodPassAge, maximum, alarmPeriod), s.aws.AlarmAge.Seconds(), 2, 2, awscloudwatch.TreatMissingData_BREACHING},
		often("waiting", s.metric("Waiting", maximum, alarmPeriod), 0,
			"Pairs are held by a safety brake, or blocked by a server: chef-sync-ctl sync-status"),
		// An object is often set aside and mended by the next try.
		{"unsynced", "Objects could not be replicated for half an hour: chef-sync-ctl unsynced-objects",
			s.metric("Unsynced", maximum, alarmPeriod), 0, 3, 3, awscloudwatch.TreatMissingData_NOT_BREACHING},
		// Those that arrive, not those that lie there: the next event does their work.
		often("dead-letters", s.deadLetters.MetricNumberOfMessagesSent(options(sum, alarmPeriod)), 0,
			"Events fail or aren't taken, again and again: chef-sync-ctl doctor"),
	}
	for _, f := range s.functions() {
		alarms = append(alarms,
			often("errors-"+f.name, f.MetricErrors(options(sum, alarmPeriod)), 0,
				"The function "+f.name+" fails: chef-sync-ctl sync-log, manager-log"),
			often("throttles-"+f.name, f.MetricThrottles(options(sum, alarmPeriod)), 0,
				"The function "+f.name+" has no concurrency left: reserved_concurrency, journal_concurrency, or the quota of the account"))
	}
	if s.changes != nil {
		alarms = append(alarms, alarm{"scan", "Some organization had no good scan for " + config.FormatDuration(s.aws.AlarmAge) + ": chef-sync-ctl sync-status",
			s.metric(cloud.MetricOldestGoodScanAge, maximum, alarmPeriod), s.aws.AlarmAge.Seconds(), 2, 2, awscloudwatch.TreatMissingData_NOT_BREACHING})
	}
	if s.url != nil {
		// Scanners of the internet try a few; a Chef Server with a wrong token tries
		// with every change.
		alarms = append(alarms, often("refused", s.metric("Refused", sum, alarmPeriod), 20,
			"Many requests to the journal's URL are refused: is a Chef Server's token wrong?"))
	}
	for _, a := range alarms {
		s.addAlarm(a)
	}
}

func (s *stack) addAlarm(a alarm) {
	made := awscloudwatch.NewAlarm(s.scope, jsii.String("Alarm"+strings.ToUpper(a.name[:1])+strings.ReplaceAll(a.name[1:], "-", "")), &awscloudwatch.AlarmProps{
		AlarmName: s.name(a.name), AlarmDescription: &a.description, Metric: a.of,
		ComparisonOperator: awscloudwatch.ComparisonOperator_GREATER_THAN_THRESHOLD,
		Threshold:          &a.over, DatapointsToAlarm: &a.samples, EvaluationPeriods: &a.periods, TreatMissingData: a.silence,
	})
	if s.topic != nil {
		action := awscloudwatchactions.NewSnsAction(s.topic)
		made.AddAlarmAction(action)
		made.AddOkAction(action)
	}
}

func options(statistic string, period time.Duration) *awscloudwatch.MetricOptions {
	return &awscloudwatch.MetricOptions{Statistic: &statistic, Period: seconds(period)}
}

// addTopic makes the topic of the alarms if somebody wants to know. Without a key
// of the customer's it isn't encrypted: with the key that AWS keeps for topics
// CloudWatch may not write to it, and an alarm's text is no secret.
func (s *stack) addTopic() {
	if s.aws.AlarmEmail == "" {
		return
	}
	s.topic = awssns.NewTopic(s.scope, jsii.String("Alarms"), &awssns.TopicProps{
		DisplayName: jsii.String("Chef Replication " + s.aws.Stack), EnforceSSL: jsii.Bool(true), MasterKey: s.key,
	})
	// A topic with a policy of its own has lost the one that lets its account in.
	s.topic.AddToResourcePolicy(awsiam.NewPolicyStatement(&awsiam.PolicyStatementProps{
		Principals: &[]awsiam.IPrincipal{awsiam.NewServicePrincipal(jsii.String("cloudwatch.amazonaws.com"), nil)},
		Actions:    jsii.Strings("sns:Publish"), Resources: &[]*string{s.topic.TopicArn()},
		Conditions: &map[string]any{"StringEquals": map[string]any{"aws:SourceAccount": *s.scope.Account()}},
	}))
	s.topic.AddSubscription(awssnssubscriptions.NewEmailSubscription(jsii.String(s.aws.AlarmEmail), nil))
}

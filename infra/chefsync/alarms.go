package chefsync

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
)

// alarmPeriod is that of two runs of the manager, so that a late one leaves no gap.
const alarmPeriod = 2 * managerEvery

// alarm is an alarm on a metric that exceeds a threshold in some of the last periods. A
// single sample of a transient state, or one failed call, raises none.
type alarm struct {
	name, description string
	metric            awscloudwatch.IMetric
	threshold         float64
	samples, periods  float64 // samples above the threshold, of the last periods
	// missingData is how periods without samples are treated.
	missingData awscloudwatch.TreatMissingData
}

// recurringAlarm returns an alarm on a metric that exceeds a threshold in two of three
// periods.
func recurringAlarm(name string, metric awscloudwatch.IMetric, threshold float64, description string) alarm {
	return alarm{name: name, description: description, metric: metric, threshold: threshold, samples: 2, periods: 3,
		missingData: awscloudwatch.TreatMissingData_NOT_BREACHING}
}

// addAlarms adds the alarms of the stack as a whole: one for each pair would cost more
// than the pair. All end automatically when their cause has ended, and each is on one
// metric: not every emulator supports alarms on expressions.
func (s *ChefSync) addAlarms() {
	alarms := []alarm{
		// Not the last success: a first copy may take longer, and its passes are good.
		{"age", "Some pair had no good pass for " + s.alarmAgeText + ", or the manager doesn't run: chef-sync-ctl sync-status",
			s.newMetric(cloud.MetricOldestGoodPassAge, maximum, alarmPeriod), s.alarmAge, 2, 2, awscloudwatch.TreatMissingData_BREACHING},
		recurringAlarm("waiting", s.newMetric("Waiting", maximum, alarmPeriod), 0,
			"Pairs are held by the brake, or blocked by a server: chef-sync-ctl sync-status"),
		// An object is often unsynced for a short time, and replicated by the next try.
		{"unsynced", "Objects could not be replicated for half an hour: chef-sync-ctl unsynced-objects",
			s.newMetric("Unsynced", maximum, alarmPeriod), 0, 3, 3, awscloudwatch.TreatMissingData_NOT_BREACHING},
		// Messages that arrive, not those in the queue: a later event does their work.
		recurringAlarm("dead-letters", s.DeadLetters.MetricNumberOfMessagesSent(metricOptions(sum, alarmPeriod)), 0,
			"Events repeatedly fail or aren't delivered: chef-sync-ctl doctor"),
	}
	for _, f := range s.allFunctions() {
		alarms = append(alarms,
			recurringAlarm("errors-"+f.name, f.MetricErrors(metricOptions(sum, alarmPeriod)), 0,
				"The function "+f.name+" fails: chef-sync-ctl sync-log, manager-log"),
			recurringAlarm("throttles-"+f.name, f.MetricThrottles(metricOptions(sum, alarmPeriod)), 0,
				"The function "+f.name+" has no concurrency left: reserved_concurrency, journal_concurrency, or the quota of the account"))
	}
	if s.changes != nil {
		alarms = append(alarms, alarm{"scan", "Some organization had no good scan for " + s.alarmAgeText + ": chef-sync-ctl sync-status",
			s.newMetric(cloud.MetricOldestGoodScanAge, maximum, alarmPeriod), s.alarmAge, 2, 2, awscloudwatch.TreatMissingData_NOT_BREACHING})
	}
	if s.URL != nil {
		// Scans from the internet are few requests; a Chef Server with a wrong token sends
		// one with every change.
		alarms = append(alarms, recurringAlarm("refused", s.newMetric("Refused", sum, alarmPeriod), 20,
			"Many requests to the change log's URL are refused: is a Chef Server's token wrong?"))
	}
	for _, a := range alarms {
		s.addAlarm(a)
	}
}

func (s *ChefSync) addAlarm(a alarm) {
	id := "Alarm" + strings.ToUpper(a.name[:1]) + strings.ReplaceAll(a.name[1:], "-", "")
	made := awscloudwatch.NewAlarm(s.Construct, &id, &awscloudwatch.AlarmProps{
		AlarmName: s.resourceName(a.name), AlarmDescription: &a.description, Metric: a.metric,
		ComparisonOperator: awscloudwatch.ComparisonOperator_GREATER_THAN_THRESHOLD,
		Threshold:          &a.threshold, DatapointsToAlarm: &a.samples, EvaluationPeriods: &a.periods, TreatMissingData: a.missingData,
	})
	if s.Topic != nil {
		action := awscloudwatchactions.NewSnsAction(s.Topic)
		made.AddAlarmAction(action)
		made.AddOkAction(action)
	}
}

func metricOptions(statistic string, period time.Duration) *awscloudwatch.MetricOptions {
	return &awscloudwatch.MetricOptions{Statistic: &statistic, Period: durationSeconds(period)}
}

// addTopic adds the topic of the alarms if the configuration has an address. Without a
// key of the customer it isn't encrypted: CloudWatch may not use the key that AWS
// manages for topics, and the text of an alarm is no secret.
func (s *ChefSync) addTopic() {
	if s.aws.AlarmEmail == "" {
		return
	}
	s.Topic = awssns.NewTopic(s.Construct, jsii.String("Alarms"), &awssns.TopicProps{
		DisplayName: jsii.String("Chef Replication " + s.aws.Stack), EnforceSSL: jsii.Bool(true), MasterKey: s.key,
	})
	// A topic policy replaces the default one, which allows the account.
	s.Topic.AddToResourcePolicy(awsiam.NewPolicyStatement(&awsiam.PolicyStatementProps{
		Principals: &[]awsiam.IPrincipal{awsiam.NewServicePrincipal(jsii.String("cloudwatch.amazonaws.com"), nil)},
		Actions:    jsii.Strings("sns:Publish"), Resources: &[]*string{s.Topic.TopicArn()},
		Conditions: &map[string]any{"StringEquals": map[string]any{"aws:SourceAccount": *s.stack.Account()}},
	}))
	s.Topic.AddSubscription(awssnssubscriptions.NewEmailSubscription(jsii.String(s.aws.AlarmEmail), nil))
}

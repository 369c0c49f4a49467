package main

import (
	"time"

	"github.com/aws/aws-cdk-go/awscdk/v2/awscloudwatch"
	"github.com/aws/jsii-runtime-go"

	"chefsync/pkg/cloud"
)

const (
	pageWidth   = 24 // CloudWatch's columns
	chartHeight = 6
	chartPeriod = 5 * time.Minute
)

// addDashboard shows the stack on one page: how the pairs are, what was done, and
// whether the functions are well.
func (s *stack) addDashboard() {
	page := awscloudwatch.NewDashboard(s.scope, jsii.String("Dashboard"), &awscloudwatch.DashboardProps{DashboardName: jsii.String(s.aws.Stack)})
	states := func(names ...string) []awscloudwatch.IMetric { return s.metrics(maximum, names...) }
	counts := func(names ...string) []awscloudwatch.IMetric { return s.metrics(sum, names...) }
	ages := states("OldestSuccessAge", cloud.MetricOldestGoodPassAge)
	if s.changes != nil {
		ages = append(ages, states(cloud.MetricOldestGoodScanAge)...)
	}
	row(page,
		chart("Age of the oldest success, good pass and good scan, seconds", ages),
		chart("Pairs", states("Pairs", "Synced", "Overdue", "Retrying", "Held", "Blocked", "Waiting", "Stopped")),
		chart("Objects waiting", states("Pending", "Unsynced")),
	)
	row(page,
		chart("Objects written and deleted", counts("Applied", "Deleted")),
		chart("Passes that failed", counts("Failed")),
		chart("Bytes uploaded", counts("UploadedBytes")),
		chart("Longest pass, milliseconds", states("PassMilliseconds")),
	)
	if s.changes != nil {
		journal := []awscloudwatch.GraphWidgetProps{
			chart("Changes noted in the journal", counts("Noted")), chart("Longest scan, milliseconds", states("ScanMilliseconds")),
		}
		if s.web != nil {
			journal = append(journal, chart("Requests refused", counts("Refused")))
		}
		row(page, journal...)
	}
	var calls, errors []awscloudwatch.IMetric
	for _, f := range s.functions() {
		calls = append(calls, f.MetricInvocations(options(sum, chartPeriod)))
		errors = append(errors, f.MetricErrors(options(sum, chartPeriod)), f.MetricThrottles(options(sum, chartPeriod)))
	}
	row(page,
		chart("Calls", calls),
		chart("Errors and throttled calls", errors),
		chart("Dead letters", []awscloudwatch.IMetric{
			s.deadLetters.MetricApproximateNumberOfMessagesVisible(options(maximum, chartPeriod)),
			s.deadLetters.MetricNumberOfMessagesSent(options(sum, chartPeriod))}),
	)
}

func (s *stack) metrics(statistic string, names ...string) (all []awscloudwatch.IMetric) {
	for _, n := range names {
		all = append(all, s.metric(n, statistic, chartPeriod))
	}
	return all
}

func chart(title string, metrics []awscloudwatch.IMetric) awscloudwatch.GraphWidgetProps {
	return awscloudwatch.GraphWidgetProps{Title: &title, Left: &metrics, Height: jsii.Number(chartHeight), Period: seconds(chartPeriod),
		LeftYAxis: &awscloudwatch.YAxisProps{Min: jsii.Number(0), ShowUnits: jsii.Bool(false)}}
}

// row puts charts beside each other.
func row(page awscloudwatch.Dashboard, charts ...awscloudwatch.GraphWidgetProps) {
	var widgets []awscloudwatch.IWidget
	for _, c := range charts {
		c.Width = jsii.Number(float64(pageWidth / len(charts)))
		widgets = append(widgets, awscloudwatch.NewGraphWidget(&c))
	}
	page.AddWidgets(widgets...)
}

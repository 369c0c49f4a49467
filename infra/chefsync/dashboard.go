package chefsync

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

// addDashboard adds a dashboard of the states of the pairs, the objects replicated, and
// the calls and errors of the functions.
func (s *ChefSync) addDashboard() {
	page := awscloudwatch.NewDashboard(s.Construct, jsii.String("Dashboard"), &awscloudwatch.DashboardProps{DashboardName: jsii.String(s.aws.Stack)})
	states := func(names ...string) []awscloudwatch.IMetric { return s.newMetrics(maximum, names...) }
	counts := func(names ...string) []awscloudwatch.IMetric { return s.newMetrics(sum, names...) }
	ages := states("OldestSuccessAge", cloud.MetricOldestGoodPassAge)
	if s.changes != nil {
		ages = append(ages, states(cloud.MetricOldestGoodScanAge)...)
	}
	addChartRow(page,
		newChart("Age of the oldest success, good pass and good scan, seconds", ages),
		newChart("Pairs", states("Pairs", "Synced", "Overdue", "Retrying", "Held", "Blocked", "Waiting", "Stopped")),
		newChart("Objects waiting", states("Pending", "Unsynced")),
	)
	addChartRow(page,
		newChart("Objects written and deleted", counts("Applied", "Deleted")),
		newChart("Passes that failed", counts("Failed")),
		newChart("Bytes uploaded", counts("UploadedBytes")),
		newChart("Longest pass, milliseconds", states("PassMilliseconds")),
	)
	if s.changes != nil {
		changeLog := []awscloudwatch.GraphWidgetProps{
			newChart("Changes recorded", counts("Noted")), newChart("Longest scan, milliseconds", states("ScanMilliseconds")),
		}
		if s.web != nil {
			changeLog = append(changeLog, newChart("Requests refused", counts("Refused")))
		}
		addChartRow(page, changeLog...)
	}
	var calls, errors []awscloudwatch.IMetric
	for _, f := range s.allFunctions() {
		calls = append(calls, f.MetricInvocations(metricOptions(sum, chartPeriod)))
		errors = append(errors, f.MetricErrors(metricOptions(sum, chartPeriod)), f.MetricThrottles(metricOptions(sum, chartPeriod)))
	}
	addChartRow(page,
		newChart("Calls", calls),
		newChart("Errors and throttled calls", errors),
		newChart("Dead letters", []awscloudwatch.IMetric{
			s.DeadLetters.MetricApproximateNumberOfMessagesVisible(metricOptions(maximum, chartPeriod)),
			s.DeadLetters.MetricNumberOfMessagesSent(metricOptions(sum, chartPeriod))}),
	)
}

// newMetrics returns metrics of the stack for charts.
func (s *ChefSync) newMetrics(statistic string, names ...string) (all []awscloudwatch.IMetric) {
	for _, n := range names {
		all = append(all, s.newMetric(n, statistic, chartPeriod))
	}
	return all
}

func newChart(title string, metrics []awscloudwatch.IMetric) awscloudwatch.GraphWidgetProps {
	return awscloudwatch.GraphWidgetProps{Title: &title, Left: &metrics, Height: jsii.Number(chartHeight), Period: durationSeconds(chartPeriod),
		LeftYAxis: &awscloudwatch.YAxisProps{Min: jsii.Number(0), ShowUnits: jsii.Bool(false)}}
}

// addChartRow adds charts beside each other.
func addChartRow(page awscloudwatch.Dashboard, charts ...awscloudwatch.GraphWidgetProps) {
	var widgets []awscloudwatch.IWidget
	for _, c := range charts {
		c.Width = jsii.Number(float64(pageWidth / len(charts)))
		widgets = append(widgets, awscloudwatch.NewGraphWidget(&c))
	}
	page.AddWidgets(widgets...)
}

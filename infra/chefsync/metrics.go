package chefsync

import (
	"time"

	"github.com/aws/aws-cdk-go/awscdk/v2"
	"github.com/aws/aws-cdk-go/awscdk/v2/awscloudwatch"
	"github.com/aws/jsii-runtime-go"

	"chefsync/pkg/cloud"
)

// The statistics in use.
const (
	maximum = "Maximum"
	sum     = "Sum"
)

// newMetric returns a metric of the stack. Those of the manager are states, whose maximum
// is used; the others are counts, which are summed.
func (s *ChefSync) newMetric(name, statistic string, period time.Duration) awscloudwatch.Metric {
	return awscloudwatch.NewMetric(&awscloudwatch.MetricProps{
		Namespace: jsii.String(cloud.MetricNamespace), MetricName: &name, Statistic: &statistic,
		DimensionsMap: &map[string]*string{cloud.MetricDimension: jsii.String(s.aws.Stack)},
		Period:        durationSeconds(period),
	})
}

// allFunctions returns all functions of the stack.
func (s *ChefSync) allFunctions() []*function {
	all := []*function{s.sync, s.manager}
	if s.changes != nil {
		all = append(all, s.changes)
	}
	if s.web != nil {
		all = append(all, s.web)
	}
	return all
}

func durationSeconds(d time.Duration) awscdk.Duration {
	return awscdk.Duration_Seconds(jsii.Number(d.Seconds()))
}

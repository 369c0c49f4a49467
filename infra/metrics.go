package main

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

// metric is one of the stack's own. Those of the manager are states, of which the
// largest counts; the others are counts, which are added up.
func (s *stack) metric(name, statistic string, period time.Duration) awscloudwatch.Metric {
	return awscloudwatch.NewMetric(&awscloudwatch.MetricProps{
		Namespace: jsii.String(cloud.MetricNamespace), MetricName: &name, Statistic: &statistic,
		DimensionsMap: &map[string]*string{cloud.MetricDimension: jsii.String(s.aws.Stack)},
		Period:        seconds(period),
	})
}

// functions are all functions of the stack.
func (s *stack) functions() []*function {
	all := []*function{s.sync, s.manager}
	if s.changes != nil {
		all = append(all, s.changes)
	}
	if s.web != nil {
		all = append(all, s.web)
	}
	return all
}

func seconds(d time.Duration) awscdk.Duration {
	return awscdk.Duration_Seconds(jsii.Number(d.Seconds()))
}

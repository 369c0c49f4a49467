package main

import (
	"encoding/json"
	"fmt"

	"github.com/aws/aws-cdk-go/awscdk/v2"
	"github.com/aws/aws-cdk-go/awscdk/v2/awsiam"
	"github.com/aws/aws-cdk-go/awscdk/v2/awsscheduler"
	"github.com/aws/aws-cdk-go/awscdk/v2/awssqs"
	"github.com/aws/constructs-go/constructs/v10"
	"github.com/aws/jsii-runtime-go"

	"chefsync/infra/rights"
	"chefsync/pkg/cloud"
)

// managerSchedule is the name of the one schedule that is the template's. The
// manager, which makes all others and drops what nobody needs, leaves names alone
// that don't begin with sync- or scan-.
const managerSchedule = "manager"

// addDeadLetters makes the queue of events that no function took or that one
// failed on. An event is no loss, the next schedule does its work; the queue is
// there to be looked at.
func (s *stack) addDeadLetters() {
	encryption := awssqs.QueueEncryption_SQS_MANAGED
	if s.key != nil {
		encryption = awssqs.QueueEncryption_KMS
	}
	s.deadLetters = awssqs.NewQueue(s.scope, jsii.String("DeadLetters"), &awssqs.QueueProps{
		EnforceSSL: jsii.Bool(true),
		Encryption: encryption, EncryptionMasterKey: s.key,
		RetentionPeriod: awscdk.Duration_Days(jsii.Number(14)),
	})
}

// addScheduleGroup makes the group of the schedules. Removing it removes those
// that are left in it.
func (s *stack) addScheduleGroup() {
	s.group = awsscheduler.NewCfnScheduleGroup(s.scope, jsii.String("ScheduleGroup"), &awsscheduler.CfnScheduleGroupProps{Name: jsii.String(s.aws.Stack)})
}

// addScheduleRole makes a role for schedules of the group, and of no other.
func (s *stack) addScheduleRole(id string, granted []rights.Right) awsiam.Role {
	group := s.expand("arn:${Here:scheduler}:schedule-group/", "") + s.aws.Stack
	return s.addRole(id, awsiam.NewServicePrincipal(jsii.String("scheduler.amazonaws.com"), &awsiam.ServicePrincipalOpts{
		Conditions: &map[string]any{"StringEquals": map[string]any{"aws:SourceAccount": *s.scope.Account(), "aws:SourceArn": group}},
	}), granted, "")
}

// addSchedules makes the schedule that keeps the manager going. Those of pairs
// and of the journal are the manager's, so that an organization more is no change
// of the template, and a thousand of them fit. Scheduler fires a rate at once, so
// the schedule waits for the configuration, without which the manager fails; and it
// goes before it, or the manager would make again what it has just cleared.
func (s *stack) addSchedules(configuration constructs.IDependable) {
	event, err := json.Marshal(cloud.ManagerEvent{Task: cloud.TaskManage})
	if err != nil {
		panic(err) // of strings alone
	}
	schedule := awsscheduler.NewCfnSchedule(s.scope, jsii.String("ManagerSchedule"), &awsscheduler.CfnScheduleProps{
		Name:               jsii.String(managerSchedule),
		Description:        jsii.String("Keeps the manager of " + s.aws.Stack + " going"),
		GroupName:          s.group.Name(),
		ScheduleExpression: jsii.String(fmt.Sprintf("rate(%.0f minutes)", managerEvery.Minutes())),
		FlexibleTimeWindow: &awsscheduler.CfnSchedule_FlexibleTimeWindowProperty{Mode: jsii.String("OFF")},
		Target: &awsscheduler.CfnSchedule_TargetProperty{
			Arn:              s.manager.FunctionArn(),
			RoleArn:          s.addScheduleRole("ManagerScheduleRole", rights.ManagerSchedule(s.config)).RoleArn(),
			Input:            jsii.String(string(event)),
			DeadLetterConfig: map[string]any{"arn": *s.deadLetters.QueueArn()},
			RetryPolicy: &awsscheduler.CfnSchedule_RetryPolicyProperty{
				MaximumEventAgeInSeconds: jsii.Number(eventAge.Seconds()), MaximumRetryAttempts: jsii.Number(0),
			},
		},
	})
	dependOn(schedule, s.group, configuration)
}

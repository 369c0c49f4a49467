package awsstack

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	ddtypes "github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/aws/aws-sdk-go-v2/service/lambda"
	lambdatypes "github.com/aws/aws-sdk-go-v2/service/lambda/types"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	sqstypes "github.com/aws/aws-sdk-go-v2/service/sqs/types"
	"github.com/aws/aws-sdk-go-v2/service/sts"

	"chefsync/cli/internal/stack"
	"chefsync/pkg/cloud/awserr"
	"chefsync/pkg/store/dynamo"
)

// Identity implements [stack.Client].
func (s *client) Identity(ctx context.Context) (string, error) {
	out, err := sts.NewFromConfig(s.config).GetCallerIdentity(ctx, &sts.GetCallerIdentityInput{})
	if err != nil {
		return "", awserr.Wrap(ctx, "ask who we are", "AWS", err)
	}
	return aws.ToString(out.Arn), nil
}

// DescribeTable implements [stack.Client].
func (s *client) DescribeTable(ctx context.Context) (t stack.Table, err error) {
	out, err := s.dynamoClient().DescribeTable(ctx, &dynamodb.DescribeTableInput{TableName: &s.Table})
	if err != nil {
		return t, awserr.Wrap(ctx, "look", "table "+s.Table, err)
	}
	for _, k := range out.Table.KeySchema {
		t.KeyNames = append(t.KeyNames, aws.ToString(k.AttributeName))
	}
	d := dynamo.Definition()
	t.Status, t.Keys = string(out.Table.TableStatus), slices.Equal(t.KeyNames, []string{d.PartitionKey, d.SortKey})
	// Some emulators give no status at all.
	t.Active = slices.Contains([]ddtypes.TableStatus{ddtypes.TableStatusActive, ddtypes.TableStatusUpdating, ""}, out.Table.TableStatus)
	return t, nil
}

// HasTimeToLive implements [stack.Client].
func (s *client) HasTimeToLive(ctx context.Context) (bool, error) {
	out, err := s.dynamoClient().DescribeTimeToLive(ctx, &dynamodb.DescribeTimeToLiveInput{TableName: &s.Table})
	if err != nil {
		return false, awserr.Wrap(ctx, "look at the time to live", "table "+s.Table, err)
	}
	d := out.TimeToLiveDescription
	return d != nil && d.TimeToLiveStatus == ddtypes.TimeToLiveStatusEnabled && aws.ToString(d.AttributeName) == dynamo.Definition().TTLAttribute, nil
}

// HasPointInTimeRecovery implements [stack.Client].
func (s *client) HasPointInTimeRecovery(ctx context.Context) (bool, error) {
	out, err := s.dynamoClient().DescribeContinuousBackups(ctx, &dynamodb.DescribeContinuousBackupsInput{TableName: &s.Table})
	if err != nil {
		return false, awserr.Wrap(ctx, "look at the backups", "table "+s.Table, err)
	}
	d := out.ContinuousBackupsDescription
	return d != nil && d.PointInTimeRecoveryDescription != nil &&
		d.PointInTimeRecoveryDescription.PointInTimeRecoveryStatus == ddtypes.PointInTimeRecoveryStatusEnabled, nil
}

func (s *client) dynamoClient() *dynamodb.Client {
	return dynamodb.NewFromConfig(s.config, func(o *dynamodb.Options) {
		o.DisableValidateResponseChecksum = o.BaseEndpoint != nil // emulators send none
	})
}

// FunctionProblem implements [stack.Client].
func (s *client) FunctionProblem(ctx context.Context, name string) (string, error) {
	out, err := lambda.NewFromConfig(s.config).GetFunctionConfiguration(ctx, &lambda.GetFunctionConfigurationInput{FunctionName: &name})
	switch {
	case err != nil:
		return "", awserr.Wrap(ctx, "look", "function "+name, err)
	case out.State == lambdatypes.StateFailed:
		return fmt.Sprintf("it is in state %s: %s", out.State, aws.ToString(out.StateReason)), nil
	case out.LastUpdateStatus == lambdatypes.LastUpdateStatusFailed:
		return "its last update failed: " + aws.ToString(out.LastUpdateStatusReason), nil
	}
	return "", nil
}

// ReservedConcurrency implements [stack.Client].
func (s *client) ReservedConcurrency(ctx context.Context, name string) (int, error) {
	out, err := lambda.NewFromConfig(s.config).GetFunctionConcurrency(ctx, &lambda.GetFunctionConcurrencyInput{FunctionName: &name})
	if err != nil {
		return 0, awserr.Wrap(ctx, "look at the concurrency", "function "+name, err)
	}
	return int(aws.ToInt32(out.ReservedConcurrentExecutions)), nil
}

// DeadLetterCount implements [stack.Client].
func (s *client) DeadLetterCount(ctx context.Context) (int, error) {
	name := sqstypes.QueueAttributeNameApproximateNumberOfMessages
	out, err := sqs.NewFromConfig(s.config).GetQueueAttributes(ctx, &sqs.GetQueueAttributesInput{
		QueueUrl: &s.DeadLetters, AttributeNames: []sqstypes.QueueAttributeName{name},
	})
	if err != nil {
		return 0, awserr.Wrap(ctx, "look", "queue "+s.DeadLetters, err)
	}
	return strconv.Atoi(out.Attributes[string(name)])
}

// PurgeDeadLetters implements [stack.Client]. AWS takes up to a minute for it, in which it
// refuses another purge.
func (s *client) PurgeDeadLetters(ctx context.Context) error {
	_, err := sqs.NewFromConfig(s.config).PurgeQueue(ctx, &sqs.PurgeQueueInput{QueueUrl: &s.DeadLetters})
	var already *sqstypes.PurgeQueueInProgress
	if errors.As(err, &already) {
		return nil
	}
	return awserr.Wrap(ctx, "purge", "queue "+s.DeadLetters, err)
}

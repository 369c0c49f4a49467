package stack

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

	"chefsync/pkg/state/dynamostate"
)

// Identity is the ARN that AWS is asked as.
func (s *Stack) Identity(ctx context.Context) (string, error) {
	out, err := sts.NewFromConfig(s.Config).GetCallerIdentity(ctx, &sts.GetCallerIdentityInput{})
	if err != nil {
		return "", explain(ctx, "ask who we are", "AWS", err)
	}
	return aws.ToString(out.Arn), nil
}

// Table is what DynamoDB says of the table.
type Table struct {
	Status   string
	Active   bool
	Keys     bool // they are those that the state needs
	KeyNames []string
}

// DescribeTable looks at the table.
func (s *Stack) DescribeTable(ctx context.Context) (t Table, err error) {
	out, err := s.dynamo().DescribeTable(ctx, &dynamodb.DescribeTableInput{TableName: &s.Table})
	if err != nil {
		return t, explain(ctx, "look", "table "+s.Table, err)
	}
	for _, k := range out.Table.KeySchema {
		t.KeyNames = append(t.KeyNames, aws.ToString(k.AttributeName))
	}
	d := dynamostate.Definition()
	t.Status, t.Keys = string(out.Table.TableStatus), slices.Equal(t.KeyNames, []string{d.PartitionKey, d.SortKey})
	// Some emulators give no status at all.
	t.Active = slices.Contains([]ddtypes.TableStatus{ddtypes.TableStatusActive, ddtypes.TableStatusUpdating, ""}, out.Table.TableStatus)
	return t, nil
}

// Expires tells whether old records expire.
func (s *Stack) Expires(ctx context.Context) (bool, error) {
	out, err := s.dynamo().DescribeTimeToLive(ctx, &dynamodb.DescribeTimeToLiveInput{TableName: &s.Table})
	if err != nil {
		return false, explain(ctx, "look at the time to live", "table "+s.Table, err)
	}
	d := out.TimeToLiveDescription
	return d != nil && d.TimeToLiveStatus == ddtypes.TimeToLiveStatusEnabled && aws.ToString(d.AttributeName) == dynamostate.Definition().TTLAttribute, nil
}

// PointInTime tells whether the table can be put back to a point in time.
func (s *Stack) PointInTime(ctx context.Context) (bool, error) {
	out, err := s.dynamo().DescribeContinuousBackups(ctx, &dynamodb.DescribeContinuousBackupsInput{TableName: &s.Table})
	if err != nil {
		return false, explain(ctx, "look at the backups", "table "+s.Table, err)
	}
	d := out.ContinuousBackupsDescription
	return d != nil && d.PointInTimeRecoveryDescription != nil &&
		d.PointInTimeRecoveryDescription.PointInTimeRecoveryStatus == ddtypes.PointInTimeRecoveryStatusEnabled, nil
}

func (s *Stack) dynamo() *dynamodb.Client {
	return dynamodb.NewFromConfig(s.Config, func(o *dynamodb.Options) {
		o.DisableValidateResponseChecksum = o.BaseEndpoint != nil // emulators send none
	})
}

// FunctionTrouble says why a function can't run, or "".
func (s *Stack) FunctionTrouble(ctx context.Context, name string) (string, error) {
	out, err := lambda.NewFromConfig(s.Config).GetFunctionConfiguration(ctx, &lambda.GetFunctionConfigurationInput{FunctionName: &name})
	switch {
	case err != nil:
		return "", explain(ctx, "look", "function "+name, err)
	case out.State == lambdatypes.StateFailed:
		return fmt.Sprintf("it is in state %s: %s", out.State, aws.ToString(out.StateReason)), nil
	case out.LastUpdateStatus == lambdatypes.LastUpdateStatusFailed:
		return "its last update failed: " + aws.ToString(out.LastUpdateStatusReason), nil
	}
	return "", nil
}

// Reserved is how many executions of a function the account keeps for it, 0 if it
// shares them with all others.
func (s *Stack) Reserved(ctx context.Context, name string) (int, error) {
	out, err := lambda.NewFromConfig(s.Config).GetFunctionConcurrency(ctx, &lambda.GetFunctionConcurrencyInput{FunctionName: &name})
	if err != nil {
		return 0, explain(ctx, "look at the concurrency", "function "+name, err)
	}
	return int(aws.ToInt32(out.ReservedConcurrentExecutions)), nil
}

// Depth is about how many events wait in the queue of those that no function took.
func (s *Stack) Depth(ctx context.Context) (int, error) {
	name := sqstypes.QueueAttributeNameApproximateNumberOfMessages
	out, err := sqs.NewFromConfig(s.Config).GetQueueAttributes(ctx, &sqs.GetQueueAttributesInput{
		QueueUrl: &s.DeadLetters, AttributeNames: []sqstypes.QueueAttributeName{name},
	})
	if err != nil {
		return 0, explain(ctx, "look", "queue "+s.DeadLetters, err)
	}
	return strconv.Atoi(out.Attributes[string(name)])
}

// Purge deletes all events from the queue of those that no function took. It takes
// AWS up to a minute, in which it refuses to be asked again.
func (s *Stack) Purge(ctx context.Context) error {
	_, err := sqs.NewFromConfig(s.Config).PurgeQueue(ctx, &sqs.PurgeQueueInput{QueueUrl: &s.DeadLetters})
	var already *sqstypes.PurgeQueueInProgress
	if errors.As(err, &already) {
		return nil
	}
	return explain(ctx, "purge", "queue "+s.DeadLetters, err)
}

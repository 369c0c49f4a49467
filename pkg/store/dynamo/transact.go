package dynamo

import (
	"context"
	"errors"
	mathrand "math/rand/v2"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"chefsync/pkg/cloud/awserr"
	"chefsync/pkg/fault"
	"chefsync/pkg/store"
)

// attempts is how often a conflict is retried: for about three seconds in all.
const attempts = 8

// backoff returns the pause after an attempt, half of it random.
func backoff(attempt int) time.Duration {
	d := min(25*time.Millisecond<<attempt, time.Second)
	return d/2 + mathrand.N(d/2)
}

func pause(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		return nil
	}
}

// retry calls until the answer is none of those that a moment later may differ.
func retry[T any](ctx context.Context, t *Table, call func() (T, error)) (out T, err error) {
	for attempt := range attempts {
		if err := ctx.Err(); err != nil {
			return out, err
		}
		if out, err = call(); !temporary(err) {
			return out, err
		}
		if t.sleep(ctx, backoff(attempt)) != nil {
			return out, err
		}
	}
	return out, err
}

// Transact implements [store.KV]. A request whose answer was lost, which the SDK may
// have sent twice, is looked for: it happened if an item that it puts has the version
// that it gives.
func (t *Table) Transact(ctx context.Context, writes ...store.Write) (string, error) {
	version := store.NewVersion()
	err := t.send(ctx, version, writes)
	if err == nil {
		return version, nil
	}
	if ctx.Err() == nil {
		done, lookErr := t.happened(ctx, version, writes)
		switch {
		case lookErr == nil && done:
			return version, nil
		case refused(err) && lookErr != nil:
			return "", lookErr
		}
	}
	if refused(err) {
		return "", store.ErrConflict
	}
	return "", t.explain(ctx, err)
}

func (t *Table) send(ctx context.Context, version string, writes []store.Write) error {
	if len(writes) == 1 && writes[0].Op != store.OpCheck {
		return t.sendOne(ctx, version, writes[0])
	}
	items := make([]types.TransactWriteItem, len(writes))
	for i, w := range writes {
		condition, values := conditionOf(w)
		switch w.Op {
		case store.OpPut:
			items[i].Put = &types.Put{TableName: &t.name, Item: encode(w.Item, version), ConditionExpression: condition, ExpressionAttributeValues: values}
		case store.OpDelete:
			items[i].Delete = &types.Delete{TableName: &t.name, Key: keyItem(w.Item.Key), ConditionExpression: condition, ExpressionAttributeValues: values}
		case store.OpCheck:
			items[i].ConditionCheck = &types.ConditionCheck{TableName: &t.name, Key: keyItem(w.Item.Key),
				ConditionExpression: condition, ExpressionAttributeValues: values}
		}
	}
	_, err := retry(ctx, t, func() (*dynamodb.TransactWriteItemsOutput, error) {
		return t.api.TransactWriteItems(ctx, &dynamodb.TransactWriteItemsInput{TransactItems: items, ClientRequestToken: &version})
	})
	return err
}

func (t *Table) sendOne(ctx context.Context, version string, w store.Write) error {
	condition, values := conditionOf(w)
	if w.Op == store.OpDelete {
		_, err := retry(ctx, t, func() (*dynamodb.DeleteItemOutput, error) {
			return t.api.DeleteItem(ctx, &dynamodb.DeleteItemInput{TableName: &t.name, Key: keyItem(w.Item.Key),
				ConditionExpression: condition, ExpressionAttributeValues: values})
		})
		return err
	}
	_, err := retry(ctx, t, func() (*dynamodb.PutItemOutput, error) {
		return t.api.PutItem(ctx, &dynamodb.PutItemInput{TableName: &t.name, Item: encode(w.Item, version),
			ConditionExpression: condition, ExpressionAttributeValues: values})
	})
	return err
}

func conditionOf(w store.Write) (*string, item) {
	switch {
	case !w.Conditional:
		return nil, nil
	case w.Item.Version == "":
		return aws.String("attribute_not_exists(pk)"), nil
	}
	return aws.String("v = :v"), item{":v": str(w.Item.Version)}
}

// happened reports whether a transaction was done, by the first item that it puts. One
// that puts nothing is done again without harm.
func (t *Table) happened(ctx context.Context, version string, writes []store.Write) (bool, error) {
	for _, w := range writes {
		if w.Op == store.OpPut {
			there, err := t.Get(ctx, w.Item.Key)
			return err == nil && there[0].Version == version, err
		}
	}
	return false, nil
}

// refused reports whether a condition was not met.
func refused(err error) bool {
	var failed *types.ConditionalCheckFailedException
	return errors.As(err, &failed) || canceledFor(err, "ConditionalCheckFailed")
}

// canceledFor reports whether one of some codes is a reason why a transaction was
// canceled.
func canceledFor(err error, codes ...string) bool {
	var canceled *types.TransactionCanceledException
	if !errors.As(err, &canceled) {
		return false
	}
	for _, r := range canceled.CancellationReasons {
		for _, code := range codes {
			if aws.ToString(r.Code) == code {
				return true
			}
		}
	}
	return false
}

// temporary reports whether the same request may succeed in a moment: another write of
// the same items was under way. The SDK doesn't retry these.
func temporary(err error) bool {
	switch awserr.Code(err) {
	case "TransactionConflictException", "TransactionInProgressException":
		return true
	}
	return !refused(err) && canceledFor(err, "TransactionConflict", "ThrottlingError", "ProvisionedThroughputExceeded")
}

func damaged(err error) error {
	return &fault.Error{Op: "read record", Class: fault.Local, Err: err,
		Hint: "restore the table to a point in time, or delete the item: a full compare then starts over and loses nothing on the replica"}
}

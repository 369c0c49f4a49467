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

// maxAttempts bounds how often a conflict is retried, for about three seconds in all.
const maxAttempts = 8

// backoffDelay returns the delay after an attempt, with jitter.
func backoffDelay(attempt int) time.Duration {
	d := min(25*time.Millisecond<<attempt, time.Second)
	return d/2 + mathrand.N(d/2)
}

func sleepContext(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		return nil
	}
}

// retryTemporary makes a call until its error is none that a retry may avoid.
func retryTemporary[T any](ctx context.Context, t *Table, call func() (T, error)) (out T, err error) {
	for attempt := range maxAttempts {
		if err := ctx.Err(); err != nil {
			return out, err
		}
		if out, err = call(); !isTemporary(err) {
			return out, err
		}
		if t.sleep(ctx, backoffDelay(attempt)) != nil {
			return out, err
		}
	}
	return out, err
}

// Transact implements [store.KV]. After a lost answer, or one to a request that the
// SDK sent twice, it reads an item that the transaction puts: the transaction was done if
// the item has its version.
func (t *Table) Transact(ctx context.Context, writes ...store.Write) (string, error) {
	version := store.NewVersion()
	err := t.sendWrites(ctx, version, writes)
	if err == nil {
		return version, nil
	}
	if ctx.Err() == nil {
		done, lookErr := t.wasWritten(ctx, version, writes)
		switch {
		case lookErr == nil && done:
			return version, nil
		case isConditionFailure(err) && lookErr != nil:
			return "", lookErr
		}
	}
	if isConditionFailure(err) {
		return "", store.ErrConflict
	}
	return "", t.explainError(ctx, err)
}

func (t *Table) sendWrites(ctx context.Context, version string, writes []store.Write) error {
	if len(writes) == 1 && writes[0].Op != store.OpCheck {
		return t.sendOne(ctx, version, writes[0])
	}
	items := make([]types.TransactWriteItem, len(writes))
	for i, w := range writes {
		condition, values := conditionOf(w)
		switch w.Op {
		case store.OpPut:
			items[i].Put = &types.Put{TableName: &t.name, Item: t.encodeItem(w.Item, version), ConditionExpression: condition,
				ExpressionAttributeValues: values}
		case store.OpDelete:
			items[i].Delete = &types.Delete{TableName: &t.name, Key: keyItem(w.Item.Key), ConditionExpression: condition,
				ExpressionAttributeValues: values}
		case store.OpCheck:
			items[i].ConditionCheck = &types.ConditionCheck{TableName: &t.name, Key: keyItem(w.Item.Key),
				ConditionExpression: condition, ExpressionAttributeValues: values}
		}
	}
	_, err := retryTemporary(ctx, t, func() (*dynamodb.TransactWriteItemsOutput, error) {
		return t.api.TransactWriteItems(ctx, &dynamodb.TransactWriteItemsInput{TransactItems: items, ClientRequestToken: &version})
	})
	return err
}

func (t *Table) sendOne(ctx context.Context, version string, w store.Write) error {
	condition, values := conditionOf(w)
	if w.Op == store.OpDelete {
		_, err := retryTemporary(ctx, t, func() (*dynamodb.DeleteItemOutput, error) {
			return t.api.DeleteItem(ctx, &dynamodb.DeleteItemInput{TableName: &t.name, Key: keyItem(w.Item.Key),
				ConditionExpression: condition, ExpressionAttributeValues: values})
		})
		return err
	}
	_, err := retryTemporary(ctx, t, func() (*dynamodb.PutItemOutput, error) {
		return t.api.PutItem(ctx, &dynamodb.PutItemInput{TableName: &t.name, Item: t.encodeItem(w.Item, version),
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
	return aws.String("v = :v"), item{":v": stringValue(w.Item.Version)}
}

// wasWritten reports whether a transaction was done, by the version of the first item that
// it puts. One that puts nothing can be repeated.
func (t *Table) wasWritten(ctx context.Context, version string, writes []store.Write) (bool, error) {
	for _, w := range writes {
		if w.Op == store.OpPut {
			there, err := t.Get(ctx, w.Item.Key)
			return err == nil && there.Version == version, err
		}
	}
	return false, nil
}

// isConditionFailure reports whether an error means that a condition wasn't met.
func isConditionFailure(err error) bool {
	var failed *types.ConditionalCheckFailedException
	return errors.As(err, &failed) || canceledFor(err, "ConditionalCheckFailed")
}

// canceledFor reports whether a transaction was canceled for a reason with one of the
// codes.
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

// isTemporary reports whether a retry of the same request may succeed: another write of the
// same items was in progress. The SDK doesn't retry these.
func isTemporary(err error) bool {
	switch awserr.Code(err) {
	case "TransactionConflictException", "TransactionInProgressException":
		return true
	}
	return !isConditionFailure(err) && canceledFor(err, "TransactionConflict", "ThrottlingError", "ProvisionedThroughputExceeded")
}

func damagedError(err error) error {
	return &fault.Error{Op: "read record", Class: fault.Local, Err: err,
		Hint: "restore the table to a point in time, or delete the item: a full comparison then starts over and loses nothing on the replica"}
}

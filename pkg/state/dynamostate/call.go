package dynamostate

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"iter"
	mathrand "math/rand/v2"
	"slices"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
)

// attempts is how often a conflict is retried: for about three seconds in all.
const attempts = 8

// backoff is the pause after an attempt, half of it random.
func backoff(attempt int) time.Duration {
	d := min(25*time.Millisecond<<attempt, time.Second)
	return d/2 + mathrand.N(d/2)
}

// retry calls until the answer is none of those that a moment later may differ.
func retry[T any](ctx context.Context, s *State, call func() (T, error)) (out T, err error) {
	for attempt := range attempts {
		if err := ctx.Err(); err != nil {
			return out, err
		}
		if out, err = call(); !again(err) {
			return out, err
		}
		if s.sleep(ctx, backoff(attempt)) != nil {
			return out, err
		}
	}
	return out, err
}

func (s *State) get(ctx context.Context, key item) (item, error) {
	out, err := retry(ctx, s, func() (*dynamodb.GetItemOutput, error) {
		return s.api.GetItem(ctx, &dynamodb.GetItemInput{TableName: &s.table, Key: key, ConsistentRead: aws.Bool(true)})
	})
	if err != nil {
		return nil, err
	}
	return out.Item, nil
}

// query returns the items of a partition whose sort key has a prefix, at most
// limit if it isn't 0.
func (s *State) query(ctx context.Context, pk, prefix string, newestFirst bool, limit int) (all []item, err error) {
	in := &dynamodb.QueryInput{
		TableName:                 &s.table,
		ConsistentRead:            aws.Bool(true),
		ScanIndexForward:          aws.Bool(!newestFirst),
		KeyConditionExpression:    aws.String("pk = :pk AND begins_with(sk, :prefix)"),
		ExpressionAttributeValues: item{":pk": str(pk), ":prefix": str(prefix)},
	}
	if prefix == "" {
		in.KeyConditionExpression = aws.String("pk = :pk")
		delete(in.ExpressionAttributeValues, ":prefix")
	}
	for {
		if limit > 0 {
			in.Limit = aws.Int32(int32(min(limit-len(all), 1000)))
		}
		out, err := retry(ctx, s, func() (*dynamodb.QueryOutput, error) { return s.api.Query(ctx, in) })
		if err != nil {
			return nil, err
		}
		all = append(all, out.Items...)
		if len(out.LastEvaluatedKey) == 0 || limit > 0 && len(all) >= limit {
			return all, nil
		}
		in.ExclusiveStartKey = out.LastEvaluatedKey
	}
}

// between goes through the items of a partition from one sort key to another,
// both included, in pages of at most limit.
func (s *State) between(ctx context.Context, pk, from, to string, limit int) iter.Seq2[item, error] {
	return func(yield func(item, error) bool) {
		in := &dynamodb.QueryInput{
			TableName:                 &s.table,
			ConsistentRead:            aws.Bool(true),
			Limit:                     aws.Int32(int32(limit)),
			KeyConditionExpression:    aws.String("pk = :pk AND sk BETWEEN :from AND :to"),
			ExpressionAttributeValues: item{":pk": str(pk), ":from": str(from), ":to": str(to)},
		}
		for {
			out, err := retry(ctx, s, func() (*dynamodb.QueryOutput, error) { return s.api.Query(ctx, in) })
			if err != nil {
				yield(nil, err)
				return
			}
			for _, it := range out.Items {
				if !yield(it, nil) {
					return
				}
			}
			if in.ExclusiveStartKey = out.LastEvaluatedKey; len(out.LastEvaluatedKey) == 0 {
				return
			}
		}
	}
}

// change is a conditional write of an item that is there or will be, such as the
// hot item of a pair.
type change struct {
	set       string // update expression
	condition string
	values    item
}

// update does a change of a pair's hot item alone and returns the item as it is
// then.
func (s *State) update(ctx context.Context, k string, c change) (item, error) {
	return s.updateItem(ctx, hotKey(k), c)
}

func (s *State) updateItem(ctx context.Context, key item, c change) (item, error) {
	out, err := retry(ctx, s, func() (*dynamodb.UpdateItemOutput, error) {
		return s.api.UpdateItem(ctx, &dynamodb.UpdateItemInput{
			TableName: &s.table, Key: key, UpdateExpression: &c.set, ConditionExpression: &c.condition,
			ExpressionAttributeValues: c.values, ReturnValues: types.ReturnValueAllNew,
			ReturnValuesOnConditionCheckFailure: types.ReturnValuesOnConditionCheckFailureAllOld,
		})
	})
	if err != nil {
		return nil, err
	}
	return out.Attributes, nil
}

// transact does a change of a pair's hot item together with writes of other
// items, all or nothing. A request that is sent twice by the SDK is done once.
func (s *State) transact(ctx context.Context, k string, c change, puts []item) error {
	return s.transactItems(ctx, hotKey(k), c, puts)
}

func (s *State) transactItems(ctx context.Context, key item, c change, puts []item) error {
	items := []types.TransactWriteItem{{Update: &types.Update{
		TableName: &s.table, Key: key, UpdateExpression: &c.set, ConditionExpression: &c.condition, ExpressionAttributeValues: c.values,
	}}}
	for _, p := range puts {
		items = append(items, types.TransactWriteItem{Put: &types.Put{TableName: &s.table, Item: p}})
	}
	request := hex.EncodeToString(token(16))
	_, err := retry(ctx, s, func() (*dynamodb.TransactWriteItemsOutput, error) {
		return s.api.TransactWriteItems(ctx, &dynamodb.TransactWriteItemsInput{TransactItems: items, ClientRequestToken: &request})
	})
	return err
}

// deleteAll drops items of a partition, as far as it can: they are left over, and
// whoever comes next tries again.
func (s *State) deleteAll(ctx context.Context, pk string, sks []string) {
	for chunk := range slices.Chunk(sks, 25) {
		var writes []types.WriteRequest
		for _, sk := range chunk {
			writes = append(writes, types.WriteRequest{DeleteRequest: &types.DeleteRequest{Key: keyOf(pk, sk)}})
		}
		for attempt := 0; len(writes) > 0; attempt++ {
			out, err := s.api.BatchWriteItem(ctx, &dynamodb.BatchWriteItemInput{RequestItems: map[string][]types.WriteRequest{s.table: writes}})
			if err != nil {
				return
			}
			if writes = out.UnprocessedItems[s.table]; len(writes) > 0 && (attempt == attempts || s.sleep(ctx, backoff(attempt)) != nil) {
				return
			}
		}
	}
}

// getAll reads items by their keys, in no order. An answer may have only some of
// them, with the keys that it left out.
func (s *State) getAll(ctx context.Context, keys []item) (all []item, err error) {
	for chunk := range slices.Chunk(keys, 100) {
		for attempt := 0; len(chunk) > 0; attempt++ {
			out, err := retry(ctx, s, func() (*dynamodb.BatchGetItemOutput, error) {
				return s.api.BatchGetItem(ctx, &dynamodb.BatchGetItemInput{RequestItems: map[string]types.KeysAndAttributes{
					s.table: {Keys: chunk, ConsistentRead: aws.Bool(true)},
				}})
			})
			if err != nil {
				return nil, err
			}
			all = append(all, out.Responses[s.table]...)
			if chunk = out.UnprocessedKeys[s.table].Keys; len(chunk) == 0 {
				break
			}
			if attempt == attempts {
				return nil, &types.ProvisionedThroughputExceededException{Message: aws.String("some items are still unread")}
			}
			if err := s.sleep(ctx, backoff(attempt)); err != nil {
				return nil, err
			}
		}
	}
	return all, nil
}

// token is n random bytes.
func token(n int) []byte {
	b := make([]byte, n)
	_, _ = rand.Read(b) // never fails
	return b
}

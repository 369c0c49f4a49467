// Package dynamo keeps the items of package store in one DynamoDB table, one item
// each: the partition is the attribute pk, the sort key sk, the version v, the data d
// and the end of its life expires, by which DynamoDB removes it.
//
// Data is JSON, deflated where that is shorter. Reads are strongly consistent. A single
// write is a PutItem or DeleteItem, which costs half of what it costs in a transaction.
package dynamo

import (
	"bytes"
	"compress/flate"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"chefsync/pkg/store"
)

// API is the part of [dynamodb.Client] that is used.
type API interface {
	GetItem(context.Context, *dynamodb.GetItemInput, ...func(*dynamodb.Options)) (*dynamodb.GetItemOutput, error)
	BatchGetItem(context.Context, *dynamodb.BatchGetItemInput, ...func(*dynamodb.Options)) (*dynamodb.BatchGetItemOutput, error)
	Query(context.Context, *dynamodb.QueryInput, ...func(*dynamodb.Options)) (*dynamodb.QueryOutput, error)
	PutItem(context.Context, *dynamodb.PutItemInput, ...func(*dynamodb.Options)) (*dynamodb.PutItemOutput, error)
	DeleteItem(context.Context, *dynamodb.DeleteItemInput, ...func(*dynamodb.Options)) (*dynamodb.DeleteItemOutput, error)
	TransactWriteItems(context.Context, *dynamodb.TransactWriteItemsInput, ...func(*dynamodb.Options)) (*dynamodb.TransactWriteItemsOutput, error)
}

// Attributes of items. Their names are short because DynamoDB bills them with every
// read and write.
const (
	attrPartition = "pk"
	attrSort      = "sk"
	attrVersion   = "v" // S; N in the items of the previous version of the program
	attrData      = "d" // B
	attrExpires   = "expires"
)

// Table is a [store.KV] in a DynamoDB table. It is safe for concurrent use, and so is
// the table for any number of processes.
//
// What operations cost when all goes well, in requests: Get one GetItem for one key and
// one BatchGetItem for each 100 of several; Query one for each MB; Transact one, and if
// it is refused or its answer lost, one Get more.
type Table struct {
	api   API
	name  string
	sleep func(ctx context.Context, d time.Duration) error
}

var _ store.KV = (*Table)(nil)

// Open returns the items of a table that has [Definition]. It sends nothing. The
// client's retryer takes care of throttling; conflicts of transactions and partial
// answers are retried here.
func Open(client API, table string) *Table { return &Table{api: client, name: table, sleep: pause} }

// TableDefinition is what a table must have. Whatever else it has (encryption,
// backups, deletion protection) is its owner's choice.
type TableDefinition struct {
	PartitionKey string // a string attribute
	SortKey      string // a string attribute
	TTLAttribute string // epoch seconds
}

// Definition returns what [Open] expects of a table. It is billed on demand.
func Definition() TableDefinition {
	return TableDefinition{PartitionKey: attrPartition, SortKey: attrSort, TTLAttribute: attrExpires}
}

type item = map[string]types.AttributeValue

func str(s string) types.AttributeValue { return &types.AttributeValueMemberS{Value: s} }

func keyItem(k store.Key) item { return item{attrPartition: str(k.Partition), attrSort: str(k.Sort)} }

// encode returns an item as it is stored.
func encode(it store.Item, version string) item {
	out := keyItem(it.Key)
	out[attrVersion] = str(version)
	out[attrData] = &types.AttributeValueMemberB{Value: compress(it.Data)}
	if !it.Expires.IsZero() {
		out[attrExpires] = &types.AttributeValueMemberN{Value: strconv.FormatInt(it.Expires.Unix(), 10)}
	}
	return out
}

func decode(stored item) (it store.Item, err error) {
	it.Key, it.Version = keyOf(stored), text(stored, attrVersion)
	if data, ok := stored[attrData].(*types.AttributeValueMemberB); ok {
		it.Data, err = decompress(data.Value)
	}
	if err == nil && (it.Version == "" || len(it.Data) == 0) {
		err = errors.New("it lacks attributes")
	}
	if err != nil {
		return it, damaged(fmt.Errorf("the item %q of the partition %q can't be read: %w", it.Sort, it.Partition, err))
	}
	if n, ok := stored[attrExpires].(*types.AttributeValueMemberN); ok {
		if s, err := strconv.ParseInt(n.Value, 10, 64); err == nil {
			it.Expires = time.Unix(s, 0).UTC()
		}
	}
	return it, nil
}

func keyOf(stored item) store.Key {
	return store.Key{Partition: text(stored, attrPartition), Sort: text(stored, attrSort)}
}

func text(stored item, attr string) string {
	s, ok := stored[attr].(*types.AttributeValueMemberS)
	if !ok {
		return ""
	}
	return s.Value
}

// deflated is the first byte of data that is compressed. No JSON begins with it.
const deflated = 1

// maxPlain bounds what data may unfold to, in bytes.
const maxPlain = 64 << 20

func compress(plain []byte) []byte {
	b := bytes.NewBuffer([]byte{deflated})
	w, err := flate.NewWriter(b, flate.DefaultCompression)
	if err == nil {
		_, err = w.Write(plain)
	}
	if err != nil || w.Close() != nil || b.Len() >= len(plain) {
		return plain
	}
	return b.Bytes()
}

func decompress(data []byte) ([]byte, error) {
	if len(data) == 0 || data[0] != deflated {
		return data, nil
	}
	plain, err := io.ReadAll(io.LimitReader(flate.NewReader(bytes.NewReader(data[1:])), maxPlain+1))
	if err == nil && len(plain) > maxPlain {
		err = errors.New("its data is too large")
	}
	return plain, err
}

// Get implements [store.KV].
func (t *Table) Get(ctx context.Context, keys ...store.Key) ([]store.Item, error) {
	found := make(map[store.Key]item, len(keys))
	for chunk := range slices.Chunk(keys, 100) {
		if err := t.get(ctx, chunk, found); err != nil {
			return nil, t.explain(ctx, err)
		}
	}
	items := make([]store.Item, len(keys))
	for i, k := range keys {
		items[i] = store.Item{Key: k}
		if stored, ok := found[k]; ok {
			var err error
			if items[i], err = decode(stored); err != nil {
				return nil, err
			}
		}
	}
	return items, nil
}

func (t *Table) get(ctx context.Context, keys []store.Key, found map[store.Key]item) error {
	if len(keys) == 1 {
		out, err := retry(ctx, t, func() (*dynamodb.GetItemOutput, error) {
			return t.api.GetItem(ctx, &dynamodb.GetItemInput{TableName: &t.name, Key: keyItem(keys[0]), ConsistentRead: aws.Bool(true)})
		})
		if err == nil && len(out.Item) > 0 {
			found[keys[0]] = out.Item
		}
		return err
	}
	var asked []item
	for _, k := range keys {
		asked = append(asked, keyItem(k))
	}
	for attempt := 0; len(asked) > 0; attempt++ { // an answer may have only some of them
		out, err := retry(ctx, t, func() (*dynamodb.BatchGetItemOutput, error) {
			return t.api.BatchGetItem(ctx, &dynamodb.BatchGetItemInput{RequestItems: map[string]types.KeysAndAttributes{
				t.name: {Keys: asked, ConsistentRead: aws.Bool(true)},
			}})
		})
		if err != nil {
			return err
		}
		for _, stored := range out.Responses[t.name] {
			found[keyOf(stored)] = stored
		}
		if asked = out.UnprocessedKeys[t.name].Keys; len(asked) == 0 {
			return nil
		}
		if attempt == attempts {
			return &types.ProvisionedThroughputExceededException{Message: aws.String("some items are still unread")}
		}
		if err := t.sleep(ctx, backoff(attempt)); err != nil {
			return err
		}
	}
	return nil
}

// Query implements [store.KV].
func (t *Table) Query(ctx context.Context, q store.Query) (items []store.Item, err error) {
	in := &dynamodb.QueryInput{
		TableName: &t.name, ConsistentRead: aws.Bool(true), ScanIndexForward: aws.Bool(!q.Reverse),
		KeyConditionExpression:    aws.String("pk = :pk AND sk BETWEEN :from AND :to"),
		ExpressionAttributeValues: item{":pk": str(q.Partition), ":from": str(q.From), ":to": str(q.To)},
	}
	if q.From == "" { // DynamoDB refuses a condition on an empty key
		in.KeyConditionExpression = aws.String("pk = :pk AND sk <= :to")
		delete(in.ExpressionAttributeValues, ":from")
	}
	for {
		if q.Limit > 0 {
			in.Limit = aws.Int32(int32(q.Limit - len(items)))
		}
		out, err := retry(ctx, t, func() (*dynamodb.QueryOutput, error) { return t.api.Query(ctx, in) })
		if err != nil {
			return nil, t.explain(ctx, err)
		}
		for _, stored := range out.Items {
			it, err := decode(stored)
			if err != nil {
				return nil, err
			}
			items = append(items, it)
		}
		if in.ExclusiveStartKey = out.LastEvaluatedKey; len(out.LastEvaluatedKey) == 0 || q.Limit > 0 && len(items) >= q.Limit {
			return items, nil
		}
	}
}

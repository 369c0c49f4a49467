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
	"strconv"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"chefsync/pkg/store"
)

// API is the part of [dynamodb.Client] that is used.
type API interface {
	GetItem(context.Context, *dynamodb.GetItemInput, ...func(*dynamodb.Options)) (*dynamodb.GetItemOutput, error)
	Query(context.Context, *dynamodb.QueryInput, ...func(*dynamodb.Options)) (*dynamodb.QueryOutput, error)
	PutItem(context.Context, *dynamodb.PutItemInput, ...func(*dynamodb.Options)) (*dynamodb.PutItemOutput, error)
	DeleteItem(context.Context, *dynamodb.DeleteItemInput, ...func(*dynamodb.Options)) (*dynamodb.DeleteItemOutput, error)
	TransactWriteItems(context.Context, *dynamodb.TransactWriteItemsInput,
		...func(*dynamodb.Options)) (*dynamodb.TransactWriteItemsOutput, error)
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
// What operations cost when all goes well, in requests: Get one; Query one for each MB;
// Transact one, and if it is refused or its answer lost, one Get more.
type Table struct {
	api       API
	name      string
	sleep     func(ctx context.Context, d time.Duration) error
	deflaters sync.Pool // of *flate.Writer: a new one allocates more than half a megabyte
}

var _ store.KV = (*Table)(nil)

// Open returns the items of a table that has [Definition]. It sends nothing. The
// client's retryer takes care of throttling; conflicts of transactions and partial
// answers are retried here.
func Open(client API, table string) *Table {
	return &Table{api: client, name: table, sleep: sleepContext}
}

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

func stringValue(s string) types.AttributeValue { return &types.AttributeValueMemberS{Value: s} }

func keyItem(k store.Key) item {
	return item{attrPartition: stringValue(k.Partition), attrSort: stringValue(k.Sort)}
}

// encodeItem returns an item as DynamoDB stores it.
func (t *Table) encodeItem(it store.Item, version string) item {
	out := keyItem(it.Key)
	out[attrVersion] = stringValue(version)
	out[attrData] = &types.AttributeValueMemberB{Value: t.deflateData(it.Data)}
	if !it.Expires.IsZero() {
		out[attrExpires] = &types.AttributeValueMemberN{Value: strconv.FormatInt(it.Expires.Unix(), 10)}
	}
	return out
}

func decodeItem(stored item) (it store.Item, err error) {
	it.Key = store.Key{Partition: stringAttribute(stored, attrPartition), Sort: stringAttribute(stored, attrSort)}
	it.Version = stringAttribute(stored, attrVersion)
	if data, ok := stored[attrData].(*types.AttributeValueMemberB); ok {
		it.Data, err = inflateData(data.Value)
	}
	if err == nil && (it.Version == "" || len(it.Data) == 0) {
		err = errors.New("it lacks attributes")
	}
	if err != nil {
		return it, damagedError(fmt.Errorf("the item %q of the partition %q can't be read: %w", it.Sort, it.Partition, err))
	}
	if n, ok := stored[attrExpires].(*types.AttributeValueMemberN); ok {
		if s, err := strconv.ParseInt(n.Value, 10, 64); err == nil {
			it.Expires = time.Unix(s, 0).UTC()
		}
	}
	return it, nil
}

func stringAttribute(stored item, attr string) string {
	s, ok := stored[attr].(*types.AttributeValueMemberS)
	if !ok {
		return ""
	}
	return s.Value
}

// deflatedMark is the first byte of compressed data. No JSON begins with it.
const deflatedMark = 1

// maxPlain bounds the size of decompressed data.
const maxPlain = 64 << 20

func (t *Table) deflateData(plain []byte) []byte {
	b := bytes.NewBuffer([]byte{deflatedMark})
	w, used := t.deflaters.Get().(*flate.Writer)
	if used {
		w.Reset(b)
	} else {
		w, _ = flate.NewWriter(b, flate.DefaultCompression) // the level is valid
	}
	defer t.deflaters.Put(w)
	if _, err := w.Write(plain); err != nil || w.Close() != nil || b.Len() >= len(plain) {
		return plain
	}
	return b.Bytes()
}

func inflateData(data []byte) ([]byte, error) {
	if len(data) == 0 || data[0] != deflatedMark {
		return data, nil
	}
	plain, err := io.ReadAll(io.LimitReader(flate.NewReader(bytes.NewReader(data[1:])), maxPlain+1))
	if err == nil && len(plain) > maxPlain {
		err = errors.New("its data is too large")
	}
	return plain, err
}

// Get implements [store.KV].
func (t *Table) Get(ctx context.Context, k store.Key) (store.Item, error) {
	out, err := retryTemporary(ctx, t, func() (*dynamodb.GetItemOutput, error) {
		return t.api.GetItem(ctx, &dynamodb.GetItemInput{TableName: &t.name, Key: keyItem(k), ConsistentRead: aws.Bool(true)})
	})
	if err != nil {
		return store.Item{}, t.explainError(ctx, err)
	}
	if len(out.Item) == 0 {
		return store.Item{Key: k}, nil
	}
	return decodeItem(out.Item)
}

// Query implements [store.KV].
func (t *Table) Query(ctx context.Context, q store.Query) (items []store.Item, err error) {
	in := &dynamodb.QueryInput{
		TableName: &t.name, ConsistentRead: aws.Bool(true), ScanIndexForward: aws.Bool(!q.Reverse),
		KeyConditionExpression:    aws.String("pk = :pk AND sk BETWEEN :from AND :to"),
		ExpressionAttributeValues: item{":pk": stringValue(q.Partition), ":from": stringValue(q.From), ":to": stringValue(q.To)},
	}
	if q.From == "" { // DynamoDB refuses a condition on an empty key
		in.KeyConditionExpression = aws.String("pk = :pk AND sk <= :to")
		delete(in.ExpressionAttributeValues, ":from")
	}
	for {
		if q.Limit > 0 {
			in.Limit = aws.Int32(int32(q.Limit - len(items)))
		}
		out, err := retryTemporary(ctx, t, func() (*dynamodb.QueryOutput, error) { return t.api.Query(ctx, in) })
		if err != nil {
			return nil, t.explainError(ctx, err)
		}
		for _, stored := range out.Items {
			it, err := decodeItem(stored)
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

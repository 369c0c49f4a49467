package dynamostate_test

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"os"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"chefsync/pkg/cloud/dynamotest"
	"chefsync/pkg/replication"
	"chefsync/pkg/state/dynamostate"
)

func noon() time.Time { return time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC) }

func engineering() replication.PairID {
	return replication.PairID{Replica: "eu", Org: "engineering"}
}

// client is a client of an endpoint, with credentials that say nothing.
func client(t *testing.T, endpoint string) *dynamodb.Client {
	t.Helper()
	cfg, err := config.LoadDefaultConfig(t.Context(), config.WithRegion("us-east-1"),
		config.WithCredentialsProvider(credentials.NewStaticCredentialsProvider("test", "test", "")))
	if err != nil {
		t.Fatal(err)
	}
	return dynamodb.NewFromConfig(cfg, func(o *dynamodb.Options) {
		o.BaseEndpoint = aws.String(endpoint)
		o.DisableValidateResponseChecksum = true
	})
}

// createTable makes a table of its own for a test. Emulators have it at once.
func createTable(t *testing.T, c *dynamodb.Client) string {
	t.Helper()
	name := fmt.Sprintf("chefsync-test-%d-%d", os.Getpid(), time.Now().UnixNano())
	if _, err := c.CreateTable(t.Context(), dynamostate.Definition().CreateTableInput(name)); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if _, err := c.DeleteTable(context.Background(), &dynamodb.DeleteTableInput{TableName: &name}); err != nil {
			t.Error(err)
		}
	})
	return name
}

// memory is an object store in memory.
type memory struct {
	mu    sync.Mutex
	blobs map[string][]byte
	calls []string
	fail  error
	onPut func()
}

func (m *memory) call(op, key string) error {
	m.calls = append(m.calls, op+" "+key)
	return m.fail
}

func (m *memory) Put(_ context.Context, key string, data []byte, sum [32]byte) error {
	if m.onPut != nil {
		m.onPut()
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := m.call("put", key); err != nil {
		return err
	}
	if sha256.Sum256(data) != sum {
		return replication.ErrContentMismatch
	}
	if _, there := m.blobs[key]; there {
		return errors.New("a blob was overwritten")
	}
	if m.blobs == nil {
		m.blobs = map[string][]byte{}
	}
	m.blobs[key] = append([]byte{}, data...)
	return nil
}

func (m *memory) Get(_ context.Context, key string, sum [32]byte) ([]byte, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := m.call("get", key); err != nil {
		return nil, err
	}
	data, there := m.blobs[key]
	switch {
	case !there:
		return nil, fmt.Errorf("%s: %w", key, replication.ErrNotStaged)
	case sha256.Sum256(data) != sum:
		return nil, fmt.Errorf("%s: %w", key, replication.ErrContentMismatch)
	}
	return data, nil
}

func (m *memory) Delete(_ context.Context, key string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := m.call("delete", key); err != nil {
		return err
	}
	delete(m.blobs, key)
	return nil
}

// keys are the keys of all blobs.
func (m *memory) keys() (all []string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for k := range m.blobs {
		all = append(all, k)
	}
	return all
}

// world is a table with its blobs, and a record of what is asked of it.
type world struct {
	table string
	raw   *dynamodb.Client
	api   *spy
	blobs *memory
}

func newWorld(t *testing.T) *world {
	t.Helper()
	c := dynamotest.Start(t)
	return &world{table: createTable(t, c), raw: c, api: &spy{API: c}, blobs: &memory{}}
}

func (w *world) open(options ...dynamostate.Option) *dynamostate.State {
	return dynamostate.Open(w.api, w.table, w.blobs, append([]dynamostate.Option{dynamostate.WithSleep(noSleep)}, options...)...)
}

func noSleep(ctx context.Context, _ time.Duration) error { return ctx.Err() }

// items returns all items of the table.
func (w *world) items(t *testing.T) (all []map[string]types.AttributeValue) {
	t.Helper()
	out, err := w.raw.Scan(t.Context(), &dynamodb.ScanInput{TableName: &w.table})
	if err != nil {
		t.Fatal(err)
	}
	return out.Items
}

// item returns one item.
func (w *world) item(t *testing.T, pk, sk string) map[string]types.AttributeValue {
	t.Helper()
	out, err := w.raw.GetItem(t.Context(), &dynamodb.GetItemInput{TableName: &w.table, Key: keyOf(pk, sk)})
	if err != nil {
		t.Fatal(err)
	}
	return out.Item
}

func keyOf(pk, sk string) map[string]types.AttributeValue {
	return map[string]types.AttributeValue{"pk": &types.AttributeValueMemberS{Value: pk}, "sk": &types.AttributeValueMemberS{Value: sk}}
}

// size is what DynamoDB counts for an item: names and values, in bytes.
func size(it map[string]types.AttributeValue) (n int) {
	for name, v := range it {
		n += len(name)
		switch v := v.(type) {
		case *types.AttributeValueMemberS:
			n += len(v.Value)
		case *types.AttributeValueMemberB:
			n += len(v.Value)
		case *types.AttributeValueMemberN:
			n += len(v.Value)/2 + 2
		case *types.AttributeValueMemberSS:
			for _, s := range v.Value {
				n += len(s)
			}
		default:
			panic(fmt.Sprintf("an attribute of type %T", v))
		}
	}
	return n
}

// spy records the operations, and can make one of them fail before or after it
// is done.
type spy struct {
	dynamostate.API
	mu     sync.Mutex
	ops    []string
	before func(op string) error
	after  func(op string) error
	done   func()
}

func (s *spy) reset() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	ops := s.ops
	s.ops = nil
	return ops
}

func do[I, O any](s *spy, op string, call func(context.Context, I, ...func(*dynamodb.Options)) (O, error), ctx context.Context, in I) (out O, err error) {
	s.mu.Lock()
	s.ops = append(s.ops, op)
	before, after := s.before, s.after
	s.mu.Unlock()
	if before != nil {
		if err := before(op); err != nil {
			return out, err
		}
	}
	if s.done != nil {
		defer s.done()
	}
	out, err = call(ctx, in)
	if after != nil && err == nil {
		err = after(op)
	}
	return out, err
}

func (s *spy) GetItem(ctx context.Context, in *dynamodb.GetItemInput, _ ...func(*dynamodb.Options)) (*dynamodb.GetItemOutput, error) {
	return do(s, "GetItem", s.API.GetItem, ctx, in)
}

func (s *spy) UpdateItem(ctx context.Context, in *dynamodb.UpdateItemInput, _ ...func(*dynamodb.Options)) (*dynamodb.UpdateItemOutput, error) {
	return do(s, "UpdateItem", s.API.UpdateItem, ctx, in)
}

func (s *spy) Query(ctx context.Context, in *dynamodb.QueryInput, _ ...func(*dynamodb.Options)) (*dynamodb.QueryOutput, error) {
	return do(s, "Query", s.API.Query, ctx, in)
}

func (s *spy) TransactWriteItems(ctx context.Context, in *dynamodb.TransactWriteItemsInput, _ ...func(*dynamodb.Options)) (*dynamodb.TransactWriteItemsOutput, error) {
	return do(s, fmt.Sprintf("TransactWriteItems(%d)", len(in.TransactItems)), s.API.TransactWriteItems, ctx, in)
}

func (s *spy) BatchGetItem(ctx context.Context, in *dynamodb.BatchGetItemInput, _ ...func(*dynamodb.Options)) (*dynamodb.BatchGetItemOutput, error) {
	return do(s, "BatchGetItem", s.API.BatchGetItem, ctx, in)
}

func (s *spy) BatchWriteItem(ctx context.Context, in *dynamodb.BatchWriteItemInput, _ ...func(*dynamodb.Options)) (*dynamodb.BatchWriteItemOutput, error) {
	return do(s, "BatchWriteItem", s.API.BatchWriteItem, ctx, in)
}

type item = map[string]types.AttributeValue

func text(v types.AttributeValue) string {
	s, _ := v.(*types.AttributeValueMemberS)
	return s.Value
}

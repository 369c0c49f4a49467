package dynamo_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/aws/smithy-go"

	"chefsync/pkg/cloud/dynamotest"
	"chefsync/pkg/fault"
	"chefsync/pkg/object"
	"chefsync/pkg/replication"
	"chefsync/pkg/store"
	"chefsync/pkg/store/dynamo"
)

var errLost = errors.New("connection reset by peer")

// recordingAPI records the operations, and can make one of them fail before or after it is done.
type recordingAPI struct {
	dynamo.API
	mu            sync.Mutex
	ops           []string
	before, after func(op string) error
	done          func()
}

func (s *recordingAPI) takeOps() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	ops := s.ops
	s.ops = nil
	return ops
}

func recordCall[I, O any](s *recordingAPI, op string, call func(context.Context, I, ...func(*dynamodb.Options)) (O, error),
	ctx context.Context, in I) (out O, err error) {
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
	if out, err = call(ctx, in); after != nil && err == nil {
		err = after(op)
	}
	return out, err
}

func (s *recordingAPI) GetItem(ctx context.Context, in *dynamodb.GetItemInput,
	_ ...func(*dynamodb.Options)) (*dynamodb.GetItemOutput, error) {
	return recordCall(s, "GetItem", s.API.GetItem, ctx, in)
}

func (s *recordingAPI) Query(ctx context.Context, in *dynamodb.QueryInput, _ ...func(*dynamodb.Options)) (*dynamodb.QueryOutput, error) {
	return recordCall(s, "Query", s.API.Query, ctx, in)
}

func (s *recordingAPI) PutItem(ctx context.Context, in *dynamodb.PutItemInput,
	_ ...func(*dynamodb.Options)) (*dynamodb.PutItemOutput, error) {
	return recordCall(s, "PutItem", s.API.PutItem, ctx, in)
}

func (s *recordingAPI) DeleteItem(ctx context.Context, in *dynamodb.DeleteItemInput,
	_ ...func(*dynamodb.Options)) (*dynamodb.DeleteItemOutput, error) {
	return recordCall(s, "DeleteItem", s.API.DeleteItem, ctx, in)
}

func (s *recordingAPI) TransactWriteItems(ctx context.Context, in *dynamodb.TransactWriteItemsInput,
	_ ...func(*dynamodb.Options)) (*dynamodb.TransactWriteItemsOutput, error) {
	return recordCall(s, fmt.Sprintf("TransactWriteItems(%d)", len(in.TransactItems)), s.API.TransactWriteItems, ctx, in)
}

// fixture is a table, and a record of what is asked of it.
type fixture struct {
	table string
	raw   *dynamodb.Client
	api   *recordingAPI
	kv    *dynamo.Table
}

func newFixture(t *testing.T) *fixture {
	t.Helper()
	c := dynamotest.Start(t)
	w := &fixture{table: createTable(t, c), raw: c, api: &recordingAPI{API: c}}
	w.kv = dynamo.Open(w.api, w.table)
	w.kv.SetSleep(func(ctx context.Context, _ time.Duration) error { return ctx.Err() })
	return w
}

func textItem(sort, text string) store.Item {
	return store.Item{Key: store.Key{Partition: "p", Sort: sort}, Data: fmt.Appendf(nil, "{%q:%q}", "text", text)}
}

// failOnce fails the first of the operations whose name begins with a prefix.
func failOnce(prefix string, err error) func(string) error {
	left := 1
	return func(op string) error {
		if strings.HasPrefix(op, prefix) && left > 0 {
			left--
			return err
		}
		return nil
	}
}

// TestLostAnswers: what was written counts, though nobody said so.
func TestLostAnswers(t *testing.T) {
	for name, writes := range map[string][]store.Write{
		"one item":      {store.Replace(textItem("a", "1"))},
		"a transaction": {store.Replace(textItem("a", "1")), store.Put(textItem("b", "1"))},
	} {
		t.Run(name, func(t *testing.T) {
			w := newFixture(t)
			lost := 0
			w.api.after = func(op string) error {
				if op == "PutItem" || strings.HasPrefix(op, "Transact") {
					lost++
					return errLost
				}
				return nil
			}
			version, err := w.kv.Transact(t.Context(), writes...)
			if err != nil || lost != 1 {
				t.Fatalf("%v after %d lost answers", err, lost)
			}
			if it, err := w.kv.Get(t.Context(), writes[0].Item.Key); err != nil || it.Version != version {
				t.Errorf("%+v, %v", it, err)
			}
		})
	}
}

// TestALostAnswerThatTheClientRetries: the client sends the request again and is told
// that its condition isn't met.
func TestALostAnswerThatTheClientRetries(t *testing.T) {
	w := newFixture(t)
	w.api.after = func(op string) error {
		if op == "PutItem" {
			return &types.ConditionalCheckFailedException{}
		}
		return nil
	}
	if _, err := w.kv.Transact(t.Context(), store.Replace(textItem("a", "1"))); err != nil {
		t.Errorf("%v, want success", err)
	}
}

// TestNothingWrittenAndNobodyKnows: the answer is lost, and so is that of the look for it.
func TestNothingWrittenAndNobodyKnows(t *testing.T) {
	w := newFixture(t)
	w.api.before = func(string) error { return errLost }
	_, err := w.kv.Transact(t.Context(), store.Put(textItem("a", "1")), store.Put(textItem("b", "1")))
	if !errors.Is(err, errLost) || errors.Is(err, store.ErrConflict) {
		t.Errorf("%v, want the error of the connection", err)
	}
	w.api.before = failOnce("PutItem", errLost)
	if _, err = w.kv.Transact(t.Context(), store.Put(textItem("a", "1"))); !errors.Is(err, errLost) {
		t.Errorf("%v, want the error of the connection: the item isn't there", err)
	}
}

// TestAWriteThatArrivesLate is refused once somebody else has written.
func TestAWriteThatArrivesLate(t *testing.T) {
	w := newFixture(t)
	version, err := w.kv.Transact(t.Context(), store.Put(textItem("a", "0")))
	if err != nil {
		t.Fatal(err)
	}
	late := textItem("a", "late")
	late.Version = version
	if _, err := w.kv.Transact(t.Context(), store.Put(textItem("a", "1"))); err != nil {
		t.Fatal(err)
	}
	if _, err := w.kv.Transact(t.Context(), store.Replace(late), store.Put(textItem("b", "late"))); !errors.Is(err, store.ErrConflict) {
		t.Errorf("%v, want ErrConflict", err)
	}
}

// TestTransactionsThatMeetAreTriedAgain, as are throttled ones.
func TestTransactionsThatMeetAreTriedAgain(t *testing.T) {
	for _, code := range []string{"TransactionConflict", "ThrottlingError", "ProvisionedThroughputExceeded"} {
		w := newFixture(t)
		w.api.before = failOnce("Transact", &types.TransactionCanceledException{CancellationReasons: []types.CancellationReason{
			{Code: aws.String("None")}, {Code: aws.String(code)},
		}})
		if _, err := w.kv.Transact(t.Context(), store.Put(textItem("a", "1")), store.Put(textItem("b", "1"))); err != nil {
			t.Errorf("%s: %v", code, err)
		}
		if ops := w.api.takeOps(); len(ops) != 2 {
			t.Errorf("%s: %v, want it sent twice", code, ops)
		}
	}
}

// TestErrorsOfAWS: errors of DynamoDB get a class and a hint.
func TestErrorsOfAWS(t *testing.T) {
	for code, want := range map[string]struct {
		class fault.Class
		hint  string
	}{
		"AccessDeniedException":                  {fault.Denied, "allow dynamodb:GetItem on the table"},
		"ResourceNotFoundException":              {fault.Local, "there is no table"},
		"ProvisionedThroughputExceededException": {fault.Transient, "throttled"},
		"ValidationException":                    {fault.Local, "string keys pk and sk"},
		"InternalServerError":                    {fault.Transient, ""},
	} {
		w := newFixture(t)
		w.api.before = func(string) error {
			return &smithy.OperationError{ServiceID: "DynamoDB", OperationName: "GetItem",
				Err: &smithy.GenericAPIError{Code: code, Message: "says AWS"}}
		}
		_, err := store.New(w.kv).Pair(t.Context(), replication.PairID{Replica: "eu", Org: "engineering"})
		if fault.ClassOf(err) != want.class || !strings.Contains(fault.HintOf(err), want.hint) ||
			!strings.Contains(err.Error(), "read state of eu/engineering on table "+w.table) {
			t.Errorf("%s: %v of class %s with the hint %q", code, err, fault.ClassOf(err), fault.HintOf(err))
		}
	}
}

// TestADamagedItem: an error with what to do.
func TestADamagedItem(t *testing.T) {
	w := newFixture(t)
	for name, data := range map[string]types.AttributeValue{
		"no data": nil, "a text": &types.AttributeValueMemberS{Value: "{}"}, "cut": &types.AttributeValueMemberB{Value: []byte{1, 2, 3}},
	} {
		it := map[string]types.AttributeValue{"pk": &types.AttributeValueMemberS{Value: "p"},
			"sk": &types.AttributeValueMemberS{Value: "a"}, "v": &types.AttributeValueMemberS{Value: "x"}}
		if data != nil {
			it["d"] = data
		}
		if _, err := w.raw.PutItem(t.Context(), &dynamodb.PutItemInput{TableName: &w.table, Item: it}); err != nil {
			t.Fatal(err)
		}
		_, err := w.kv.Get(t.Context(), store.Key{Partition: "p", Sort: "a"})
		if fault.ClassOf(err) != fault.Local || fault.HintOf(err) == "" {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// billedSize returns what DynamoDB counts for an item: names and values, in bytes.
func billedSize(it map[string]types.AttributeValue) (n int) {
	for name, v := range it {
		n += len(name)
		switch v := v.(type) {
		case *types.AttributeValueMemberS:
			n += len(v.Value)
		case *types.AttributeValueMemberB:
			n += len(v.Value)
		case *types.AttributeValueMemberN:
			n += len(v.Value)/2 + 2
		default:
			panic(fmt.Sprintf("an attribute of type %T", v))
		}
	}
	return n
}

// typicalProgress returns the progress of a pair that follows a busy feed, with everything in it that a
// healthy pair has.
func typicalProgress() replication.Progress {
	at := func(d time.Duration) time.Time {
		return time.Date(2026, 11, 22, 12, 0, 0, 123456789, time.UTC).Add(d)
	}
	p := replication.Progress{
		Status: replication.Synced, Since: at(-90 * time.Hour), Feed: "updated_since", FeedNote: "the primary serves updated_since",
		Position: &replication.Position{
			Identity: "https://chef.example.com/organizations/engineering#0123456789abcdef0123456789abcdef",
			Seq:      4711234, Marks: map[int64]string{},
		},
		LastAttempt: at(0), LastSuccess: at(0), LastCompare: at(-70 * time.Hour), LastVerified: at(-20 * time.Hour),
		NextRun: at(time.Minute), Objects: 3217, Unsynced: 2, NextRetry: at(time.Hour), IdentityAt: at(-time.Hour),
	}
	for i := range int64(100) {
		p.Position.Seen = append(p.Position.Seen, p.Position.Seq-600+i*6+i*i%5) // ids with gaps
	}
	for i := range int64(8) {
		p.Position.Marks[p.Position.Seq-i] = fmt.Sprintf("%08x", 0x9e3779b9*uint32(i+1))
	}
	return p
}

// TestItemsAreSmall: the record of a healthy pair and an entry of a ledger cost one write
// unit, which is 1 KB.
func TestItemsAreSmall(t *testing.T) {
	w := newFixture(t)
	s, id, now := store.New(w.kv), replication.PairID{Replica: "eu", Org: "engineering"}, time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)
	st, err := s.Acquire(t.Context(), id, "ip-10-0-0-1/4711/2026-11-22T12:00:00Z", now, time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	entries := replication.Entries{{Kind: object.DataBagItem, Name: strings.Repeat("b", 255),
		Sub: strings.Repeat("i", 255)}: {Fingerprint: strings.Repeat("0123456789abcdef", 4)}}
	if err := s.Commit(t.Context(), id, st.Lease.Fence, now, replication.Update{Progress: typicalProgress(), Entries: entries,
		Run: &replication.Run{ID: "1", Pair: id, Trigger: "schedule", Mode: "changes", Started: now, Ended: now, Outcome: "done"}}); err != nil {
		t.Fatal(err)
	}
	out, err := w.raw.Scan(t.Context(), &dynamodb.ScanInput{TableName: &w.table})
	if err != nil || len(out.Items) != 3 {
		t.Fatalf("%d items, %v", len(out.Items), err)
	}
	for _, it := range out.Items {
		sort := it["sk"].(*types.AttributeValueMemberS).Value
		t.Logf("%.20s takes %d bytes", sort, billedSize(it))
		if billedSize(it) > 1024 {
			t.Errorf("%s takes %d bytes", sort, billedSize(it))
		}
		if _, expires := it["expires"]; expires != strings.HasPrefix(sort, "RUN#") {
			t.Errorf("%s expires: %v", sort, expires)
		}
	}
}

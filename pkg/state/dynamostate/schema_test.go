package dynamostate_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"chefsync/pkg/object"
	"chefsync/pkg/replication"
	"chefsync/pkg/state/dynamostate"
)

// all calls every operation on a pair.
func all(ctx context.Context, s *dynamostate.State) map[string]error {
	id, errs := engineering(), map[string]error{}
	_, errs["Pair"] = s.Pair(ctx, id)
	_, errs["Pairs"] = s.Pairs(ctx)
	_, errs["Acquire"] = s.Acquire(ctx, id, "me", noon(), time.Minute)
	_, errs["Renew"] = s.Renew(ctx, id, 1, noon(), time.Minute)
	_, errs["Inventory"] = s.Inventory(ctx, id)
	_, errs["Unsynced"] = s.Unsynced(ctx, id)
	errs["Direct"] = s.Direct(ctx, id, replication.Directive{})
	errs["Note"] = s.Note(ctx, id, 0, noon(), replication.Progress{})
	errs["Note with a detail"] = s.Note(ctx, id, 0, noon(), replication.Progress{Work: &replication.Work{Intent: make([]object.Ref, 5000)}})
	errs["Commit"] = s.Commit(ctx, id, 1, noon(), replication.Update{})
	errs["Commit with objects"] = s.Commit(ctx, id, 1, noon(), replication.Update{Applied: many(1)})
	return errs
}

// set changes an attribute of the hot item behind the state's back.
func (w *world) set(t *testing.T, attr string, v types.AttributeValue) {
	t.Helper()
	_, err := w.raw.UpdateItem(t.Context(), &dynamodb.UpdateItemInput{TableName: &w.table, Key: keyOf("pairs", "eu/engineering"),
		UpdateExpression: aws.String("SET " + attr + " = :v"), ExpressionAttributeValues: item{":v": v}})
	if err != nil {
		t.Fatal(err)
	}
}

func TestRecordsOfANewerVersion(t *testing.T) {
	w := newWorld(t)
	s := w.open()
	take(t, s, engineering())
	w.set(t, "v", &types.AttributeValueMemberN{Value: "99"})
	before := w.items(t)
	for op, err := range all(t.Context(), s) {
		if !errors.Is(err, replication.ErrSchema) || replication.HintOf(err) == "" {
			t.Errorf("%s: %v (hint %q), want ErrSchema with a hint", op, err, replication.HintOf(err))
		}
	}
	if err := s.Release(t.Context(), engineering(), 1); err != nil {
		t.Errorf("Release: %v", err)
	}
	if !reflect.DeepEqual(before, w.items(t)) {
		t.Error("the table was changed")
	}
}

// TestFieldsOfANewerVersion: a function that was rolled back reads what the newer one
// wrote, works on, and leaves to it what only it knows.
func TestFieldsOfANewerVersion(t *testing.T) {
	w := newWorld(t)
	s := w.open()
	id := engineering()
	fence := take(t, s, id)
	commit(t, s, fence, replication.Update{Progress: normal(), Applied: many(3)})
	if err := s.Direct(t.Context(), id, replication.Directive{Stop: ptr(true), At: noon()}); err != nil {
		t.Fatal(err)
	}
	packed := func(attr string) []byte {
		t.Helper()
		b, _ := w.item(t, "pairs", "eu/engineering")[attr].(*types.AttributeValueMemberB)
		if b == nil {
			t.Fatalf("no attribute %s", attr)
		}
		return b.Value
	}
	for _, attr := range []string{"p", "d"} {
		w.set(t, attr, &types.AttributeValueMemberB{Value: dynamostate.WithMembers(packed(attr), `"later":{"a":["<&>",9007199254740993]}`)})
	}
	st, err := s.Pair(t.Context(), id)
	if err != nil || !st.Desired.Stopped || st.Progress.Status != normal().Status || len(inventory(t, s)) != 3 {
		t.Fatalf("%+v, %v", st, err)
	}
	st.Progress.Objects = 4
	commit(t, s, fence, replication.Update{Progress: st.Progress})
	if err := s.Direct(t.Context(), id, replication.Directive{Stop: ptr(false), At: noon()}); err != nil {
		t.Fatal(err)
	}
	for _, attr := range []string{"p", "d"} {
		if got := string(dynamostate.MembersOf(packed(attr))["later"]); got != `{"a":["<&>",9007199254740993]}` {
			t.Errorf("%s: what only the newer version knows is %q", attr, got)
		}
	}
	if got := string(dynamostate.MembersOf(packed("p"))["objects"]); got != "4" {
		t.Errorf("objects %s", got)
	}
}

// TestARecordOfAnotherFormat: a packed record whose first byte is unknown is a
// newer version's, too, and its lease is given back at once.
func TestARecordOfAnotherFormat(t *testing.T) {
	w := newWorld(t)
	s := w.open()
	if err := s.Note(t.Context(), engineering(), 0, noon(), normal()); err != nil {
		t.Fatal(err)
	}
	w.set(t, "p", &types.AttributeValueMemberB{Value: []byte{2, 3, 4}})
	if _, err := s.Acquire(t.Context(), engineering(), "me", noon(), time.Minute); !errors.Is(err, replication.ErrSchema) {
		t.Errorf("Acquire: %v, want ErrSchema", err)
	}
	if x, _ := w.item(t, "pairs", "eu/engineering")["x"].(*types.AttributeValueMemberN); x == nil || x.Value != "0" {
		t.Error("the lease of a record that can't be read is kept")
	}
}

func TestDamagedRecords(t *testing.T) {
	for name, change := range map[string]func(t *testing.T, w *world){
		"progress":        func(t *testing.T, w *world) { w.set(t, "p", &types.AttributeValueMemberB{Value: []byte{1, 2, 3}}) },
		"a lease of text": func(t *testing.T, w *world) { w.set(t, "f", &types.AttributeValueMemberS{Value: "one"}) },
		"no detail": func(t *testing.T, w *world) {
			w.set(t, "h", &types.AttributeValueMemberB{Value: []byte("123456789012")})
		},
		"blobs that are gone": func(_ *testing.T, w *world) { clear(w.blobs.blobs) },
		"a blob that differs": func(_ *testing.T, w *world) {
			for k := range w.blobs.blobs {
				w.blobs.blobs[k][20] ^= 1
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			s := w.open()
			fence := take(t, s, engineering())
			commit(t, s, fence, replication.Update{Progress: normal(), Applied: many(1000)})
			change(t, w)
			_, pairErr := s.Pair(t.Context(), engineering())
			_, inventoryErr := s.Inventory(t.Context(), engineering())
			err := errors.Join(pairErr, inventoryErr)
			if replication.ClassOf(err) != replication.Local || replication.HintOf(err) == "" || errors.Is(err, replication.ErrSchema) {
				t.Errorf("%v of class %s, want local with a hint", err, replication.ClassOf(err))
			}
		})
	}
}

// TestStartingOver does what the hint for damaged records says.
func TestStartingOver(t *testing.T) {
	w := newWorld(t)
	s := w.open()
	commit(t, s, take(t, s, engineering()), replication.Update{Progress: normal(), Applied: many(1000)})
	commit(t, s, 1, replication.Update{Progress: normal(), Applied: map[object.Ref]string{role(1): "old"}})
	if _, err := w.raw.DeleteItem(t.Context(), &dynamodb.DeleteItemInput{TableName: &w.table, Key: keyOf("pairs", "eu/engineering")}); err != nil {
		t.Fatal(err)
	}
	if got := inventory(t, s); len(got) != 0 {
		t.Errorf("%d objects are still there", len(got))
	}
	fence := take(t, s, engineering())
	commit(t, s, fence, replication.Update{Applied: map[object.Ref]string{role(2): "new"}})
	if got := inventory(t, s); len(got) != 1 {
		t.Errorf("%v, want the new object alone", got)
	}
	commit(t, s, fence, replication.Update{Applied: many(2000)})
	if got := inventory(t, s); len(got) != 2001 {
		t.Errorf("%d objects after the first fold, want 2001", len(got))
	}
}

// TestErrorsOfAWS: the words of DynamoDB, as the service sends them.
func TestErrorsOfAWS(t *testing.T) {
	for code, want := range map[string]struct {
		class replication.Class
		hint  string
	}{
		"AccessDeniedException":                  {replication.Denied, "allow dynamodb:GetItem on the table prod-chefsync"},
		"UnrecognizedClientException":            {replication.Denied, "credentials"},
		"ExpiredTokenException":                  {replication.Denied, "expired"},
		"ResourceNotFoundException":              {replication.Local, "no table prod-chefsync"},
		"ValidationException":                    {replication.Local, "string keys pk and sk"},
		"ProvisionedThroughputExceededException": {replication.Transient, "throttled"},
		"InternalServerError":                    {replication.Transient, "again"},
	} {
		srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(http.StatusBadRequest)
			fmt.Fprintf(w, `{"__type":"com.amazonaws.dynamodb.v20120810#%s","message":"no"}`, code)
		}))
		s := dynamostate.Open(client(t, srv.URL), "prod-chefsync", &memory{})
		_, err := s.Pair(t.Context(), engineering())
		if replication.ClassOf(err) != want.class || !strings.Contains(replication.HintOf(err), want.hint) || !strings.Contains(err.Error(), "prod-chefsync") {
			t.Errorf("%s: %v of class %s with the hint %q", code, err, replication.ClassOf(err), replication.HintOf(err))
		}
		srv.Close()
	}
	const nobody = "http://127.0.0.1:1" // a port that no server of a test can get
	_, err := dynamostate.Open(client(t, nobody), "prod-chefsync", &memory{}).Pair(t.Context(), engineering())
	if replication.ClassOf(err) != replication.Unreachable || replication.HintOf(err) == "" {
		t.Errorf("nobody answers: %v of class %s", err, replication.ClassOf(err))
	}
}

// TestThrottlingIsRetried: the client's retryer does it.
func TestThrottlingIsRetried(t *testing.T) {
	asked := 0
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		if asked++; asked == 1 {
			w.WriteHeader(http.StatusBadRequest)
			fmt.Fprint(w, `{"__type":"com.amazonaws.dynamodb.v20120810#ThrottlingException","message":"slow down"}`)
			return
		}
		fmt.Fprint(w, `{}`)
	}))
	defer srv.Close()
	if _, err := dynamostate.Open(client(t, srv.URL), "t", &memory{}).Pair(t.Context(), engineering()); err != nil || asked != 2 {
		t.Errorf("%v after %d requests", err, asked)
	}
}

func TestRunsExpire(t *testing.T) {
	w := newWorld(t)
	s := w.open(dynamostate.WithRunAge(48 * time.Hour))
	commit(t, s, take(t, s, engineering()), replication.Update{Run: run("1")})
	it := w.item(t, "pair#eu/engineering", "run#1")
	ttl, _ := it[dynamostate.Definition().TTLAttribute].(*types.AttributeValueMemberN)
	if want := fmt.Sprint(noon().Add(48 * time.Hour).Unix()); ttl == nil || ttl.Value != want {
		t.Errorf("the run expires at %v, want %s", ttl, want)
	}
}

// TestLongTextIsClipped: an error that a server made a megabyte long.
func TestLongTextIsClipped(t *testing.T) {
	w := newWorld(t)
	s := w.open()
	long := &replication.Failure{At: noon(), Class: replication.Transient, Message: strings.Repeat("ä", 1<<20)}
	r := run("1")
	r.Error = long
	commit(t, s, take(t, s, engineering()), replication.Update{Progress: replication.Progress{LastError: long}, Run: r})
	checkSizes(t, w)
	st, err := s.Pair(t.Context(), engineering())
	if err != nil || len(st.Progress.LastError.Message) < 16<<10 || len(long.Message) != 2<<20 {
		t.Errorf("%v; %d bytes are left of the message", err, len(st.Progress.LastError.Message))
	}
	big := strings.Repeat("0123456789", 1<<20)
	if err := s.Direct(t.Context(), engineering(), replication.Directive{Reason: ptr(noise(big))}); replication.HintOf(err) == "" {
		t.Errorf("a reason of 10 MB: %v, want it refused with a hint", err)
	}
}

func ptr[T any](v T) *T { return &v }

// noise is text that doesn't pack.
func noise(s string) string {
	b, x := []byte(s), uint64(1)
	for i := range b {
		x = x*6364136223846793005 + 1442695040888963407
		b[i] = 'a' + byte(x>>60)
	}
	return string(b)
}

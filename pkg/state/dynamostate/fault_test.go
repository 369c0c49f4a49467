package dynamostate_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"chefsync/pkg/object"
	"chefsync/pkg/replication"
	"chefsync/pkg/state/dynamostate"
)

var errLost = errors.New("connection reset by peer")

// failing makes the n-th operation whose name begins with prefix fail: before it
// is done or, with after, when only its answer is lost.
func failing(prefix string, n int, err error) func(string) error {
	return func(op string) error {
		if strings.HasPrefix(op, prefix) {
			if n--; n == 0 {
				return err
			}
		}
		return nil
	}
}

func inventory(t *testing.T, s *dynamostate.State) map[object.Ref]string {
	t.Helper()
	got, err := s.Inventory(t.Context(), engineering())
	if err != nil {
		t.Fatal(err)
	}
	return got
}

// TestACrashBetweenBlobAndCommit: the old inventory stays, and the next fold
// removes the blob that nobody came to refer to.
func TestACrashBetweenBlobAndCommit(t *testing.T) {
	w := newWorld(t)
	s := w.open()
	fence := take(t, s, engineering())
	old := many(1000)
	commit(t, s, fence, replication.Update{Applied: old, Run: run("1")})
	blobs := w.blobs.keys()

	w.api.before = failing("TransactWriteItems", 1, errLost)
	err := s.Commit(t.Context(), engineering(), fence, noon(), replication.Update{Applied: many(2000), Run: run("2")})
	if !errors.Is(err, errLost) {
		t.Fatalf("%v, want the error of the connection", err)
	}
	if got := inventory(t, w.open()); !maps.Equal(got, old) {
		t.Errorf("%d objects after the crash, want the old ones", len(got))
	}
	if n := len(w.blobs.keys()); n != len(blobs)+1 {
		t.Fatalf("%d blobs; the crash should have left one behind", n)
	}

	// Another process takes over. One fold lists what is garbage, the next one
	// removes it.
	s = w.open()
	for n, size := range []int{3000, 4000} {
		fence = take(t, s, engineering()) // same owner: no wait
		commit(t, s, fence, replication.Update{Applied: many(size), Run: run(fmt.Sprint(n))})
		if got := inventory(t, s); len(got) != size {
			t.Errorf("%d objects, want %d", len(got), size)
		}
	}
	left := w.blobs.keys()
	if len(left) != 2 || slices.Contains(left, blobs[0]) {
		t.Errorf("blobs %v are left, want the inventory and the one before", left)
	}
	if b, ok := w.item(t, "pairs", "eu/engineering")["w"].(*types.AttributeValueMemberB); !ok || len(b.Value) != 1 {
		t.Error("blobs are still noted as pending")
	}
}

// TestLostAnswers: what was written counts, though nobody said so.
func TestLostAnswers(t *testing.T) {
	for name, update := range map[string]replication.Update{
		"a transaction":        {Progress: normal(), Run: run("1"), Applied: many(3)},
		"a fold":               {Progress: normal(), Run: run("1"), Applied: many(3000)},
		"a write of progress":  {Progress: normal()},
		"a delta without runs": {Progress: normal(), Unsynced: []replication.Unsynced{{Ref: role(1)}}},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			s := w.open()
			fence := take(t, s, engineering())
			lost := 0
			w.api.after = func(op string) error {
				if op != "GetItem" && op != "Query" && (strings.HasPrefix(op, "Transact") || len(update.Applied)+len(update.Unsynced) == 0) {
					lost++
					return errLost
				}
				return nil
			}
			commit(t, s, fence, update)
			if lost != 1 {
				t.Fatalf("%d answers were lost, want 1", lost)
			}
			w.api.after = nil
			st, err := s.Pair(t.Context(), engineering())
			if err != nil || st.Progress.Objects != normal().Objects || len(inventory(t, s)) != len(update.Applied) {
				t.Errorf("%+v, %v", st, err)
			}
		})
	}
}

// TestNothingWrittenAndNobodyKnows: the answer is lost and so is the look for it.
func TestNothingWrittenAndNobodyKnows(t *testing.T) {
	w := newWorld(t)
	s := w.open()
	fence := take(t, s, engineering())
	reads := 0
	w.api.before = func(op string) error {
		if op == "GetItem" {
			reads++
		}
		if op == "GetItem" && reads > 1 || strings.HasPrefix(op, "Transact") {
			return errLost
		}
		return nil
	}
	err := s.Commit(t.Context(), engineering(), fence, noon(), replication.Update{Applied: many(3)})
	if !errors.Is(err, errLost) || errors.Is(err, replication.ErrFenced) {
		t.Errorf("%v, want the error of the connection", err)
	}
}

// TestACommitThatArrivesLate: its sender has given up and goes on with another,
// before it arrives. The last one counts, whichever way they meet.
func TestACommitThatArrivesLate(t *testing.T) {
	w := newWorld(t)
	late := &delayed{API: w.api}
	s := dynamostate.Open(late, w.table, w.blobs, dynamostate.WithSleep(noSleep))
	fence := take(t, s, engineering())
	late.hold = true
	first := map[object.Ref]string{role(1): "first", role(2): "first"}
	if err := s.Commit(t.Context(), engineering(), fence, noon(), replication.Update{Progress: replication.Progress{Objects: 1}, Applied: first}); !errors.Is(err, errLost) {
		t.Fatal(err)
	}
	second := replication.Update{Progress: replication.Progress{Objects: 2}, Applied: map[object.Ref]string{role(1): "second"}}
	// It arrives between the reading and the writing of the second.
	late.hold = false
	released := false
	w.api.before = func(op string) error {
		if strings.HasPrefix(op, "Transact") && !released {
			released = true
			return late.arrive()
		}
		return nil
	}
	commit(t, s, fence, second)
	st, err := s.Pair(t.Context(), engineering())
	if err != nil || st.Progress.Objects != 2 {
		t.Errorf("%+v, %v; want the progress of the second", st.Progress, err)
	}
	if got := inventory(t, s); got[role(1)] != "second" || got[role(2)] != "first" {
		t.Errorf("%v", got)
	}
	// Sent once more after the second, it is refused.
	if err := late.arrive(); err == nil {
		t.Error("a commit that is long over was done again")
	}
}

// delayed keeps a transaction instead of sending it.
type delayed struct {
	dynamostate.API
	hold bool
	kept *dynamodb.TransactWriteItemsInput
}

func (d *delayed) TransactWriteItems(ctx context.Context, in *dynamodb.TransactWriteItemsInput, o ...func(*dynamodb.Options)) (*dynamodb.TransactWriteItemsOutput, error) {
	if d.hold {
		d.kept = in
		return nil, errLost
	}
	return d.API.TransactWriteItems(ctx, in, o...)
}

func (d *delayed) arrive() error {
	_, err := d.API.(*spy).API.TransactWriteItems(context.Background(), d.kept)
	return err
}

// TestALateCommitAfterANote: the lease ended, nobody took it, and a poll wrote a
// note. A commit that its holder sent before may not undo it.
func TestALateCommitAfterANote(t *testing.T) {
	w := newWorld(t)
	late := &delayed{API: w.api}
	s := dynamostate.Open(late, w.table, w.blobs, dynamostate.WithSleep(noSleep))
	fence := take(t, s, engineering())
	late.hold = true
	_ = s.Commit(t.Context(), engineering(), fence, noon(), replication.Update{Progress: replication.Progress{Objects: 1}, Run: run("1")})
	if err := s.Note(t.Context(), engineering(), fence, noon().Add(time.Hour), replication.Progress{Objects: 2}); err != nil {
		t.Fatal(err)
	}
	if err := late.arrive(); err == nil {
		t.Error("the commit undid the note")
	}
}

// TestConflictsAreTriedAgain: a renewal and a commit of one holder meet.
func TestConflictsAreTriedAgain(t *testing.T) {
	conflict := &types.TransactionConflictException{Message: aws.String("Transaction is ongoing for the item")}
	canceled := &types.TransactionCanceledException{CancellationReasons: []types.CancellationReason{{Code: aws.String("TransactionConflict")}, {Code: aws.String("None")}}}
	throttled := &types.TransactionCanceledException{CancellationReasons: []types.CancellationReason{{Code: aws.String("ThrottlingError")}}}
	w := newWorld(t)
	s := w.open()
	fence := take(t, s, engineering())
	w.api.before = failing("UpdateItem", 1, conflict)
	if _, err := s.Renew(t.Context(), engineering(), fence, noon(), time.Minute); err != nil {
		t.Errorf("Renew: %v", err)
	}
	for _, err := range []error{canceled, throttled} {
		w.api.before = failing("TransactWriteItems", 1, err)
		commit(t, s, fence, replication.Update{Applied: many(1), Run: run("1")})
	}
	w.api.before = func(op string) error {
		if strings.HasPrefix(op, "Transact") {
			return canceled
		}
		return nil
	}
	err := s.Commit(t.Context(), engineering(), fence, noon(), replication.Update{Applied: many(2)})
	if replication.ClassOf(err) != replication.Transient || errors.Is(err, replication.ErrFenced) {
		t.Errorf("conflicts without an end: %v of class %s, want transient", err, replication.ClassOf(err))
	}
}

// TestTwoWriters: a holder that was away too long can't write a thing, and its
// blobs don't touch the new holder's.
func TestTwoWriters(t *testing.T) {
	w := newWorld(t)
	old, fresh := w.open(), w.open()
	first := take(t, old, engineering())
	commit(t, old, first, replication.Update{Applied: many(1000)})

	// The new holder takes over while the old one writes its blob.
	w.blobs.onPut = func() {
		w.blobs.onPut = nil
		st, err := fresh.Acquire(t.Context(), engineering(), "another", noon().Add(time.Hour), time.Minute)
		if err != nil {
			t.Error(err)
		}
		u := replication.Update{Applied: many(3000), Progress: replication.Progress{Objects: 3000}}
		if err := fresh.Commit(t.Context(), engineering(), st.Lease.Fence, noon().Add(time.Hour), u); err != nil {
			t.Error(err)
		}
	}
	err := old.Commit(t.Context(), engineering(), first, noon(), replication.Update{Applied: many(2000)})
	if !errors.Is(err, replication.ErrFenced) {
		t.Errorf("%v, want ErrFenced", err)
	}
	if got := inventory(t, fresh); len(got) != 3000 {
		t.Errorf("%d objects, want those of the new holder", len(got))
	}
}

// TestTwoFoldsAtOnce: two commits under one lease have read the same record when
// they note their blobs. Neither note may hide the other's: a blob that is noted
// nowhere stays for ever.
func TestTwoFoldsAtOnce(t *testing.T) {
	w := newWorld(t)
	fence := take(t, w.open(), engineering())
	commit(t, w.open(), fence, replication.Update{Applied: many(1000)})

	one, two := &spy{API: w.raw}, &spy{API: w.raw}
	read, noted, notedToo := make(chan struct{}), make(chan struct{}), make(chan struct{})
	var first, second, third, fourth sync.Once
	on := func(once *sync.Once, do func()) func(string) error {
		return func(op string) error {
			if op == "UpdateItem" {
				once.Do(do)
			}
			return nil
		}
	}
	one.before = on(&first, func() { <-read })
	one.after = on(&second, func() { close(noted); <-notedToo })
	two.before = on(&third, func() { close(read); <-noted })
	two.after = on(&fourth, func() { close(notedToo) })
	var writers sync.WaitGroup
	for n, api := range []*spy{one, two} {
		writers.Go(func() {
			s := dynamostate.Open(api, w.table, w.blobs)
			if err := s.Commit(t.Context(), engineering(), fence, noon(), replication.Update{Applied: many(2000 + 1000*n)}); err != nil {
				t.Error(err)
			}
		})
	}
	writers.Wait()
	for n := range 2 {
		commit(t, w.open(), fence, replication.Update{Applied: many(4000 + 1000*n)})
	}
	if left := w.blobs.keys(); len(left) != 2 {
		t.Errorf("blobs %v are left, want the inventory and the one before", left)
	}
}

// TestPartialAnswers: DynamoDB may do part of a batch and name the rest.
func TestPartialAnswers(t *testing.T) {
	w := newWorld(t)
	p := &partial{API: w.api}
	s := dynamostate.Open(p, w.table, w.blobs, dynamostate.WithSleep(noSleep), dynamostate.Tiny())
	var ids []replication.PairID
	for n := range 7 {
		id := replication.PairID{Replica: "eu", Org: fmt.Sprint(n)}
		ids = append(ids, id)
		if err := s.Note(t.Context(), id, 0, noon(), replication.Progress{Work: &replication.Work{Intent: []object.Ref{role(n)}}}); err != nil {
			t.Fatal(err)
		}
	}
	all, err := s.Pairs(t.Context())
	if err != nil || len(all) != 7 {
		t.Fatalf("%d pairs, %v", len(all), err)
	}
	for n, st := range all {
		if st.ID != ids[n] || st.Progress.Work == nil || len(st.Progress.Work.Intent) != 1 || st.Progress.Work.Intent[0] != role(n) {
			t.Errorf("pair %d: %+v", n, st)
		}
	}
	if p.gets < 3 {
		t.Errorf("%d batches; the answers weren't partial", p.gets)
	}

	fence := take(t, s, engineering())
	for n := range 7 {
		commit(t, s, fence, replication.Update{Applied: map[object.Ref]string{role(n): "f"}})
	}
	if p.writes == 0 {
		t.Error("no log item was removed")
	}
	for key := range sizes(w.items(t)) {
		if strings.Contains(key, "log#") && !strings.Contains(key, "log#base") && !strings.Contains(key, fmt.Sprintf("log#%010d", 2)) {
			t.Errorf("%s was left over", key)
		}
	}
}

// partial does at most two of a batch.
type partial struct {
	dynamostate.API
	gets, writes int
}

func (p *partial) BatchGetItem(ctx context.Context, in *dynamodb.BatchGetItemInput, o ...func(*dynamodb.Options)) (*dynamodb.BatchGetItemOutput, error) {
	p.gets++
	for table, keys := range in.RequestItems {
		rest := keys
		rest.Keys, keys.Keys = keys.Keys[min(2, len(keys.Keys)):], keys.Keys[:min(2, len(keys.Keys))]
		out, err := p.API.BatchGetItem(ctx, &dynamodb.BatchGetItemInput{RequestItems: map[string]types.KeysAndAttributes{table: keys}}, o...)
		if err == nil && len(rest.Keys) > 0 {
			out.UnprocessedKeys = map[string]types.KeysAndAttributes{table: rest}
		}
		return out, err
	}
	return nil, errLost
}

func (p *partial) BatchWriteItem(ctx context.Context, in *dynamodb.BatchWriteItemInput, o ...func(*dynamodb.Options)) (*dynamodb.BatchWriteItemOutput, error) {
	p.writes++
	for table, writes := range in.RequestItems {
		out, err := p.API.BatchWriteItem(ctx, &dynamodb.BatchWriteItemInput{RequestItems: map[string][]types.WriteRequest{table: writes[:1]}}, o...)
		if err == nil && len(writes) > 1 {
			out.UnprocessedItems = map[string][]types.WriteRequest{table: writes[1:]}
		}
		return out, err
	}
	return nil, errLost
}

// TestReadingWhileItIsFolded: the reader has the head of the log, and before it
// has the rest the log is folded, twice, and the blob gone.
func TestReadingWhileItIsFolded(t *testing.T) {
	w := newWorld(t)
	s := w.open()
	fence := take(t, s, engineering())
	commit(t, s, fence, replication.Update{Applied: many(1000)})
	reader := &spy{API: w.raw}
	n := 1000
	reader.before = func(op string) error {
		if op == "Query" && n < 3000 {
			n += 1000
			commit(t, s, fence, replication.Update{Applied: many(n)})
		}
		return nil
	}
	got, err := dynamostate.Open(reader, w.table, w.blobs, dynamostate.WithSleep(noSleep)).Inventory(t.Context(), engineering())
	if err != nil || len(got) != 3000 {
		t.Errorf("%d objects, %v; want what the last fold wrote", len(got), err)
	}
}

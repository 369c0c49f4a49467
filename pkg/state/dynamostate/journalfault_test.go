package dynamostate_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"chefsync/pkg/feed/journal"
	"chefsync/pkg/replication"
	"chefsync/pkg/state/dynamostate"
)

// begun is a world with a journal.
func begun(t *testing.T) (*world, dynamostate.Journals) {
	t.Helper()
	w := newWorld(t)
	j := w.open().Journals()
	scanned(t, j, journal.Step{Begin: "e"})
	w.api.reset()
	return w, j
}

func scanned(t *testing.T, j dynamostate.Journals, step journal.Step) {
	t.Helper()
	if err := scan(t.Context(), j, "me", step); err != nil {
		t.Fatal(err)
	}
}

func push(n int) []journal.Entry {
	return []journal.Entry{{Action: journal.Update, Path: fmt.Sprintf("/roles/role-%05d", n)}}
}

func pushed(t *testing.T, j dynamostate.Journals, from, to int) {
	t.Helper()
	for n := from; n <= to; n++ {
		if _, err := j.Append(t.Context(), source, noon().Add(time.Duration(n)*time.Minute), push(n)); err != nil {
			t.Fatal(err)
		}
	}
}

// rolesIn are the paths of all rows but the first, which must have the ids that
// follow one another up to the head's.
func rolesIn(t *testing.T, j journal.Store) (paths []string) {
	t.Helper()
	page, err := j.Rows(t.Context(), source, 0, 1000)
	if err != nil {
		t.Fatal(err)
	}
	for i, r := range page.Rows {
		if r.ID != page.Head.Oldest+int64(i) {
			t.Fatalf("row %d of a journal from %d has the id %d", i, page.Head.Oldest, r.ID)
		}
		if r.Action != journal.Begin {
			paths = append(paths, r.Path)
		}
	}
	if page.Head.Newest != page.Head.Oldest+int64(len(page.Rows))-1 {
		t.Fatalf("%d rows in %+v", len(page.Rows), page.Head)
	}
	return paths
}

func wantRoles(t *testing.T, j journal.Store, ns ...int) {
	t.Helper()
	var want []string
	for _, n := range ns {
		want = append(want, push(n)[0].Path)
	}
	if got := rolesIn(t, j); !slices.Equal(got, want) {
		t.Errorf("rows %v, want %v", got, want)
	}
}

// TestLostAnswersOfAJournal: what was written counts, though nobody said so, and
// isn't written again.
func TestLostAnswersOfAJournal(t *testing.T) {
	for name, c := range map[string]struct {
		op    string
		write func(dynamostate.Journals) error
		want  []int
	}{
		"a push": {"Transact", func(j dynamostate.Journals) error {
			_, err := j.Append(t.Context(), source, noon(), push(1))
			return err
		}, []int{1}},
		"a push, before another": {"Transact", func(j dynamostate.Journals) error {
			_, err := j.Append(t.Context(), source, noon(), push(1))
			_, err2 := j.Append(t.Context(), source, noon(), push(2))
			return errors.Join(err, err2)
		}, []int{1, 2}},
		"a scan": {"Transact", func(j dynamostate.Journals) error {
			return scan(t.Context(), j, "me", journal.Step{Entries: push(1), Blob: []byte("new")})
		}, []int{1}},
		"memory alone": {"UpdateItem", func(j dynamostate.Journals) error {
			known, err := j.Acquire(t.Context(), source, "me", noon(), time.Minute)
			if err == nil {
				_, err = j.Commit(t.Context(), source, known.Lease.Fence, noon(), journal.Step{Generation: known.Generation, Blob: []byte("new")})
			}
			return err
		}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			w, j := begun(t)
			lost, updates := 0, 0
			w.api.after = func(op string) error {
				if op == "UpdateItem" {
					updates++
				}
				// Memory alone takes three: the lease, the note, the commit.
				if strings.HasPrefix(op, c.op) && lost == 0 && (c.op != "UpdateItem" || updates == 3) {
					lost++
					return errLost
				}
				return nil
			}
			if err := c.write(j); err != nil || lost != 1 {
				t.Fatalf("%v; %d answers were lost, want 1", err, lost)
			}
			wantRoles(t, j, c.want...)
			if len(w.blobs.calls) > 0 {
				known, err := j.Recall(t.Context(), source)
				if err != nil || string(known.Blob) != "new" || known.Generation != 1 {
					t.Errorf("%+v, %v", known, err)
				}
			}
		})
	}
}

// TestALostAnswerThatTheClientRetries: the client sends the request again and is
// told that the condition isn't met, by its own first request. A server that
// doesn't know request tokens answers so.
func TestALostAnswerThatTheClientRetries(t *testing.T) {
	w, j := begun(t)
	w.api.after = failing("Transact", 1, &types.TransactionCanceledException{CancellationReasons: []types.CancellationReason{{Code: aws.String("ConditionalCheckFailed")}, {Code: aws.String("None")}}})
	pushed(t, j, 1, 2)
	wantRoles(t, j, 1, 2)
}

// TestAFasterWriter comes in between the reading and the writing.
func TestAFasterWriter(t *testing.T) {
	for name, write := range map[string]func(dynamostate.Journals) error{
		"before a push": func(j dynamostate.Journals) error {
			_, err := j.Append(t.Context(), source, noon(), push(3))
			return err
		},
		"before a scan": func(j dynamostate.Journals) error {
			return scan(t.Context(), j, "me", journal.Step{Entries: push(3), Blob: []byte("new")})
		},
	} {
		t.Run(name, func(t *testing.T) {
			w, j := begun(t)
			other := dynamostate.Open(w.raw, w.table, w.blobs).Journals()
			n := 0
			w.api.before = func(op string) error {
				if strings.HasPrefix(op, "Transact") && n < 2 {
					n++
					pushed(t, other, n, n)
				}
				return nil
			}
			if err := write(j); err != nil {
				t.Fatal(err)
			}
			wantRoles(t, j, 1, 2, 3)
			if puts := slices.DeleteFunc(w.blobs.calls, func(c string) bool { return !strings.HasPrefix(c, "put") }); len(puts) > 1 {
				t.Errorf("the memory was written again: %v", puts)
			}
		})
	}
}

// TestAPushThatArrivesLate: its sender has given up and another has come. It is
// refused, not given the other's ids.
func TestAPushThatArrivesLate(t *testing.T) {
	w, _ := begun(t)
	late := &delayed{API: w.api, hold: true}
	j := dynamostate.Open(late, w.table, w.blobs, dynamostate.WithSleep(noSleep)).Journals()
	if _, err := j.Append(t.Context(), source, noon(), push(1)); !errors.Is(err, errLost) {
		t.Fatalf("%v, want the error of the connection", err)
	}
	late.hold = false
	pushed(t, j, 2, 2)
	if err := late.arrive(); err == nil {
		t.Error("a push was done after another had its ids")
	}
	wantRoles(t, j, 2)
}

// TestAScanThatArrivesLate: its scanner has lost the lease, and the next one has
// removed the memory that it would refer to.
func TestAScanThatArrivesLate(t *testing.T) {
	w, _ := begun(t)
	late := &delayed{API: w.api, hold: true}
	j := dynamostate.Open(late, w.table, w.blobs, dynamostate.WithSleep(noSleep)).Journals()
	if err := scan(t.Context(), j, "me", journal.Step{Entries: push(1), Blob: []byte("old")}); !errors.Is(err, errLost) {
		t.Fatalf("%v, want the error of the connection", err)
	}
	late.hold = false
	scanned(t, j, journal.Step{Blob: []byte("new")})
	if err := late.arrive(); err == nil {
		t.Error("a scan was done after its lease was lost")
	}
	wantRoles(t, j)
	known, err := j.Recall(t.Context(), source)
	if err != nil || string(known.Blob) != "new" || len(w.blobs.keys()) != 1 {
		t.Errorf("%+v, %v; blobs %v", known, err, w.blobs.keys())
	}
}

// TestAScanThatArrivesLateUnderItsLease: the same scanner tries again at once. It
// must not remove the memory that the first try may still come to refer to.
func TestAScanThatArrivesLateUnderItsLease(t *testing.T) {
	w, _ := begun(t)
	late := &delayed{API: w.api, hold: true}
	j := dynamostate.Open(late, w.table, w.blobs, dynamostate.WithSleep(noSleep)).Journals()
	known, err := j.Acquire(t.Context(), source, "me", noon(), time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	step := journal.Step{Entries: push(1), Blob: []byte("first")}
	if _, err := j.Commit(t.Context(), source, known.Lease.Fence, noon(), step); !errors.Is(err, errLost) {
		t.Fatalf("%v, want the error of the connection", err)
	}
	w.blobs.onPut = func() {
		w.blobs.onPut = nil
		if err := late.arrive(); err == nil {
			t.Error("the first try was done, though the note of its memory has changed")
		}
	}
	late.hold = false
	step.Blob = []byte("second")
	if _, err := j.Commit(t.Context(), source, known.Lease.Fence, noon(), step); err != nil {
		t.Fatal(err)
	}
	wantRoles(t, j, 1)
	if known, err = j.Recall(t.Context(), source); err != nil || string(known.Blob) != "second" {
		t.Errorf("%+v, %v", known, err)
	}
}

// TestACrashBetweenMemoryAndCommit: the old memory stays, and the next commit
// removes the blob that nobody came to refer to.
func TestACrashBetweenMemoryAndCommit(t *testing.T) {
	w, j := begun(t)
	scanned(t, j, journal.Step{Blob: []byte("one")})
	for n := range 3 { // again and again
		w.api.before = failing("Transact", 1, errLost)
		if err := scan(t.Context(), j, "me", journal.Step{Entries: push(1), Blob: fmt.Appendf(nil, "crash %d", n)}); !errors.Is(err, errLost) {
			t.Fatalf("%v, want the error of the connection", err)
		}
	}
	if known, err := j.Recall(t.Context(), source); err != nil || string(known.Blob) != "one" || known.Generation != 1 {
		t.Errorf("%+v, %v", known, err)
	}
	if n := len(w.blobs.keys()); n != 2 {
		t.Errorf("%d blobs: each crash should leave one, until the next scan", n)
	}
	w.api.before = nil
	for _, memory := range []string{"two", "three"} {
		scanned(t, j, journal.Step{Blob: []byte(memory)})
		if n := len(w.blobs.keys()); n != 2 {
			t.Errorf("%d blobs, want the memory and the one before", n)
		}
	}
	wantRoles(t, j)
}

// TestThrottledJournals: a transaction that is throttled or meets another is sent
// again; one that always is becomes an error that says so.
func TestThrottledJournals(t *testing.T) {
	w, j := begun(t)
	for n, code := range []string{"TransactionConflict", "ThrottlingError", "ProvisionedThroughputExceeded"} {
		w.api.before = failing("Transact", 1, &types.TransactionCanceledException{CancellationReasons: []types.CancellationReason{{Code: &code}, {Code: aws.String("None")}}})
		pushed(t, j, n+1, n+1)
	}
	wantRoles(t, j, 1, 2, 3)
	w.api.before = func(op string) error {
		if strings.HasPrefix(op, "Transact") {
			return &types.ProvisionedThroughputExceededException{Message: aws.String("slow down")}
		}
		return nil
	}
	_, err := j.Append(t.Context(), source, noon(), push(4))
	if replication.ClassOf(err) != replication.Transient || !strings.Contains(replication.HintOf(err), "throttled") {
		t.Errorf("%v of class %s with the hint %q, want transient", err, replication.ClassOf(err), replication.HintOf(err))
	}
	w.api.before = nil
	wantRoles(t, j, 1, 2, 3)
}

// TestPartialRemovals: DynamoDB may do part of a batch, or none of it. No reader
// sees what is left over, and the next Trim removes it.
func TestPartialRemovals(t *testing.T) {
	w, j := begun(t)
	pushed(t, j, 1, 12)
	w.api.before = func(op string) error {
		if op == "BatchWriteItem" {
			return errLost
		}
		return nil
	}
	if _, err := j.Trim(t.Context(), source, noon(), 5); err != nil {
		t.Fatal(err)
	}
	wantRoles(t, j, 8, 9, 10, 11, 12)
	if n := len(w.items(t)); n != 14 {
		t.Fatalf("%d items; no row should have been removed", n)
	}
	if page, err := j.Rows(t.Context(), source, 0, 3); err != nil || len(page.Rows) != 3 || page.Rows[0].Path != push(8)[0].Path {
		t.Errorf("%+v, %v; want the first three that the head counts", page, err)
	}
	w.api.before = nil
	p := &partial{API: w.api}
	if _, err := dynamostate.Open(p, w.table, w.blobs, dynamostate.WithSleep(noSleep)).Journals().Trim(t.Context(), source, noon(), 5); err != nil {
		t.Fatal(err)
	}
	if n := len(w.items(t)); n != 6 || p.writes != 8 {
		t.Errorf("%d items are left after %d batches; want five rows and the head", n, p.writes)
	}
	wantRoles(t, j, 8, 9, 10, 11, 12)
}

// TestAQueryOfTwoMoments: a query may see the head of one write and the rows of
// another. A page is of one moment all the same.
func TestAQueryOfTwoMoments(t *testing.T) {
	for name, tear := range map[string]func(now, before []item) []item{
		"the head is older": func(now, before []item) []item { return append(now[:len(now)-1:len(now)-1], before[len(before)-1]) },
		"rows are missing":  func(now, _ []item) []item { return slices.Delete(slices.Clone(now), 2, 3) },
		"the last row is missing": func(now, before []item) []item {
			return append(before[:len(before)-1:len(before)-1], now[len(now)-1])
		},
	} {
		t.Run(name, func(t *testing.T) {
			w, j := begun(t)
			pushed(t, j, 1, 3)
			torn := &tearing{API: w.raw, tear: tear}
			reader := dynamostate.Open(torn, w.table, w.blobs, dynamostate.WithSleep(noSleep)).Journals()
			wantRoles(t, reader, 1, 2, 3)
			pushed(t, j, 4, 4)
			torn.on = true
			if got := rolesIn(t, reader); len(got) < 3 || got[2] != push(3)[0].Path {
				t.Errorf("rows %v", got)
			}
			if torn.on {
				t.Error("no answer was torn")
			}
		})
	}
}

// tearing gives one answer to a query that mixes two moments.
type tearing struct {
	dynamostate.API
	before []item
	tear   func(now, before []item) []item
	on     bool
}

func (a *tearing) Query(ctx context.Context, in *dynamodb.QueryInput, o ...func(*dynamodb.Options)) (*dynamodb.QueryOutput, error) {
	out, err := a.API.Query(ctx, in, o...)
	if err != nil {
		return out, err
	}
	if a.on {
		a.on = false
		out.Items = a.tear(out.Items, a.before)
	}
	a.before = out.Items
	return out, nil
}

package dynamostate_test

import (
	"context"
	"errors"
	"reflect"
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

// allOfJournal calls every operation on a journal but Release.
func allOfJournal(ctx context.Context, j dynamostate.Journals) map[string]error {
	errs := map[string]error{}
	_, errs["Head"] = j.Head(ctx, source)
	_, errs["Rows"] = j.Rows(ctx, source, 0, 10)
	_, errs["Append"] = j.Append(ctx, source, noon(), push(1))
	_, errs["Trim"] = j.Trim(ctx, source, noon().Add(time.Hour), 1)
	_, errs["Recall"] = j.Recall(ctx, source)
	_, errs["Acquire"] = j.Acquire(ctx, source, "me", noon(), time.Minute)
	_, errs["Commit"] = j.Commit(ctx, source, 2, noon(), journal.Step{Entries: push(1), Blob: []byte("x")})
	return errs
}

// setIn changes an attribute of an item of the journal behind its back.
func (w *world) setIn(t *testing.T, sk, attr string, v types.AttributeValue) {
	t.Helper()
	w.setItem(t, "journal#"+source, sk, attr, v)
}

func (w *world) setItem(t *testing.T, pk, sk, attr string, v types.AttributeValue) {
	t.Helper()
	_, err := w.raw.UpdateItem(t.Context(), &dynamodb.UpdateItemInput{TableName: &w.table, Key: keyOf(pk, sk),
		UpdateExpression: aws.String("SET " + attr + " = :v"), ExpressionAttributeValues: item{":v": v}})
	if err != nil {
		t.Fatal(err)
	}
}

func newest(w *world, t *testing.T) (sk string) {
	t.Helper()
	for _, it := range w.items(t) {
		if at := text(it["sk"]); strings.HasPrefix(at, "row#") && at > sk {
			sk = at
		}
	}
	return sk
}

func TestAJournalOfANewerVersion(t *testing.T) {
	w, j := begun(t)
	pushed(t, j, 1, 1)
	if _, err := j.Acquire(t.Context(), source, "me", noon(), time.Minute); err != nil {
		t.Fatal(err)
	}
	w.setIn(t, "top", "v", &types.AttributeValueMemberN{Value: "2"})
	before := w.items(t)
	for op, err := range allOfJournal(t.Context(), j) {
		if !errors.Is(err, replication.ErrSchema) || replication.HintOf(err) == "" {
			t.Errorf("%s: %v (hint %q), want ErrSchema with a hint", op, err, replication.HintOf(err))
		}
	}
	if err := j.Release(t.Context(), source, 2); err != nil {
		t.Errorf("Release: %v", err)
	}
	if !reflect.DeepEqual(before, w.items(t)) {
		t.Error("the table was changed")
	}
}

// TestANewerVersionComesInBetween: it has written the head after this one has
// read it.
func TestANewerVersionComesInBetween(t *testing.T) {
	w, j := begun(t)
	w.api.before = func(op string) error {
		if strings.HasPrefix(op, "Transact") {
			w.setIn(t, "top", "v", &types.AttributeValueMemberN{Value: "2"})
		}
		return nil
	}
	if _, err := j.Append(t.Context(), source, noon(), push(1)); !errors.Is(err, replication.ErrSchema) {
		t.Errorf("%v, want ErrSchema", err)
	}
	if n := len(w.items(t)); n != 2 {
		t.Errorf("%d items, want the head and the first row", n)
	}
}

func TestRowsOfANewerVersion(t *testing.T) {
	for name, change := range map[string]func(*testing.T, *world){
		"its version": func(t *testing.T, w *world) { w.setIn(t, newest(w, t), "v", &types.AttributeValueMemberN{Value: "2"}) },
		"its format": func(t *testing.T, w *world) {
			w.setIn(t, newest(w, t), "r", &types.AttributeValueMemberB{Value: []byte{2, 3}})
		},
	} {
		w, j := begun(t)
		pushed(t, j, 1, 1)
		change(t, w)
		if _, err := j.Rows(t.Context(), source, 0, 10); !errors.Is(err, replication.ErrSchema) {
			t.Errorf("%s: %v, want ErrSchema", name, err)
		}
	}
}

// TestADiaryThatCantBeRead: one of a newer version is left alone, of a damaged one
// is said what helps.
func TestADiaryThatCantBeRead(t *testing.T) {
	w, j := begun(t)
	note := func() error {
		return j.NoteScan(t.Context(), source, journal.LastScan{Ended: noon(), Error: strings.Repeat("long ", 1<<20)})
	}
	if err := note(); err != nil {
		t.Fatalf("a failure of many words: %v", err)
	}
	w.setItem(t, "scans", source, "r", &types.AttributeValueMemberB{Value: []byte{1, 2, 3}})
	_, err := j.LastScan(t.Context(), source)
	if replication.ClassOf(err) != replication.Local || !strings.Contains(replication.HintOf(err), "item "+source+" of the partition scans") {
		t.Errorf("damaged: %v of class %s with the hint %q", err, replication.ClassOf(err), replication.HintOf(err))
	}
	other := journal.LastScan{Ended: noon(), Listed: 3}
	if err := j.NoteScan(t.Context(), "other", other); err != nil {
		t.Fatal(err)
	}
	if all, err := j.LastScans(t.Context()); err == nil || len(all) != 1 || !reflect.DeepEqual(all["other"], other) {
		t.Errorf("all: %+v, %v; want the record that can be read, and an error", all, err)
	}
	w.setItem(t, "scans", source, "v", &types.AttributeValueMemberN{Value: "2"})
	before := w.items(t)
	if _, err := j.LastScan(t.Context(), source); !errors.Is(err, replication.ErrSchema) {
		t.Errorf("read: %v, want ErrSchema", err)
	}
	if err := note(); !errors.Is(err, replication.ErrSchema) || !reflect.DeepEqual(before, w.items(t)) {
		t.Errorf("written: %v, want ErrSchema and nothing changed", err)
	}
}

// TestDamagedJournals: an error with what to do, never a page with a hole.
func TestDamagedJournals(t *testing.T) {
	binary := func(b ...byte) types.AttributeValue { return &types.AttributeValueMemberB{Value: b} }
	for name, damage := range map[string]func(*testing.T, *world){
		"a head of text": func(t *testing.T, w *world) {
			w.setIn(t, "top", "i", &types.AttributeValueMemberS{Value: "one"})
		},
		"a head without an end": func(t *testing.T, w *world) { w.setIn(t, "top", "i", &types.AttributeValueMemberN{Value: "0"}) },
		"no pointer":            func(t *testing.T, w *world) { w.setIn(t, "top", "r", binary(0)) },
		"a row's bytes":         func(t *testing.T, w *world) { w.setIn(t, newest(w, t), "r", binary(1, 2, 3)) },
		"a row that is gone": func(t *testing.T, w *world) {
			if _, err := w.raw.DeleteItem(t.Context(), &dynamodb.DeleteItemInput{TableName: &w.table, Key: keyOf("journal#"+source, newest(w, t))}); err != nil {
				t.Fatal(err)
			}
		},
		"a blob that is gone": func(_ *testing.T, w *world) { clear(w.blobs.blobs) },
	} {
		t.Run(name, func(t *testing.T) {
			w, j := begun(t)
			scanned(t, j, journal.Step{Entries: push(1), Blob: []byte("memory")})
			damage(t, w)
			_, rowsErr := j.Rows(t.Context(), source, 0, 10)
			_, recallErr := j.Recall(t.Context(), source)
			err := errors.Join(rowsErr, recallErr)
			if replication.ClassOf(err) != replication.Local || !strings.Contains(replication.HintOf(err), "journal#"+source) || errors.Is(err, replication.ErrSchema) {
				t.Errorf("%v of class %s with the hint %q, want local with a hint", err, replication.ClassOf(err), replication.HintOf(err))
			}
		})
	}
}

// TestStartingAJournalOver does what the hint for damaged records says. Rows of
// the old journal are never seen, and are removed.
func TestStartingAJournalOver(t *testing.T) {
	w, j := begun(t)
	pushed(t, j, 1, 5)
	if _, err := w.raw.DeleteItem(t.Context(), &dynamodb.DeleteItemInput{TableName: &w.table, Key: keyOf("journal#"+source, "top")}); err != nil {
		t.Fatal(err)
	}
	if _, err := journal.Feed(j, source).Read(t.Context(), 0); !errors.Is(err, replication.ErrNoFeed) {
		t.Errorf("%v, want ErrNoFeed", err)
	}
	known, err := j.Acquire(t.Context(), source, "me", noon(), time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := j.Commit(t.Context(), source, known.Lease.Fence, noon().Add(time.Second), journal.Step{Begin: "new", Entries: push(9)}); err != nil {
		t.Fatal(err)
	}
	wantRoles(t, j, 9)
	if n := len(w.items(t)); n != 2 {
		t.Errorf("%d items, want the head and the new rows", n)
	}
}

func TestSourcesThatCantBeKeys(t *testing.T) {
	w, j := begun(t)
	for _, bad := range []string{"", "\xff", strings.Repeat("x", 1000)} {
		_, e1 := j.Head(t.Context(), bad)
		_, e2 := j.Rows(t.Context(), bad, 0, 1)
		_, e3 := j.Append(t.Context(), bad, noon(), push(1))
		_, e4 := j.Trim(t.Context(), bad, noon(), 1)
		_, e5 := j.Recall(t.Context(), bad)
		_, e6 := j.Acquire(t.Context(), bad, "me", noon(), time.Minute)
		_, e7 := j.Commit(t.Context(), bad, 1, noon(), journal.Step{})
		e8 := j.Release(t.Context(), bad, 1)
		for i, err := range []error{e1, e2, e3, e4, e5, e6, e7, e8} {
			if err == nil {
				t.Errorf("operation %d takes the source %q", i+1, bad)
			}
		}
	}
	if ops := w.api.reset(); len(ops) > 0 {
		t.Errorf("sent %v", ops)
	}
}

package previous_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/google/go-cmp/cmp"

	"chefsync/pkg/cloud/dynamotest"
	"chefsync/pkg/feed/changelog"
	"chefsync/pkg/replication"
	"chefsync/pkg/store"
	"chefsync/pkg/store/dynamo"
	"chefsync/pkg/store/dynamo/previous"
	"chefsync/pkg/store/kvtest"
)

type blobs map[string][]byte

func (b blobs) Get(_ context.Context, key string, _ [32]byte) ([]byte, error) {
	data, ok := b[key]
	if !ok {
		return nil, replication.ErrNotStaged
	}
	return data, nil
}

// newTable creates a table as the previous version wrote it.
func newTable(t *testing.T) previous.Importer {
	t.Helper()
	var stored struct {
		Items []map[string]dynamotest.Attribute
		Blobs blobs
	}
	if err := json.Unmarshal(kvtest.Previous(t, "table.json"), &stored); err != nil {
		t.Fatal(err)
	}
	c, name := dynamotest.Start(t), "t"
	if _, err := c.CreateTable(t.Context(), dynamotest.Table(name, "pk", "sk")); err != nil {
		t.Fatal(err)
	}
	dynamotest.Fill(t, c, name, stored.Items)
	return previous.Importer{API: c, Table: name, Blobs: stored.Blobs, KV: dynamo.Open(c, name), Now: time.Now,
		Sources: func(context.Context) ([]string, error) {
			return []string{"chef.example.com-engineering", "other", "never seen"}, nil
		}}
}

// TestATableOfThePreviousVersion: everything is there, and later runs change nothing.
func TestATableOfThePreviousVersion(t *testing.T) {
	m := newTable(t)
	if err := m.Run(t.Context()); err != nil {
		t.Fatal(err)
	}
	kvtest.SamePrevious(t, "dynamo.json", store.New(m.KV))
	m.API, m.Blobs, m.Sources = nil, nil, nil
	if err := m.Run(t.Context()); err != nil {
		t.Fatal(err)
	}
}

// TestAnImportDeletesNothing: the manager, which imports, may not delete records.
func TestAnImportDeletesNothing(t *testing.T) {
	m := newTable(t)
	m.KV = undeletableKV{m.KV}
	if err := m.Run(t.Context()); err != nil {
		t.Fatal(err)
	}
	kvtest.SamePrevious(t, "dynamo.json", store.New(m.KV))
}

// undeletableKV refuses to delete.
type undeletableKV struct{ store.KV }

func (u undeletableKV) Transact(ctx context.Context, writes ...store.Write) (string, error) {
	for _, w := range writes {
		if w.Op == store.OpDelete {
			return "", fmt.Errorf("not authorized to delete %s", w.Item.Key)
		}
	}
	return u.KV.Transact(ctx, writes...)
}

// TestManyTakeOverTheTableAtOnce, of which some die at any request.
func TestManyTakeOverTheTableAtOnce(t *testing.T) {
	m := newTable(t)
	var wg sync.WaitGroup
	for n := range 3 {
		wg.Go(func() {
			dying := m
			calls := 0
			dying.KV = &dyingKV{KV: m.KV, left: func() bool { calls++; return calls < 5+7*n }}
			if err := dying.Run(context.Background()); err != nil && !errors.Is(err, errDied) {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	for range 2 {
		wg.Go(func() {
			if err := m.Run(context.Background()); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	kvtest.SamePrevious(t, "dynamo.json", store.New(m.KV))
}

// TestADamagedPairKeepsNoOtherFromBeingImported: a pair with a damaged or missing record is
// imported stopped, with the reason and what to try, and later runs change nothing.
func TestADamagedPairKeepsNoOtherFromBeingImported(t *testing.T) {
	id := replication.PairID{Replica: "eu", Org: "engineering"}
	for name, damage := range map[string]func(m *previous.Importer, c *dynamodb.Client){
		"the desired state": func(_ *previous.Importer, c *dynamodb.Client) { setAttr(t, c, "pairs", id.String(), "d", "garbage") },
		"the progress":      func(_ *previous.Importer, c *dynamodb.Client) { setAttr(t, c, "pairs", id.String(), "p", "garbage") },
		"the ledger": func(_ *previous.Importer, c *dynamodb.Client) {
			setAttr(t, c, "pair#"+id.String(), "log#base", "r", "\x01garbage")
		},
		"a blob": func(m *previous.Importer, _ *dynamodb.Client) { m.Blobs = blobs{} },
	} {
		t.Run(name, func(t *testing.T) {
			m := newTable(t)
			want := importedPairs(t, m)
			m = newTable(t)
			damage(&m, m.API.(*dynamodb.Client))
			for range 2 {
				if err := m.Run(t.Context()); err != nil {
					t.Fatal(err)
				}
			}
			got := importedPairs(t, m)
			if len(got) != len(want) {
				t.Fatalf("%d pairs, want %d", len(got), len(want))
			}
			damaged := 0
			for id, st := range got {
				failure := st.Progress.LastError
				if failure == nil || !strings.Contains(failure.Message, "damaged") && !strings.Contains(failure.Message, "not staged") {
					if d := cmp.Diff(want[id], st); d != "" {
						t.Errorf("%s (-want +got):\n%s", id, d)
					}
					continue
				}
				damaged++
				if !st.Desired.Stopped || !strings.Contains(failure.Hint, "sync-start "+id.String()) || st.Lease.Fence != want[id].Lease.Fence {
					t.Errorf("%s: %+v, %+v, %+v; want it stopped, with what to try, and no older lease", id, st.Desired, failure, st.Lease)
				}
			}
			if damaged == 0 || damaged == len(want) {
				t.Errorf("%d of %d pairs are damaged, want some", damaged, len(want))
			}
		})
	}
}

// TestADamagedChangeLogIsBegunAgain, with later ids, so that pairs notice it.
func TestADamagedChangeLogIsBegunAgain(t *testing.T) {
	const source = "chef.example.com-engineering"
	m := newTable(t)
	if err := m.Run(t.Context()); err != nil {
		t.Fatal(err)
	}
	before, err := store.New(m.KV).ChangeLogs().LoadScanState(t.Context(), source)
	if err != nil {
		t.Fatal(err)
	}
	m = newTable(t)
	setAttr(t, m.API.(*dynamodb.Client), "journal#"+source, "top", "r", "garbage")
	if err := m.Run(t.Context()); err != nil {
		t.Fatal(err)
	}
	j, now := store.New(m.KV).ChangeLogs(), time.Date(2026, 11, 30, 0, 0, 0, 0, time.UTC)
	known, err := j.Acquire(t.Context(), source, "scanner", now, time.Minute)
	if err != nil || known.Lease.Fence <= before.Lease.Fence || known.Head.Epoch != "" {
		t.Fatalf("%+v, %v; want no change log and a newer token", known, err)
	}
	head, err := j.Commit(t.Context(), source, known.Lease.Fence, now, changelog.ScanUpdate{Begin: "new", Version: known.Version})
	if err != nil || head.Epoch != "new" || head.Oldest <= before.Head.Newest {
		t.Errorf("%+v, %v; want a new change log after %d", head, err, before.Head.Newest)
	}
}

// setAttr replaces a binary attribute of an item.
func setAttr(t *testing.T, c *dynamodb.Client, pk, sk, attr, data string) {
	t.Helper()
	_, err := c.UpdateItem(t.Context(), &dynamodb.UpdateItemInput{
		TableName: aws.String("t"), Key: map[string]types.AttributeValue{"pk": &types.AttributeValueMemberS{Value: pk},
			"sk": &types.AttributeValueMemberS{Value: sk}},
		UpdateExpression: aws.String("SET " + attr + " = :data"), ExpressionAttributeValues: map[string]types.AttributeValue{
			":data": &types.AttributeValueMemberB{Value: []byte(data)},
		},
	})
	if err != nil {
		t.Fatal(err)
	}
}

// importedPairs runs an import and returns the pairs by name.
func importedPairs(t *testing.T, m previous.Importer) map[replication.PairID]replication.PairState {
	t.Helper()
	if err := m.Run(t.Context()); err != nil {
		t.Fatal(err)
	}
	pairs, err := store.New(m.KV).Pairs(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	all := map[replication.PairID]replication.PairState{}
	for _, st := range pairs {
		all[st.ID] = st
	}
	return all
}

// TestAnErrorOfAWSFailsTheImport, which is done whole by the next one.
func TestAnErrorOfAWSFailsTheImport(t *testing.T) {
	m := newTable(t)
	failing := m
	failing.Blobs = failingBlobs{}
	if err := failing.Run(t.Context()); !errors.Is(err, errDied) {
		t.Fatalf("%v, want %v", err, errDied)
	}
	if err := m.Run(t.Context()); err != nil {
		t.Fatal(err)
	}
	kvtest.SamePrevious(t, "dynamo.json", store.New(m.KV))
}

type failingBlobs struct{}

func (failingBlobs) Get(context.Context, string, [32]byte) ([]byte, error) { return nil, errDied }

var errDied = errors.New("died")

type dyingKV struct {
	store.KV
	left func() bool
}

func (d *dyingKV) Transact(ctx context.Context, writes ...store.Write) (string, error) {
	if !d.left() {
		return "", errDied
	}
	return d.KV.Transact(ctx, writes...)
}

// TestAnImportThatComesLateChangesNothing: a slow process doesn't overwrite what was
// written since another one imported the table.
func TestAnImportThatComesLateChangesNothing(t *testing.T) {
	m := newTable(t)
	if err := m.Run(t.Context()); err != nil {
		t.Fatal(err)
	}
	s, id := store.New(m.KV), replication.PairID{Replica: "eu", Org: "engineering"}
	now := time.Date(2026, 11, 30, 0, 0, 0, 0, time.UTC)
	st, err := s.Acquire(t.Context(), id, "new", now, time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	entries, err := s.Entries(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	for r := range entries {
		entries[r] = replication.Entry{Fingerprint: "new " + fmt.Sprint(r)}
	}
	if err := s.Commit(t.Context(), id, st.Lease.Fence, now, replication.Update{Entries: entries}); err != nil {
		t.Fatal(err)
	}
	late := m
	late.KV = unmarkedKV{m.KV}
	if err := late.Run(t.Context()); err != nil {
		t.Fatal(err)
	}
	got, err := s.Entries(t.Context(), id)
	if err != nil || len(got) != len(entries) {
		t.Fatalf("%d objects, %v", len(got), err)
	}
	for r, e := range got {
		if !strings.HasPrefix(e.Fingerprint, "new ") {
			t.Errorf("%s has its old fingerprint", r)
		}
	}
}

// unmarkedKV hides that the import was done.
type unmarkedKV struct{ store.KV }

func (u unmarkedKV) Get(ctx context.Context, k store.Key) (store.Item, error) {
	if k.Partition == "STORE" {
		return store.Item{Key: k}, nil
	}
	return u.KV.Get(ctx, k)
}

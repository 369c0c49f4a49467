package transfer_test

import (
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"chefsync/pkg/cloud/dynamotest"
	"chefsync/pkg/fault"
	"chefsync/pkg/object"
	"chefsync/pkg/replication"
	"chefsync/pkg/store"
	"chefsync/pkg/store/dynamo"
	"chefsync/pkg/store/sqlite"
	"chefsync/pkg/store/transfer"
)

// onSQLite returns a state in a file.
func onSQLite(t *testing.T) replication.State {
	t.Helper()
	s, err := sqlite.OpenState(t.Context(), filepath.Join(t.TempDir(), "state.db"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}

// onDynamoDB returns a state in a table of a DynamoDB in this process.
func onDynamoDB(t *testing.T) replication.State {
	t.Helper()
	c := dynamotest.Start(t)
	if _, err := c.CreateTable(t.Context(), dynamotest.Table("t", dynamo.Definition().PartitionKey, dynamo.Definition().SortKey)); err != nil {
		t.Fatal(err)
	}
	return store.New(dynamo.Open(c, "t"))
}

// drawPair draws a pair as a state may know it.
func drawPair(t *rapid.T) transfer.Pair {
	names := []string{"a", "A", "1.10", ".", "..", "a:b", "%2F", "ünïcode", "a b", `"`, "\\", "<&>", strings.Repeat("n", 255)}
	ref := rapid.Custom(func(t *rapid.T) object.Ref {
		r := object.Ref{Kind: rapid.SampledFrom(object.Kinds()).Draw(t, "kind"), Name: rapid.SampledFrom(names).Draw(t, "name")}
		if r.IsListing() { // of a kind whose objects have two names
			r.Sub = rapid.SampledFrom(names).Draw(t, "sub")
		}
		return r
	})
	moment := rapid.Custom(func(t *rapid.T) time.Time {
		return noon().Add(-time.Duration(rapid.Int64Range(0, int64(48*time.Hour)).Draw(t, "ago")))
	})
	objects := rapid.SliceOfNDistinct(ref, 0, 10, rapid.ID)
	p := transfer.Pair{ID: pairID, Inventory: map[object.Ref]string{}}
	for i, r := range objects.Draw(t, "inventory") {
		p.Inventory[r] = rapid.SampledFrom([]string{"?", fmt.Sprintf("%064d", i)}).Draw(t, "fingerprint")
	}
	for _, r := range objects.Draw(t, "unsynced") {
		p.Unsynced = append(p.Unsynced, replication.Unsynced{Ref: r, Class: fault.Rejected, Reason: rapid.String().Draw(t, "reason"),
			Attempts: rapid.IntRange(1, 9).Draw(t, "attempts"), Items: rapid.IntRange(0, 9).Draw(t, "items"),
			FirstSeen: moment.Draw(t, "seen"), NextTry: moment.Draw(t, "next")})
	}
	g := &p.Progress
	g.Status, g.LastAttempt, g.LastSuccess, g.LastCompare = replication.Synced, moment.Draw(t, "attempt"),
		moment.Draw(t, "success"), moment.Draw(t, "compare")
	g.Objects, g.Unsynced = len(p.Inventory), len(p.Unsynced)
	if rapid.Bool().Draw(t, "feed") {
		g.Position = &replication.Position{Identity: "https://chef", Epoch: "1", Seq: rapid.Int64Range(0, 1<<53).Draw(t, "seq"),
			Marks: map[int64]string{7: "aa"}, Seen: []int64{5, 7}}
	}
	if rapid.Bool().Draw(t, "work") {
		g.Work = &replication.Work{Full: true, Started: moment.Draw(t, "started"), After: "/roles/a",
			Intent: objects.Draw(t, "intent"), Deletes: rapid.Bool().Draw(t, "deletes"), Upto: g.Position}
	}
	if rapid.Bool().Draw(t, "hold") {
		g.Hold = &replication.Hold{At: moment.Draw(t, "held"), Reason: "too much", Deletes: 9, Records: 2,
			Primary: "https://chef#2", Sample: objects.Draw(t, "sample")}
		span := replication.DeletionCount{Deleted: map[object.Kind]int{object.Role: 7}, Most: map[object.Kind]int{object.Role: 9}, Objects: objects.Draw(t, "deleted")}
		g.Deletions = &replication.Deletions{Since: moment.Draw(t, "since"), Spans: []replication.DeletionCount{span}}
		g.Identity = "https://chef#1"
	}
	g.ResyncedAt, g.RetriedAt = moment.Draw(t, "resynced"), moment.Draw(t, "retried")
	p.Desired.PrimaryAcceptedAt = moment.Draw(t, "accepted")
	p.Desired.ResyncAt, p.Desired.AllowedAt, p.Desired.AllowDeletes = moment.Draw(t, "resync"), moment.Draw(t, "allowed"), 3
	return p
}

// From the daemon to the functions and back, whatever the pair is like and
// whatever the other state knew of it before.
func TestNothingIsLostBetweenSQLiteAndDynamoDB(t *testing.T) {
	a, b := onSQLite(t), onDynamoDB(t)
	rapid.Check(t, func(rt *rapid.T) {
		move := func(p transfer.Pair, to replication.State) transfer.Document {
			o := importOptions()
			o.Force = true
			if _, err := transfer.Import(t.Context(), to, p, o); err != nil {
				rt.Fatal(err)
			}
			d, err := transfer.Export(t.Context(), to, []replication.PairID{pairID}, noon())
			if err != nil {
				rt.Fatal(err)
			}
			return d
		}
		first := move(drawPair(rt), a)
		second := move(first.Pairs[0], b)
		if diff := cmp.Diff(first, second); diff != "" {
			rt.Fatalf("from SQLite to DynamoDB:\n%s", diff)
		}
		move(drawPair(rt), a)
		if diff := cmp.Diff(first, move(second.Pairs[0], a)); diff != "" {
			rt.Fatalf("and back:\n%s", diff)
		}
	})
}

package state_test

import (
	"errors"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"chefsync/pkg/object"
	"chefsync/pkg/replication"
	"chefsync/pkg/state"
)

// TestCounter calls everything once, and finds in the counted state what it did
// through the counter.
func TestCounter(t *testing.T) {
	inner := open(t, filepath.Join(t.TempDir(), "state.db"))
	c := state.Counting(inner)
	ctx, id, role := t.Context(), engineering(), numbered(1)
	u := replication.Update{
		Applied:  map[object.Ref]string{role: "f"},
		Unsynced: []replication.Unsynced{{Ref: role}},
		Run:      &replication.Run{ID: "r", Pair: id},
	}
	stop := true
	taken, err1 := c.Acquire(ctx, id, "me", noon(), time.Minute)
	renewed, err2 := c.Renew(ctx, id, 1, noon(), time.Hour)
	err3 := c.Commit(ctx, id, 1, noon(), u)
	err4 := c.Direct(ctx, id, replication.Directive{Stop: &stop})
	err5 := c.Release(ctx, id, 1)
	err6 := c.Note(ctx, id, 1, noon(), replication.Progress{Objects: 1})
	pair, err7 := c.Pair(ctx, id)
	pairs, err8 := c.Pairs(ctx)
	inventory, err9 := c.Inventory(ctx, id)
	unsynced, err10 := c.Unsynced(ctx, id)
	runs, err11 := c.Runs(ctx, id, 1)
	if err := errors.Join(err1, err2, err3, err4, err5, err6, err7, err8, err9, err10, err11); err != nil {
		t.Fatal(err)
	}
	stored, err := inner.Pair(ctx, id)
	if err != nil {
		t.Fatal(err)
	}
	if taken.Lease.Fence != 1 || !renewed.Lease.Expires.Equal(noon().Add(time.Hour)) || stored.Lease.Owner != "" || !stored.Desired.Stopped || stored.Progress.Objects != 1 {
		t.Errorf("taken %+v, renewed %+v, stored %+v", taken.Lease, renewed.Lease, stored)
	}
	if d := cmp.Diff(stored, pair); d != "" || len(pairs) != 1 || inventory[role] != "f" || len(unsynced) != 1 || len(runs) != 1 {
		t.Errorf("read %v %v %v %v; %s", pairs, inventory, unsynced, runs, d)
	}
	once := state.Operations{Pair: 1, Pairs: 1, Inventory: 1, Unsynced: 1, Runs: 1, Acquire: 1, Renew: 1, Release: 1, Commit: 1, Note: 1, Direct: 1}
	if got := c.Operations(); got != once || got.Reads() != 5 || got.Writes() != 6 || got.Total() != 11 {
		t.Errorf("%+v, want each once", got)
	}
	if err := c.Note(ctx, id, 7, noon(), replication.Progress{}); !errors.Is(err, replication.ErrFenced) || c.Operations().Note != 2 {
		t.Errorf("%v, %d notes: a refused call counts too", err, c.Operations().Note)
	}
	c.Reset()
	if got := c.Operations().Total(); got != 0 {
		t.Errorf("%d operations after Reset", got)
	}
}

package replication_test

import (
	"testing"
	"time"

	"chefsync/pkg/object"
	"chefsync/pkg/replication"
)

// restored is a pair in sync whose replica is then put back to an older backup: an
// edited role, one that is gone, one that had been deleted.
func restored(t *testing.T) *world {
	w := newWorld(t)
	w.pair.ReconcileEvery = 24 * time.Hour
	w.fill()
	w.pass()
	w.replica.Set("/roles/web", "of the backup")
	w.replica.Unset("/environments/prod")
	w.replica.Set("/roles/deleted", "long ago")
	w.replica.Writes = 0
	w.advance(24 * time.Hour)
	return w
}

func TestTheRegularCompareFindsWhatABackupBroughtBack(t *testing.T) {
	for _, c := range []struct {
		drift         replication.DriftRule
		prune         replication.Prune
		writes, extra int
	}{
		{replication.DriftReport, replication.PruneReplicated, 0, 0}, {replication.DriftRepair, replication.PruneReplicated, 2, 0},
		{replication.DriftReport, replication.PruneAll, 0, 1}, {replication.DriftRepair, replication.PruneAll, 3, 1},
	} {
		t.Run(string(c.drift)+" "+string(c.prune), func(t *testing.T) {
			w := restored(t)
			w.pair.Drift, w.pair.Prune = c.drift, c.prune
			began := w.now()
			run := w.pass()
			p := w.record().Progress
			want := replication.Drift{At: began, Run: run.ID, Changed: 1, Missing: 1, Extra: c.extra}
			if c.drift == replication.DriftRepair {
				want.Repaired = 2 + c.extra
			}
			if p.Drift == nil || *p.Drift != want || run.Counts.Drift != 2+c.extra || run.Mode != "compare" {
				t.Errorf("drift %+v, run %+v, want %+v", p.Drift, run, want)
			}
			if w.replica.Writes != c.writes || !p.LastCheck.Equal(began) || !p.LastVerified.IsZero() {
				t.Errorf("%d writes, progress %+v", w.replica.Writes, p)
			}
			if run := w.pass(); run.Mode != "" {
				t.Errorf("the pass after it: %+v, want a poll", run)
			}
			w.wantStatus(replication.Synced)
		})
	}
}

// What the primary changed belongs on the replica, whatever others made of it there.
func TestTheDriftRuleKeepsNoChangeOfThePrimaryBack(t *testing.T) {
	w := restored(t)
	w.primary.Set("/roles/web", "new, and its row never shows")
	w.primary.Hide()
	w.primary.Set("/roles/other", "this one's neither")
	w.primary.Hide()
	run := w.pass()
	if got := w.replica.Snapshot()["/roles/web"]; got != w.primary.Snapshot()["/roles/web"] || run.Counts.Created != 1 || run.Counts.Updated != 1 {
		t.Errorf("run %+v", run)
	}
	if d := w.record().Progress.Drift; d == nil || d.Left() != 1 || d.Missing != 1 {
		t.Errorf("drift %+v, want the environment that is missing", d)
	}
}

// A resync is asked for by the operator: it repairs whatever differs.
func TestAResyncPutsDriftRightWhateverTheRule(t *testing.T) {
	w := restored(t)
	w.advance(-time.Hour)
	now := w.now()
	w.direct(replication.DesiredChange{Resync: &now})
	w.advance(time.Second)
	w.pass()
	w.replica.Unset("/roles/deleted")
	w.wantEqual()
	if d := w.record().Progress.Drift; d != nil {
		t.Errorf("drift %+v", d)
	}
}

// The drift that a compare has found so far outlives the process.
func TestARegularCompareThatIsBrokenOffKeepsItsDrift(t *testing.T) {
	w := restored(t)
	w.tuning.Window = 1
	w.primary.Set("/cookbooks/new/1.0.0", "hidden from the feed")
	w.primary.Hide()
	w.replicaDiesAt(object.Cookbook)
	if _, err := w.engine().Pass(t.Context(), replication.PassOptions{}); err == nil {
		t.Fatal("no error")
	}
	w.replica.Refuse = nil
	w.advance(time.Hour)
	w.pass()
	if d := w.record().Progress.Drift; d == nil || d.Changed != 1 || d.Missing != 1 {
		t.Errorf("drift %+v", d)
	}
}

// A compare and a verification read the same; one of them a day is enough.
func TestBothSidesAreReadOnceADay(t *testing.T) {
	w := newWorld(t)
	w.pair.ReconcileEvery, w.pair.VerifyEvery = 24*time.Hour, 24*time.Hour
	w.fill()
	w.pass()
	due := func() bool { return w.record().Progress.VerifyDue(w.pair.VerifyEvery, w.now()) }
	if !due() {
		t.Fatal("no verification of the first copy is due")
	}
	scheduled := replication.VerifyOptions{Trigger: replication.TriggerSchedule}
	w.verify(scheduled)
	w.advance(24 * time.Hour)
	if run := w.pass(); run.Mode != "" || !due() {
		t.Errorf("run %+v, due %v; want the verification to go first", run, due())
	}
	w.verify(scheduled)
	w.advance(6 * time.Hour)
	if run := w.pass(); run.Mode != "" {
		t.Errorf("a compare after a verification: %+v", run)
	}
	w.advance(24 * time.Hour) // without the verification: a cron job runs passes only
	if run := w.pass(); run.Mode != "compare" || due() {
		t.Errorf("run %+v, due %v; want a compare that stands for the verification", run, due())
	}
	if p := w.record().Progress; !p.LastVerified.Equal(p.LastCompare) {
		t.Errorf("an equal compare isn't a verification: %+v", p)
	}
}

// Without a feed, each pass is a comparison, and none repairs what the drift rule leaves.
func TestComparisonsWithoutAFeedReadTheReplica(t *testing.T) {
	w := newWorld(t)
	w.primary.NoFeed = true
	w.fill()
	w.pass()
	w.advance(15 * time.Minute)
	w.pass()
	w.replica.Set("/roles/web", "edited")
	w.replica.Unset("/environments/prod")
	w.primary.Set("/roles/base", "changed")
	w.replica.Writes = 0
	w.advance(15 * time.Minute)
	w.pass()
	if d := w.record().Progress.Drift; d == nil || d.Changed != 1 || d.Missing != 1 || w.replica.Writes != 1 {
		t.Errorf("drift %+v, %d writes; want an edit and a deletion found and the change written", d, w.replica.Writes)
	}
	w.pair.Drift = replication.DriftRepair
	w.advance(15 * time.Minute)
	w.pass()
	w.wantEqual()
}

// An older version left a comparison unfinished that reads the names alone.
func TestAComparisonOfTheNamesAloneBeginsAgain(t *testing.T) {
	w := newWorld(t)
	w.fill()
	w.pass()
	w.replica.Set("/cookbooks/apt/1.0.0", "edited")
	st := w.record()
	st.Progress.Work = &replication.Work{Full: true, Started: w.now(), After: "/roles/web", Upto: st.Progress.Position}
	if err := w.state.SaveProgress(t.Context(), pairID, st.Lease.Fence, w.now(), st.Progress); err != nil {
		t.Fatal(err)
	}
	run := w.pass()
	if d := w.record().Progress.Drift; run.Mode != "compare" || d == nil || d.Changed != 1 || d.Repaired != 0 {
		t.Errorf("run %+v, drift %+v; want the edit found and left", run, d)
	}
}

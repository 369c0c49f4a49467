package replication_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"chefsync/pkg/fault"
	"chefsync/pkg/object"
	"chefsync/pkg/replication"
	"chefsync/pkg/replication/replicationtest"
)

func withFiles(repair bool) replication.VerifyOptions {
	return replication.VerifyOptions{Files: 1, Repair: repair}
}

// damaged is a pair in sync whose replica then lost one file and altered another.
func damaged(w *world) {
	w.fill()
	w.pass()
	w.replica.Mislay("shared") // of three versions
	w.replica.Corrupt("recipe2")
	w.replica.Writes = 0
}

// Manifests are equal whatever became of the files that they name.
func TestDamagedFilesAreFoundByTheirContentAlone(t *testing.T) {
	w := newWorld(t)
	damaged(w)
	if r := w.verify(replication.VerifyOptions{}); !r.Equal() {
		t.Fatalf("%+v", r)
	}
	r := w.verify(withFiles(false))
	w.wantDifferences(r.Differences, map[string]string{"/cookbooks/apt/1.0.0": "M damaged", "/cookbooks/apt/1.1.0": "M damaged"})
	if r.Files != 4 || r.Outcome != replication.OutcomeDiffers || w.replica.Writes != 0 || len(r.Unreadable) > 0 {
		t.Errorf("%d files, outcome %s, %d writes, unreadable %v", r.Files, r.Outcome, w.replica.Writes, r.Unreadable)
	}
	var all []string
	for _, d := range r.Differences {
		for _, v := range d.Versions {
			all = append(all, v.Path())
		}
	}
	slices.Sort(all)
	if want := []string{"/cookbooks/apt/1.0.0", "/cookbooks/apt/1.1.0", "/cookbooks/apt/1.1.0", "/cookbooks/nginx/2.0.0"}; !slices.Equal(all, want) {
		t.Errorf("needed by %v, want %v", all, want)
	}
	if !strings.Contains(r.Differences[0].Note, "is missing in the replica's file store; 2 other versions need it too") {
		t.Errorf("note %q", r.Differences[0].Note)
	}
	p, run := w.record().Progress, w.lastRun()
	if p.Files.Left() != 2 || p.Drift != nil || run.Counts.Files != 4 || !p.LastVerified.Before(run.Started) {
		t.Errorf("progress %+v, files %+v, run %+v", p, p.Files, run)
	}
	// What is known to be damaged stays known until somebody has looked again.
	w.verify(replication.VerifyOptions{})
	if n := w.record().Progress.Files.Left(); n != 2 {
		t.Errorf("%d known after a verification without files, want 2", n)
	}
}

func TestDamagedFilesAreRepaired(t *testing.T) {
	for name, c := range map[string]struct {
		trusting bool
		writes   int
	}{"uploaded again": {false, 0}, "the server believes to have them": {true, 6}} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.replica.Trusting = c.trusting
			damaged(w)
			r := w.verify(withFiles(true))
			if !r.Equal() || len(r.Repaired) != 2 || r.Outcome != replication.OutcomeDone {
				t.Fatalf("%+v", r)
			}
			if b := w.replica.Broken(); len(b) > 0 || w.replica.Writes != c.writes {
				t.Errorf("broken %v after %d writes, want %d", b, w.replica.Writes, c.writes)
			}
			w.wantEqual()
			p := w.record().Progress
			if p.Files.Left() != 0 || p.Work != nil || len(w.unsynced()) > 0 || p.Drift != nil {
				t.Errorf("progress %+v", p)
			}
			w.wantStatus(replication.Synced)
			if run := w.pass(); run.Mode != "" {
				t.Errorf("the next pass has work: %+v", run)
			}
		})
	}
}

// The versions that need a file go together, and what stands in the way leaves all of
// them alone.
func TestNoVersionIsDeletedThatCanNotBeCreatedAgain(t *testing.T) {
	for name, c := range map[string]struct {
		prepare func(*world)
		says    string
	}{
		"a version of the replica's own": {func(w *world) { w.replica.Set("/cookbooks/own/1.0.0", "own", "shared") }, "/cookbooks/own/1.0.0 needs it too"},
		"gone from the primary":          {func(w *world) { w.primary.Unset("/cookbooks/nginx/2.0.0") }, "the next pass goes first"},
		"the primary lost it as well":    {func(w *world) { w.primary.Mislay("shared"); w.stage = &replicationtest.Stage{} }, "lost the content"},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.replica.Trusting = true
			w.fill()
			w.pass()
			c.prepare(w)
			w.replica.Mislay("shared")
			w.replica.Writes = 0
			r := w.verify(withFiles(true))
			var notes string
			for _, d := range r.Differences {
				notes += d.Note + "\n"
			}
			if !strings.Contains(notes, c.says) || w.replica.Writes != 0 || w.record().Progress.Files.Left() != 1 {
				t.Errorf("%d writes, files %+v, notes:\n%s", w.replica.Writes, w.record().Progress.Files, notes)
			}
		})
	}
}

// A stopped pair, and one with a pass to go on with, is not touched.
func TestFilesOfAStoppedPairAreNotRepaired(t *testing.T) {
	w := newWorld(t)
	w.replica.Trusting = true
	damaged(w)
	stop := true
	w.direct(replication.DesiredChange{Stop: &stop})
	if r := w.verify(withFiles(true)); r.Outcome != replication.OutcomeStopped || w.replica.Writes != 0 || len(r.Drift()) != 2 {
		t.Errorf("%+v, %d writes", r, w.replica.Writes)
	}
	if n := w.record().Progress.Files.Left(); n != 2 {
		t.Errorf("%d known, want 2", n)
	}
}

// A sample says nothing of the files that it leaves out.
func TestASampleTakesSomeFiles(t *testing.T) {
	w := newWorld(t)
	for i := range 200 {
		w.primary.Set(fmt.Sprintf("/cookbooks/c/%d.0.0", i), "x", fmt.Sprint("file ", i), "shared")
	}
	w.pass()
	o := replication.VerifyOptions{Files: 0.2}
	var counts []int
	for range 3 {
		counts = append(counts, w.verify(o).Files)
	}
	if slices.Min(counts) < 10 || slices.Max(counts) > 80 {
		t.Errorf("%v of 201 files in samples of a fifth", counts)
	}
	w.replica.Mislay("shared")
	w.verify(withFiles(false))
	w.verify(replication.VerifyOptions{Files: 0.0001})
	if n := w.record().Progress.Files.Left(); n != 1 {
		t.Errorf("%d damaged files known after a sample that left it out, want 1", n)
	}
}

// portion is what a schedule does when files are due.
func (w *world) portion(o replication.VerifyOptions) (replication.Report, error) {
	w.t.Helper()
	o.Trigger, o.Portion = replication.TriggerSchedule, true
	return w.engine().Verify(context.Background(), o)
}

// All files are checked within their time, in portions of about the same size.
func TestARoundOfPortionsChecksEveryFile(t *testing.T) {
	w := newWorld(t)
	const week = 7 * 24 * time.Hour
	for i := range 400 {
		w.primary.Set(fmt.Sprintf("/cookbooks/c/%d.0.0", i), "x", fmt.Sprint("file ", i))
	}
	w.pass()
	w.replica.Corrupt("file 7")
	w.replica.Mislay("file 250")
	due := func() bool { return w.record().Progress.FilesDue(week, w.now()) }
	began, portions, files := w.now(), 0, 0
	for ; w.now().Before(began.Add(week)); w.advance(time.Hour) {
		for due() {
			r, err := w.portion(replication.VerifyOptions{})
			if err != nil || r.Files > 29 {
				t.Fatalf("%+v, %v", r, err)
			}
			files += r.Files
			portions++
		}
	}
	if portions != 14 || files != 400 || w.record().Progress.Files.Left() != 2 || w.record().Progress.Checking != nil {
		t.Errorf("%d portions, %d files, record %+v", portions, files, w.record().Progress.Files)
	}
	// The next round: what was damaged stays known until it has been looked at again.
	w.replica.Corrupt("file 250")
	w.replica.Trusting = true
	for rounds := 0; rounds < 14; w.advance(time.Hour) {
		if !due() {
			continue
		}
		rounds++
		if n := w.record().Progress.Files.Left(); n != 2 {
			t.Fatalf("%d known before portion %d of the next round", n, rounds)
		}
		if _, err := w.portion(replication.VerifyOptions{Repair: true}); err != nil {
			t.Fatal(err)
		}
	}
	if b := w.replica.Broken(); len(b) > 0 || w.record().Progress.Files.Left() != 0 {
		t.Errorf("broken %v, record %+v", b, w.record().Progress.Files)
	}
}

// A function has minutes: a portion that doesn't fit goes on in the next turn.
func TestAPortionThatDoesNotFitItsTimeResumesWhereItStopped(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.pair.Concurrency = 1
		for i := range 60 {
			w.primary.Set(fmt.Sprintf("/cookbooks/c/%d.0.0", i), "x", fmt.Sprint("file ", i))
		}
		if _, err := w.live().Pass(t.Context(), replication.PassOptions{}); err != nil {
			t.Fatal(err)
		}
		w.replica.Corrupt("file 59")
		opened := 0
		w.replica.Refuse = func(op string, _ object.Ref) error {
			if op == "open" {
				opened++
				time.Sleep(time.Second)
			}
			return nil
		}
		turns := 0
		for ; w.record().Progress.FilesDue(time.Minute*14, time.Now()); turns++ {
			deadline := time.Now().Add(40 * time.Second)
			o := replication.VerifyOptions{Trigger: replication.TriggerSchedule, Portion: true, Deadline: deadline}
			if _, err := w.live().Verify(t.Context(), o); err != nil || time.Now().After(deadline) {
				t.Fatalf("%v, ended %s", err, time.Until(deadline))
			}
			if f := w.record().Progress.Files; f.After != "" && !f.At.IsZero() {
				time.Sleep(time.Minute)
			}
		}
		if f := w.record().Progress.Files; turns < 3 || f.After != "" || f.Left() != 1 || opened > 60+2*16+2 {
			t.Errorf("%d turns, %d downloads, record %+v", turns, opened, f)
		}
	})
}

// A portion of the files is logged only if there are files.
func TestAnEmptyPortionIsNotLogged(t *testing.T) {
	for _, files := range []bool{false, true} {
		w := newWorld(t)
		w.primary.Set("/roles/web", "x")
		if files {
			w.primary.Set("/cookbooks/apt/1.0.0", "x", "a file")
		}
		w.pass()
		var log bytes.Buffer
		e := w.engine()
		e.Log = slog.New(slog.NewTextHandler(&log, nil))
		if _, err := e.Verify(t.Context(), replication.VerifyOptions{Trigger: replication.TriggerSchedule, Portion: true}); err != nil {
			t.Fatal(err)
		}
		if logged := strings.Contains(log.String(), "verification ends"); logged != files {
			t.Errorf("with files %v: logged %v\n%s", files, logged, log.String())
		}
	}
}

// A server that fails is no damage.
func TestAFileStoreThatFailsIsNoDamage(t *testing.T) {
	for _, class := range []fault.Class{fault.Transient, fault.Unreachable, fault.Rejected} {
		w := newWorld(t)
		w.fill()
		w.pass()
		w.replica.Refuse = func(op string, _ object.Ref) error {
			if op == "open" {
				return refused(class)
			}
			return nil
		}
		r, _ := w.engine().Verify(t.Context(), withFiles(true))
		if r.Equal() || len(r.Drift()) > 0 || w.record().Progress.Files.Left() != 0 {
			t.Errorf("%s: %+v", class, r)
		}
		if u := w.unsynced(); len(u) > 0 {
			t.Errorf("%s: unsynced %v", class, u)
		}
	}
}

// Whatever the process was doing when it died, all versions are there again after the
// next pass, and whole after the next check.
func TestACrashDuringARepairOfFilesLosesNoVersion(t *testing.T) {
	for _, after := range []bool{false, true} {
		points := 0
		for n := 1; ; n++ {
			w := newWorld(t)
			w.replica.Trusting = true
			w.pair.Concurrency = 1
			damaged(w)
			e := w.engine()
			c := &replicationtest.Crasher{At: n, After: after}
			ctx := c.Wrap(context.Background(), e)
			_, _ = e.Verify(ctx, withFiles(true))
			if c.Calls() < n {
				break
			}
			points++
			w.advance(2 * time.Minute)
			for range 2 {
				w.pass()
			}
			if d := cmp.Diff(w.primary.Snapshot(), w.replica.Snapshot()); d != "" {
				t.Fatalf("after dying at %s (-primary +replica):\n%s", c.Where, d)
			}
			if _, err := w.engine().Verify(t.Context(), withFiles(true)); err != nil {
				t.Fatalf("after dying at %s: %v", c.Where, err)
			}
			if b := w.replica.Broken(); len(b) > 0 {
				t.Fatalf("after dying at %s: broken %v", c.Where, b)
			}
		}
		if points < 40 {
			t.Errorf("only %d points", points)
		}
	}
}

// A drained repair deletes nothing that it doesn't create again.
func TestARepairOfFilesThatIsDrainedLeavesNoVersionOut(t *testing.T) {
	w := newWorld(t)
	w.replica.Trusting = true
	damaged(w)
	drain := make(chan struct{})
	w.replica.Refuse = func(op string, _ object.Ref) error {
		if op == "delete" {
			select {
			case <-drain:
			default:
				close(drain)
			}
		}
		return nil
	}
	o := withFiles(true)
	o.Drain = drain
	if _, err := w.engine().Verify(t.Context(), o); err != nil && !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
	w.wantEqual()
}

// What the stage has no room for could be out of reach once the versions are deleted.
func TestNoVersionIsDeletedWhoseFilesCanNotBeStaged(t *testing.T) {
	for says, stage := range map[string]*fullStage{
		"the disk":                          {Stage: &replicationtest.Stage{}, full: 1000},
		"removed right after it was staged": {Stage: &replicationtest.Stage{}, drop: true},
	} {
		w := newWorld(t)
		w.replica.Trusting = true
		damaged(w)
		e := w.engine()
		e.Stage = stage
		r, err := e.Verify(t.Context(), withFiles(true))
		if err != nil || w.replica.Writes != 0 || len(r.Drift()) != 2 || !strings.Contains(r.Differences[0].Note, says) {
			t.Errorf("%s: %v, %d writes, %+v", says, err, w.replica.Writes, r.Differences)
		}
	}
}

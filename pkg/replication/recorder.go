package replication

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"

	"chefsync/pkg/fault"
	"chefsync/pkg/object"
)

// recorder owns what a pass records: the progress of the pair and the run. It commits them
// together with what changed in the ledger.
type recorder struct {
	*Engine
	guard *guard
	fence int64
	files *fileStager
	mu    sync.Mutex // guards the fields below and the ledger while workers record outcomes
	// ledger is the pass's, which all its parts share.
	ledger         *ledger
	desired        Desired
	progress       Progress
	before         Progress // as it was when the lease was taken
	run            Run
	backups        []BackupPart // that no commit has recorded yet
	backupParts    int
	snapshotMarked bool // the next position says how the ledger compares with the snapshot

	// For progress alone: the objects of the work, those of windows that are done, and of
	// the window that is being applied.
	total, done, window int
}

// startProgress begins to count objects: some of the total are done already.
func (r *recorder) startProgress(done, total int) { r.done, r.total, r.window = done, total, 0 }

// addProgress counts the objects of a window that is done.
func (r *recorder) addProgress(n int) { r.done, r.window = r.done+n, 0 }

// reportProgress reports progress: n objects of the window are done.
func (r *recorder) reportProgress(phase Phase, inWindow int, ref object.Ref) {
	r.Observe(ProgressEvent{Pair: r.Pair.ID, Phase: phase, Done: r.done + inWindow, Total: r.total, Bytes: r.files.uploaded.Load(), Ref: ref})
}

// commit writes what was collected since the last commit, with the progress as
// it is now.
func (r *recorder) commit(ctx context.Context) error {
	r.updateCounts()
	r.run.Counts.Staged, r.run.Counts.Uploaded = r.files.staged.Load(), r.files.uploaded.Load()
	r.reopenSnapshot()
	run := r.run
	if run.Outcome == OutcomeRunning {
		run.Seen = r.Now()
	}
	u := Update{Progress: r.progress, Entries: r.ledger.changedEntries(), Run: &run, Backups: r.backups}
	if err := r.State.Commit(ctx, r.Pair.ID, r.fence, r.Now(), u); err != nil {
		return fmt.Errorf("record the work: %w", err)
	}
	clear(r.ledger.changed)
	r.backups = nil
	return nil
}

// commitEnd records how the run ended, though its context may have ended too.
func (r *recorder) commitEnd(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
	defer cancel()
	err := r.commit(ctx)
	if err != nil {
		r.run.Outcome = OutcomeFailed
	}
	return err
}

// What a part of the backups holds at most, so that its record isn't too large for any
// store: objects, and bytes of their contents.
const (
	backupsInPart     = 200
	backupBytesInPart = 100 << 10
)

// addBackups adds backups to the next commit.
func (r *recorder) addBackups(kept []Backup) {
	size := 0
	for i, b := range kept {
		size += len(b.Content)
		last := len(r.backups) - 1
		if i == 0 || size > backupBytesInPart || len(r.backups[last].Objects) >= backupsInPart {
			r.backupParts++
			r.backups = append(r.backups, BackupPart{Run: r.run.ID, Number: r.backupParts})
			last, size = last+1, len(b.Content)
		}
		r.backups[last].Objects = append(r.backups[last].Objects, b)
	}
}

// updateCounts counts what is recorded of the pair, also of what is only overlooked so far:
// the selection may change back before any compare.
func (r *recorder) updateCounts() {
	unsynced := withoutHeld(append(r.ledger.failureRecords(), r.ledger.overlooked.Unsynced()...))
	r.updateHold()
	r.progress.Objects, r.progress.Unsynced = r.ledger.countReplicated(), len(unsynced)
	r.progress.NextRetry, r.progress.UnsyncedSince = time.Time{}, time.Time{}
	for _, u := range unsynced {
		if r.progress.UnsyncedSince.IsZero() || u.FirstSeen.Before(r.progress.UnsyncedSince) {
			r.progress.UnsyncedSince = u.FirstSeen
		}
		if r.progress.NextRetry.IsZero() || u.NextTry.Before(r.progress.NextRetry) {
			r.progress.NextRetry = u.NextTry
		}
	}
}

// updateWork changes the record of the unfinished pass. Who holds the record as it was
// keeps it.
func (r *recorder) updateWork(change func(*Work)) {
	w := *r.progress.Work
	change(&w)
	r.progress.Work = &w
}

// uncountCrash takes back beforehand that the next pass will count this one among those that
// died, if it leaves an Intent behind: it ends cleanly, though not well.
func (r *recorder) uncountCrash() {
	if w := r.progress.Work; w != nil && len(w.Intent) > 0 {
		r.updateWork(func(w *Work) { w.Crashes-- })
	}
}

// markUnsynced lists an object as unsynced.
func (r *recorder) markUnsynced(ref object.Ref, err error) {
	if u, set := r.ledger.setFailure(ref, err, r.Now()); set {
		r.logUnsynced("object unsynced", u)
	}
}

// setUnlisted lists as unsynced what a listing that failed would have named.
func (r *recorder) setUnlisted(scope object.Scope, err error) {
	r.logUnsynced("listing failed", r.ledger.setListingFailure(scope, err, r.Now()))
}

func (r *recorder) logUnsynced(msg string, u Unsynced) {
	r.run.Counts.Unsynced++
	r.Log.Warn(msg, "pair", r.Pair.ID.String(), "run", r.run.ID, "kind", string(u.Ref.Kind), "object", u.Ref.Path(),
		"outcome", "unsynced", "class", string(u.Class), "attempts", u.Attempts, "error", u.Reason, "hint", u.Hint)
}

func (r *recorder) logEnd(msg string) {
	c := r.run.Counts
	r.Log.Info(msg, "pair", r.Pair.ID.String(), "run", r.run.ID, "outcome", r.run.Outcome, "mode", r.run.Mode,
		"seq", r.run.To, "changes", c.Changes, "observed", c.Observed, "equal", c.Equal, "created", c.Created,
		"updated", c.Updated, "deleted", c.Deleted, "unsynced", r.progress.Unsynced,
		"staged_bytes", c.Staged, "uploaded_bytes", c.Uploaded, "duration_ms", r.run.Ended.Sub(r.run.Started).Milliseconds())
}

// recordIntent records what the window is about to write or delete, before it does: a
// pass that dies leaves a record of what it may have done.
func (r *recorder) recordIntent(refs []object.Ref, deletes bool) error {
	if len(refs) == 0 {
		return nil
	}
	if r.progress.Work == nil {
		r.progress.Work = &Work{Reason: "changes", Started: r.run.Started}
	}
	r.updateWork(func(w *Work) { w.Wrote, w.Intent, w.Deletes = true, refs, deletes })
	if r.progress.Status != Bootstrapping {
		r.progress.setStatus(Syncing, r.Now())
	}
	if err := r.commit(r.guard.hard); err != nil {
		return err
	}
	// From here on Intent shrinks to what was begun and not ended.
	r.updateWork(func(w *Work) { w.Intent = nil })
	return nil
}

func (r *recorder) beginWrite(ref object.Ref) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.updateWork(func(w *Work) { w.Intent = append(slices.Clone(w.Intent), ref) })
}

func (r *recorder) endWrite(ref object.Ref) {
	r.updateWork(func(w *Work) {
		w.Intent = slices.DeleteFunc(slices.Clone(w.Intent), func(x object.Ref) bool { return x == ref })
	})
}

// resetCrashes forgets earlier crashes: a window of writes came to its end.
func (r *recorder) resetCrashes() {
	r.updateWork(func(w *Work) { w.Crashes = 0 })
}

func (r *recorder) logStep(step Decision, outcome string) {
	r.Log.Info("object "+outcome, "pair", r.Pair.ID.String(), "run", r.run.ID, "kind", string(step.Ref.Kind), "object", step.Ref.Path(),
		"action", string(step.Action), "seq", r.ledger.changeIDs[step.Ref], "outcome", outcome, "reason", step.Reason)
}

// windowSize is the number of objects between two commits. After crashes it is
// one, so that the object that kills the process is found.
func (r *recorder) windowSize() int {
	if w := r.progress.Work; w != nil && w.Crashes > 1 {
		return 1
	}
	return r.Tuning.Window
}

// windowDone clears what was intended: all of it has ended.
func (r *recorder) windowDone() {
	if r.progress.Work != nil {
		r.updateWork(func(w *Work) { w.Intent = nil })
	}
}

// restoreStatus sets the status back to that before the run, unless a repair was broken off
// in the middle of a write: then the next pass goes on there.
func (r *recorder) restoreStatus() {
	w := r.progress.Work
	if r.before.Work != nil || w != nil && len(w.Intent) > 0 {
		return
	}
	r.progress.Work = nil
	r.progress.Status, r.progress.Since = r.before.Status, r.before.Since
	r.updateCounts()
	if s := r.progress.Status; s == Synced || s == Held || s == Retrying && r.progress.Hold != nil && r.progress.Failures == 0 {
		r.progress.setStatus(r.progress.idleStatus(), r.Now())
	}
}

// updateHold brings the summary up to date with the records: the hold ends with the
// last of them.
func (r *recorder) updateHold() {
	was := r.progress.Hold
	if was != nil && was.Primary != "" {
		return
	}
	n, records, sample := 0, 0, []object.Ref(nil)
	for _, u := range append(r.ledger.failureRecords(), r.ledger.overlooked.Unsynced()...) {
		if u.Class == fault.DeletionHeld {
			records++
			n += 1 + u.Items
			sample = append(sample, u.Ref)
		}
	}
	if records == 0 {
		r.progress.Hold = nil
		return
	}
	slices.SortFunc(sample, object.Compare)
	now := r.Now()
	h := Hold{At: now, Reason: "deletions wait for approval", LastAnswer: lastAnswer(r.desired.AllowedAt, now)}
	if was != nil {
		h = *was
	}
	h.Deletes, h.Records, h.Rule, h.Sample = n, records, r.Pair.pruneRule(), slices.Clone(sample[:min(len(sample), holdSample)])
	r.progress.Hold = &h
}

// reopenSnapshot records with a change of the ledger that it may differ from the
// snapshot from now on.
func (r *recorder) reopenSnapshot() {
	pos := r.progress.Position
	if r.snapshotMarked || pos == nil || pos.Snapshot.Generation == 0 || pos.Snapshot.Differs || !r.ledger.written {
		return
	}
	next := *pos
	next.Snapshot.Differs = true
	r.progress.Position = &next
}

func (r *recorder) logDrift(level slog.Level, msg, outcome string, d Difference) {
	r.Log.Log(context.Background(), level, msg, "pair", r.Pair.ID.String(), "run", r.run.ID, "kind", string(d.Ref.Kind), "object", d.Ref.Path(),
		"cause", string(d.Cause), "outcome", outcome, "reason", d.Note)
}

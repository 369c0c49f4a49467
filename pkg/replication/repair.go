package replication

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"

	"chefsync/pkg/fault"
	"chefsync/pkg/object"
)

// concludeUnderLease takes the lease, looks again at what another process may have changed
// meanwhile, repairs if that is asked for, and records what was found.
func (v *verification) concludeUnderLease(ctx context.Context) (Report, error) {
	taken := v.Now()
	got, err := v.acquireLease(ctx, taken)
	var leased *LeasedError
	if errors.As(err, &leased) {
		return v.endUncertain(err)
	}
	if err != nil {
		return v.report, fmt.Errorf("take the lease: %w", err)
	}
	defer v.releaseLease(ctx, got.Lease.Fence)
	g := v.watchLease(ctx, got.Lease.Fence, taken, v.options.passOptions())
	defer g.stopAndWait()
	run := Run{ID: runID(taken, got.Lease.Fence), Pair: v.Pair.ID, Trigger: v.options.Trigger, Mode: ModeVerify, Started: v.report.At, Outcome: OutcomeRunning}
	if v.options.Portion {
		run.Mode = ModeFiles
	}
	if pos := got.Progress.Position; pos != nil {
		run.From, run.To = pos.Seq, pos.Seq
	}
	p := v.newPass(g, got, run)
	if err := p.loadRecords(g.hard); err != nil {
		return v.report, err
	}
	if got.Lease.Fence != v.began.Lease.Fence+1 || v.began.Lease.HeldAt(v.report.At) {
		if err = v.readAgain(g, got); err != nil {
			v.markUncertain("a pass was running while it was read")
		}
	}
	if err == nil {
		err = v.fileRepair(p).locateDamaged()
	}
	if err == nil && v.options.Repair {
		if g := &p.rec.progress; g.Selected != v.Pair.selectionMark() {
			g.Selected = mixedSelection
		}
		err = v.repairDrift(p)
	}
	return v.recordOutcome(ctx, p, err)
}

// fileRepair returns the part that restores the damaged files.
func (v *verification) fileRepair(p *pass) *fileRepair { return &fileRepair{fileCheck{p, &v.files}} }

// listFiles takes up in the report what the check of the files found.
func (v *verification) listFiles() {
	v.report.Files = v.files.checked
	v.report.Differences = append(v.report.Differences, v.files.differences()...)
	v.report.Repaired = append(v.report.Repaired, v.files.repaired...)
}

// endUncertain ends a verification that met another running process. Nothing is
// recorded.
func (v *verification) endUncertain(leased error) (Report, error) {
	v.markUncertain("another process is working on the pair")
	v.listFiles()
	v.report.Outcome = OutcomeBusy
	if v.options.Repair {
		return v.report, leased
	}
	return v.report, nil
}

// markUncertain takes back that differences are drift: they may be what a pass has
// written since.
func (v *verification) markUncertain(why string) {
	for i, d := range v.report.Differences {
		if d.Drifted() {
			v.report.Differences[i].Cause, v.report.Differences[i].Note = CausePending, why
			v.report.Differences[i].uncertain = true
		}
	}
}

// readAgain looks at the differences once more, under the lease: a pass worked
// while both sides were read.
func (v *verification) readAgain(g *guard, got PairState) error {
	p := v.readOnlyPass(g, got, dueWork{})
	if err := p.loadLedger(g.hard); err != nil {
		return err
	}
	refs := make([]object.Ref, len(v.report.Differences))
	for i, d := range v.report.Differences {
		refs[i] = d.Ref
	}
	v.report.Differences = nil
	for window := range slices.Chunk(refs, v.Tuning.Window) {
		still, err := v.compareAgain(p, window)
		if err != nil {
			return err
		}
		v.report.Differences = append(v.report.Differences, still...)
	}
	v.report.Extras = slices.DeleteFunc(v.report.Extras, func(r object.Ref) bool {
		return p.ledger.isReplicated(r) && v.Pair.pruneRule() != PruneNone
	})
	v.observed += p.rec.run.Counts.Observed
	return nil
}

// compareAgain reads objects once more and returns what differs about them. What can't be
// read now is listed as such.
func (v *verification) compareAgain(p *pass, refs []object.Ref) (differ []Difference, err error) {
	observed, err := p.observer.observeObjects(refs, readOptions{look: true, applies: true})
	if err != nil {
		return nil, err
	}
	for _, s := range p.decideAll(observed) {
		if err := s.readError(); err != nil {
			v.report.Unreadable = append(v.report.Unreadable, Unsynced{Ref: s.Ref, Class: fault.ClassOf(err), Reason: err.Error(), Hint: fault.HintOf(err),
				Attempts: 1, FirstSeen: v.Now(), LastTry: v.Now()})
		}
		if d := s.toDifference(); d != nil {
			differ = append(differ, *d)
		}
	}
	return differ, nil
}

// repairDrift undoes what others changed on the replica. What waits for a pass is
// left to it.
func (v *verification) repairDrift(p *pass) error {
	drift := v.report.Drift()
	switch {
	case len(drift) == 0 && len(v.files.damaged) == 0:
		return nil
	case p.rec.desired.Stopped:
		return errOperatorStop
	case p.rec.progress.Hold != nil && p.rec.progress.Hold.Primary != "":
		return &holdError{p.rec.progress.Hold}
	case p.rec.progress.Work != nil, holdAnswered(PairState{Desired: p.rec.desired, Progress: p.rec.progress}, p.Now()):
		return errUnfinished
	}
	p.rec.run.Mode = ModeRepair
	var extras, others []object.Ref
	for _, d := range drift {
		if d.Cause == CauseExtra {
			extras = append(extras, d.Ref)
			continue
		}
		others = append(others, d.Ref)
	}
	if err := v.repairObjects(p, extras, others); err != nil {
		return err
	}
	if err := v.fileRepair(p).repairFiles(); err != nil {
		return err
	}
	p.advancePosition(nil)
	return nil
}

// repairObjects writes what was changed or deleted on the replica, and deletes what
// was added.
func (v *verification) repairObjects(p *pass, extras, others []object.Ref) error {
	deletes, err := p.brake.checkBrake(v.removalOf(extras))
	if err != nil {
		return err
	}
	p.rec.startProgress(0, len(others))
	for window := range eachWindow(p.rec, others) {
		if err := v.repairWindow(p, window); err != nil {
			return err
		}
		p.rec.addProgress(len(window))
	}
	if err := p.confirmAndRemove(deletes, readOptions{look: true, applies: true}); err != nil {
		return err
	}
	return v.readBack(p, extras)
}

// errUnfinished leaves a repair to later: a pass left work behind, and its record
// of what it may have written must not be lost, or it has an approval to follow.
var errUnfinished = errors.New("a pass left work behind, which goes first")

// removalOf is what a repair would delete: objects that were added on the replica.
func (v *verification) removalOf(extras []object.Ref) removal {
	return removal{refs: extras, onReplica: v.target.refs, failedListing: v.source.hasFailed(),
		onPrimary: func(bag object.Ref) bool { _, there := v.source.refs[bag]; return there }}
}

// repairWindow looks at some objects again, under the lease, applies what differs, and
// reads them back.
func (v *verification) repairWindow(p *pass, refs []object.Ref) error {
	observed, err := p.observer.observeObjects(refs, readOptions{look: true, applies: true})
	if err != nil {
		return err
	}
	if _, err := p.writer.applyWindow(p.decideAll(observed)); err != nil {
		return err
	}
	p.rec.windowDone()
	if err := v.readBack(p, refs); err != nil {
		return err
	}
	return p.rec.commit(p.guard.hard)
}

// readBack reads objects after their repair, and moves the differences that are gone to
// the repaired ones. What can't be read is neither.
func (v *verification) readBack(p *pass, refs []object.Ref) error {
	differ, err := v.compareAgain(p, refs)
	if err != nil {
		return err
	}
	read, left := map[object.Ref]bool{}, map[object.Ref]Difference{}
	for _, r := range refs {
		read[r] = true
	}
	for _, u := range v.report.Unreadable {
		delete(read, u.Ref)
	}
	for _, d := range differ {
		left[d.Ref] = d
	}
	var still []Difference
	for _, d := range v.report.Differences {
		now, differs := left[d.Ref]
		if read[d.Ref] && !differs {
			v.report.Repaired = append(v.report.Repaired, d)
			continue
		}
		if u := p.ledger.failing[d.Ref]; differs && u != nil && u.Class != fault.DeletionHeld {
			now.Cause, now.Note = d.Cause, "could not be repaired: "+u.Reason
		}
		if differs {
			d = now
		}
		still = append(still, d)
	}
	v.report.Differences = still
	return nil
}

// recordOutcome writes down how the verification ended.
func (v *verification) recordOutcome(ctx context.Context, p *pass, err error) (Report, error) {
	now := v.Now()
	hold := heldBy(err)
	ended := false
	v.inPart = v.inPart && err == nil // else this part is done again
	v.listFiles()
	v.report.Outcome, err = p.guard.outcomeOf(ctx, err)
	switch {
	case v.report.Outcome == OutcomeBusy:
		return v.report, fmt.Errorf("verification of %s: %w", v.Pair.ID, err)
	case v.report.Outcome == OutcomeFailed:
		p.rec.run.Error = newFailure(now, err)
	case v.report.Outcome == OutcomeHeld:
		v.report.Hold = hold
	case v.report.Outcome != OutcomeDone:
	case v.inPart, v.files.cut:
		v.report.Outcome = OutcomePartial
	default:
		ended = true
		if !v.report.Equal() {
			v.report.Outcome = OutcomeDiffers
		}
		p.rec.updateHold()
		heldDrift := slices.ContainsFunc(v.report.Drift(), func(d Difference) bool { return p.ledger.isHeld(d.Ref) })
		if v.options.Repair && heldDrift {
			v.report.Outcome = OutcomeHeld
		}
		if heldDrift || v.report.CountHeld() > 0 {
			v.report.Hold = p.rec.progress.Hold
		}
	}
	v.sortLists()
	p.rec.restoreStatus()
	v.markPending(p)
	v.recordResult(p, ended)
	if hold != nil && hold != p.rec.before.Hold {
		p.rec.progress.recordHold(now, hold)
	}
	p.rec.run.Outcome, p.rec.run.Ended, v.report.Run = v.report.Outcome, now, p.rec.run.ID
	if saveErr := p.rec.commitEnd(ctx); saveErr != nil {
		v.report.Outcome = OutcomeFailed
		return v.report, errors.Join(err, saveErr)
	}
	v.logFindings(p)
	return v.report, err
}

// sortLists puts the lists of the report in order.
func (v *verification) sortLists() {
	byRef := func(a, b Difference) int { return object.Compare(a.Ref, b.Ref) }
	slices.SortFunc(v.report.Differences, byRef)
	slices.SortFunc(v.report.Repaired, byRef)
	slices.SortFunc(v.report.Unreadable, func(a, b Unsynced) int { return object.Compare(a.Ref, b.Ref) })
}

// recordResult fills the progress: what the record says from now on.
func (v *verification) recordResult(p *pass, ended bool) {
	r := v.report
	d := Drift{At: r.At, Run: p.rec.run.ID, Repaired: len(r.Repaired) - len(v.files.repaired)}
	for _, x := range append(r.Drift(), r.Repaired...) {
		d.addCause(x.Cause)
	}
	c := &p.rec.run.Counts
	c.Files = v.report.Files
	v.noteFiles(p, ended)
	if v.options.Portion {
		v.endPortion(p)
		return
	}
	c.Observed += v.observed
	c.Equal, c.Drift = v.equal, d.totalFound()
	d = v.addEarlier(d)
	switch {
	case d.totalFound() > 0:
		p.rec.progress.Drift = &d
	case ended:
		p.rec.progress.Drift = nil
	}
	switch {
	case ended:
		p.rec.progress.LastCheck, p.rec.progress.Checking = v.startedAt(), nil
		if r.Equal() && d.Repaired == 0 && len(r.Repaired) == 0 {
			p.rec.progress.LastVerified = v.startedAt()
		}
	case v.inPart:
		p.rec.progress.Checking = v.partDone(d)
	case v.options.Trigger == TriggerSchedule && p.rec.progress.Checking != nil:
		c := *p.rec.progress.Checking
		c.endPart(r.Outcome != OutcomePartial, v.Now())
		p.rec.progress.Checking = &c
	}
}

// namesLogged bounds the lines of each sort that one verification logs.
const namesLogged = 1000

// logFindings names what others did on the replica. The output of a
// verification that somebody started shows it to them, so nothing of it is a warning.
func (v *verification) logFindings(p *pass) {
	level := slog.LevelInfo
	if v.options.Trigger == TriggerSchedule {
		level = slog.LevelWarn
	}
	say := func(level slog.Level, msg, outcome string, list []Difference) {
		for _, d := range list[:min(len(list), namesLogged)] {
			p.rec.logDrift(level, msg, outcome, d)
		}
	}
	say(level, "drift repaired", "repaired", v.report.Repaired)
	say(level, "drift on the replica", "left", v.report.Drift())
	var kept []Difference
	for _, r := range v.report.Extras {
		kept = append(kept, Difference{Ref: r, Cause: CauseExtra, Note: "the prune rule keeps it"})
	}
	say(slog.LevelInfo, "only on the replica", "kept", kept)
	c := p.rec.run.Counts
	level = slog.LevelInfo
	if v.options.Portion && v.report.Files == 0 && v.report.Outcome == OutcomeDone {
		level = slog.LevelDebug // there were no files to check
	}
	v.Log.Log(context.Background(), level, "verification ends", "pair", v.Pair.ID.String(), "run", p.rec.run.ID,
		"outcome", p.rec.run.Outcome, "mode", p.rec.run.Mode, "observed", c.Observed, "equal", c.Equal,
		"differences", len(v.report.Differences), "drift", c.Drift, "repaired", len(v.report.Repaired),
		"extras", len(v.report.Extras), "unreadable", len(v.report.Unreadable), "duration_ms", p.rec.run.Ended.Sub(p.rec.run.Started).Milliseconds())
}

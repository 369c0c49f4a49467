package replication

import (
	"log/slog"
	"slices"
	"time"

	"chefsync/pkg/object"
)

// readDue reports whether both sides are to be compared, although nothing asks for it.
// Verifications that are at least as frequent get a quarter more time to come first: they
// read the same without holding the pair's lease.
func (e *Engine) readDue(last time.Time) bool {
	every := e.Pair.ReconcileEvery
	if v := e.Pair.VerifyEvery; v > 0 && v <= every {
		every += every / 4
	}
	return every > 0 && ageAt(last, e.Now()) >= every
}

// toDrift returns what others changed about an object on the replica, or nil.
func (d decidedObject) toDrift() *Difference {
	if d.Cause == CausePending {
		return nil
	}
	return d.toDifference()
}

// leavesDrift reports whether the drift rule leaves an object as others made it.
// What the primary changed since, or the operator named, is written all the same.
func (c *comparison) leavesDrift(s observedObject) bool {
	asked := PairState{Desired: c.rec.desired, Progress: c.rec.progress}.ObjectsAsked()
	named := slices.ContainsFunc(asked, func(r object.Ref) bool { return object.ScopeOf(r).Contains(s.Ref) })
	return c.Pair.Drift != DriftRepair && c.ledger.entries[s.Ref].Fingerprint == s.Fingerprint && !named
}

// applyDriftRule counts what others changed on the replica, unless all that differs is
// to be repaired. It returns the objects to apply, and those of them that a repair is to undo.
func (c *comparison) applyDriftRule(list []decidedObject) (apply []decidedObject, repair []Difference) {
	if c.rec.progress.Work.Drift == nil {
		return list, nil
	}
	var left []Difference
	for _, d := range list {
		drift := d.toDrift()
		if drift != nil && c.leavesDrift(d.observedObject) {
			left = append(left, *drift)
			continue
		}
		if apply = append(apply, d); drift != nil {
			repair = append(repair, *drift)
		}
	}
	c.countDrift(left, "drift on the replica", "left")
	return apply, repair
}

// countRepairs counts what was drift before the objects were applied.
func (c *comparison) countRepairs(repair []Difference) {
	var done, left []Difference
	for _, d := range repair {
		if c.ledger.failing[d.Ref] != nil {
			left = append(left, d)
			continue
		}
		done = append(done, d)
	}
	c.countDrift(left, "drift on the replica", "left")
	if c.countDrift(done, "drift repaired", "repaired"); len(done) > 0 {
		d := *c.rec.progress.Work.Drift
		d.Repaired += len(done)
		c.rec.updateWork(func(w *Work) { w.Drift = &d })
	}
}

// countDrift adds differences to the drift that the compare has found, and logs
// them.
func (c *comparison) countDrift(list []Difference, msg, outcome string) {
	if len(list) == 0 {
		return
	}
	d := *c.rec.progress.Work.Drift
	for _, x := range list {
		d.addCause(x.Cause)
		if c.rec.run.Counts.Drift++; c.rec.run.Counts.Drift <= namesLogged {
			c.rec.logDrift(slog.LevelWarn, msg, outcome, x)
		}
	}
	c.rec.updateWork(func(w *Work) { w.Drift = &d })
}

// addCause counts one difference.
func (d *Drift) addCause(c Cause) {
	switch c {
	case CauseChanged:
		d.Changed++
	case CauseMissing:
		d.Missing++
	case CauseExtra:
		d.Extra++
	}
}

// totalFound is how many objects others had changed.
func (d Drift) totalFound() int { return d.Changed + d.Missing + d.Extra }

// splitExtras parts deletions into those of what replication put on the replica, with all
// items of its bags, and those of what others added there. The latter are drift, which the
// rule may leave.
func (c *comparison) splitExtras(deletes []object.Ref) (apply []object.Ref, extras []Difference) {
	if c.rec.progress.Work.Drift == nil {
		return deletes, nil
	}
	isOurs := func(r object.Ref) bool { return c.ledger.isReplicated(r) || c.ledger.isHeld(r) }
	bags := map[object.Ref]bool{}
	for _, r := range deletes {
		bags[r] = r.Kind.Child() != "" && isOurs(r)
	}
	for _, r := range deletes {
		if !isOurs(r) && !bags[r.Parent()] {
			extras = append(extras, Difference{Ref: r, Letter: "D", Cause: CauseExtra, Note: "added on the replica"})
		} else {
			apply = append(apply, r)
		}
	}
	if c.Pair.Drift == DriftRepair {
		return deletes, extras
	}
	c.countDrift(extras, "drift on the replica", "left")
	return apply, nil
}

// noteCompare records that a full comparison has come to its end. One that read both
// sides is a verification too, except for the first, which put there what it read.
func (c *comparison) noteCompare(deleted []object.Ref) {
	w, g := c.rec.progress.Work, &c.rec.progress
	first := g.LastCompare.IsZero()
	c.noteReplicaOnly(deleted)
	g.LastCompare = w.Started
	if first || w.Started.Before(g.LastCheck) {
		return
	}
	g.LastCheck, g.Drift = w.Started, nil
	if d := w.Drift; d != nil && d.totalFound() > 0 {
		found := *d
		found.At, found.Run = w.Started, c.rec.run.ID
		g.Drift = &found
	}
	if !w.Wrote && g.Drift == nil && len(c.ledger.failureRecords()) == 0 {
		g.LastVerified = w.Started
	}
	if !g.Checking.UnderWay(c.Now()) {
		g.Checking = nil
	}
}

// stillGone returns those of the deleted extras that weren't found on the primary
// after all.
func (c *comparison) stillGone(extras []Difference) (gone []Difference) {
	for _, d := range extras {
		if !c.ledger.isReplicated(d.Ref) {
			gone = append(gone, d)
		}
	}
	return gone
}

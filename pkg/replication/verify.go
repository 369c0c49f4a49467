package replication

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"chefsync/pkg/fault"
	"chefsync/pkg/object"
)

// VerifyOptions say how a verification is to be done.
type VerifyOptions struct {
	Trigger Trigger // for the run record
	// Repair undoes what others changed on the replica: under the lease, by
	// the prune rule, and as far as the brake allows. Without it the replica is
	// only read.
	Repair bool
	// Files is the share of the replica's cookbook files, up to 1, that is downloaded
	// and checked against its MD5 too.
	Files float64
	// Portion checks the next portion of the files and nothing else.
	Portion bool
	// Deadline and Drain end a verification early, as they do a pass.
	Deadline time.Time
	Drain    <-chan struct{}
}

func (o VerifyOptions) passOptions() PassOptions {
	return PassOptions{Deadline: o.Deadline, Drain: o.Drain}
}

// readingOptions leaves a quarter of the time for what comes after the reading: a second
// look, and a repair.
func (o VerifyOptions) readingOptions(now time.Time) PassOptions {
	p := o.passOptions()
	if !o.Deadline.IsZero() {
		p.Deadline = o.Deadline.Add(-o.Deadline.Sub(now) / 4)
	}
	return p
}

// Report is the result of a verification: both sides read and compared.
type Report struct {
	Pair PairID `json:"pair"`
	// At is when the reading began. What changed later may not be in the report.
	At      time.Time `json:"at"`
	Run     string    `json:"run,omitempty"` // the record that was made of it
	Outcome Outcome   `json:"outcome"`       // done, differs, or why a repair was not made: stopped, held, partial, busy, failed
	// Kinds count the objects as they were before a repair.
	Kinds       []KindReport `json:"kinds"`
	Differences []Difference `json:"differences,omitempty"` // without those that were repaired
	Repaired    []Difference `json:"repaired,omitempty"`    // repaired, and read back
	// Extras are on the replica only and stay there by the prune rule: objects that
	// replication didn't put there, and with the rule "none" also those that are
	// gone from the primary. With the rule "all" they are differences.
	Extras     []object.Ref `json:"extras,omitempty"`
	Unreadable []Unsynced   `json:"unreadable,omitempty"`
	Hold       *Hold        `json:"hold,omitempty"` // the deletions among the differences that wait for approval
	// Files counts the contents of cookbook files that were downloaded and checked.
	Files int `json:"files,omitempty"`
	// Earlier is what the earlier parts of a scheduled verification found, which the
	// lists leave out. Kinds have it in.
	Earlier *Checking `json:"earlier,omitempty"`
}

// KindReport counts the objects of one kind.
type KindReport struct {
	Kind    object.Kind `json:"kind"`
	Primary int         `json:"primary"`
	Replica int         `json:"replica"`
	Equal   int         `json:"equal"`
}

// Cause says who made a difference, as far as the record of what replication
// last put on the replica tells it.
type Cause string

// The causes. All but CausePending are drift.
const (
	CauseChanged Cause = "changed" // edited on the replica
	CauseMissing Cause = "missing" // deleted on the replica
	CauseExtra   Cause = "extra"   // added on the replica, where prune = "all" keeps nothing of its own
	CauseDamaged Cause = "damaged" // a file of a cookbook version is gone from the replica's store, or other content than it was
	CausePending Cause = "pending" // changed on the primary, or not applied yet for another reason
)

// Difference is one object that isn't equal on both sides. The letter is A for
// one that the replica lacks, D for one that only the replica has, M for other content.
type Difference struct {
	Ref    object.Ref `json:"object"`
	Letter string     `json:"letter"`
	Cause  Cause      `json:"cause,omitempty"`
	Note   string     `json:"note,omitempty"`
	Held   bool       `json:"held,omitempty"` // the deletion that would remove it waits for approval
	// Versions are all cookbook versions and artifacts that need a damaged file; Ref is
	// the first of them.
	Versions []object.Ref `json:"versions,omitempty"`

	uncertain bool // it may be drift
}

// CountHeld returns how many differences are deletions that wait for approval.
func (r Report) CountHeld() (n int) {
	for _, d := range r.Differences {
		if d.Held {
			n++
		}
	}
	return n
}

// Drifted reports whether others than replication made the difference.
func (d Difference) Drifted() bool { return d.Cause != CausePending && d.Cause != "" }

// Equal reports whether all was read and nothing differs.
func (r Report) Equal() bool { return r.Differ() == 0 && r.countUnreadable() == 0 }

// Differ counts the differences, also those of earlier parts.
func (r Report) Differ() int {
	n := len(r.Differences)
	if r.Earlier != nil {
		n += r.Earlier.Differ
	}
	return n
}

func (r Report) countUnreadable() int {
	n := len(r.Unreadable)
	if r.Earlier != nil {
		n += r.Earlier.Unreadable
	}
	return n
}

// Drift are the differences that others made on the replica and that are still
// there.
func (r Report) Drift() []Difference {
	return slices.DeleteFunc(slices.Clone(r.Differences), func(d Difference) bool { return !d.Drifted() })
}

// verification is one verification under way.
type verification struct {
	*Engine
	options  VerifyOptions
	report   Report
	claim    *verifyClaim // nil unless it is scheduled
	began    PairState    // the record when the reading began
	source   listing
	target   listing
	observed int
	equal    int                 // in this part
	equalOf  map[object.Kind]int // in all parts so far
	after    string              // the last object compared
	inPart   bool                // more is left for the next part
	files    fileScan
}

// Verify reads every object of the pair on both sides, compares them, and tells
// what others changed on the replica from what replication has yet to apply. It
// records what it found, under the lease, which it takes once all is read. The
// replica is written only to repair, if that is asked for.
//
// With the trigger TriggerSchedule, one whose Deadline comes first is left to be
// gone on with: its Outcome is partial, and the record keeps what it found.
//
// The error is why not everything could be compared, recorded or repaired. That
// differences were found, or that a pair is stopped or held and was not repaired,
// is no error: it is the Outcome.
func (e *Engine) Verify(ctx context.Context, o VerifyOptions) (Report, error) {
	e.setDefaults()
	v := &verification{Engine: e, options: o, report: Report{Pair: e.Pair.ID, At: e.Now(), Outcome: OutcomeFailed}}
	var err error
	if o.Trigger == TriggerSchedule {
		v.claim = &verifyClaim{e}
		if v.began, v.report.Earlier, err = v.claim.take(ctx, v.report.At); o.Portion {
			v.report.Earlier = nil
		}
	} else {
		v.began, err = e.State.Pair(ctx, e.Pair.ID)
	}
	var leased *LeasedError
	if errors.As(err, &leased) {
		v.report.Outcome = OutcomeBusy
	}
	if err != nil {
		return v.report, err
	}
	if err := v.readSides(ctx); err != nil {
		stopped := errors.Is(err, errDrained) || errors.Is(err, errDeadline) || ctx.Err() != nil
		if v.claim != nil {
			v.claim.release(ctx, !stopped)
		}
		if errors.Is(err, errDeadline) {
			err = &fault.Error{Op: "read both sides", Class: fault.Local, Err: err,
				Hint: "verify from a machine that has more time: chef-sync-ctl verify " + e.Pair.ID.String()}
		}
		if stopped {
			v.report.Outcome = OutcomePartial
		}
		return v.report, fmt.Errorf("verify: %w", err)
	}
	return v.concludeUnderLease(ctx)
}

// readSides reads both sides, without a lease.
func (v *verification) readSides(ctx context.Context) (err error) {
	g := v.watchReading(ctx, v.options.readingOptions(v.Now()), v.claim)
	defer g.stopAndWait()
	p := v.readOnlyPass(g, v.began, dueWork{})
	if err := p.loadLedger(g.hard); err != nil {
		return err
	}
	known := p.ledger.copyEntries()
	p.ledger.dropFailures() // its records are from here on of what can't be read
	if v.options.Portion {
		return v.readPortion(p)
	}
	if v.source, v.target, err = p.lister.listBoth(); err != nil {
		return err
	}
	switch err := v.readObjects(p, known); {
	case v.endsPart(err):
		v.inPart = true
	case err != nil:
		return err
	default:
		v.readExtras(known)
	}
	v.countKinds(p.Pair)
	if err := (&fileCheck{p, &v.files}).readFiles(p.ledger.withFiles(), v.options.Files); err != nil {
		return err
	}
	v.noteUnreadable(p)
	slices.SortFunc(v.report.Differences, func(a, b Difference) int { return object.Compare(a.Ref, b.Ref) })
	v.observed = p.rec.run.Counts.Observed
	return nil
}

// noteUnreadable lists what could not be read.
func (v *verification) noteUnreadable(p *pass) {
	v.report.Unreadable = withoutHeld(p.ledger.failureRecords())
}

// readObjects compares what the primary lists and no earlier part compared.
func (v *verification) readObjects(p *pass, known *ledger) error {
	refs := v.remainingRefs()
	v.equalOf = map[object.Kind]int{}
	if c := v.report.Earlier; c != nil {
		maps.Copy(v.equalOf, c.Equal)
	}
	p.rec.startProgress(len(v.source.refs)-len(refs), len(v.source.refs))
	look := readOptions{replica: &v.target, look: true, bulk: newBulkReader(refs, true, 0)}
	for window := range slices.Chunk(refs, p.Tuning.Window) {
		observed, err := p.observer.observeObjects(window, look)
		if err != nil {
			return err
		}
		for _, s := range known.decideAll(observed, p.Pair.pruneRule()) {
			switch d := s.toDifference(); {
			case s.readError() != nil:
				p.rec.markUnsynced(s.Ref, s.readError())
			case d != nil:
				v.report.Differences = append(v.report.Differences, *d)
			case !s.Absent:
				v.equalOf[s.Ref.Kind]++
				v.equal++
			}
			if s.Absent {
				v.source.counts[s.Ref.Kind]--
			}
		}
		p.rec.addProgress(len(window))
		v.after = window[len(window)-1].Path()
	}
	return nil
}

// countKinds fills the numbers of the report.
func (v *verification) countKinds(pair Pair) {
	for _, k := range object.Kinds() {
		if pair.Includes(k) {
			v.report.Kinds = append(v.report.Kinds, KindReport{Kind: k, Primary: v.source.counts[k], Replica: v.target.counts[k], Equal: v.equalOf[k]})
		}
	}
}

// readExtras names what only the replica lists.
func (v *verification) readExtras(known *ledger) {
	for _, ref := range slices.SortedFunc(maps.Keys(v.target.refs), object.Compare) {
		if _, there := v.source.refs[ref]; there || v.source.isUnknown(ref) {
			continue
		}
		extra := []observedObject{{Observation: Observation{Ref: ref, Absent: true, Replica: Present}}}
		if d := known.decideAll(extra, v.Pair.pruneRule())[0].toDifference(); d != nil {
			v.report.Differences = append(v.report.Differences, *d)
			continue
		}
		v.report.Extras = append(v.report.Extras, ref)
	}
}

// readError is why one of the sides could not show the object, or nil.
func (s observedObject) readError() error {
	if s.err != nil {
		return s.err
	}
	return s.hidden
}

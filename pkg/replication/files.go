package replication

import (
	"context"
	"crypto/md5"
	"encoding/hex"
	"errors"
	"io"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"chefsync/pkg/fault"
	"chefsync/pkg/object"
)

// Files is the check of the content of the replica's cookbook files. A round goes
// through all cookbook versions in portions.
type Files struct {
	Started time.Time `json:"started"`         // of the round
	At      time.Time `json:"at,omitzero"`     // start of its newest portion, zero when that had not the time to end
	After   string    `json:"after,omitempty"` // the last version of which the files were checked, "" when the round has ended
	// Damaged counts the files that this round found damaged and that weren't repaired,
	// Before those of the round before it, until this one has ended.
	Damaged int `json:"damaged,omitempty"`
	Before  int `json:"before,omitempty"`
}

// Left is how many files are known to be damaged.
func (f *Files) Left() int {
	if f == nil {
		return 0
	}
	return max(f.Damaged, f.Before)
}

// A round is done in n portions, spread over its time, and each portion has at
// least a number of versions.
const (
	filePortions = 14
	leastPortion = 25
)

// FilesDue reports whether a portion of the files is to be checked: a round begins
// every so often, the first after the first full comparison. 0 is never.
func (p Progress) FilesDue(every time.Duration, now time.Time) bool {
	if every <= 0 || p.LastCompare.IsZero() {
		return false
	}
	if c := p.Checking; c != nil && ageAt(c.FailedAt, now) < min(every, verifyRetry) {
		return false
	}
	switch f := p.Files; {
	case f == nil:
		return true
	case f.After == "":
		return ageAt(f.Started, now) >= every
	default:
		return ageAt(f.At, now) >= every/filePortions
	}
}

// fileScan is what a verification finds out of the content of files.
type fileScan struct {
	mu       sync.Mutex
	seen     map[string]struct{} // checksums that were looked at, or left out of the sample
	checked  int
	damaged  []damagedFile
	after    string // the last version of which all files were checked
	cut      bool   // the time of the portion ended before it did
	last     bool   // the portion reaches the end of the round
	repaired []Difference
}

// damagedFile is content that the replica doesn't have as its objects name it.
type damagedFile struct {
	object.File
	ref      object.Ref   // where it was found
	problem  string       // what is wrong with it
	versions []object.Ref // all that need it
	why      string       // why it could not be repaired
}

// readPortion checks the files of the next versions of the round.
func (v *verification) readPortion(p *pass) error {
	refs := p.ledger.withFiles()
	size := max((len(refs)+filePortions-1)/filePortions, leastPortion)
	if f := v.began.Progress.Files; f != nil && f.After != "" {
		if after, err := object.ParseRef(f.After); err == nil {
			refs = slices.DeleteFunc(refs, func(r object.Ref) bool { return object.Compare(r, after) <= 0 })
		}
	}
	v.files.last = len(refs) <= size
	err := (&fileCheck{p, &v.files}).readFiles(refs[:min(len(refs), size)], 1)
	if ended := errors.Is(err, errDeadline) || errors.Is(err, errDrained); ended && v.files.after != "" {
		v.files.cut, v.files.last, err = true, false, nil
	}
	v.noteUnreadable(p)
	return err
}

// fileWindow is how many versions are looked at between two marks of how far the
// check has come.
const fileWindow = 16

// fileCheck checks the content of cookbook files of the replica.
type fileCheck struct {
	*pass
	found *fileScan
}

// readFiles downloads a share of the files of some versions from the replica, each
// content once, and checks it against its checksum.
func (fc *fileCheck) readFiles(refs []object.Ref, share float64) error {
	if share <= 0 {
		return nil
	}
	fc.found.seen = map[string]struct{}{}
	fc.rec.startProgress(0, len(refs))
	for window := range slices.Chunk(refs, fileWindow) {
		err := fc.guard.forEach(len(window), fc.Pair.maxWorkers(), nil, func(ctx context.Context, i int) error {
			return fc.readFilesOf(ctx, window[i], share)
		})
		if err != nil {
			return err
		}
		fc.found.after = window[len(window)-1].Path()
		fc.rec.addProgress(len(window))
		fc.rec.reportProgress(PhaseCheckFiles, 0, object.Ref{})
	}
	return nil
}

// readFilesOf checks the files of one version that weren't checked yet.
func (fc *fileCheck) readFilesOf(ctx context.Context, ref object.Ref, share float64) error {
	obj, err := fc.Target.Get(ctx, ref)
	if fault.IsAbsent(err) {
		return nil // a difference of the object, not of its files
	}
	if err != nil {
		return fc.setUnreadable(ctx, ref, err)
	}
	for _, f := range obj.Files {
		if err := fc.guard.stopError(); err != nil {
			return err
		}
		if !fc.found.takeFile(f.Checksum, share) {
			continue
		}
		problem, err := fc.checkFile(ctx, obj, f)
		if err != nil {
			return fc.setUnreadable(ctx, ref, err)
		}
		fc.found.addDamaged(damagedFile{File: f, ref: ref, problem: problem, versions: []object.Ref{ref}})
	}
	return nil
}

// setUnreadable sets aside an object that can't be read, or ends the verification.
func (fc *fileCheck) setUnreadable(ctx context.Context, ref object.Ref, err error) error {
	objErr, fatal := fc.errs.classifyError(ctx, fc.Target, "replica", err)
	if fatal != nil {
		return fatal
	}
	fc.rec.mu.Lock()
	defer fc.rec.mu.Unlock()
	fc.rec.markUnsynced(ref, objErr)
	return nil
}

// takeFile reports whether content is to be checked now: once, and only if it belongs to
// the sample.
func (s *fileScan) takeFile(checksum string, share float64) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, known := s.seen[checksum]; known {
		return false
	}
	s.seen[checksum] = struct{}{}
	if share < 1 && rand.Float64() >= share {
		return false
	}
	s.checked++
	return true
}

// addDamaged adds a file that is damaged.
func (s *fileScan) addDamaged(f damagedFile) {
	if f.problem == "" {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.damaged = append(s.damaged, f)
}

// checkFile downloads a file from the replica and says what is wrong with it, "" if
// nothing is. Wrong bytes are asked for once more: a transfer may have been cut.
func (fc *fileCheck) checkFile(ctx context.Context, obj object.Object, f object.File) (problem string, err error) {
	for range 2 {
		sum, err := fc.sumOf(ctx, obj, f)
		switch {
		case errors.Is(err, ErrContentLost):
			return "is missing in the replica's file store", nil
		case fault.IsAbsent(err):
			return "", nil // the version changed meanwhile and doesn't need it
		case err != nil:
			return "", err
		case sum == f.Checksum:
			return "", nil
		}
	}
	return "has other content on the replica than its checksum says", nil
}

func (fc *fileCheck) sumOf(ctx context.Context, obj object.Object, f object.File) (string, error) {
	content, _, err := fc.Target.Open(ctx, obj, f)
	if err != nil {
		return "", err
	}
	defer content.Close()
	sum := md5.New()
	if _, err := io.Copy(sum, content); err != nil {
		return "", &fault.Error{Op: "download " + f.Path + " of", Object: obj.Ref, Server: "the replica", Class: fault.Transient,
			Hint: "the transfer was interrupted; it is retried automatically", Err: err}
	}
	fc.errs.resetFailures()
	return hex.EncodeToString(sum.Sum(nil)), nil
}

// noteFiles records how far the check of the files has come, and what it found.
func (v *verification) noteFiles(p *pass, ended bool) {
	left := len(v.files.damaged)
	next := Files{Started: v.report.At}
	if f := p.rec.progress.Files; f != nil {
		next = *f
	}
	switch {
	case v.options.Portion && v.report.Outcome == OutcomePartial && !v.files.cut, v.options.Files <= 0 && !v.options.Portion:
		return
	case v.options.Portion:
		if next.After == "" {
			next = Files{Started: v.report.At, Before: next.Left()}
		}
		next.Damaged += left
		next.At, next.After = v.report.At, v.files.after
		if v.files.cut {
			next.At = time.Time{}
		}
		if v.files.last {
			next.After, next.Before = "", 0
		}
	case v.options.Files >= 1 && ended:
		next = Files{Started: v.report.At, Damaged: left}
	default: // a sample says nothing of the other files
		next.Damaged, next.Before = max(next.Damaged-len(v.files.repaired), left), max(next.Before-len(v.files.repaired), 0)
	}
	p.rec.progress.Files = &next
}

// endPortion frees the claim of a portion. What an unfinished verification of the
// objects has found stays.
func (v *verification) endPortion(p *pass) {
	c := p.rec.progress.Checking
	if c == nil {
		return
	}
	next := *c
	next.endPart(v.report.Outcome == OutcomeFailed, v.Now())
	p.rec.progress.Checking = &next
	if next.After == "" && next.FailedAt.IsZero() {
		p.rec.progress.Checking = nil
	}
}

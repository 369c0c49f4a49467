package scan

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"time"

	"chefsync/pkg/feed/changelog"
	"chefsync/pkg/object"
	"chefsync/pkg/replication"
)

// Reader reads an organization of the primary.
type Reader interface {
	replication.Reader
	// ListBindings returns in one request which revision each object of a kind binds, such
	// as each policy in a policy group.
	ListBindings(ctx context.Context, kind object.Kind) (map[object.Ref]string, error)
}

// Config configures a Scanner. Source, Reader, Store and Owner are required.
type Config struct {
	// Source names the organization in the store.
	Source string
	Reader Reader
	Store  changelog.ScanStore
	// Owner names this process in the lease. It must differ between processes.
	Owner string
	// OwnerDied reports whether the process of an owner is known to be dead, nil if that
	// is never known. The lease of a dead scanner is taken over at once.
	OwnerDied func(owner string) bool
	// Kinds are the kinds to scan, nil for object.DefaultKinds. Data bags include their
	// items.
	Kinds []object.Kind

	// Rotation is the time within which each frozen cookbook version is read again and
	// a forced overwrite is found; default a day.
	Rotation time.Duration
	// Concurrency limits the requests in flight; default 4.
	Concurrency int
	// Retain is how long rows are kept; default 30 days.
	Retain time.Duration

	Now func() time.Time // default time.Now
	Log *slog.Logger     // default: nothing is logged
}

const (
	// maxConfirmed is the number of deletions that one scan confirms by a GET each. Further
	// ones wait for the next scan.
	maxConfirmed = 50

	maxRows               = 100_000 // that are kept
	trimEvery             = time.Hour
	interruptedCommitTime = 2 * time.Second // to write what an interrupted scan found
)

// Scanner scans one organization. It can be reused, but not concurrently.
type Scanner struct {
	Config
	rotatedTo time.Time // frozen versions due until then have been read
	trimmedAt time.Time
}

// New returns a scanner, or an error if a required setting is missing.
func New(c Config) (*Scanner, error) {
	if c.Source == "" || c.Reader == nil || c.Store == nil || c.Owner == "" {
		return nil, errors.New("a scanner needs a source, a reader, a store and an owner")
	}
	c.Rotation = orDefault(c.Rotation, 24*time.Hour)
	c.Concurrency = orDefault(c.Concurrency, 4)
	c.Retain = orDefault(c.Retain, 30*24*time.Hour)
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	return &Scanner{Config: c}, nil
}

func orDefault[T int | time.Duration](v, otherwise T) T {
	if v <= 0 {
		return otherwise
	}
	return v
}

// ErrOvertaken means that the lease was lost and that another scanner wrote while this
// one read. Nothing was written.
var ErrOvertaken = errors.New("another scanner was faster")

// Report is the result of a scan.
type Report struct {
	Started, Ended time.Time
	// Begun reports whether the scan began a change log, the first or a new one.
	Begun   bool
	Listed  int // objects on the primary
	Found   int // objects read in bulk
	Read    int // objects read one by one
	Changes int // rows written
	Pending int // objects missing from their list, deletion not confirmed yet
	// Failed are the errors of lists and objects that could not be read. What is known
	// of them is unchanged; the next scan reads them again.
	Failed []error
	// Unread are the kinds that could not be read completely, each with its first error
	// in Failed, or with the deletions that the next scan confirms.
	Unread map[object.Kind]error
	Head   changelog.Head // of the change log after the scan
	// Generation is the generation of the snapshot after the scan.
	Generation int64
}

// Scan compares the organization with the previous scan state once and records what changed. It
// holds the change log's lease, so that scans of an organization never overlap: while
// another scanner holds the lease, Scan sends no request to the primary and returns
// *replication.LeasedError.
//
// Any other error says why the scan ended early: the server can't be reached or
// refuses access, or the local machine fails. The changes of kinds that were read by
// then are recorded, and when ctx ends, also those of the kind that was being read.
// replication.ErrFenced and ErrOvertaken mean that the lease was lost. A single list or
// object that can't be read is not an error; see Report.Failed.
func (s *Scanner) Scan(ctx context.Context) (Report, error) {
	r := &scanRun{Scanner: s, confirmsLeft: maxConfirmed, unconfirmed: map[object.Kind]int{}, failedReads: map[object.Ref]bool{}}
	r.report.Started = s.Now()
	got, err := s.acquireLease(ctx)
	if err == nil {
		r.lease = got.Lease
		err = r.scanLeased(ctx)
	}
	r.report.Ended = s.Now()
	s.logReport(ctx, r.report, err)
	return r.report, err
}

// scanLeased scans and releases the lease.
func (r *scanRun) scanLeased(ctx context.Context) error {
	defer func() { r.releaseLease(ctx) }()
	held, stop := r.keepLease(ctx)
	defer stop()
	err := r.loadState(held)
	if err != nil {
		return errors.Join(leaseLost(held), err)
	}
	err = r.scanKinds(held)
	r.noteUnconfirmed()
	if err == nil || !r.beginsChangeLog || isInterrupted(held) && len(r.current.Listed) > 0 {
		err = errors.Join(leaseLost(held), err, r.saveResult(held))
	}
	return err
}

// saveResult writes what was read, if the lease is still held or no other scanner wrote
// since it was lost.
func (r *scanRun) saveResult(held context.Context) error {
	r.coalesceRows(held)
	ctx, cancel := withCommitTime(held)
	defer cancel()
	if leaseLost(held) != nil {
		if err := r.reacquireLease(ctx); err != nil {
			return err
		}
	}
	return r.commitResult(ctx)
}

// withCommitTime gives an interrupted scan a little more time to write what it found.
func withCommitTime(ctx context.Context) (context.Context, context.CancelFunc) {
	if isInterrupted(ctx) {
		return context.WithTimeout(context.WithoutCancel(ctx), interruptedCommitTime)
	}
	return ctx, func() {}
}

// isInterrupted reports whether a scan ended early: by its deadline, by the end of the
// process, or because its lease was lost. What it read is kept, and the next scan first
// reads what is missing. Otherwise an organization that takes longer than the time limit
// of a function would never be replicated by its change log.
func isInterrupted(ctx context.Context) bool { return ctx.Err() != nil }

func (s *Scanner) logReport(ctx context.Context, r Report, err error) {
	args := []any{"source", s.Source, "listed", r.Listed, "found", r.Found, "read", r.Read, "changes", r.Changes,
		"failed", len(r.Failed), "duration_ms", r.Ended.Sub(r.Started).Milliseconds()}
	for i, e := range r.Failed[:min(len(r.Failed), 3)] {
		args = append(args, fmt.Sprintf("failure_%d", i+1), e.Error())
	}
	switch {
	case isLeased(err):
		s.Log.DebugContext(ctx, "another scanner is scanning", "source", s.Source, "error", err.Error())
	case err != nil && errors.Is(ctx.Err(), context.Canceled):
		s.Log.DebugContext(ctx, "scan canceled", args...)
	case err != nil:
		s.Log.WarnContext(ctx, "scan ended early", append(args, "error", err.Error())...)
	case r.Begun || r.Changes > 0 || len(r.Failed) > 0:
		s.Log.InfoContext(ctx, "scan", args...)
	default:
		s.Log.DebugContext(ctx, "scan", args...)
	}
}

func (s *Scanner) includesKind(k object.Kind) bool {
	return replication.Pair{Kinds: s.Kinds}.Includes(k)
}

// scanRun is one scan.
type scanRun struct {
	*Scanner
	lease           replication.Lease // of the change log
	loaded          changelog.ScanState
	beginsChangeLog bool                          // a new change log, or the first
	previous        *state                        // as loaded
	knownRefs       map[object.Scope][]object.Ref // objects of previous, by kind and data bag
	current         *state                        // as read by this scan
	rows            []changelog.Change
	firstReads      []object.Ref // objects of the current scope that were read for the first time
	deleted         []object.Ref
	confirmsLeft    int                 // GETs left to confirm deletions
	unconfirmed     map[object.Kind]int // deletions left to the next scan because there were none left
	failedReads     map[object.Ref]bool // that the next scan repeats
	report          Report
}

// loadState reads the scan state. If there is none, or it is damaged, the scan begins a
// new change log: earlier changes are unknown, and the new epoch makes readers compare
// everything.
func (r *scanRun) loadState(ctx context.Context) (err error) {
	if r.loaded, err = r.Store.LoadScanState(ctx, r.Source); err != nil {
		return err
	}
	r.previous = newState()
	r.beginsChangeLog = r.loaded.Head.Epoch == "" || r.loaded.Blob == nil
	if !r.beginsChangeLog {
		r.previous, err = decodeState(r.loaded.Blob)
		if errors.Is(err, errDamagedState) {
			r.Log.WarnContext(ctx, "scan begins a new change log", "source", r.Source, "error", err.Error())
			r.previous, r.beginsChangeLog, err = newState(), true, nil
		}
	}
	if err != nil {
		return err
	}
	r.current, r.knownRefs = r.previous.clone(), map[object.Scope][]object.Ref{}
	for ref := range r.previous.Objects {
		s := ref.ListScope()
		r.knownRefs[s] = append(r.knownRefs[s], ref)
	}
	return nil
}

// commitResult writes rows and scan state, unless nothing changed.
func (r *scanRun) commitResult(ctx context.Context) error {
	r.appendDeletions()
	rows := changelog.LastPerPath(r.rows)
	r.report.Head, r.report.Generation = r.loaded.Head, r.loaded.Generation
	if !r.hasChanges() {
		return r.trimChangeLog(ctx)
	}
	var err error
	update := changelog.ScanUpdate{Version: r.loaded.Version}
	for len(rows) > changelog.MaxAppend {
		update.Changes, rows = rows[:changelog.MaxAppend], rows[changelog.MaxAppend:]
		if r.report.Head, err = r.Store.Commit(ctx, r.Source, r.lease.Fence, r.Now(), update); err != nil {
			return err
		}
		r.report.Changes += len(update.Changes)
	}
	update.Changes = rows
	if update.Blob, err = r.current.encode(); err != nil {
		return err
	}
	if r.beginsChangeLog {
		update.Begin = changelog.NewEpoch()
	} else {
		update.SameSnapshot = r.current.sameSnapshot(r.previous)
	}
	if r.report.Head, err = r.Store.Commit(ctx, r.Source, r.lease.Fence, r.Now(), update); err != nil {
		return err
	}
	if !update.SameSnapshot {
		r.report.Generation++
	}
	r.report.Begun, r.report.Changes = r.beginsChangeLog, r.report.Changes+len(rows)
	r.Scanner.rotatedTo = r.current.RotatedTo
	return r.trimChangeLog(ctx)
}

// maxInterruptedRows is the maximum number of rows that an interrupted scan writes.
const maxInterruptedRows = 20 * changelog.MaxAppend

// coalesceRows replaces the rows by one row per kind if they are more than an
// interrupted scan can write in time.
func (r *scanRun) coalesceRows(ctx context.Context) {
	if !isInterrupted(ctx) || len(r.rows)+len(r.deleted) <= maxInterruptedRows {
		return
	}
	r.appendDeletions()
	for i, row := range r.rows {
		var ref object.Ref
		if ref.UnmarshalText([]byte(row.Path)) == nil {
			r.rows[i] = changelog.Change{Action: changelog.Update, Path: containerOf(object.Scope{Kind: ref.Kind}).Path()}
		}
	}
}

// hasChanges reports whether there is something to write. The progress of the rotation
// alone is written only from time to time.
func (r *scanRun) hasChanges() bool {
	if r.beginsChangeLog || len(r.rows) > 0 || !maps.Equal(r.previous.Objects, r.current.Objects) ||
		!maps.Equal(r.previous.Listed, r.current.Listed) {
		return true
	}
	if r.current.RotatedTo.Sub(r.previous.RotatedTo).Abs() >= r.Rotation/24 {
		return true
	}
	r.Scanner.rotatedTo = r.current.RotatedTo
	return false
}

func (r *scanRun) trimChangeLog(ctx context.Context) error {
	now := r.Now()
	if now.Sub(r.trimmedAt) < trimEvery {
		return nil
	}
	head, err := r.Store.Trim(ctx, r.Source, now.Add(-r.Retain), maxRows)
	if err == nil {
		r.Scanner.trimmedAt, r.report.Head = now, head
	}
	return err
}

// appendDeletions appends the rows of deletions to all others, in the reverse of the
// order in which objects are applied: items before their data bag.
func (r *scanRun) appendDeletions() {
	slices.SortFunc(r.deleted, func(a, b object.Ref) int { return object.Compare(b, a) })
	for _, ref := range r.deleted {
		r.rows = append(r.rows, changelog.Change{Action: changelog.Delete, Path: ref.Path()})
	}
	r.deleted = nil
}

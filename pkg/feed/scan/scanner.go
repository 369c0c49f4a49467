package scan

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"chefsync/pkg/feed/journal"
	"chefsync/pkg/object"
	"chefsync/pkg/replication"
)

// Config says what to scan, how often what, and where the findings go. Source,
// Reader, Store and Owner are needed.
type Config struct {
	// Source is the journal's word for the organization.
	Source string
	Reader replication.Reader
	Store  journal.ScanStore
	// Owner names this process in the lease. It must differ between processes.
	Owner string
	// OwnerDied reports whether the process of an owner is known to be dead; nil knows
	// nothing. The lease of a dead scanner is taken over at once.
	OwnerDied func(owner string) bool
	// Kinds are those to scan, nil for replication.DefaultKinds. Bags and items go
	// together.
	Kinds []object.Kind

	// Rotation is the time within which each frozen cookbook version is read
	// again; default a day. Within it a forced overwrite is found.
	Rotation time.Duration
	// Confirm is how many deletions of one scan are confirmed at once by a GET
	// each; default 50. Those beyond wait for the next scan.
	Confirm int
	// Concurrency bounds the requests in flight; default 4.
	Concurrency int
	// Retain is how long rows are kept, default 30 days; KeepRows how many at
	// most, default 100,000.
	Retain   time.Duration
	KeepRows int

	Now func() time.Time // default time.Now
	Log *slog.Logger     // default: nothing is logged
}

const (
	trimEvery  = time.Hour
	commitTime = 2 * time.Second // for what an interrupted scan found
)

// Scanner scans one organization. It may be used again and again, but not
// concurrently.
type Scanner struct {
	Config
	swept   time.Time // frozen versions have had their turn up to here
	trimmed time.Time
}

// New checks a configuration and makes a scanner of it.
func New(c Config) (*Scanner, error) {
	if c.Source == "" || c.Reader == nil || c.Store == nil || c.Owner == "" {
		return nil, errors.New("a scanner needs a source, a reader, a store and an owner")
	}
	c.Rotation = orDefault(c.Rotation, 24*time.Hour)
	c.Confirm = orDefault(c.Confirm, 50)
	c.Concurrency = orDefault(c.Concurrency, 4)
	c.Retain = orDefault(c.Retain, 30*24*time.Hour)
	c.KeepRows = orDefault(c.KeepRows, 100_000)
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

// ErrOvertaken means that the lease was lost, and that another scanner wrote while this
// one read.
// Nothing was written.
var ErrOvertaken = errors.New("another scanner was faster")

// Report says what a scan did.
type Report struct {
	Started, Ended time.Time
	// Begun: the journal was begun, for the first time or anew.
	Begun   bool
	Listed  int // objects on the primary
	Found   int // of them, read in bulk
	Read    int // objects read one by one
	Changes int // rows noted
	Pending int // objects that are missing from their list and wait for confirmation
	// Failed are the lists and objects that could not be read: each is as it was
	// before, and is tried again by the next scan.
	Failed []error
	// Unread are the kinds that could not be read whole, each with the first of its
	// errors in Failed.
	Unread map[object.Kind]error
	Head   journal.Head // of the journal afterwards
	// Generation is that of the snapshot afterwards.
	Generation int64
}

// Scan compares the organization with the memory once and notes what changed. It
// holds the journal's lease meanwhile, so that scans of an organization never
// overlap: while another scanner holds it, Scan asks the primary nothing and
// returns *journal.LeasedError.
//
// Any other error is why the scan ended early: the server can't be reached or
// refuses us, or this machine fails; what was found about kinds that were done
// by then is noted all the same, and when ctx ends, of the kind being read as
// well. journal.ErrFenced and ErrOvertaken mean that the lease was lost. A list
// or an object alone that can't be read is no error; see Report.Failed.
func (s *Scanner) Scan(ctx context.Context) (Report, error) {
	p := &pass{Scanner: s, confirms: s.Confirm}
	p.report.Started = s.Now()
	got, err := s.acquire(ctx)
	if err == nil {
		p.lease = got.Lease
		err = p.scan(ctx)
	}
	p.report.Ended = s.Now()
	s.log(ctx, p.report, err)
	return p.report, err
}

// scan does the scan under the lease.
func (p *pass) scan(ctx context.Context) error {
	defer func() { p.release(ctx) }()
	held, stop := p.keepLease(ctx)
	defer stop()
	err := p.load(held)
	if err != nil {
		return errors.Join(leaseLost(held), err)
	}
	err = p.scanKinds(held)
	if err == nil || !p.begin || interrupted(held) && len(p.now.Listed) > 0 {
		err = errors.Join(leaseLost(held), err, p.save(held))
	}
	return err
}

// save writes what was read.
func (p *pass) save(held context.Context) error {
	p.shortenRows(held)
	ctx, cancel := inTime(held)
	defer cancel()
	if leaseLost(held) != nil {
		if err := p.reacquire(ctx); err != nil {
			return err
		}
	}
	return p.commit(ctx)
}

// inTime gives a scan that was interrupted a little more time for what it found.
func inTime(ctx context.Context) (context.Context, context.CancelFunc) {
	if interrupted(ctx) {
		return context.WithTimeout(context.WithoutCancel(ctx), commitTime)
	}
	return ctx, func() {}
}

// interrupted reports whether a scan was ended before it was done: by its time, by
// the end of the process, or because its lease was lost. What it saw until then is
// kept, and the next scan reads first what this one didn't come to: else an
// organization that takes longer than a function may would never be replicated by
// its journal.
func interrupted(ctx context.Context) bool { return ctx.Err() != nil }

func (s *Scanner) log(ctx context.Context, r Report, err error) {
	args := []any{"source", s.Source, "listed", r.Listed, "found", r.Found, "read", r.Read, "changes", r.Changes,
		"failed", len(r.Failed), "duration_ms", r.Ended.Sub(r.Started).Milliseconds()}
	for i, e := range r.Failed[:min(len(r.Failed), 3)] {
		args = append(args, fmt.Sprintf("failure_%d", i+1), e.Error())
	}
	switch {
	case leasedError(err):
		s.Log.DebugContext(ctx, "another scanner is scanning", "source", s.Source, "error", err.Error())
	case err != nil && errors.Is(ctx.Err(), context.Canceled):
		s.Log.DebugContext(ctx, "scan broken off", args...)
	case err != nil:
		s.Log.WarnContext(ctx, "scan ended early", append(args, "error", err.Error())...)
	case r.Begun || r.Changes > 0 || len(r.Failed) > 0:
		s.Log.InfoContext(ctx, "scan", args...)
	default:
		s.Log.DebugContext(ctx, "scan", args...)
	}
}

func (s *Scanner) includes(k object.Kind) bool {
	return replication.Pair{Kinds: s.Kinds}.Includes(k)
}

// pass is one scan.
type pass struct {
	*Scanner
	lease      replication.Lease // of the journal
	known      journal.Recollection
	begin      bool                          // the journal begins
	before     *memory                       // as recalled
	held       map[object.Scope][]object.Ref // objects of before, by kind and bag
	now        *memory                       // as found
	rows       []journal.Entry
	firstReads []object.Ref // of the scope at work: read for the first time
	gone       []object.Ref
	confirms   int // GETs left to confirm deletions
	sweepOK    bool
	report     Report
}

// load reads the memory. Without one, or with a damaged one, the journal
// begins anew: what happened meanwhile can't be known, and the new epoch makes
// its readers compare everything.
func (p *pass) load(ctx context.Context) (err error) {
	if p.known, err = p.Store.Recall(ctx, p.Source); err != nil {
		return err
	}
	p.before = newMemory()
	p.begin = p.known.Head.Epoch == "" || p.known.Blob == nil
	if !p.begin {
		p.before, err = decodeMemory(p.known.Blob)
		if errors.Is(err, errMemory) {
			p.Log.WarnContext(ctx, "the journal begins anew", "source", p.Source, "error", err.Error())
			p.before, p.begin, err = newMemory(), true, nil
		}
	}
	if err != nil {
		return err
	}
	p.now, p.held = p.before.clone(), map[object.Scope][]object.Ref{}
	for ref := range p.before.Objects {
		s := object.Scope{Kind: ref.Kind}
		if ref.Kind == object.DataBagItem {
			s.Name = ref.Name
		}
		p.held[s] = append(p.held[s], ref)
	}
	return nil
}

// commit writes rows and memory. An idle scan writes neither.
func (p *pass) commit(ctx context.Context) error {
	p.sortGone()
	rows := journal.Distinct(p.rows)
	p.report.Head, p.report.Generation = p.known.Head, p.known.Generation
	if !p.changed() {
		return p.trim(ctx)
	}
	var err error
	step := journal.Step{Generation: p.known.Generation}
	for len(rows) > journal.MaxAppend {
		step.Entries, rows = rows[:journal.MaxAppend], rows[journal.MaxAppend:]
		if p.report.Head, err = p.Store.Commit(ctx, p.Source, p.lease.Fence, p.Now(), step); err != nil {
			return err
		}
		p.report.Changes += len(step.Entries)
	}
	step.Entries = rows
	if step.Blob, err = p.now.encode(); err != nil {
		return err
	}
	if p.begin {
		step.Begin = journal.NewEpoch()
	}
	if p.report.Head, err = p.Store.Commit(ctx, p.Source, p.lease.Fence, p.Now(), step); err != nil {
		return err
	}
	p.report.Generation++
	p.report.Begun, p.report.Changes = p.begin, p.report.Changes+len(rows)
	p.Scanner.swept = p.now.Swept
	return p.trim(ctx)
}

// lateRows is how many rows an interrupted scan writes.
const lateRows = 20 * journal.MaxAppend

// shortenRows puts a row for each kind in the place of more rows than an interrupted
// scan can write in time.
func (p *pass) shortenRows(ctx context.Context) {
	if !interrupted(ctx) || len(p.rows)+len(p.gone) <= lateRows {
		return
	}
	p.sortGone()
	for i, row := range p.rows {
		var ref object.Ref
		if ref.UnmarshalText([]byte(row.Path)) == nil {
			p.rows[i] = journal.Entry{Action: journal.Update, Path: container(object.Scope{Kind: ref.Kind}).Path()}
		}
	}
}

// changed reports whether there is something to write. That frozen versions had
// their turn is written now and then only.
func (p *pass) changed() bool {
	if p.begin || len(p.rows) > 0 || len(p.before.Objects) != len(p.now.Objects) || len(p.before.Listed) != len(p.now.Listed) {
		return true
	}
	for ref, k := range p.now.Objects {
		if p.before.Objects[ref] != k {
			return true
		}
	}
	if p.now.Swept.Sub(p.before.Swept).Abs() >= p.Rotation/24 {
		return true
	}
	p.Scanner.swept = p.now.Swept
	return false
}

func (p *pass) trim(ctx context.Context) error {
	now := p.Now()
	if now.Sub(p.trimmed) < trimEvery {
		return nil
	}
	head, err := p.Store.Trim(ctx, p.Source, now.Add(-p.Retain), p.KeepRows)
	if err == nil {
		p.Scanner.trimmed, p.report.Head = now, head
	}
	return err
}

// sortGone puts the rows of deletions behind all others, in the reverse of the
// order in which objects are applied: items before their bag.
func (p *pass) sortGone() {
	slices.SortFunc(p.gone, func(a, b object.Ref) int { return object.Compare(b, a) })
	for _, ref := range p.gone {
		p.rows = append(p.rows, journal.Entry{Action: journal.Delete, Path: ref.Path()})
	}
	p.gone = nil
}

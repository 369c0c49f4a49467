package scan

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"maps"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"chefsync/pkg/fault"
	"chefsync/pkg/feed/changelog"
	"chefsync/pkg/object"
	"chefsync/pkg/replication"
)

// observation is what a scan read of an object.
type observation struct {
	fingerprint string
	frozen      bool
	revision    string // of a policy in a policy group
}

// scanKinds scans the configured kinds, one after the other. What is known of a kind
// that can't be read is kept; an error of the whole server ends the scan.
func (r *scanRun) scanKinds(ctx context.Context) error {
	for _, kind := range object.Kinds() {
		if !r.includesKind(kind) || kind.Parent() != "" { // scanned with its parents
			continue
		}
		var err error
		switch {
		case kind.Child() != "":
			err = r.scanParents(ctx, kind)
		case kind.IsImmutable():
			err = r.scanList(ctx, kind, r.observeNames)
		case kind.CanFreeze():
			err = r.scanList(ctx, kind, r.readVersions)
		case kind.Binds() != "":
			err = r.scanBindings(ctx, kind)
		default:
			err = r.scanList(ctx, kind, r.readListed)
		}
		if err := r.recordFailure(ctx, kind, err); err != nil {
			return err
		}
	}
	return nil
}

// recordFailure records an error that concerns only a list or an object, and returns
// an error that ends the scan.
func (r *scanRun) recordFailure(ctx context.Context, kind object.Kind, err error) error {
	if err == nil {
		return nil
	}
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if endsScan(err) {
		return err
	}
	r.report.Failed = append(r.report.Failed, err)
	r.setUnread(kind, err)
	return nil
}

// endsScan reports whether an error concerns the whole server or this machine.
func endsScan(err error) bool {
	switch fault.ClassOf(err) {
	case fault.Unreachable, fault.Denied, fault.NoOrganization, fault.Local:
		return true
	}
	return false
}

// setUnread notes why a kind could not be read completely. The first reason stays.
func (r *scanRun) setUnread(kind object.Kind, err error) {
	if r.report.Unread == nil {
		r.report.Unread = map[object.Kind]error{}
	}
	if r.report.Unread[kind] == nil {
		r.report.Unread[kind] = err
	}
}

// reading reads listed objects. The result omits those that it didn't read.
type reading func(ctx context.Context, refs []object.Ref) (map[object.Ref]observation, error)

// scanList scans a kind whose objects are in one list.
func (r *scanRun) scanList(ctx context.Context, kind object.Kind, read reading) error {
	scope := object.Scope{Kind: kind}
	refs, err := r.Reader.List(ctx, scope)
	if err != nil {
		return err
	}
	return r.mergeRead(ctx, scope, refs, read)
}

// mergeRead reads the listed objects of a scope and merges what was read, unless the whole
// server failed.
func (r *scanRun) mergeRead(ctx context.Context, scope object.Scope, refs []object.Ref, read reading) error {
	r.report.Listed += len(refs)
	observed, err := read(ctx, refs)
	if err != nil && endsScan(err) && !isInterrupted(ctx) {
		return err
	}
	return errors.Join(err, r.mergeList(ctx, scope, refs, observed))
}

// observeNames takes policy revisions and cookbook artifacts as they are listed: servers
// only create and delete them (docs/chef-server-api.md §5.2). One that is deleted and
// created again with other content between two scans isn't found.
func (r *scanRun) observeNames(_ context.Context, refs []object.Ref) (map[object.Ref]observation, error) {
	observed := make(map[object.Ref]observation, len(refs))
	for _, ref := range refs {
		observed[ref] = observation{fingerprint: nameOnly}
	}
	return observed, nil
}

// readVersions reads cookbook versions: new ones, unfrozen ones, and the frozen ones that
// are due.
func (r *scanRun) readVersions(ctx context.Context, refs []object.Ref) (map[object.Ref]observation, error) {
	from, to := r.previous.RotatedTo, r.Now()
	if r.rotatedTo.After(from) {
		from = r.rotatedTo
	}
	if from.After(to) { // the clock was ahead: each is due within the next rotation
		from = to
	}
	var due []object.Ref
	frozen := false
	for _, ref := range refs {
		k, known := r.previous.Objects[ref]
		frozen = frozen || k.Frozen
		if !known || k.Fingerprint == "" || !k.Frozen || k.Due || dueInRotation(ref, from, to, r.Rotation) {
			due = append(due, ref)
		}
	}
	observed, err := r.readEach(ctx, due)
	// Versions that the first scan doesn't reach are read whether they are due or not.
	if r.beginsChangeLog || err == nil && frozen {
		r.current.RotatedTo = to
	}
	return observed, err
}

// dueInRotation reports whether a frozen version is due in (from, to]. Each version is
// due once in a period, at a time derived from its name.
func dueInRotation(ref object.Ref, from, to time.Time, period time.Duration) bool {
	h := fnv.New64a()
	_, _ = h.Write([]byte(ref.Path()))
	offset := int64(h.Sum64() % uint64(period))
	round := func(t time.Time) int64 {
		n, d := t.UnixNano()-offset, int64(period)
		if n < 0 {
			n -= d - 1
		}
		return n / d
	}
	return from.IsZero() || round(to) > round(from)
}

// scanParents scans a kind whose objects hold others, and these: data bags and their
// items.
func (r *scanRun) scanParents(ctx context.Context, kind object.Kind) error {
	scope, child := object.Scope{Kind: kind}, kind.Child()
	bags, err := r.Reader.List(ctx, scope)
	if err != nil {
		return err
	}
	lists, errs := readAll(ctx, r.Concurrency, bags, func(bag object.Ref) ([]object.Ref, error) {
		return r.Reader.List(ctx, object.Scope{Kind: child, Name: bag.Name})
	})
	observed := map[object.Ref]observation{}
	var listed []object.Ref
	for i, bag := range bags {
		observed[bag] = observation{fingerprint: nameOnly}
		if err := r.recordFailure(ctx, child, errs[i]); err != nil && !isInterrupted(ctx) {
			return err
		}
		if errs[i] == nil {
			listed = append(listed, lists[i]...)
		}
	}
	r.report.Listed += len(bags) + len(listed)
	bodies, readErr := r.readListed(ctx, listed)
	if readErr != nil && endsScan(readErr) && !isInterrupted(ctx) {
		return readErr
	}
	if err := r.mergeList(ctx, scope, bags, observed); err != nil && !isInterrupted(ctx) {
		return err
	}
	for i, bag := range bags {
		if errs[i] != nil {
			continue
		}
		if err := r.mergeList(ctx, object.Scope{Kind: child, Name: bag.Name}, lists[i], bodies); err != nil && !isInterrupted(ctx) {
			return err
		}
	}
	return cmp.Or(ctx.Err(), readErr)
}

// readListed reads listed objects in bulk, and one by one those that the bulk read didn't
// return.
func (r *scanRun) readListed(ctx context.Context, refs []object.Ref) (map[object.Ref]observation, error) {
	observed := map[object.Ref]observation{}
	for ref, obj := range r.Reader.GetBulk(ctx, refs, replication.BulkOptions{Listed: true}) {
		observed[ref] = observation{fingerprint: obj.Fingerprint}
	}
	r.report.Found += len(observed)
	var missing []object.Ref
	for _, ref := range refs {
		if _, found := observed[ref]; !found {
			missing = append(missing, ref)
		}
	}
	read, err := r.readEach(ctx, missing)
	maps.Copy(observed, read)
	return observed, err
}

// sortUnreadFirst moves objects that no scan has read yet to the front.
func (r *scanRun) sortUnreadFirst(refs []object.Ref) {
	priority := func(ref object.Ref) int { return min(len(r.previous.Objects[ref].Fingerprint), 1) }
	slices.SortStableFunc(refs, func(a, b object.Ref) int { return cmp.Compare(priority(a), priority(b)) })
}

// maxTransientFailures is the number of transient failures in a row after which no more of a
// kind is read.
const maxTransientFailures = 8

// readEach reads objects one by one, in a random order, so that scans that end early don't
// always omit the same ones. The result omits those that could not be read.
func (r *scanRun) readEach(ctx context.Context, refs []object.Ref) (map[object.Ref]observation, error) {
	order := rand.New(rand.NewPCG(uint64(r.lease.Fence), 0)) // another one in each scan, the same when a test is replayed
	order.Shuffle(len(refs), func(i, j int) { refs[i], refs[j] = refs[j], refs[i] })
	if _, limited := ctx.Deadline(); limited {
		r.sortUnreadFirst(refs)
	}
	observed := map[object.Ref]observation{}
	failures := 0
	var mu sync.Mutex
	group, stop := errgroup.WithContext(ctx)
	group.SetLimit(r.Concurrency)
	for _, ref := range refs {
		group.Go(func() error {
			if stop.Err() != nil {
				return stop.Err()
			}
			v, err := r.readObject(stop, ref)
			mu.Lock()
			defer mu.Unlock()
			switch {
			case err == nil:
				observed[ref] = *v
				r.report.Read++
				failures = 0
				return nil
			case stop.Err() != nil:
				return stop.Err()
			}
			return r.recordReadFailure(ctx, ref, err, &failures)
		})
	}
	err := group.Wait()
	return observed, cmp.Or(ctx.Err(), err)
}

// recordReadFailure records that an object could not be read, and returns an error when
// no more of its kind should be read. Failures counts the transient ones in a row.
func (r *scanRun) recordReadFailure(ctx context.Context, ref object.Ref, err error, failures *int) error {
	class := fault.ClassOf(err)
	if class == fault.Absent {
		return nil
	}
	if !class.IsRefusal() {
		r.failedReads[ref] = true
	}
	if err := r.recordFailure(ctx, ref.Kind, err); err != nil {
		return err
	}
	switch class {
	case fault.Rejected, fault.Forbidden:
		return nil
	case fault.Transient, fault.Foreign:
		if *failures++; *failures < maxTransientFailures {
			return nil
		}
	}
	return &fault.Error{Op: "scan", Object: object.Ref{Kind: ref.Kind}, Class: fault.Transient,
		Err: fmt.Errorf("%d objects in a row could not be read", *failures)}
}

func (r *scanRun) readObject(ctx context.Context, ref object.Ref) (*observation, error) {
	obj, err := r.Reader.Get(ctx, ref)
	if err != nil {
		return nil, err
	}
	v := &observation{fingerprint: obj.Fingerprint, frozen: obj.IsFrozen(), revision: obj.BoundRevision()}
	if ref.Kind.IsImmutable() {
		v.fingerprint = nameOnly
	}
	return v, nil
}

// readAll calls read for each item, with at most limit calls at the same time, until ctx
// ends. It returns the results and errors in the order of the items.
func readAll[A, B any](ctx context.Context, limit int, items []A, read func(A) (B, error)) ([]B, []error) {
	results, errs := make([]B, len(items)), make([]error, len(items))
	var workers errgroup.Group
	workers.SetLimit(limit)
	for i, item := range items {
		workers.Go(func() error {
			if errs[i] = ctx.Err(); errs[i] == nil {
				results[i], errs[i] = read(item)
			}
			return nil
		})
	}
	_ = workers.Wait()
	return results, errs
}

// addRow adds a row, unless this scan begins the change log.
func (r *scanRun) addRow(action, path string) {
	if !r.beginsChangeLog {
		r.rows = append(r.rows, changelog.Change{Action: action, Path: path})
	}
}

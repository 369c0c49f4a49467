package assembly

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"chefsync/pkg/chef"
	"chefsync/pkg/endpoint"
	"chefsync/pkg/fault"
	"chefsync/pkg/feed/journal"
	"chefsync/pkg/feed/scan"
	"chefsync/pkg/object"
	"chefsync/pkg/replication"
)

// Source is an organization of the primary that pairs read.
type Source struct {
	Org   string
	Space string        // its word in journals and stage
	Kinds []object.Kind // what its pairs select together
	Pairs []replication.PairID
}

// Sources are the source organizations, in the order of the file.
func (f *Fleet) Sources() []Source {
	var sources []Source
	for _, p := range f.Pairs() {
		i := slices.IndexFunc(sources, func(s Source) bool { return s.Org == p.SourceOrg })
		if i < 0 {
			sources = append(sources, Source{Org: p.SourceOrg, Space: p.Space})
			i = len(sources) - 1
		}
		s := &sources[i]
		s.Pairs = append(s.Pairs, p.ID)
		kinds := p.Kinds
		if len(kinds) == 0 {
			kinds = object.DefaultKinds()
		}
		for _, k := range kinds {
			if !slices.Contains(s.Kinds, k) {
				s.Kinds = append(s.Kinds, k)
			}
		}
	}
	return sources
}

// Source finds a source organization by its name.
func (f *Fleet) Source(org string) (Source, error) {
	for _, s := range f.Sources() {
		if s.Org == org {
			return s, nil
		}
	}
	return Source{}, fmt.Errorf("no pair reads an organization %q", org)
}

// Scanner makes a scanner of a source organization.
func (f *Fleet) Scanner(ctx context.Context, org string) (*scan.Scanner, error) {
	source, err := f.Source(org)
	if err != nil {
		return nil, err
	}
	store, err := f.Journals(ctx)
	if err != nil {
		return nil, err
	}
	client, err := f.Client(ctx, f.Primary)
	if err != nil {
		return nil, err
	}
	return scan.New(scan.Config{
		Source: source.Space, Reader: endpoint.NewSource(client.Org(org), f.Log), Store: store, Owner: f.owner, OwnerDied: f.ownerDied,
		Kinds: source.Kinds, Rotation: f.Journal.Rotation, Retain: f.Journal.Keep, Concurrency: f.Primary.Connections,
		Now: f.Now, Log: f.Log,
	})
}

// scanning is the scanner of an organization, which remembers a little between
// its scans.
type scanning struct {
	mu      sync.Mutex // one scan at a time
	client  *chef.Client
	scanner *scan.Scanner
}

// Scan scans a source organization once, with one scanner for all scans of this
// process, and leaves word of it in the journal's diary. A scan that could read
// nothing at all is an error. ScannedElsewhere knows those that mean that another
// process is at it.
func (f *Fleet) Scan(ctx context.Context, org string) (scan.Report, error) {
	f.mu.Lock()
	s := f.scanning[org]
	if s == nil {
		s = &scanning{}
		f.scanning[org] = s
	}
	f.mu.Unlock()
	s.mu.Lock()
	defer s.mu.Unlock()
	report, err := s.scan(ctx, f, org)
	if err == nil && report.Listed == 0 && len(report.Failed) > 0 {
		err = fmt.Errorf("nothing could be read: %w", report.Failed[0])
	}
	if fault.ClassOf(err) == fault.Denied {
		f.Forget() // the key may have been replaced
	}
	if !ScannedElsewhere(err) && !errors.Is(ctx.Err(), context.Canceled) {
		f.noteScan(ctx, org, report, err)
	}
	return report, err
}

func (s *scanning) scan(ctx context.Context, f *Fleet, org string) (scan.Report, error) {
	client, err := f.Client(ctx, f.Primary)
	if err != nil {
		return scan.Report{}, err
	}
	if s.scanner == nil || s.client != client {
		if s.scanner, err = f.Scanner(ctx, org); err != nil {
			return scan.Report{}, err
		}
		s.client = client
	}
	return s.scanner.Scan(ctx)
}

// ScannedElsewhere reports whether a scan failed because another process scans the
// organization.
func ScannedElsewhere(err error) bool {
	var leased *replication.LeasedError
	return errors.As(err, &leased) || errors.Is(err, scan.ErrOvertaken) || errors.Is(err, replication.ErrFenced)
}

// beingScanned reports whether a scanner holds the lease of an organization's
// journal.
func (f *Fleet) beingScanned(ctx context.Context, org string) (bool, error) {
	source, err := f.Source(org)
	if err != nil {
		return false, err
	}
	store, err := f.Journals(ctx)
	if err != nil {
		return false, err
	}
	lease, err := store.Lease(ctx, source.Space)
	return lease.HeldAt(f.Now()), err
}

// noteTime is how long the note of a scan may take that ran out of its time.
const noteTime = time.Second

// noteScan leaves word of a scan, unless what the diary says stands for it.
func (f *Fleet) noteScan(ctx context.Context, org string, r scan.Report, err error) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), noteTime)
	defer cancel()
	source, noteErr := f.Source(org)
	if noteErr != nil {
		return
	}
	store, noteErr := f.Journals(ctx)
	if noteErr != nil {
		return // nothing was scanned
	}
	last, noteErr := store.LastScan(ctx, source.Space)
	if noteErr == nil {
		next := nextScan(last, r, err, f.Now().UTC())
		if f.stands(last, next) {
			return
		}
		noteErr = store.NoteScan(ctx, source.Space, next)
	}
	if noteErr != nil {
		f.Log.WarnContext(ctx, "the scan can't be noted", "source", org, "error", noteErr.Error())
	}
}

// NoteScanFailed leaves word of a scan that could not even begin, of a source that was
// scanned before: of another one nobody knows whether it is to be scanned.
func (f *Fleet) NoteScanFailed(ctx context.Context, org string, err error) {
	if last, lastErr := f.LastScan(ctx, org); lastErr == nil && !last.Ended.IsZero() && !errors.Is(ctx.Err(), context.Canceled) {
		f.noteScan(ctx, org, scan.Report{Listed: last.Listed}, err)
	}
}

// nextScan is the record of a scan that ended, given the one before it.
func nextScan(last journal.LastScan, r scan.Report, err error, ended time.Time) journal.LastScan {
	next := journal.LastScan{Ended: ended, Good: last.Good, Listed: r.Listed, Changes: r.Changes, Partial: len(r.Failed),
		Epoch: last.Epoch, Newest: last.Newest, Generation: last.Generation}
	if r.Head.Epoch != "" {
		next.Epoch, next.Newest, next.Generation = r.Head.Epoch, r.Head.Newest, r.Generation
	}
	unread := map[object.Kind]journal.Unread{}
	since := func(k object.Kind) (read, failing time.Time) {
		for _, u := range last.Unread {
			if u.Kind == k {
				return u.Since, u.Failing
			}
		}
		return last.Good, r.Started.UTC()
	}
	if err == nil {
		next.Good = r.Started.UTC()
	} else {
		next.Failures, next.FailingSince = last.Failures+1, last.FailingSince
		if last.Failures == 0 {
			next.FailingSince = ended
		}
		next.Error, next.Class, next.Hint = err.Error(), fault.ClassOf(err), fault.HintOf(err)
		for _, u := range last.Unread { // this scan may not have come to them
			unread[u.Kind] = u
		}
	}
	for k, e := range r.Unread {
		read, failing := since(k)
		unread[k] = journal.Unread{Kind: k, Since: read, Failing: failing, Error: clip(e.Error()), Class: fault.ClassOf(e), Hint: clip(fault.HintOf(e))}
	}
	for _, k := range slices.Sorted(maps.Keys(unread)) {
		next.Unread = append(next.Unread, unread[k])
	}
	return next
}

// clip cuts a text of which a record holds several.
func clip(text string) string {
	const most = 300
	if len(text) <= most {
		return text
	}
	return strings.ToValidUTF8(text[:most], "") + "…"
}

// stands reports whether the record of a scan says of the next one all that matters.
func (f *Fleet) stands(last, next journal.LastScan) bool {
	return next.Failures == 0 && last.Failures == 0 && next.Changes == 0 && next.Listed == last.Listed && next.Partial == last.Partial &&
		next.Epoch == last.Epoch && next.Newest == last.Newest && next.Generation == last.Generation &&
		slices.EqualFunc(next.Unread, last.Unread, sameUnread) &&
		next.Ended.Sub(last.Ended).Abs() < f.noteEvery // a last scan of the future is of a clock that was ahead
}

// sameUnread reports whether two records are of one kind that isn't read.
func sameUnread(a, b journal.Unread) bool { return a.Kind == b.Kind && a.Since.Equal(b.Since) }

// LastScans returns how the newest scans of the source organizations went, by
// organization. The error is about those that are missing.
func (f *Fleet) LastScans(ctx context.Context) (map[string]journal.LastScan, error) {
	store, err := f.Journals(ctx)
	if err != nil {
		return nil, err
	}
	stored, err := store.LastScans(ctx)
	all := map[string]journal.LastScan{}
	for _, s := range f.Sources() {
		if last, ok := stored[s.Space]; ok {
			all[s.Org] = last
		}
	}
	return all, err
}

// LastScan is how the newest scan of a source organization went, zero where
// nothing is known of one.
func (f *Fleet) LastScan(ctx context.Context, org string) (journal.LastScan, error) {
	source, err := f.Source(org)
	if err != nil {
		return journal.LastScan{}, err
	}
	store, err := f.Journals(ctx)
	if err != nil {
		return journal.LastScan{}, err
	}
	return store.LastScan(ctx, source.Space)
}

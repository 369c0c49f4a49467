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
	"chefsync/pkg/feed/changelog"
	"chefsync/pkg/feed/scan"
	"chefsync/pkg/object"
	"chefsync/pkg/replication"
)

// Source is an organization of the primary that pairs read.
type Source struct {
	Org   string
	Space string        // its name in change logs and stage
	Kinds []object.Kind // the union of the kinds that its pairs select
	Pairs []replication.PairID
}

// Sources returns the source organizations, in the order of the configuration.
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

// Source returns a source organization by its name.
func (f *Fleet) Source(org string) (Source, error) {
	for _, s := range f.Sources() {
		if s.Org == org {
			return s, nil
		}
	}
	return Source{}, fmt.Errorf("no pair reads an organization %q", org)
}

// changeLogOf returns a source organization, and the store of its change log.
func (f *Fleet) changeLogOf(ctx context.Context, org string) (Source, changelog.ScanStore, error) {
	source, err := f.Source(org)
	if err != nil {
		return source, nil, err
	}
	store, err := f.ChangeLogs(ctx)
	return source, store, err
}

// newScanner returns a scanner of a source organization.
func (f *Fleet) newScanner(ctx context.Context, org string, client *chef.Client) (*scan.Scanner, error) {
	source, store, err := f.changeLogOf(ctx, org)
	if err != nil {
		return nil, err
	}
	return scan.New(scan.Config{
		Source: source.Space, Reader: endpoint.NewSource(client.Org(org), f.Log), Store: store, Owner: f.Owner, OwnerDied: f.OwnerDied,
		Kinds: source.Kinds, Rotation: f.ChangeLog.Rotation, Retain: f.ChangeLog.Keep, Concurrency: f.Primary.Connections,
		Now: f.Now, Log: f.Log,
	})
}

// sourceScanner is the scanner of an organization, which has state between its scans.
type sourceScanner struct {
	mu      sync.Mutex // one scan at a time
	client  *chef.Client
	scanner *scan.Scanner
}

// ScanResult is the result of ScanIfNeeded.
type ScanResult struct {
	scan.Report
	Needed    bool // the primary is known to serve no feed
	Elsewhere bool // another process scans the organization; the report may be of a part
}

// ScanIfNeeded scans a source organization unless the primary serves its changes. A
// failure to find that out is recorded as a failed scan.
func (f *Fleet) ScanIfNeeded(ctx context.Context, org string) (r ScanResult, err error) {
	needed, err := f.NeedsChangeLog(ctx, org)
	if err != nil {
		f.recordScanFailure(ctx, org, err)
	}
	if err != nil || !needed {
		return r, err
	}
	r.Needed = true
	r.Report, err = f.Scan(ctx, org)
	if isScannedElsewhere(err) {
		r.Elsewhere, err = true, nil
	}
	return r, err
}

// Scan scans a source organization once, with one scanner for all scans of this
// process, and records how it went. A scan that could read nothing at all is an error.
func (f *Fleet) Scan(ctx context.Context, org string) (scan.Report, error) {
	f.mu.Lock()
	s := f.scanners[org]
	if s == nil {
		s = &sourceScanner{}
		f.scanners[org] = s
	}
	f.mu.Unlock()
	s.mu.Lock()
	defer s.mu.Unlock()
	report, err := s.runScan(ctx, f, org)
	if err == nil && report.Listed == 0 && len(report.Failed) > 0 {
		err = fmt.Errorf("nothing could be read: %w", report.Failed[0])
	}
	if fault.ClassOf(err) == fault.Denied {
		f.DropClients() // the key may have been replaced
	}
	if !isScannedElsewhere(err) && !errors.Is(ctx.Err(), context.Canceled) {
		f.recordScan(ctx, org, report, err)
	}
	return report, err
}

// runScan scans with the current client of the primary.
func (s *sourceScanner) runScan(ctx context.Context, f *Fleet, org string) (scan.Report, error) {
	client, err := f.Client(ctx, f.Primary)
	if err != nil {
		return scan.Report{}, err
	}
	if s.scanner == nil || s.client != client {
		if s.scanner, err = f.newScanner(ctx, org, client); err != nil {
			return scan.Report{}, err
		}
		s.client = client
	}
	return s.scanner.Scan(ctx)
}

// isScannedElsewhere reports whether a scan failed because another process scans the
// organization.
func isScannedElsewhere(err error) bool {
	var leased *replication.LeasedError
	return errors.As(err, &leased) || errors.Is(err, scan.ErrOvertaken) || errors.Is(err, replication.ErrFenced)
}

// beingScanned reports whether a scanner holds the lease of the change log of an
// organization.
func (f *Fleet) beingScanned(ctx context.Context, org string) (bool, error) {
	source, store, err := f.changeLogOf(ctx, org)
	if err != nil {
		return false, err
	}
	lease, err := store.Lease(ctx, source.Space)
	return lease.HeldAt(f.Now()), err
}

// recordTimeout bounds the record of a scan that ran out of time.
const recordTimeout = time.Second

// recordScan records a scan, unless the last record covers it.
func (f *Fleet) recordScan(ctx context.Context, org string, r scan.Report, err error) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), recordTimeout)
	defer cancel()
	source, store, recordErr := f.changeLogOf(ctx, org)
	if recordErr != nil {
		return // nothing was scanned
	}
	last, recordErr := store.LastScan(ctx, source.Space)
	if damaged := fault.ClassOf(recordErr) == fault.Local; recordErr == nil || damaged { // this scan replaces a damaged record
		next := nextScanRecord(last, r, err, f.Now().UTC())
		if f.coversScan(last, next) {
			return
		}
		recordErr = store.RecordScan(ctx, source.Space, next)
	}
	if recordErr != nil {
		f.Log.WarnContext(ctx, "the scan can't be recorded", "source", org, "error", recordErr.Error())
	}
}

// recordScanFailure records a scan that could not begin, of a source that was scanned
// before: whether another one needs scans is unknown.
func (f *Fleet) recordScanFailure(ctx context.Context, org string, err error) {
	if last, lastErr := f.LastScan(ctx, org); lastErr == nil && !last.Ended.IsZero() && !errors.Is(ctx.Err(), context.Canceled) {
		f.recordScan(ctx, org, scan.Report{Listed: last.Listed}, err)
	}
}

// nextScanRecord returns the record of a scan that ended, given the one before it.
func nextScanRecord(last changelog.LastScan, r scan.Report, err error, ended time.Time) changelog.LastScan {
	next := changelog.LastScan{Ended: ended, Good: last.Good, Listed: r.Listed, Changes: r.Changes, Partial: len(r.Failed),
		Epoch: last.Epoch, Newest: last.Newest, Generation: last.Generation}
	if r.Head.Epoch != "" {
		next.Epoch, next.Newest, next.Generation = r.Head.Epoch, r.Head.Newest, r.Generation
	}
	unread := map[object.Kind]changelog.Unread{}
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
		for _, u := range last.Unread { // this scan may not have reached them
			unread[u.Kind] = u
		}
	}
	for k, e := range r.Unread {
		read, failing := since(k)
		unread[k] = changelog.Unread{Kind: k, Since: read, Failing: failing, Error: truncateText(e.Error()),
			Class: fault.ClassOf(e), Hint: truncateText(fault.HintOf(e))}
	}
	for _, k := range slices.Sorted(maps.Keys(unread)) {
		next.Unread = append(next.Unread, unread[k])
	}
	return next
}

// truncateText shortens a text of which a record holds several.
func truncateText(text string) string {
	const maxLen = 300
	if len(text) <= maxLen {
		return text
	}
	return strings.ToValidUTF8(text[:maxLen], "") + "…"
}

// coversScan reports whether the next scan has no news and is so soon after the recorded
// one that it needn't be recorded.
func (f *Fleet) coversScan(last, next changelog.LastScan) bool {
	return next.Failures == 0 && last.Failures == 0 && next.Changes == 0 && next.Listed == last.Listed && next.Partial == last.Partial &&
		next.Epoch == last.Epoch && next.Newest == last.Newest && next.Generation == last.Generation &&
		slices.EqualFunc(next.Unread, last.Unread, sameUnread) &&
		next.Ended.Sub(last.Ended).Abs() < f.RecordEvery // a time in the future was recorded by a wrong clock
}

// sameUnread reports whether two records are of one kind that isn't read.
func sameUnread(a, b changelog.Unread) bool { return a.Kind == b.Kind && a.Since.Equal(b.Since) }

// LastScans returns the records of the last scans by source organization. With an error,
// some may be missing.
func (f *Fleet) LastScans(ctx context.Context) (map[string]changelog.LastScan, error) {
	store, err := f.ChangeLogs(ctx)
	if err != nil {
		return nil, err
	}
	stored, err := store.LastScans(ctx)
	all := map[string]changelog.LastScan{}
	for _, s := range f.Sources() {
		if last, ok := stored[s.Space]; ok {
			all[s.Org] = last
		}
	}
	return all, err
}

// LastScan returns the record of the last scan of a source organization, zero if there is
// none.
func (f *Fleet) LastScan(ctx context.Context, org string) (changelog.LastScan, error) {
	source, store, err := f.changeLogOf(ctx, org)
	if err != nil {
		return changelog.LastScan{}, err
	}
	return store.LastScan(ctx, source.Space)
}

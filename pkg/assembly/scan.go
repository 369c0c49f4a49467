package assembly

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"

	"chefsync/pkg/chef"
	"chefsync/pkg/endpoint"
	"chefsync/pkg/feed/journal"
	"chefsync/pkg/feed/scan"
	"chefsync/pkg/replication"
)

// Source is an organization of the primary that pairs read.
type Source struct {
	Org   string
	Space string             // its word in journals and stage
	Kinds []replication.Kind // what its pairs select together
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
			kinds = replication.DefaultKinds()
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
	from := client.Org(org)
	return scan.New(scan.Config{
		Source: source.Space, Reader: endpoint.NewSource(from, f.Log), Search: scan.NewSearch(from, 0), Store: store, Owner: f.owner,
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
	if replication.ClassOf(err) == replication.Denied {
		f.Forget() // the key may have been replaced
	}
	if !ScannedElsewhere(err) && ctx.Err() == nil {
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

// ScannedElsewhere tells whether a scan failed because another process scans the
// organization.
func ScannedElsewhere(err error) bool {
	var leased *journal.LeasedError
	return errors.As(err, &leased) || errors.Is(err, scan.ErrOvertaken) || errors.Is(err, journal.ErrFenced)
}

// noteScan leaves word of a scan, where the journals keep a diary.
func (f *Fleet) noteScan(ctx context.Context, org string, r scan.Report, err error) {
	source, sourceErr := f.Source(org)
	store, storeErr := f.Journals(ctx)
	diary, keeps := store.(journal.Diary)
	if sourceErr != nil || storeErr != nil || !keeps {
		return
	}
	last, noteErr := diary.LastScan(ctx, source.Space)
	if noteErr == nil {
		last.Ended, last.Listed, last.Changes, last.Partial = f.Now().UTC(), r.Listed, r.Changes, len(r.Failed)
		last.Error, last.Class, last.Hint = "", "", ""
		last.Failures++
		if err == nil {
			last.Good, last.Failures = last.Ended, 0
		} else {
			last.Error, last.Class, last.Hint = err.Error(), replication.ClassOf(err), replication.HintOf(err)
		}
		noteErr = diary.NoteScan(ctx, source.Space, last)
	}
	if noteErr != nil {
		f.Log.WarnContext(ctx, "the scan can't be noted", "source", org, "error", noteErr.Error())
	}
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
	if diary, ok := store.(journal.Diary); ok {
		return diary.LastScan(ctx, source.Space)
	}
	return journal.LastScan{}, nil
}

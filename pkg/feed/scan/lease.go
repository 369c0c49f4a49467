package scan

import (
	"context"
	"errors"
	"fmt"
	"time"

	"chefsync/pkg/feed/changelog"
	"chefsync/pkg/replication"
)

const (
	leaseTTL   = time.Minute
	leaseRenew = leaseTTL / 4
)

// acquireLease takes the change log's lease, and takes it over if its owner has died.
func (s *Scanner) acquireLease(ctx context.Context) (changelog.ScanState, error) {
	got, err := s.Store.Acquire(ctx, s.Source, s.Owner, s.Now(), leaseTTL)
	var leased *replication.LeasedError
	if !errors.As(err, &leased) || !leased.Lease.Abandoned(s.Now(), leaseTTL, s.OwnerDied) {
		return got, err
	}
	if err := s.Store.Release(ctx, s.Source, leased.Lease.Fence); err != nil {
		return got, err
	}
	return s.Store.Acquire(ctx, s.Source, s.Owner, s.Now(), leaseTTL)
}

// keepLease renews the lease until stop is called. The context that it returns is
// canceled when the lease is lost, with the cause replication.ErrFenced.
func (r *scanRun) keepLease(ctx context.Context) (held context.Context, stop func()) {
	held, cancel := context.WithCancelCause(ctx)
	done := make(chan struct{})
	go func() {
		defer close(done)
		tick := time.NewTicker(leaseRenew)
		defer tick.Stop()
		for expires := r.lease.Expires; ; {
			select {
			case <-held.Done():
				return
			case <-tick.C:
			}
			var err error
			if expires, err = r.renewLease(held, expires); err != nil {
				cancel(err)
				return
			}
		}
	}()
	return held, func() {
		cancel(context.Canceled)
		<-done
	}
}

// renewLease extends the lease and returns when it ends. A store that doesn't answer is
// an error only when the lease is about to end.
func (r *scanRun) renewLease(ctx context.Context, expires time.Time) (time.Time, error) {
	ctx, cancel := context.WithTimeout(ctx, leaseRenew/2)
	defer cancel()
	now := r.Now()
	err := r.Store.Renew(ctx, r.Source, r.lease.Fence, now, leaseTTL)
	switch {
	case err == nil:
		return now.Add(leaseTTL), nil
	case errors.Is(err, replication.ErrFenced):
		return expires, err
	case !r.Now().Before(expires.Add(-leaseRenew)):
		return expires, fmt.Errorf("%w: it can't be renewed: %w", replication.ErrFenced, err)
	}
	return expires, nil
}

// leaseLost returns why the lease was lost, nil while it is held.
func leaseLost(ctx context.Context) error {
	if err := context.Cause(ctx); errors.Is(err, replication.ErrFenced) {
		return err
	}
	return nil
}

// reacquireLease takes a lost lease again. It returns ErrOvertaken if another scanner
// wrote since then: what this one read is out of date.
func (r *scanRun) reacquireLease(ctx context.Context) error {
	got, err := r.acquireLease(ctx)
	if err != nil {
		return err
	}
	r.lease = got.Lease
	if got.Version != r.loaded.Version || got.Head.Epoch != r.loaded.Head.Epoch {
		return ErrOvertaken
	}
	return nil
}

// releaseLease releases the lease, also when the context has ended.
func (r *scanRun) releaseLease(ctx context.Context) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
	defer cancel()
	if err := r.Store.Release(ctx, r.Source, r.lease.Fence); err != nil {
		r.Log.WarnContext(ctx, "the scanner's lease was not released; it will expire", "source", r.Source, "error", err.Error())
	}
}

// isLeased reports whether another scanner holds the lease.
func isLeased(err error) bool {
	var leased *replication.LeasedError
	return errors.As(err, &leased)
}

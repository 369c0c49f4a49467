package scan

import (
	"context"
	"errors"
	"fmt"
	"time"

	"chefsync/pkg/feed/journal"
)

const (
	leaseTTL   = time.Minute
	leaseRenew = leaseTTL / 4
)

// acquire takes the journal's lease, and takes it over where its owner has died.
func (s *Scanner) acquire(ctx context.Context) (journal.Recollection, error) {
	got, err := s.Store.Acquire(ctx, s.Source, s.Owner, s.Now(), leaseTTL)
	var leased *journal.LeasedError
	if !errors.As(err, &leased) || !leased.Lease.Abandoned(s.Now(), leaseTTL, s.OwnerDied) {
		return got, err
	}
	if err := s.Store.Release(ctx, s.Source, leased.Lease.Fence); err != nil {
		return got, err
	}
	return s.Store.Acquire(ctx, s.Source, s.Owner, s.Now(), leaseTTL)
}

// keepLease renews the lease until stop is called. The context that it returns ends
// when the lease is lost, by the cause journal.ErrFenced.
func (p *pass) keepLease(ctx context.Context) (held context.Context, stop func()) {
	held, cancel := context.WithCancelCause(ctx)
	done := make(chan struct{})
	go func() {
		defer close(done)
		tick := time.NewTicker(leaseRenew)
		defer tick.Stop()
		for expires := p.lease.Expires; ; {
			select {
			case <-held.Done():
				return
			case <-tick.C:
			}
			var err error
			if expires, err = p.renew(held, expires); err != nil {
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

// renew extends the lease and returns when it ends. A store that doesn't answer is
// an error only when the lease is about to end.
func (p *pass) renew(ctx context.Context, expires time.Time) (time.Time, error) {
	ctx, cancel := context.WithTimeout(ctx, leaseRenew/2)
	defer cancel()
	now := p.Now()
	err := p.Store.Renew(ctx, p.Source, p.lease.Fence, now, leaseTTL)
	switch {
	case err == nil:
		return now.Add(leaseTTL), nil
	case errors.Is(err, journal.ErrFenced):
		return expires, err
	case !p.Now().Before(expires.Add(-leaseRenew)):
		return expires, fmt.Errorf("%w: it can't be renewed: %w", journal.ErrFenced, err)
	}
	return expires, nil
}

// leaseLost returns why the lease was lost, nil while it is held.
func leaseLost(ctx context.Context) error {
	if err := context.Cause(ctx); errors.Is(err, journal.ErrFenced) {
		return err
	}
	return nil
}

// reacquire takes the lease again that was lost, unless another scanner wrote
// meanwhile: then what this one read is out of date.
func (p *pass) reacquire(ctx context.Context) error {
	got, err := p.acquire(ctx)
	if err != nil {
		return err
	}
	p.lease = got.Lease
	if got.Generation != p.known.Generation || got.Head.Epoch != p.known.Head.Epoch {
		return ErrOvertaken
	}
	return nil
}

// release frees the lease, also when the context has ended.
func (p *pass) release(ctx context.Context) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
	defer cancel()
	if err := p.Store.Release(ctx, p.Source, p.lease.Fence); err != nil {
		p.Log.WarnContext(ctx, "the scanner's lease was not freed; it ends by itself", "source", p.Source, "error", err.Error())
	}
}

// leasedError reports whether another scanner holds the lease.
func leasedError(err error) bool {
	var leased *journal.LeasedError
	return errors.As(err, &leased)
}

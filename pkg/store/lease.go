package store

import (
	"errors"
	"time"

	"chefsync/pkg/replication"
)

// takeLease gives a lease to an owner, unless another one holds it.
func takeLease(l *replication.Lease, what, owner string, now time.Time, ttl time.Duration) error {
	if owner == "" || ttl <= 0 {
		return errors.New("an owner and a duration are needed")
	}
	if l.HeldAt(now) && l.Owner != owner {
		return &replication.LeasedError{What: what, Lease: *l}
	}
	*l = replication.Lease{Owner: owner, Expires: now.Add(ttl).UTC(), Fence: l.Fence + 1}
	return nil
}

// checkLease returns ErrFenced unless the token is the newest one and its lease hasn't
// ended.
func checkLease(l replication.Lease, fence int64, now time.Time) error {
	if l.Fence != fence || !l.HeldAt(now) {
		return replication.ErrFenced
	}
	return nil
}

func renewLease(l *replication.Lease, fence int64, now time.Time, ttl time.Duration) error {
	if err := checkLease(*l, fence, now); err != nil {
		return err
	}
	l.Expires = now.Add(ttl).UTC()
	return nil
}

// releaseLease returns errUnchanged if the token doesn't hold the lease.
func releaseLease(l *replication.Lease, fence int64) error {
	if l.Fence != fence || l.Owner == "" {
		return errUnchanged
	}
	*l = replication.Lease{Fence: fence}
	return nil
}

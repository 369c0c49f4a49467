package control

import (
	"context"
	"errors"
	"fmt"
	"time"

	"chefsync/cli/internal/app"
	"chefsync/cli/internal/cmdline"
	"chefsync/cli/internal/exit"
	"chefsync/cli/internal/pairstatus"
	"chefsync/pkg/replication"
)

// pollInterval is how often a waiting command reads the state.
const pollInterval = 200 * time.Millisecond

// waitUntil polls until done returns true, and fails when the rest of a timeout is over.
func waitUntil(ctx context.Context, left, timeout time.Duration, what string, done func(context.Context) (bool, error)) error {
	deadline := time.NewTimer(left)
	defer deadline.Stop()
	tick := time.NewTicker(pollInterval)
	defer tick.Stop()
	for {
		ok, err := done(ctx)
		if err != nil || ok {
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-deadline.C:
			return exit.With(exit.Temporary, fmt.Errorf("%s did not happen within %s", what, timeout), "check with: chef-sync-ctl sync-status")
		case <-tick.C:
		}
	}
}

// waitForPairs waits for each of the pairs, all of them within the timeout, whatever
// becomes of the others.
func waitForPairs(ctx context.Context, pairs []app.Pair, timeout time.Duration, what string,
	done func(context.Context, app.Pair) (bool, error),
) error {
	end := time.Now().Add(timeout)
	return app.ForEachPair(ctx, pairs, func(p app.Pair) error {
		return waitUntil(ctx, time.Until(end), timeout, what+p.ID.String(), func(ctx context.Context) (bool, error) { return done(ctx, p) })
	})
}

// WaitSynced waits until each pair had a pass that did all it could after a time, and the
// full comparison that was asked for.
func WaitSynced(ctx context.Context, a *app.App, pairs []app.Pair, since time.Time, timeout time.Duration) error {
	return waitSynced(ctx, func(ctx context.Context, p app.Pair) (replication.PairState, error) { return readPair(ctx, a, p) }, pairs, since, timeout)
}

func waitSynced(ctx context.Context, read func(context.Context, app.Pair) (replication.PairState, error), pairs []app.Pair, since time.Time,
	timeout time.Duration) error {
	return waitForPairs(ctx, pairs, timeout, "a successful pass of ", func(ctx context.Context, p app.Pair) (bool, error) {
		st, err := read(ctx, p)
		if err != nil {
			return false, err
		}
		// A pass that was running when it was asked for doesn't count.
		asked := st.CompareAsked(time.Now()) || st.Progress.Work != nil || len(st.ObjectsAsked()) > 0
		g := st.Progress                        // the last success of a pair without a feed is its last compare
		left := g.Status == replication.Syncing // by a pass that was cut short, maybe before it wrote anything
		done := !asked && !left && !g.LastAttempt.Before(since) && g.LastError == nil
		if h := g.Hold; h != nil && (h.At.After(since) || done && isDecided(st, since)) {
			return false, exit.With(exit.Held, HeldError(p.ID, h), h.Hint(p.ID))
		}
		if done && g.Hold == nil {
			return true, nil
		}
		if st.Desired.Stopped {
			return false, exit.With(exit.Partial, fmt.Errorf("pair %s is stopped", p.ID), "chef-sync-ctl sync-start "+p.ID.String())
		}
		return false, nil
	})
}

// isDecided reports whether a hold from before a time is the outcome of what was asked for at
// that time: of the comparison, which is done, or of the approval, which was used.
func isDecided(st replication.PairState, since time.Time) bool {
	since = since.Add(-time.Millisecond) // states may cut times off
	compare := !st.Desired.ResyncAt.Before(since) || !st.Desired.ResyncObjectsAt.Before(since)
	return compare || !st.Progress.AllowanceUsed.Before(since)
}

// WaitIdle waits until no process holds a lease of the pairs.
func WaitIdle(ctx context.Context, env *cmdline.Env, a *app.App, pairs []app.Pair, timeout time.Duration) error {
	noted := false
	return waitForPairs(ctx, pairs, timeout, "the end of the pass of ", func(ctx context.Context, p app.Pair) (bool, error) {
		st, err := a.FreeAbandoned(ctx, p.ID)
		if err != nil || !st.Lease.HeldAt(env.Now()) {
			return err == nil, err
		}
		if !noted {
			env.Output().Note("waiting for the pass of %s that is running", st.Lease.Owner)
			noted = true
		}
		return false, nil
	})
}

// CheckPassesRun fails if no process runs the passes that a command is about to wait for.
func CheckPassesRun(ctx context.Context, a *app.App, now time.Time) error {
	d, err := pairstatus.ReadProcesses(ctx, a, now)
	if err != nil {
		return err
	}
	return passesRun(d, now)
}

func passesRun(d pairstatus.Processes, now time.Time) error {
	if !d.DoPasses() {
		return exit.With(exit.Temporary, errors.New("no daemon is running to do it"), "chef-sync-ctl run, or: chef-sync-ctl run --once")
	}
	if problem := d.Problem(now); problem != "" {
		return exit.With(exit.Temporary, errors.New(problem), "chef-sync-ctl doctor, then: chef-sync-ctl manager-log")
	}
	return nil
}

// HeldError is the error of a pair whose deletions are held.
func HeldError(id replication.PairID, h *replication.Hold) error {
	return fmt.Errorf("pair %s is held since %s: %s", id, h.At.UTC().Format(time.RFC3339), h.Summary())
}

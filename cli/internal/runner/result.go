package runner

import (
	"context"
	"errors"
	"fmt"

	"chefsync/cli/internal/app"
	"chefsync/cli/internal/cmdline"
	"chefsync/cli/internal/control"
	"chefsync/cli/internal/daemon"
	"chefsync/cli/internal/exit"
	"chefsync/cli/internal/pairstatus"
	"chefsync/cli/internal/runlist"
	"chefsync/cli/internal/ui"
	"chefsync/pkg/replication"
)

// showResults shows the results of one pass for each pair, and ends with what keeps pairs
// from being in sync.
func showResults(ctx context.Context, env *cmdline.Env, a *app.App, pairs []app.Pair, results []daemon.Result, progress *ui.Progress) error {
	interrupted := context.Cause(ctx)
	runs := []replication.Run{}
	for _, r := range results {
		if r.Begun {
			runs = append(runs, r.Run)
		}
	}
	if len(runs) > 0 {
		if err := runlist.Print(env, runs, false); err != nil {
			return err
		}
	}
	ctx = context.WithoutCancel(ctx)
	state, err := a.State(ctx)
	if err != nil {
		return err
	}
	failed := make([]error, len(results))
	var ended []app.Pair
	for i, r := range results {
		if !r.Begun || interrupted != nil && isInterruption(r.Err, interrupted) {
			continue
		}
		st, err := state.Pair(ctx, r.Run.Pair)
		if failed[i] = resultError(r, st); failed[i] == nil {
			failed[i] = app.WrapPair(r.Run.Pair, err)
		}
		if failed[i] == nil {
			ended = append(ended, pairs[i])
		}
	}
	if interrupted != nil {
		return exit.Join(append(failed, interruptedError(interrupted, results, progress))...)
	}
	return exit.Join(append(failed, errOutOfSync(ctx, env, a, ended))...)
}

// isInterruption reports whether a pass failed because of the signal alone.
func isInterruption(err, cause error) bool {
	return errors.Is(err, context.Canceled) || err != nil && errors.Is(err, cause)
}

// interruptedError says how far passes were when a signal ended them. Progress is nil if
// there is none to see from here.
func interruptedError(cause error, results []daemon.Result, progress *ui.Progress) error {
	ended := 0
	for _, r := range results {
		if r.Begun && r.Err == nil {
			ended++
		}
	}
	words := fmt.Sprintf("%s of %s done", ui.Number(ended), ui.Plural(len(results), "pair"))
	if len(results) == 1 && progress != nil {
		if done, total, written := progress.Objects(results[0].Run.Pair); total > 0 {
			words = fmt.Sprintf("%s of %s %s", ui.Number(done), ui.Plural(total, "object"), doneWords(done, written))
		}
	}
	return exit.With(exit.Interrupted, &interruption{words, cause}, "")
}

// doneWords says what was done with objects: a pass that compares everything writes few of
// them, or none.
func doneWords(done, written int) string {
	switch {
	case written == 0:
		return "compared"
	case written >= done:
		return "copied"
	default:
		return "compared, " + ui.Number(written) + " written"
	}
}

// interruption is the end of passes by a signal.
type interruption struct {
	done  string
	cause error
}

func (e *interruption) Error() string { return "stopped: " + e.done + "; run again to go on" }

func (e *interruption) Unwrap() error { return e.cause }

// errOutOfSync is why pairs are not in sync although their passes ended well, or nil: a
// pass says nothing about what it had no reason to read.
func errOutOfSync(ctx context.Context, env *cmdline.Env, a *app.App, pairs []app.Pair) error {
	now := env.Now()
	servers, err := pairstatus.ReadServers(ctx, a, pairs, now)
	if err != nil {
		return err
	}
	rows, err := pairstatus.ReadPairs(ctx, a, pairs, servers, now)
	failed := []error{err}
	for _, r := range rows {
		failed = append(failed, r.OutOfSync())
	}
	return exit.Join(failed...)
}

// resultError is why a pass did not end in sync, or nil.
func resultError(res daemon.Result, st replication.PairState) error {
	r := res.Run
	id := r.Pair.String()
	switch {
	case r.Outcome == replication.OutcomeHeld:
		h := st.Progress.Hold
		if h == nil { // it has ended since
			return nil
		}
		return exit.With(exit.Held, control.HeldError(r.Pair, h), h.Hint(r.Pair))
	case r.Outcome == replication.OutcomeBusy:
		return exit.With(exit.Locked, fmt.Errorf("pair %s is being worked on by %s", id, st.Lease.Owner), "wait until it has finished")
	case res.Err != nil:
		return fmt.Errorf("pair %s: %w", id, res.Err)
	case r.Outcome == replication.OutcomeStopped && st.Desired.Moved != "":
		return exit.With(exit.Partial, fmt.Errorf("pair %s was moved to %s", id, st.Desired.Moved), "start it there")
	case r.Outcome == replication.OutcomeStopped:
		return exit.With(exit.Partial, fmt.Errorf("pair %s is stopped", id), "chef-sync-ctl sync-start "+id)
	case st.Progress.Unsynced > 0:
		return exit.With(exit.Partial, fmt.Errorf("pair %s has unsynced objects: %d", id, st.Progress.Unsynced),
			"chef-sync-ctl unsynced-objects "+id)
	case r.Outcome == replication.OutcomePartial:
		return exit.With(exit.Partial, fmt.Errorf("pair %s is not finished", id), "run it again")
	}
	return nil
}

package pairstatus

import (
	"fmt"
	"slices"

	"chefsync/cli/internal/exit"
	"chefsync/pkg/replication"
	"chefsync/pkg/status"
)

// ExitCodesHelp explains the exit codes of sync-status --exit-code.
const ExitCodesHelp = `sync-status --exit-code exits with the first of these that applies to any pair:

  9    blocked
  7    held
  5    unreachable, stale or failing, or the source can't be scanned
  6    drifted
  3    unsynced objects, a kind that can't be read, bootstrapping, or changes that
       wait for a pass
  0    all pairs are synced or stopped, or a pass is applying changes

run --once uses the same codes for pairs whose pass ended well. A pass that failed
has the code of its failure, such as 4 for a missing organization or 5 for a server
that doesn't respond, and a pair that is stopped has 3.`

// codeOfReason returns the exit code for a reason.
func codeOfReason(r status.Reason) exit.Code {
	switch r.Cause {
	case status.CauseHeld:
		return exit.Held
	case status.CauseUnsynced, status.CausePending, status.CauseNeverRun:
		return exit.Partial
	case status.CauseDrift:
		return exit.Differences
	}
	switch {
	case r.Status == replication.Blocked:
		return exit.Denied
	case r.Cause == status.CauseUnread && r.Status != status.Stale:
		return exit.Partial
	}
	return exit.Temporary
}

// exitCode returns the exit code for a pair, and the reason for it.
func (r *PairRow) exitCode() (worst exit.Code, why status.Reason) {
	var codes []exit.Code
	for _, x := range r.Reasons {
		if x.Cause == status.CauseStopped { // what it left is as its operator wants it
			return exit.OK, why
		}
		codes = append(codes, codeOfReason(x))
	}
	if worst = exit.Worst(codes...); worst != exit.OK {
		return worst, r.Reasons[slices.Index(codes, worst)]
	}
	if r.Status == replication.Bootstrapping {
		return exit.Partial, status.Reason{Text: "the first full comparison is not complete"}
	}
	return exit.OK, why
}

// ExitError returns the silent error with the exit code of the worst pair, or nil.
func ExitError(rows []PairRow) error {
	var codes []exit.Code
	for _, r := range rows {
		c, _ := r.exitCode()
		codes = append(codes, c)
	}
	return exit.Silent(exit.Worst(codes...))
}

// OutOfSync returns an error that says why the pair isn't in sync, or nil.
func (r *PairRow) OutOfSync() error {
	c, why := r.exitCode()
	if c == exit.OK {
		return nil
	}
	return exit.With(c, fmt.Errorf("pair %s: %s", r.Pair, why.Text), why.Hint)
}

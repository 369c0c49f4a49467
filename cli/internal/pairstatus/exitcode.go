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

run --once uses the same codes after its passes.`

// codeOfReason returns the exit code for a reason.
func codeOfReason(r status.Reason) exit.Code {
	switch r.Cause {
	case status.CauseStopped:
		return exit.OK
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

// codesBySeverity returns exit codes, the worst first.
func codesBySeverity() []exit.Code {
	return []exit.Code{exit.Denied, exit.Held, exit.Temporary, exit.Differences, exit.Partial}
}

// exitCode returns the exit code for a pair, and the reason for it.
func (r *PairRow) exitCode() (worst exit.Code, why status.Reason) {
	for _, c := range codesBySeverity() {
		for _, x := range r.Reasons {
			if codeOfReason(x) == c {
				return c, x
			}
		}
	}
	if r.Status == replication.Bootstrapping {
		return exit.Partial, status.Reason{Text: "the first full comparison is not complete"}
	}
	return exit.OK, why
}

// ExitError returns the silent error with the exit code of the worst pair, or nil.
func ExitError(rows []PairRow) error {
	found := map[exit.Code]bool{}
	for _, r := range rows {
		c, _ := r.exitCode()
		found[c] = true
	}
	if i := slices.IndexFunc(codesBySeverity(), func(c exit.Code) bool { return found[c] }); i >= 0 {
		return exit.Silent(codesBySeverity()[i])
	}
	return nil
}

// OutOfSync returns an error that says why the pair isn't in sync, or nil.
func (r *PairRow) OutOfSync() error {
	c, why := r.exitCode()
	if c == exit.OK {
		return nil
	}
	return exit.With(c, fmt.Errorf("pair %s: %s", r.Pair, why.Text), why.Hint)
}

package cli

import (
	"fmt"
	"slices"

	"chefsync/cli/internal/exit"
	"chefsync/pkg/replication"
	"chefsync/pkg/status"
)

// statusCodes is what the exit code of sync-status --exit-code means.
const statusCodes = `sync-status --exit-code ends with the first of these that is true of a pair:

  9    blocked
  7    held
  5    unreachable, stale or failing, or the source can't be scanned
  6    drifted
  3    unsynced objects, a kind that can't be read, bootstrapping, or work that waits
       for a pass
  0    all pairs are synced or stopped, or a pass is applying changes

run --once ends with the same codes after its passes.`

// reasonCode is the exit code for what keeps a pair from being in sync.
func reasonCode(r status.Reason) exit.Code {
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

// severity orders exit codes, the worst first.
func severity() []exit.Code {
	return []exit.Code{exit.Denied, exit.Held, exit.Temporary, exit.Differences, exit.Partial}
}

// code is the exit code for a pair, and the reason for it.
func (r *statusRow) code() (worst exit.Code, why status.Reason) {
	for _, c := range severity() {
		for _, x := range r.Reasons {
			if reasonCode(x) == c {
				return c, x
			}
		}
	}
	if r.Status == replication.Bootstrapping {
		return exit.Partial, status.Reason{Text: "the first full compare has not ended"}
	}
	return exit.OK, why
}

// statusExit is the exit code of sync-status, if it was asked for.
func statusExit(rows []statusRow, asked bool) error {
	if !asked {
		return nil
	}
	found := map[exit.Code]bool{}
	for _, r := range rows {
		c, _ := r.code()
		found[c] = true
	}
	if i := slices.IndexFunc(severity(), func(c exit.Code) bool { return found[c] }); i >= 0 {
		return exit.Silent(severity()[i])
	}
	return nil
}

// outOfSync is why a pair isn't in sync, or nil.
func (r *statusRow) outOfSync() error {
	c, why := r.code()
	if c == exit.OK {
		return nil
	}
	return exit.With(c, fmt.Errorf("pair %s: %s", r.Pair, why.Text), why.Hint)
}

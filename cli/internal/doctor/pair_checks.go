package doctor

import (
	"cmp"
	"context"

	"chefsync/cli/internal/exit"
	"chefsync/cli/internal/pairstatus"
	"chefsync/pkg/status"
)

// checkPairs looks at what is recorded of the pairs, as sync-status shows it. Whatever keeps
// a pair from being in sync is a failure.
func (r Run) checkPairs(ctx context.Context) []Check {
	l, now := &List{Group: "pairs"}, r.Now()
	servers, unread := pairstatus.ReadServers(ctx, r.App, r.Pairs, now)
	rows, err := pairstatus.ReadPairs(ctx, r.App, r.Pairs, servers, now)
	err = cmp.Or(err, unread)
	for _, row := range rows {
		addPairChecks(l, row)
	}
	if err != nil {
		l.Fail("records", exit.Hint(err), err)
	}
	return l.Checks
}

// addPairChecks adds a check for each reason that keeps a pair from being in sync.
func addPairChecks(l *List, r pairstatus.PairRow) {
	name := r.Pair.String()
	if len(r.Reasons) == 0 {
		l.OK(name, "%s", r.Status)
	}
	for _, why := range r.Reasons {
		switch why.Cause {
		case status.CauseStopped, status.CausePending:
			l.Warn(name, why.Hint, "%s", why.Text)
		case status.CauseNeverRun:
			l.OK(name, "%s", why.Text)
		default:
			text := why.Text
			if why.Cause == status.CauseHeld {
				text = "held: " + text
			}
			l.Add(Check{Name: name, State: Fail, Detail: text, Hint: why.Hint, Class: why.Class})
		}
	}
}

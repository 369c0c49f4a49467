package pairstatus

import (
	"testing"

	"chefsync/cli/internal/exit"
	"chefsync/pkg/replication"
	"chefsync/pkg/status"
)

func TestTheExitCodeOfAStatusIsThatOfTheWorstReason(t *testing.T) {
	because := func(reasons ...status.Reason) PairRow { return PairRow{Reasons: reasons} }
	reason := func(c status.Cause, s replication.Status) status.Reason { return status.Reason{Cause: c, Status: s} }
	blocked, held := reason(status.CausePassFailed, replication.Blocked), reason(status.CauseHeld, replication.Held)
	down, drift := reason(status.CauseServerDown, status.Unreachable), reason(status.CauseDrift, status.Drifted)
	unsynced := reason(status.CauseUnsynced, replication.Retrying)
	for name, c := range map[string]struct {
		rows []PairRow
		want exit.Code
	}{
		"in sync":                 {[]PairRow{because(), because()}, exit.OK},
		"stopped":                 {[]PairRow{because(reason(status.CauseStopped, replication.Stopped))}, exit.OK},
		"stopped while held":      {[]PairRow{because(reason(status.CauseStopped, replication.Stopped), held, drift, unsynced)}, exit.OK},
		"blocked":                 {[]PairRow{because(), because(held, blocked)}, exit.Denied},
		"scans are refused":       {[]PairRow{because(reason(status.CauseScanFailed, replication.Blocked))}, exit.Denied},
		"held":                    {[]PairRow{because(down), because(held)}, exit.Held},
		"unreachable":             {[]PairRow{because(unsynced), because(drift, down)}, exit.Temporary},
		"no pass":                 {[]PairRow{because(reason(status.CauseNoPass, status.Stale))}, exit.Temporary},
		"no scan":                 {[]PairRow{because(reason(status.CauseNoScan, status.Stale))}, exit.Temporary},
		"failing":                 {[]PairRow{because(reason(status.CausePassFailed, replication.Retrying))}, exit.Temporary},
		"a kind unread for long":  {[]PairRow{because(reason(status.CauseUnread, status.Stale))}, exit.Temporary},
		"a kind unread":           {[]PairRow{because(reason(status.CauseUnread, replication.Retrying))}, exit.Partial},
		"drift":                   {[]PairRow{because(unsynced, drift)}, exit.Differences},
		"unsynced":                {[]PairRow{because(unsynced)}, exit.Partial},
		"waiting for a pass":      {[]PairRow{because(reason(status.CausePending, replication.Syncing))}, exit.Partial},
		"never run":               {[]PairRow{because(reason(status.CauseNeverRun, replication.Bootstrapping))}, exit.Partial},
		"the first pass, running": {[]PairRow{{Status: replication.Bootstrapping}}, exit.Partial},
		"a later pass, running":   {[]PairRow{{Status: replication.Syncing}}, exit.OK},
	} {
		if got := exit.Of(ExitError(c.rows)); got != c.want {
			t.Errorf("%s: %d, want %d", name, got, c.want)
		}
	}
}

package cli

import (
	"testing"

	"chefsync/cli/internal/exit"
	"chefsync/pkg/replication"
	"chefsync/pkg/status"
)

func TestTheExitCodeOfAStatusIsThatOfTheWorstReason(t *testing.T) {
	because := func(reasons ...status.Reason) statusRow { return statusRow{Reasons: reasons} }
	reason := func(c status.Cause, s replication.Status) status.Reason { return status.Reason{Cause: c, Status: s} }
	blocked, held := reason(status.CausePassFailed, replication.Blocked), reason(status.CauseHeld, replication.Held)
	down, drift := reason(status.CauseServerDown, status.Unreachable), reason(status.CauseDrift, status.Drifted)
	unsynced := reason(status.CauseUnsynced, replication.Retrying)
	for name, c := range map[string]struct {
		rows []statusRow
		want exit.Code
	}{
		"in sync":                {[]statusRow{because(), because()}, exit.OK},
		"stopped":                {[]statusRow{because(reason(status.CauseStopped, replication.Stopped))}, exit.OK},
		"stopped and held":       {[]statusRow{because(reason(status.CauseStopped, replication.Stopped), held)}, exit.Held},
		"blocked":                {[]statusRow{because(), because(held, blocked)}, exit.Denied},
		"scans are refused":      {[]statusRow{because(reason(status.CauseScanFailed, replication.Blocked))}, exit.Denied},
		"held":                   {[]statusRow{because(down), because(held)}, exit.Held},
		"unreachable":            {[]statusRow{because(unsynced), because(drift, down)}, exit.Temporary},
		"no pass":                {[]statusRow{because(reason(status.CauseNoPass, status.Stale))}, exit.Temporary},
		"no scan":                {[]statusRow{because(reason(status.CauseNoScan, status.Stale))}, exit.Temporary},
		"failing":                {[]statusRow{because(reason(status.CausePassFailed, replication.Retrying))}, exit.Temporary},
		"a kind unread for long": {[]statusRow{because(reason(status.CauseUnread, status.Stale))}, exit.Temporary},
		"a kind unread":          {[]statusRow{because(reason(status.CauseUnread, replication.Retrying))}, exit.Partial},
		"drift":                  {[]statusRow{because(unsynced, drift)}, exit.Differences},
		"unsynced":               {[]statusRow{because(unsynced)}, exit.Partial},
		"waiting for a pass":     {[]statusRow{because(reason(status.CausePending, replication.Syncing))}, exit.Partial},
		"never run":              {[]statusRow{because(reason(status.CauseNeverRun, replication.Bootstrapping))}, exit.Partial},
		"the first pass at work": {[]statusRow{{Status: replication.Bootstrapping}}, exit.Partial},
		"a later pass at work":   {[]statusRow{{Status: replication.Syncing}}, exit.OK},
	} {
		if got := exit.Of(statusExit(c.rows, true)); got != c.want {
			t.Errorf("%s: %d, want %d", name, got, c.want)
		}
		if err := statusExit(c.rows, false); err != nil {
			t.Errorf("%s: %v although no exit code was asked for", name, err)
		}
	}
}

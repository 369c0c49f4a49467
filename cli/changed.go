package cli

import (
	"context"
	"time"

	"chefsync/cli/internal/cmdline"
	"chefsync/cli/internal/ui"
	"chefsync/pkg/replication"
	"chefsync/pkg/status"
)

// changed is how commands that change a pair's wishes answer.
type changed struct {
	Pair   replication.PairID `json:"pair"`
	Result string             `json:"result"`
	Status replication.Status `json:"status"`
}

// The answers that take words of their own in a table.
const (
	resultAlreadyStarted   = "already_started"
	resultAlreadyStopped   = "already_stopped"
	resultResyncRequested  = "resync_requested"
	resultObjectsRequested = "objects_requested"
)

// words is the answer for people.
func (c changed) words() string {
	switch c.Result {
	case resultAlreadyStarted:
		return "already started"
	case resultAlreadyStopped:
		return "already stopped"
	case resultObjectsRequested:
		return "comparison of objects requested"
	case resultResyncRequested:
		return "full compare requested"
	}
	return c.Result
}

// withStatus puts the status that pairs have now into the answers, after a wait. That
// of a pair whose record can't be read stays as it was.
func withStatus(ctx context.Context, state replication.State, patience status.Tolerance, now time.Time, answers []changed) {
	for i := range answers {
		if st, err := state.Pair(ctx, answers[i].Pair); err == nil {
			answers[i].Status = status.Evaluate(status.Facts{State: st, Now: now, Tolerance: patience}).Status
		}
	}
}

// emitChanged prints the answers, or nothing if all that was tried failed.
func emitChanged(env *cmdline.Env, answers []changed, failed error) error {
	if len(answers) == 0 && failed != nil {
		return nil
	}
	return env.Output().Emit(answers, func(t *ui.Grid) {
		t.Head("PAIR", "RESULT", "STATUS")
		for _, c := range answers {
			t.Row(c.Pair.String(), c.words(), statusWord(t, c.Status))
		}
	})
}

// Package control changes the desired state of pairs, and waits until it is reached.
package control

import (
	"context"
	"slices"
	"time"

	"chefsync/cli/internal/app"
	"chefsync/cli/internal/cmdline"
	"chefsync/cli/internal/pairstatus"
	"chefsync/cli/internal/ui"
	"chefsync/pkg/replication"
)

// Answer is what a command that controls pairs prints of one.
type Answer struct {
	Pair   replication.PairID `json:"pair"`
	Result Result             `json:"result"`
	Status replication.Status `json:"status"`
}

// Result is what a command did to a pair.
type Result string

// The results.
const (
	ResultStarted          Result = "started"
	ResultAlreadyStarted   Result = "already_started"
	ResultApproved         Result = "approved"
	ResultHeld             Result = "held" // it stays held
	ResultStopped          Result = "stopped"
	ResultAlreadyStopped   Result = "already_stopped"
	ResultResyncRequested  Result = "resync_requested"
	ResultObjectsRequested Result = "objects_requested"
)

// resultText returns the result as a table shows it.
func (c Answer) resultText() string {
	switch c.Result {
	case ResultAlreadyStarted:
		return "already started"
	case ResultAlreadyStopped:
		return "already stopped"
	case ResultObjectsRequested:
		return "comparison of objects requested"
	case ResultResyncRequested:
		return "full comparison requested"
	}
	return string(c.Result)
}

// SetStatuses sets the status of each answer to the one that sync-status shows now. An answer
// of a pair whose record can't be read keeps its own.
func SetStatuses(ctx context.Context, a *app.App, answers []Answer, now time.Time) {
	pairs := PairsWithAnswer(a.Pairs(), answers)
	// Also after an interrupted wait. What it can't read, the command could not either.
	s, _ := pairstatus.Read(context.WithoutCancel(ctx), a, pairs, now)
	setStatuses(answers, s.Pairs)
}

func setStatuses(answers []Answer, rows []pairstatus.PairRow) {
	for i := range answers {
		for _, r := range rows {
			if r.Pair == answers[i].Pair {
				answers[i].Status = r.Status
			}
		}
	}
}

// Print prints the answers, or nothing if everything failed.
func Print(env *cmdline.Env, answers []Answer, failed error) error {
	if len(answers) == 0 && failed != nil {
		return nil
	}
	return env.Output().Emit(answers, func(t *ui.Grid) {
		t.Head("PAIR", "RESULT", "STATUS")
		for _, c := range answers {
			t.Row(c.Pair.String(), c.resultText(), pairstatus.StatusText(t, c.Status))
		}
	})
}

// PairsWithAnswer returns the pairs that have an answer.
func PairsWithAnswer(pairs []app.Pair, answers []Answer) []app.Pair {
	return slices.DeleteFunc(slices.Clone(pairs), func(p app.Pair) bool {
		return !slices.ContainsFunc(answers, func(c Answer) bool { return c.Pair == p.ID })
	})
}

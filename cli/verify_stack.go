package cli

import (
	"context"
	"strconv"

	"chefsync/cli/internal/app"
	"chefsync/cli/internal/cmdline"
	"chefsync/cli/internal/exit"
	"chefsync/cli/internal/stack"
	"chefsync/cli/internal/ui"
	"chefsync/pkg/cloud"
	"chefsync/pkg/replication"
)

// remoteVerdict is what the stack's function found in a pair.
type remoteVerdict struct {
	Pair        replication.PairID `json:"pair"`
	Equal       bool               `json:"equal"`
	Differences int                `json:"differences"`
	Error       string             `json:"error,omitempty"`
	Hint        string             `json:"hint,omitempty"`
}

// verifyAtOnce is how many pairs the function verifies at once.
const verifyAtOnce = 4

// verifyRemote lets the stack's function verify pairs.
func verifyRemote(ctx context.Context, env *cmdline.Env, a *app.App, pairs []app.Pair, repair, files bool) error {
	switch {
	case a.Stack == nil:
		return exit.Usagef("add --stack NAME", "--remote goes with a stack")
	case files:
		return exit.Usagef("leave --remote out; the function checks files by itself, every verify_files_every", "--files doesn't go with --remote")
	case repair:
		return exit.Usagef(`leave --remote out, or write drift = "repair" in the configuration`, "--repair doesn't go with --remote")
	}
	verdicts := make([]remoteVerdict, len(pairs))
	failures := make([]error, len(pairs))
	askFunction(pairs, verifyAtOnce, func(i int, p app.Pair) {
		answer, err := a.Stack.Ask(ctx, cloud.SyncEvent{Pair: p.ID, Task: cloud.TaskVerify, Trigger: cloud.TriggerManual})
		if err == nil {
			err = stack.Failure(answer)
		}
		verdicts[i] = remoteVerdict{Pair: p.ID, Equal: answer.Equal != nil && *answer.Equal, Differences: answer.Differ}
		if failures[i] = err; err != nil {
			verdicts[i].Error, verdicts[i].Hint = err.Error(), exit.Hint(err)
		}
	})
	if err := emitVerdicts(env, verdicts); err != nil {
		return err
	}
	code := exit.OK
	for i, v := range verdicts {
		failures[i] = app.WrapPair(v.Pair, failures[i])
		switch {
		case v.Differences > 0:
			code = exit.Differences
		case !v.Equal && code == exit.OK:
			code = exit.Partial
		}
	}
	if err := exit.Join(failures...); err != nil {
		return err
	}
	return exit.Silent(code)
}

func emitVerdicts(env *cmdline.Env, verdicts []remoteVerdict) error {
	return env.Output().Emit(verdicts, func(t *ui.Grid) {
		t.Head("PAIR", "RESULT", "DIFFERENCES")
		for _, v := range verdicts {
			word := t.Paint(ui.Green, "equal")
			switch {
			case v.Error != "":
				word = t.Paint(ui.Red, "failed")
			case v.Differences > 0:
				word = t.Paint(ui.Red, "differs")
			case !v.Equal:
				word = t.Paint(ui.Yellow, "not all could be read")
			}
			t.Row(v.Pair.String(), word, strconv.Itoa(v.Differences))
		}
	})
}

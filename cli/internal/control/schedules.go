package control

import (
	"context"
	"fmt"
	"strings"

	"chefsync/cli/internal/app"
	"chefsync/cli/internal/exit"
)

// SwitchSchedules makes the schedules of pairs follow what the state says already.
// It is the state that counts: without its schedule a pair that was started only
// waits, and a schedule only finds that its pair is stopped.
func SwitchSchedules(ctx context.Context, a *app.App, pairs []app.Pair, enable bool) error {
	if a.Stack == nil {
		return nil
	}
	group, turn, done := a.Stack.Schedules(), "disable", "stopped"
	call := group.Disable
	if enable {
		call, turn, done = group.Enable, "enable", "started"
	}
	err := app.ForEachPair(ctx, pairs, func(p app.Pair) error { return call(ctx, p.ID) })
	if err == nil {
		return nil
	}
	return exit.With(exit.Of(err), fmt.Errorf("the pairs are %s, but a schedule is not: %w", done, err),
		strings.TrimPrefix(exit.Hint(err)+"; ", "; ")+"the manager of the stack will "+turn+" it within minutes")
}

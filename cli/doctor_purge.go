package cli

import (
	"context"
	"fmt"

	"chefsync/cli/internal/cmdline"
	"chefsync/cli/internal/exit"
	"chefsync/cli/internal/ui"
)

// purgeDeadLetters empties the queue of the events that no function took.
func purgeDeadLetters(ctx context.Context, env *cmdline.Env, yes bool) error {
	a, err := env.Open(ctx)
	if err != nil {
		return err
	}
	defer a.Close()
	if a.Stack == nil || a.Stack.DeadLetters == "" {
		return exit.Usagef("name a stack: --stack NAME", "only a stack on AWS has dead letters")
	}
	n, err := a.Stack.Depth(ctx)
	if err != nil {
		return err
	}
	if n == 0 {
		env.Output().Note("there are no dead letters")
		return nil
	}
	if err := env.Confirm(yes, fmt.Sprintf("Delete about %s from the queue of dead letters of stack %s", ui.Plural(n, "event"), a.Stack.Stack)); err != nil {
		return err
	}
	if err := a.Stack.Purge(ctx); err != nil {
		return err
	}
	env.Output().Note("deleted about %s; AWS may take a minute to do it", ui.Plural(n, "event"))
	return nil
}

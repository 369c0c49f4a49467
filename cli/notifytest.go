package cli

import (
	"context"
	"errors"

	"github.com/spf13/cobra"

	"chefsync/cli/internal/app"
	"chefsync/cli/internal/cmdline"
	"chefsync/cli/internal/exit"
	"chefsync/cli/internal/notifier"
	"chefsync/cli/internal/ui"
	"chefsync/pkg/notify"
)

// notifyRow is the result of one channel.
type notifyRow struct {
	Channel string `json:"channel"`
	OK      bool   `json:"ok"`
	Error   string `json:"error,omitempty"`
}

func newNotifyTestCmd(env *cmdline.Env) *cobra.Command {
	return &cobra.Command{
		Use:     "notify-test",
		Short:   "Send a test message to everything that [notify] names",
		GroupID: cmdline.GroupConfig,
		Long: `Send a test message to each webhook and to the program that [notify] in the
configuration names, and request its ping URL. What the program writes is shown.

The daemon tells what changes by itself: when a server becomes unreachable, or a
pair held, blocked, stale, drifted or unreachable, and when that ends. On a stack,
the same is published as events of EventBridge.`,
		Example: "  chef-sync-ctl notify-test\n  chef-sync-ctl notify-test -o json",
		Args:    cmdline.CheckArgs(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			a, err := env.Open(cmd.Context())
			if err != nil {
				return err
			}
			defer a.Close()
			if a.Stack != nil {
				return exit.Usagef("infra/README.md shows a rule for them", "on a stack, changes are published as events of EventBridge")
			}
			rows := sendTest(cmd.Context(), env, a)
			if len(rows) == 0 {
				return exit.Usagef("chef-sync-ctl init shows its keys", "[notify] in the configuration names no webhook, no program and no ping URL")
			}
			return emitNotifyTest(env, rows)
		},
	}
}

// sendTest sends a test message to all channels and requests the ping URL.
func sendTest(ctx context.Context, env *cmdline.Env, a *app.App) (rows []notifyRow) {
	add := func(channel string, err error) {
		row := notifyRow{Channel: channel, OK: err == nil}
		if err != nil {
			row.Error = err.Error()
		}
		rows = append(rows, row)
	}
	m := notify.TestMessage(notifier.Instance(), env.Now())
	for _, c := range notifier.Channels(a, env.Err) {
		add(c.Name, c.Send(ctx, m))
	}
	if ping := a.Notify.Ping; !ping.IsZero() {
		add("ping "+ping.String(), notifier.Ping(ctx, a))
	}
	return rows
}

func emitNotifyTest(env *cmdline.Env, rows []notifyRow) error {
	failed := 0
	err := env.Output().Emit(rows, func(t *ui.Grid) {
		t.Head("CHANNEL", "RESULT")
		for _, r := range rows {
			if r.OK {
				t.Row(r.Channel, "sent")
			} else {
				t.Row(r.Channel, "failed: "+r.Error)
			}
		}
	})
	for _, r := range rows {
		if !r.OK {
			failed++
		}
	}
	if err == nil && failed > 0 {
		return exit.With(exit.Failed, errors.New(ui.Plural(failed, "channel")+" failed"), "check [notify] in the configuration")
	}
	return err
}

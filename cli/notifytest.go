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
		Short:   "Send a test notification to all channels",
		GroupID: cmdline.GroupConfig,
		Long: `Send a test notification to each webhook and to the program configured under
[notify], and request the ping URL. The output of the program is shown.

The daemon sends a notification when a server becomes unreachable, when a pair
becomes held, blocked, stale, drifted or unreachable, and when that ends. A stack
publishes the same as EventBridge events.`,
		Example: "  chef-sync-ctl notify-test\n  chef-sync-ctl notify-test -o json",
		Args:    cmdline.CheckArgs(cobra.NoArgs),
		RunE: env.WithApp(func(ctx context.Context, a *app.App) error {
			if a.Stack != nil {
				return exit.Usagef("infra/README.md shows an EventBridge rule", "a stack publishes EventBridge events instead of notifications")
			}
			rows := sendTest(ctx, env, a)
			if len(rows) == 0 {
				return exit.Usagef("write [[notify.webhook]] with url = \"https://...\"", "the configuration has no webhook, program or ping URL under [notify]")
			}
			return emitNotifyTest(env, rows)
		}),
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

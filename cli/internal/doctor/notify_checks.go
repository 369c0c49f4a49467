package doctor

import (
	"context"

	"chefsync/cli/internal/app"
	"chefsync/cli/internal/notifier"
	"chefsync/cli/internal/ui"
	"chefsync/pkg/notify"
)

// checkNotifications looks whether the channels of [notify] took what they were told last. A
// stack has none.
func (r Run) checkNotifications(ctx context.Context) []Check {
	l := &List{Group: "notifications"}
	channels := notifier.Channels(r.App, nil)
	if r.App.Stack != nil || len(channels) == 0 {
		return nil
	}
	state, err := readNotified(ctx, r.App)
	if err != nil {
		l.Fail("channels", "", err)
		return l.Checks
	}
	failing := map[string]notify.ChannelState{}
	for _, c := range state.Channels {
		failing[c.Name] = c
	}
	for _, c := range channels {
		if s := failing[c.Name]; s.Failures > 0 {
			l.Warn(c.Name, "chef-sync-ctl notify-test", "%s failed since the last delivery; next attempt %s", ui.Plural(s.Failures, "attempt"),
				ui.Age(s.NextTry, r.Now()))
		} else {
			l.OK(c.Name, "no failed attempts since the last delivery")
		}
	}
	return l.Checks
}

func readNotified(ctx context.Context, a *app.App) (notify.State, error) {
	store, err := a.Notified(ctx)
	if err != nil {
		return notify.State{}, err
	}
	state, _, err := store.LoadNotified(ctx)
	return state, err
}

package doctor

import (
	"context"
	"time"

	"chefsync/cli/internal/app"
	"chefsync/cli/internal/notifier"
	"chefsync/cli/internal/ui"
	"chefsync/pkg/notify"
)

// NotifyChecks check whether the channels of [notify] took what they were told last.
func NotifyChecks(ctx context.Context, a *app.App, now time.Time) []Check {
	l := &List{Group: "notifications"}
	channels := notifier.Channels(a, nil)
	if len(channels) == 0 {
		return nil
	}
	state, err := readNotified(ctx, a)
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
			l.Warn(c.Name, "chef-sync-ctl notify-test", "%s failed since the last delivery; next attempt %s", ui.Plural(s.Failures, "attempt"), ui.Age(s.NextTry, now))
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

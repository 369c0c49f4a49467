// Package notifier tells operators what changes in the fleet of a daemon, as [notify] in
// the configuration says.
package notifier

import (
	"context"
	"fmt"
	"io"
	"net/url"
	"os"
	"path/filepath"
	"time"

	"chefsync/cli/internal/app"
	"chefsync/cli/internal/daemon"
	"chefsync/cli/internal/pairstatus"
	"chefsync/pkg/config"
	"chefsync/pkg/notify"
	"chefsync/pkg/notify/send"
)

// Channels returns the channels of the configuration. Output receives what the program
// writes that is run; nil discards it.
func Channels(a *app.App, output io.Writer) []notify.Channel {
	var all []notify.Channel
	client := send.NewClient()
	for _, w := range a.Notify.Webhooks {
		c := notify.Channel{Name: "webhook " + w.URL.ID(), Send: send.JSON(client, resolver(a, w.URL))}
		if w.Format == config.FormatSlack {
			c.Send = send.Slack(client, resolver(a, w.URL))
		}
		all = append(all, c)
	}
	if args := a.Notify.Exec; len(args) > 0 {
		command := send.Command{Args: args, Timeout: a.Notify.ExecTimeout, Output: output}
		all = append(all, notify.Channel{Name: "exec " + filepath.Base(args[0]), Send: command.Send})
	}
	return all
}

func resolver(a *app.App, u config.SecretURL) send.Resolve {
	return func(ctx context.Context) (*url.URL, error) { return u.Resolve(ctx, a.Secrets()) }
}

// Ping requests the ping URL of the configuration.
func Ping(ctx context.Context, a *app.App) error {
	return send.Ping(ctx, send.NewClient(), resolver(a, a.Notify.Ping))
}

// Instance returns the name of this daemon in messages.
func Instance() string {
	host, err := os.Hostname()
	if err != nil {
		return "unknown host"
	}
	return host
}

// The bounds of the time between two evaluations.
const (
	minEvery = time.Second
	maxEvery = time.Minute
)

// Tasks returns what a daemon does regularly: it evaluates pairs and delivers messages, and
// requests the ping URL. On a stack the manager does it.
func Tasks(a *app.App, pairs []app.Pair, now func() time.Time) (tasks []daemon.Task) {
	if a.Stack != nil {
		return nil
	}
	if channels := Channels(a, nil); len(channels) > 0 {
		every := min(max(a.Notify.After/5, minEvery), maxEvery)
		tasks = append(tasks, daemon.Task{First: every, Every: every, Failing: "notifications can't be sent", Do: func(ctx context.Context) error {
			store, err := a.Notified(ctx)
			if err != nil {
				return err
			}
			n := notify.Notifier{Store: store, Channels: channels, Rules: notify.Rules{After: a.Notify.After, Every: every}, Instance: Instance(),
				Now: now, Log: a.Log}
			fleet, readErr := pairstatus.ReadFleet(ctx, a, pairs, now())
			if len(fleet.Servers) == 0 {
				return readErr
			}
			if err := n.Evaluate(ctx, fleet.Known()); err != nil {
				return err
			}
			return readErr
		}})
	}
	if !a.Notify.Ping.IsZero() {
		every := a.Notify.PingEvery
		tasks = append(tasks, daemon.Task{First: every, Every: every, Failing: "the ping URL can't be requested", Do: func(ctx context.Context) error {
			fleet, err := pairstatus.ReadFleet(ctx, a, pairs, now())
			if err == nil {
				err = fleet.CheckPasses()
			}
			if err != nil {
				return fmt.Errorf("the daemon is unhealthy: %w", err)
			}
			return Ping(ctx, a)
		}})
	}
	return tasks
}

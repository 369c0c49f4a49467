package cli

import (
	"context"
	"math/rand/v2"
	"time"

	"github.com/spf13/cobra"

	"chefsync/cli/internal/app"
	"chefsync/cli/internal/changeserver"
	"chefsync/cli/internal/cmdline"
	"chefsync/cli/internal/daemon"
	"chefsync/cli/internal/exit"
	"chefsync/pkg/config"
)

func newServeChangesCmd(env *cmdline.Env) *cobra.Command {
	var listen string
	cmd := &cobra.Command{
		Use:     "serve-changes",
		Short:   "Record the changes of a primary and serve them as updated_since",
		GroupID: cmdline.GroupSync,
		Long: `Scan the source organizations of a primary that doesn't serve updated_since,
receive changes that its data collector pushes, and serve
GET /organizations/ORG/updated_since to members of the organization: old clients, or
another chef-sync-ctl with feed_url. It is also served as objects_since, the name in
old documentation. Nothing is replicated; "run" does all of this as well.

SIGTERM and SIGINT stop it cleanly, with exit code 0. Several processes may share a
change log: one scans at a time.`,
		Example: `  chef-sync-ctl serve-changes
  chef-sync-ctl serve-changes --listen 127.0.0.1:9996 --log-format json`,
		Args: cmdline.CheckArgs(cobra.NoArgs),
	}
	cmd.Flags().StringVar(&listen, "listen", "", "`address` to listen on (default: listen under [journal] in the configuration)")
	cmdline.TakeFromEnvironment(cmd, "listen")
	cmd.PreRun = func(*cobra.Command, []string) { env.Daemon = true }
	cmd.RunE = env.WithApp(func(ctx context.Context, a *app.App) error {
		if listen == "" {
			listen = a.ChangeLog.Listen
		}
		switch {
		case a.Feed == config.FeedUpdatedSince:
			return exit.Usagef(`write feed = "auto" or "journal"`, `%s: with feed = "updated_since" there is no change log to serve`, a.File)
		case listen == "":
			return exit.Usagef(`--listen :9996, or listen = ":9996" under [journal]`, "no address to listen on was given")
		}
		return serveChanges(ctx, env, a, listen)
	})
	return cmd
}

func serveChanges(ctx context.Context, env *cmdline.Env, a *app.App, address string) error {
	a.KeepLog()
	state, err := a.State(ctx)
	if err != nil {
		return err
	}
	d := &daemon.Daemon{
		Sources: changeserver.Sources(a, nil), Serve: changeserver.Server{App: a, Address: address}.Serve,
		State: state, Log: a.Log, Now: env.Now, Random: rand.Float64,
		Watch: 2 * time.Second, Present: a.Present,
	}
	return d.Run(ctx)
}

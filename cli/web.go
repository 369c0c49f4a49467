package cli

import (
	"context"
	"net"

	"github.com/spf13/cobra"

	"chefsync/cli/internal/app"
	"chefsync/cli/internal/cmdline"
	"chefsync/cli/internal/statusserver"
	"chefsync/pkg/config"
)

func newWebCmd(env *cmdline.Env) *cobra.Command {
	var listen, tokenFile string
	cmd := &cobra.Command{
		Use:     "web [PAIR...]",
		Short:   "Serve the status page, metrics and health over HTTP",
		GroupID: cmdline.GroupLook,
		Long: `Serve the status of the selected pairs, or of all, until stopped:

  /            a status page: servers, pairs, what is wrong and what to try
  /healthz     whether the store responds, and the last heartbeat of the daemon
  /metrics     metrics for Prometheus
  /api/status  the JSON output of sync-status, with a version

The status is read from the same state that the other commands use; with --stack,
from the state of a stack on AWS. It is read-only. The daemon serves the same pages,
and the progress of its passes, as configured under [status].

An address that is not a loopback address requires a token: --token-file, or token
under [status] in the configuration. Programs send it as a bearer token, browsers
as the password of any user.`,
		Example: `  chef-sync-ctl web
  chef-sync-ctl web --stack chef-sync --listen 127.0.0.1:8080
  chef-sync-ctl web --listen :9997 --token-file /etc/chef-sync/status-token`,
	}
	cmd.Flags().StringVar(&listen, "listen", "127.0.0.1:9997", "`address` to listen on")
	cmd.Flags().StringVar(&tokenFile, "token-file", "", "`file` that contains the token clients must send (default: token under [status] in the configuration)")
	cmdline.TakeFromEnvironment(cmd, "listen", "token-file")
	env.TakePairs(cmd)
	cmd.RunE = env.WithPairs(func(ctx context.Context, a *app.App, pairs []app.Pair) error {
		s := statusserver.Server{App: a, Pairs: pairs, Address: listen, Setting: "--listen"}
		switch {
		case tokenFile != "":
			s.Token = config.KeyRef{Scheme: "file", Name: tokenFile}
		case a.Stack == nil || !config.IsLoopback(listen): // a stack's token may be out of reach here
			s.Token = a.StatusPage.Token
		}
		return s.Serve(ctx, func(address net.Addr) {
			env.Output().Note("serving the status on http://%s", address)
		})
	})
	return cmd
}

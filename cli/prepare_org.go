package cli

import (
	"context"
	"crypto/rsa"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"chefsync/cli/internal/app"
	"chefsync/cli/internal/cmdline"
	"chefsync/cli/internal/exit"
	"chefsync/cli/internal/ui"
	"chefsync/pkg/chef"
	"chefsync/pkg/config"
	"chefsync/pkg/prepare"
)

// prepareFlags are the flags of prepare-org.
type prepareFlags struct {
	side, replica, actor string
	adminUser, adminKey  string
	admin, check         bool
}

func newPrepareOrgCmd(env *cmdline.Env) *cobra.Command {
	var f prepareFlags
	cmd := &cobra.Command{
		Use:     "prepare-org ORG --side primary|replica",
		Short:   "Give replication its user, key and rights in an organization",
		GroupID: cmdline.GroupConfig,
		Long: `Make an organization ready: makes the key pair where the configuration's file:
points (mode 0600, never replaced), the user or client that owns it, its membership
and rights; reads them back and proves them. What is in place stays: running it
twice changes nothing. ORG is the name on that server.

You sign as yourself: with --admin-user and --admin-key, or with --chef-profile
of ~/.chef/credentials. A superuser's key creates the user and associates it. An
organization admin's key makes an API client, or invites a user that exists. On a
primary replication only needs to read; on a replica it needs to write cookbooks,
environments, roles, data bags and what else the configuration replicates, which a
group "chef-sync" gets where the usual groups don't have it.`,
		Example: `  chef-sync-ctl prepare-org engineering --side primary --admin-user pivotal --admin-key pivotal.pem
  chef-sync-ctl prepare-org engineering --side replica --replica eu --chef-profile eu-admin
  chef-sync-ctl prepare-org engineering --side primary --check`,
		Args: cmdline.CheckArgs(cobra.ExactArgs(1)),
	}
	cmd.Flags().StringVar(&f.side, "side", "", "which server: primary or replica")
	cmd.Flags().StringVar(&f.replica, "replica", "", "which replica, where there are several")
	cmd.Flags().StringVar(&f.adminUser, "admin-user", "", "sign as this superuser or organization admin")
	cmd.Flags().StringVar(&f.adminKey, "admin-key", "", "`file` of that user's private key")
	cmd.Flags().StringVar(&f.actor, "actor", "auto", "what replication signs as: auto, user or client")
	cmd.Flags().BoolVar(&f.admin, "org-admin", false, "make it an admin of the organization, for organizations with rights changed by hand")
	cmd.Flags().BoolVar(&f.check, "check", false, "change nothing; say what is missing (code 6), and what could not be checked")
	_ = cmd.RegisterFlagCompletionFunc("side", cobra.FixedCompletions([]string{"primary", "replica"}, cobra.ShellCompDirectiveNoFileComp))
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		a, err := env.OpenWithoutProfile(cmd.Context())
		if err != nil {
			return err
		}
		defer a.Close()
		return f.prepareOrg(cmd.Context(), env, a, args[0])
	}
	return cmd
}

func (f prepareFlags) prepareOrg(ctx context.Context, env *cmdline.Env, a *app.App, org string) error {
	o, err := f.prepareOptions(ctx, env, a, org)
	if err != nil {
		return err
	}
	report, err := prepare.Run(ctx, o)
	if emitErr := emitPrepared(env, report, f.check); emitErr != nil {
		return emitErr
	}
	if err != nil {
		return err
	}
	if !report.Ready {
		return exit.Silent(exit.Differences)
	}
	return nil
}

func (f prepareFlags) prepareOptions(ctx context.Context, env *cmdline.Env, a *app.App, org string) (prepare.Options, error) {
	side, err := prepare.ParseSide(f.side)
	if err != nil {
		return prepare.Options{}, exit.Usagef("add --side primary or --side replica", "--side: %w", err)
	}
	actor, err := prepare.ParseActor(f.actor)
	if err != nil {
		return prepare.Options{}, exit.Usagef("", "--actor: %w", err)
	}
	server, err := f.findServer(a, side)
	if err != nil {
		return prepare.Options{}, err
	}
	caller, err := f.connectAsCaller(ctx, env, a, server)
	if err != nil {
		return prepare.Options{}, err
	}
	return prepare.Options{
		Org: org, Side: side, Name: server.User, Actor: actor, Admin: f.admin, Check: f.check, Caller: caller,
		Kinds:   app.KindsOf(a.Pairs(), side, server, org),
		Key:     a.KeyStore(ctx, server),
		Connect: func(key *rsa.PrivateKey) (*chef.Client, error) { return a.Connect(ctx, server, server.User, key) },
	}, nil
}

// findServer is the server that the flags mean.
func (f prepareFlags) findServer(a *app.App, side prepare.Side) (config.Server, error) {
	if side == prepare.Primary {
		return a.Primary, nil
	}
	var names []string
	for _, r := range a.Replicas {
		if r.Name == f.replica || f.replica == "" && len(a.Replicas) == 1 {
			return r, nil
		}
		names = append(names, "--replica "+r.Name)
	}
	if f.replica == "" {
		return config.Server{}, exit.Usagef(strings.Join(names, ", or "), "there are several replicas")
	}
	return config.Server{}, exit.With(exit.NotFound, fmt.Errorf("there is no replica %q", f.replica), strings.Join(names, ", or "))
}

// connectAsCaller is the client that signs as the user who runs the command; nil for a check
// without one.
func (f prepareFlags) connectAsCaller(ctx context.Context, env *cmdline.Env, a *app.App, s config.Server) (*chef.Client, error) {
	const hint = "add --admin-user and --admin-key, or --chef-profile of ~/.chef/credentials"
	if (f.adminUser == "") != (f.adminKey == "") {
		return nil, exit.Usagef(hint, "--admin-user and --admin-key go together")
	}
	if f.adminUser == "" && env.ChefProfile() == "" {
		if f.check {
			return nil, nil //nolint:nilnil // a check needs no caller
		}
		return nil, exit.Usagef(hint, "whose key may change the organization isn't given")
	}
	user, key, err := a.Credentials(ctx, f.adminUser, f.adminKey, env.ChefProfile())
	if err != nil {
		return nil, exit.With(exit.Usage, err, hint)
	}
	return a.Connect(ctx, s, user, key)
}

func emitPrepared(env *cmdline.Env, r *prepare.Report, check bool) error {
	return env.Output().Emit(r, func(t *ui.Grid) {
		t.Line("%s, organization %s on %s", r.Side, r.Organization, r.Server)
		for _, s := range r.Steps {
			t.Row("  "+t.Mark(stepMark(s.State)), s.What, s.Detail)
		}
		if !r.Ready {
			return
		}
		t.Row("groups:", ui.OrDash(strings.Join(r.Groups, ", ")))
		t.Row("organizations:", ui.OrDash(strings.Join(r.Organizations, ", ")))
		t.Row("actors:", ui.OrDash(strings.Join(r.Actors, ", ")))
		switch {
		case r.Changed:
			t.Line("%s", t.Paint(ui.Green, "prepared"))
		case check && len(r.Unchecked) > 0:
			t.Line("%s", t.Paint(ui.Yellow, "not all permissions were checked: add --admin-user and --admin-key; nothing changed"))
		default:
			t.Line("%s", t.Paint(ui.Green, "already prepared; nothing changed"))
		}
	})
}

func stepMark(s prepare.State) ui.Mark {
	switch s {
	case prepare.Fine, prepare.Done:
		return ui.Passed
	case prepare.Unknown:
		return ui.Skipped
	}
	return ui.Failed
}

package cli

import (
	"cmp"
	"context"
	"crypto/rsa"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"chefsync/cli/internal/app"
	"chefsync/cli/internal/cmdline"
	"chefsync/cli/internal/exit"
	"chefsync/cli/internal/prepared"
	"chefsync/pkg/chef"
	"chefsync/pkg/config"
	"chefsync/pkg/prepare"
	"chefsync/pkg/replication"
)

// prepareFlags are the flags of prepare-org.
type prepareFlags struct {
	side, actor          string
	replicas             []string
	adminUser, adminKey  []string // of all servers, or as SERVER=VALUE of one
	all, orgAdmin, check bool
}

func newPrepareOrgCmd(env *cmdline.Env) *cobra.Command {
	var f prepareFlags
	cmd := &cobra.Command{
		Use:     "prepare-org ORG...",
		Short:   "Create the user, key and permissions that replication needs",
		GroupID: cmdline.GroupConfig,
		Long: `Prepare organizations on the primary and on their replicas, or on one side: create
the key pair that the configuration refers to with file: (mode 0600, never
replaced), the user or client that owns it, its membership and its permissions; then
read them back and verify that they work. Whatever exists is kept, so you can run
the command again. ORG is an organization of the configuration, or its name on the
server; --all selects all organizations of the configuration.

Requests are signed with your own key: with --admin-user and --admin-key, or for one
server with --admin-key eu=FILE; with --chef-profile, a profile of
~/.chef/credentials; or with the profile there whose chef_server_url is that of the
server. A superuser's key creates the user and adds it to the organization. An
organization admin's key creates an API client, or invites an existing user. On the
primary, replication only needs read permission. On a replica, it needs write
permission on all replicated kinds; if the usual groups don't grant it, a group
"chef-sync" does.`,
		Example: `  chef-sync-ctl prepare-org engineering --admin-user pivotal --admin-key primary=pivotal.pem --admin-key eu=eu.pem
  chef-sync-ctl prepare-org --all --side replica --replica eu --chef-profile eu-admin
  chef-sync-ctl prepare-org engineering sales --side primary --check`,
		ValidArgsFunction: env.Complete(listOrganizations),
	}
	cmd.Flags().StringVar(&f.side, "side", "both", "primary, replica or both")
	cmd.Flags().StringSliceVar(&f.replicas, "replica", nil, "only this `replica`; may be repeated")
	cmd.Flags().BoolVar(&f.all, "all", false, "all organizations of the configuration")
	cmd.Flags().StringArrayVar(&f.adminUser, "admin-user", nil,
		"sign as this `user`, a superuser or organization admin; SERVER=USER for one server")
	cmd.Flags().StringArrayVar(&f.adminKey, "admin-key", nil, "`file` with that user's private key; SERVER=FILE for one server")
	cmd.Flags().StringVar(&f.actor, "actor", "auto", "what replication signs requests as: auto, user or client")
	cmd.Flags().BoolVar(&f.orgAdmin, "org-admin", false, "make it an admin of the organization, for organizations whose permissions were changed")
	cmd.Flags().BoolVar(&f.check, "check", false, "change nothing; report what is missing (exit code 6) and what could not be checked")
	_ = cmd.RegisterFlagCompletionFunc("side", cobra.FixedCompletions(sides(), cobra.ShellCompDirectiveNoFileComp))
	_ = cmd.RegisterFlagCompletionFunc("actor", cobra.FixedCompletions([]string{"auto", "user", "client"}, cobra.ShellCompDirectiveNoFileComp))
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		a, err := env.OpenWithoutProfile(cmd.Context())
		if err != nil {
			return err
		}
		defer a.Close()
		return f.prepareOrgs(cmd.Context(), env, a, args)
	}
	return cmd
}

func sides() []string { return []string{string(prepare.Primary), string(prepare.Replica), "both"} }

// listOrganizations lists the organizations of the configuration that aren't among args yet.
func listOrganizations(_ context.Context, a *app.App, args []string, _ string) (words []cobra.Completion) {
	for _, p := range a.Pairs() {
		for _, org := range []string{p.SourceOrg, p.ID.Org} {
			if !slices.Contains(words, org) && !slices.Contains(args, org) {
				words = append(words, org)
			}
		}
	}
	return words
}

func (f *prepareFlags) prepareOrgs(ctx context.Context, env *cmdline.Env, a *app.App, orgs []string) error {
	actor, err := prepare.ParseActor(f.actor)
	if err != nil {
		return exit.Usagef("", "--actor: %w", err)
	}
	targets, err := f.targets(a, orgs)
	if err != nil {
		return err
	}
	callers, err := f.callers(env, a, orgs, targets)
	if err != nil {
		return err
	}
	one := len(targets) == 1 && len(orgs) == 1 && !f.all && f.side != "both"
	if one {
		report, err := f.prepareOrg(ctx, a, targets[0], callers[0], actor)
		if report == nil {
			return err
		}
		if emitErr := prepared.Show(env.Output(), report, f.check); emitErr != nil || err != nil {
			return cmp.Or(emitErr, err)
		}
		return exit.Silent(prepared.CodeOf(report))
	}
	list := prepared.NewList(env.Output(), f.check, targets)
	for i, t := range targets {
		if err := ctx.Err(); err != nil {
			return exit.Join(list.End(), err)
		}
		report, err := f.prepareOrg(ctx, a, t, callers[i], actor)
		if err := list.Add(t, report, err); err != nil {
			return err
		}
	}
	return list.End()
}

// targets lists the organizations on the servers that the arguments and flags mean.
func (f *prepareFlags) targets(a *app.App, orgs []string) (targets []prepared.Target, err error) {
	if !slices.Contains(sides(), f.side) {
		return nil, exit.Usagef("--side primary, --side replica or --side both", "--side can't be %q", f.side)
	}
	replicas := a.Replicas
	if len(f.replicas) > 0 {
		replicas = nil
		for _, name := range f.replicas {
			r, ok := a.Replica(name)
			if !ok {
				return nil, f.noReplica(a, name)
			}
			replicas = append(replicas, r)
		}
		if f.side == string(prepare.Primary) {
			return nil, exit.Usagef("leave out one of them", "--side primary and --replica can't be used together")
		}
		f.side = string(prepare.Replica)
	}
	if f.all && len(orgs) > 0 {
		return nil, exit.Usagef("leave out one of them", "--all and names of organizations can't be used together")
	}
	var pairs []app.Pair
	switch {
	case f.all:
		pairs = a.Pairs()
	case len(orgs) == 0:
		pairs = pairsWith(replicas, "") // callers says all that is missing
	}
	for _, org := range orgs {
		found, err := f.find(a, replicas, org)
		if err != nil {
			return nil, err
		}
		pairs = append(pairs, found...)
	}
	add := func(t prepared.Target) {
		if !slices.ContainsFunc(targets, func(d prepared.Target) bool {
			return d.Side == t.Side && d.Server.Name == t.Server.Name && d.Org == t.Org
		}) {
			targets = append(targets, t)
		}
	}
	for _, p := range pairs {
		if f.side != string(prepare.Replica) {
			add(prepared.Target{Side: prepare.Primary, Server: a.Primary, Org: p.SourceOrg})
		}
		if f.side != string(prepare.Primary) && slices.ContainsFunc(replicas, func(r config.Server) bool { return r.Name == p.ID.Replica }) {
			add(prepared.Target{Side: prepare.Replica, Server: p.Replica, Org: p.ID.Org})
		}
	}
	return targets, nil
}

// find lists the pairs of an organization that is prepared. On one side the name is that on
// the server, if one of the configuration has it there, or else the name on the primary; a
// name that the configuration doesn't have is taken as it is. On both sides the
// configuration must have it.
func (f *prepareFlags) find(a *app.App, replicas []config.Server, org string) ([]app.Pair, error) {
	var bySource, byDestination, either []app.Pair
	var names []string
	for _, p := range a.Pairs() {
		names = append(names, p.SourceOrg, p.ID.Org)
		if p.SourceOrg == org {
			bySource = append(bySource, p)
		}
		if p.ID.Org == org {
			byDestination = append(byDestination, p)
		}
		if p.SourceOrg == org || p.ID.Org == org {
			either = append(either, p)
		}
	}
	switch {
	case f.side == string(prepare.Replica) && len(byDestination) > 0:
		return byDestination, nil
	case f.side == string(prepare.Replica) && len(bySource) > 0:
		return bySource, nil
	case f.side != "both":
		return pairsWith(replicas, org), nil
	case len(either) > 0:
		return either, nil
	}
	hint := "to prepare it nevertheless, name one side: --side primary or --side replica"
	if near := config.DidYouMean(org, names); near != "" {
		hint = "chef-sync-ctl prepare-org " + near
	}
	return nil, exit.With(exit.NotFound, fmt.Errorf("the configuration has no organization %q", org), hint)
}

// pairsWith returns a pair on each replica whose organizations have the same name.
func pairsWith(replicas []config.Server, org string) (pairs []app.Pair) {
	for _, r := range replicas {
		pairs = append(pairs, app.Pair{Pair: replication.Pair{ID: replication.PairID{Replica: r.Name, Org: org}, SourceOrg: org}, Replica: r})
	}
	return pairs
}

func (f *prepareFlags) noReplica(a *app.App, name string) error {
	var names, hints []string
	for _, r := range a.Replicas {
		names, hints = append(names, r.Name), append(hints, "--replica "+r.Name)
	}
	if near := config.DidYouMean(name, names); near != "" {
		hints = []string{"--replica " + near}
	}
	return exit.With(exit.NotFound, fmt.Errorf("there is no replica %q", name), strings.Join(hints, ", or "))
}

// prepareOrg prepares one organization. The report is nil if the key of the caller can't
// be used.
func (f *prepareFlags) prepareOrg(ctx context.Context, a *app.App, t prepared.Target, c caller, actor prepare.Actor) (*prepare.Report, error) {
	o := prepare.Options{
		Org: t.Org, Side: t.Side, Name: t.Server.User, Actor: actor, Admin: f.orgAdmin, Check: f.check,
		Kinds:   app.KindsOf(a.Pairs(), t.Side, t.Server, t.Org),
		Key:     a.KeyStore(ctx, t.Server),
		Connect: func(key *rsa.PrivateKey) (*chef.Client, error) { return a.Connect(ctx, t.Server, t.Server.User, key) },
	}
	if c != (caller{}) {
		user, key, err := a.Credentials(ctx, c.user, c.keyFile, c.profile)
		if err != nil {
			return nil, exit.With(exit.Usage, err, "name another user and key with --admin-user and --admin-key, or --chef-profile")
		}
		if o.Caller, err = a.Connect(ctx, t.Server, user, key); err != nil {
			return nil, err
		}
	}
	return prepare.Run(ctx, o)
}

// caller is who signs the changes on a server: a user with a key, or a profile of Chef's
// credentials file. The zero caller is nobody, which is enough for a check.
type caller struct{ user, keyFile, profile string }

// callers finds the caller of each target, or says in one error all that is missing.
func (f *prepareFlags) callers(env *cmdline.Env, a *app.App, orgs []string, targets []prepared.Target) ([]caller, error) {
	var missing, try []string
	if len(orgs) == 0 && !f.all {
		missing, try = append(missing, "an organization, or --all for all of the configuration"), append(try, "--all")
	}
	callers := make([]caller, len(targets))
	var without []string
	for i, t := range targets {
		c, err := f.callerOn(env, a, t)
		if err != nil {
			return nil, err
		}
		if callers[i] = c; c == (caller{}) && !f.check && !slices.Contains(without, t.Server.Name) {
			without = append(without, t.Server.Name)
		}
	}
	if len(without) > 0 {
		missing = append(missing, "the key of an admin of "+strings.Join(without, ", "))
		try = append(append(try, orgs...), f.given()...)
		try = append(try, "--admin-user NAME")
		for _, name := range without {
			if len(without) == 1 {
				try = append(try, "--admin-key FILE")
				break
			}
			try = append(try, "--admin-key "+name+"=FILE")
		}
	}
	if len(missing) == 0 {
		return callers, nil
	}
	return nil, exit.Usagef("chef-sync-ctl prepare-org "+strings.Join(try, " "), "prepare-org needs %s", strings.Join(missing, ", and "))
}

// given returns the flags that say where to prepare, as they were given.
func (f *prepareFlags) given() (words []string) {
	switch {
	case len(f.replicas) > 0:
		words = append(words, "--replica "+strings.Join(f.replicas, ","))
	case f.side != "both":
		words = append(words, "--side "+f.side)
	}
	if f.all {
		words = append(words, "--all")
	}
	return words
}

// callerOn finds who signs on the server of a target: the flags decide, then the profile
// that was chosen unless it is another server's, then the profile that is this server's.
func (f *prepareFlags) callerOn(env *cmdline.Env, a *app.App, t prepared.Target) (caller, error) {
	user, keyFile := valueFor(a, f.adminUser, t.Server.Name), valueFor(a, f.adminKey, t.Server.Name)
	switch {
	case user != "" && keyFile != "":
		return caller{user: user, keyFile: keyFile}, nil
	case len(f.adminUser) == 0 != (len(f.adminKey) == 0):
		return caller{}, exit.Usagef("give both, or --chef-profile", "--admin-user and --admin-key must be used together")
	}
	if name := env.ChefProfile(); name != "" {
		if url := a.ProfileURL(name); url == t.Server.URL || !slices.ContainsFunc(a.Servers(), func(s config.Server) bool { return s.URL == url }) {
			return caller{profile: name}, nil
		}
	}
	profiles := slices.DeleteFunc(a.ProfilesOf(t.Server.URL), func(c config.Credentials) bool { return c.User == t.Server.User })
	if i := slices.IndexFunc(profiles, func(c config.Credentials) bool { return c.Org == t.Org }); i >= 0 {
		return caller{profile: profiles[i].Profile}, nil
	}
	for _, p := range profiles {
		if p.User != profiles[0].User || p.Key.String() != profiles[0].Key.String() {
			return caller{}, nil // more than one answer
		}
	}
	if len(profiles) > 0 {
		return caller{profile: profiles[0].Profile}, nil
	}
	return caller{}, nil
}

// valueFor returns the value of a flag on a server: what was given as SERVER=VALUE, or
// else for all servers.
func valueFor(a *app.App, values []string, server string) (value string) {
	for _, v := range values {
		name, one, found := strings.Cut(v, "=")
		if !found || !slices.ContainsFunc(a.Servers(), func(s config.Server) bool { return s.Name == name }) {
			value = cmp.Or(value, v)
		} else if name == server {
			return one
		}
	}
	return value
}

package cli

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"path/filepath"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"chefsync/cli/internal/app"
	"chefsync/cli/internal/cmdline"
	"chefsync/cli/internal/doctor"
	"chefsync/cli/internal/exit"
	"chefsync/cli/internal/ui"
	"chefsync/pkg/assembly"
	"chefsync/pkg/config"
	"chefsync/pkg/feed/changelog"
	"chefsync/pkg/object"
	"chefsync/pkg/prepare"
	"chefsync/pkg/replication"
)

func newDoctorCmd(env *cmdline.Env) *cobra.Command {
	var purge, yes, failed bool
	cmd := &cobra.Command{
		Use:     "doctor [PAIR|REPLICA...]",
		Short:   "Check everything that replication needs",
		GroupID: cmdline.GroupConfig,
		Long: `Check the configuration, keys, servers, clocks, permissions, feeds, state, stage and
pairs, and show what to try for each failure. Nothing is changed on any server. With
arguments, only the selected pairs and what they need are checked; --failed shows
only what failed.

Without an admin's key, not all permissions on a replica can be checked; those that
were not checked are listed. The exit code is that of the first failure; see help
exit-codes.

On a stack, the table, functions, logs and dead letters are checked, and the servers
from the stack's function. --purge instead empties the queue of dead letters: events
that no function processed and that later events have superseded.

If the primary doesn't serve updated_since, the settings that make it push its
changes are shown.`,
		Example: "  chef-sync-ctl doctor\n  chef-sync-ctl doctor eu --failed\n  chef-sync-ctl doctor -o json | jq '.checks[] | select(.state==\"fail\")'",
		Args:    cobra.ArbitraryArgs,
		RunE: func(cmd *cobra.Command, args []string) error {
			if purge && len(args) > 0 {
				return exit.Usagef(cmd.UseLine(), "--purge takes no pairs")
			}
			if purge {
				return env.WithApp(func(ctx context.Context, a *app.App) error { return purgeDeadLetters(ctx, env, a, yes) })(cmd, args)
			}
			checks, closed := runChecks(cmd.Context(), env, args)
			d := doctor.NewDiagnosis(checks)
			if failed {
				d.Checks = doctor.Failures(d.Checks)
			}
			if err := env.Output().Emit(d, func(t *ui.Grid) { doctor.ShowDiagnosis(t, d) }); err != nil {
				return err
			}
			if closed != nil {
				return exit.Silent(exit.Of(closed))
			}
			return exit.Silent(doctor.ExitCode(d))
		},
	}
	cmd.ValidArgsFunction = func(cmd *cobra.Command, args []string, word string) ([]cobra.Completion, cobra.ShellCompDirective) {
		pairs, _ := env.CompletePairs(cmd, args, word)
		replicas, directive := env.CompleteReplicas(cmd, args, word)
		return append(replicas, pairs...), directive
	}
	cmd.Flags().BoolVar(&failed, "failed", false, "show only failed checks, and the counts of all")
	cmd.Flags().BoolVar(&purge, "purge", false, "empty the queue of dead letters of a stack instead of checking")
	cmd.Flags().BoolVar(&yes, "yes", false, "with --purge: don't ask")
	return cmd
}

// runChecks runs all checks. A configuration or a stack that can't be opened is a
// check too, and then there are no others.
func runChecks(ctx context.Context, env *cmdline.Env, args []string) (checks []doctor.Check, closed error) {
	conf := &doctor.List{Group: "configuration"}
	a, err := env.Open(ctx)
	if err != nil {
		conf.Fail("read", exit.Hint(err), err)
		return conf.Checks, err
	}
	defer a.Close()
	conf.OK("read", "%s", a.File)
	pairs, err := selectForDoctor(a, args)
	if err != nil {
		conf.Fail("arguments", exit.Hint(err), err)
		return conf.Checks, err
	}
	conf.OK("pairs", "%s, each destination in one pair only", ui.Plural(len(a.Pairs()), "pair"))
	for _, w := range a.Warnings() {
		conf.Warn("look", "", "%s", w)
	}
	keys := map[string]string{"primary": a.Primary.Key.String()}
	for _, r := range replicasOf(a, pairs) {
		keys["replica "+r.Name] = r.Key.String()
	}
	doctor.CheckKeyFiles(conf, keys)

	groups := []func(context.Context) []doctor.Check{func(context.Context) []doctor.Check { return conf.Checks }}
	groups = append(groups, func(ctx context.Context) []doctor.Check { return doctor.ProcessChecks(ctx, a, env.Now()) })
	if a.Stack != nil {
		return doctor.All(ctx, append(groups, stackChecks(ctx, env, a, pairs, len(args) > 0)...)...), nil
	}
	groups = append(groups, serverChecks(ctx, env, a, pairs)...)
	groups = append(groups, func(ctx context.Context) []doctor.Check { return localChecks(ctx, a, pairs, env.Now()) })
	return doctor.All(ctx, groups...), nil
}

// stackChecks are the checks of a stack, of the servers as its function sees them
// and as this machine does, of the change logs, and of what the state remembers. For some
// pairs the stack itself is left out.
func stackChecks(ctx context.Context, env *cmdline.Env, a *app.App, pairs []app.Pair,
	some bool) (groups []func(context.Context) []doctor.Check) {
	state, err := a.State(ctx)
	if err != nil {
		return []func(context.Context) []doctor.Check{func(context.Context) []doctor.Check {
			l := &doctor.List{Group: "stack"}
			l.Fail("state", "", err)
			return l.Checks
		}}
	}
	s := doctor.Stack{Stack: a.Stack, Pairs: pairs, State: state, Logs: a.LogStore(), Now: env.Now}
	if !some {
		groups = append(groups, s.Check)
	}
	groups = append(groups, s.FromFunction)
	for _, check := range serverChecks(ctx, env, a, pairs) {
		groups = append(groups, func(ctx context.Context) []doctor.Check { return doctor.FromHere(check(ctx)) })
	}
	return append(groups, func(ctx context.Context) []doctor.Check {
		return slices.Concat(changeLogChecks(ctx, a, pairs), doctor.PairChecks(ctx, a, pairs, env.Now()))
	})
}

// serverChecks are the checks of the primary and of each replica.
func serverChecks(ctx context.Context, env *cmdline.Env, a *app.App, pairs []app.Pair) (groups []func(context.Context) []doctor.Check) {
	add := func(s config.Server, group string, side prepare.Side, orgs []string) *doctor.Server {
		client, problem := a.Client(ctx, s)
		prober, err := a.NewHTTPClient(ctx, s)
		if err != nil {
			prober, problem = http.DefaultClient, err
		}
		kinds := map[string][]object.Kind{}
		for _, org := range orgs {
			kinds[org] = app.KindsOf(pairs, side, s, org)
		}
		return &doctor.Server{
			Group: group, Side: side, Orgs: orgs, User: s.User, Client: client, Problem: problem,
			KeyMissing: s.Key.Scheme == "file" && errors.Is(problem, fs.ErrNotExist),
			Key:        a.KeyStore(ctx, s), Prober: prober, URL: s.URL, Now: env.Now,
			Kinds: kinds,
		}
	}
	sources, destinations := orgsOf(pairs)
	primary := add(a.Primary, "primary", prepare.Primary, sources)
	primary.Feed = a.DescribeFeed
	groups = append(groups, primary.Check)
	for _, r := range replicasOf(a, pairs) {
		groups = append(groups, add(r, "replica "+r.Name, prepare.Replica, destinations[r.Name]).Check)
	}
	return groups
}

// replicasOf are the replicas that pairs are about; all of them for all pairs.
func replicasOf(a *app.App, pairs []app.Pair) []config.Server {
	if len(pairs) == len(a.Pairs()) {
		return a.Replicas
	}
	return slices.DeleteFunc(slices.Clone(a.Replicas), func(r config.Server) bool {
		return !slices.ContainsFunc(pairs, func(p app.Pair) bool { return p.ID.Replica == r.Name })
	})
}

// orgsOf lists the source organizations and each replica's destinations.
func orgsOf(pairs []app.Pair) (sources []string, destinations map[string][]string) {
	destinations = map[string][]string{}
	seen := map[string]bool{}
	for _, p := range pairs {
		if !seen[p.SourceOrg] {
			seen[p.SourceOrg] = true
			sources = append(sources, p.SourceOrg)
		}
		destinations[p.ID.Replica] = append(destinations[p.ID.Replica], p.ID.Org)
	}
	return sources, destinations
}

// localChecks look at this machine: state, stage, what the state remembers.
func localChecks(ctx context.Context, a *app.App, pairs []app.Pair, now time.Time) []doctor.Check {
	l := &doctor.List{Group: "this machine"}
	doctor.CheckFolder(l, "stage", a.StagePath)
	doctor.CheckFolder(l, "state folder", filepath.Dir(a.StatePath))
	if _, err := a.State(ctx); err != nil {
		l.Fail("state", "", err)
		return l.Checks
	}
	l.OK("state", "%s, schema %d", a.StatePath, replication.SchemaVersion)
	return slices.Concat(l.Checks, changeLogChecks(ctx, a, pairs), doctor.NotifyChecks(ctx, a, now),
		doctor.PairChecks(ctx, a, pairs, now))
}

// changeLogChecks look at the change logs and at what fills them. There is nothing to
// look at while the primary serves its changes.
func changeLogChecks(ctx context.Context, a *app.App, pairs []app.Pair) []doctor.Check {
	l := &doctor.List{Group: "journal"}
	store, err := a.ChangeLogs(ctx)
	if err != nil {
		l.Fail("journal", "", err)
		return l.Checks
	}
	for _, s := range a.Sources() {
		if !slices.ContainsFunc(pairs, func(p app.Pair) bool { return p.SourceOrg == s.Org }) || !readsChangeLog(ctx, a, s) {
			continue
		}
		doctor.CheckChangeLog(ctx, l, store, s.Org, s.Space)
	}
	if len(l.Checks) > 0 {
		doctor.CheckPush(l, collectorOf(a))
	}
	return l.Checks
}

// readsChangeLog reports whether the changes of a source are found by its change log. If the
// primary can't be asked from here, what its pairs read last decides.
func readsChangeLog(ctx context.Context, a *app.App, s assembly.Source) bool {
	needed, err := a.NeedsChangeLog(ctx, s.Org)
	if err == nil {
		return needed
	}
	state, err := a.State(ctx)
	if err != nil {
		return false
	}
	return slices.ContainsFunc(s.Pairs, func(id replication.PairID) bool {
		st, err := state.Pair(ctx, id)
		return err == nil && st.Progress.Feed == changelog.Name
	})
}

// collectorOf is where the primary's changes are taken: by the URL of a stack, or
// on an address of this machine.
func collectorOf(a *app.App) doctor.Collector {
	c := doctor.Collector{Token: a.ChangeLog.Token.String(), Switch: "listen and token under [journal]"}
	if a.Stack != nil {
		c.Switch = "token under [journal], and deploy"
		c.Where, c.URL = a.Stack.ChangesURL, a.Stack.ChangesURL
	} else if j := a.ChangeLog; j.Listen != "" {
		c.Where, c.URL = j.Listen, doctor.RootURL(j.Listen, j.TLSCert != "")
	}
	return c
}

// selectForDoctor finds the pairs that arguments name, as for all commands; the name of
// a replica means all its pairs.
func selectForDoctor(a *app.App, args []string) ([]app.Pair, error) {
	all := a.Pairs()
	if len(args) == 0 {
		return all, nil
	}
	chosen := map[replication.PairID]bool{}
	for _, arg := range args {
		pairs, err := a.Select(arg)
		for _, p := range all {
			if p.ID.Replica == arg {
				pairs, err = append(pairs, p), nil
			}
		}
		if err != nil {
			return nil, err
		}
		for _, p := range pairs {
			chosen[p.ID] = true
		}
	}
	return slices.DeleteFunc(slices.Clone(all), func(p app.Pair) bool { return !chosen[p.ID] }), nil
}

// purgeDeadLetters empties the queue of the events that no function processed.
func purgeDeadLetters(ctx context.Context, env *cmdline.Env, a *app.App, yes bool) error {
	if a.Stack == nil || a.Stack.DeadLetters == "" {
		return exit.Usagef("name a stack: --stack NAME", "only a stack on AWS has dead letters")
	}
	n, err := a.Stack.DeadLetterCount(ctx)
	if err != nil {
		return err
	}
	if n == 0 {
		env.Output().Note("there are no dead letters")
		return nil
	}
	if err := env.Confirm(ctx, yes, fmt.Sprintf("Delete about %s from the queue of dead letters of stack %s", ui.Plural(n, "event"),
		a.Stack.Stack)); err != nil {
		return err
	}
	if err := a.Stack.PurgeDeadLetters(ctx); err != nil {
		return err
	}
	env.Output().Note("deleted about %s; AWS may take a minute to do it", ui.Plural(n, "event"))
	return nil
}

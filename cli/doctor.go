package main

import (
	"context"
	"net/http"
	"path/filepath"
	"slices"

	"github.com/spf13/cobra"

	"chefsync/cli/internal/app"
	"chefsync/cli/internal/doctor"
	"chefsync/cli/internal/exit"
	"chefsync/cli/internal/ui"
	"chefsync/pkg/assembly"
	"chefsync/pkg/config"
	"chefsync/pkg/feed/journal"
	"chefsync/pkg/prepare"
	"chefsync/pkg/replication"
)

// diagnosis is what doctor prints.
type diagnosis struct {
	State  doctor.State   `json:"state"`
	Checks []doctor.Check `json:"checks"`
}

func newDoctorCmd(g *globals) *cobra.Command {
	var purge, yes bool
	cmd := &cobra.Command{
		Use:     "doctor",
		Short:   "Find out what keeps replication from working",
		GroupID: groupConfig,
		Long: `Look at the configuration, keys, servers, clocks, rights, feeds, state, stage and
the last errors, and say for each failure what to try. Nothing is changed on any
server.

On a stack, look at its table, functions, schedules, logs and dead letters, and at
the servers from where its function runs. --purge empties the queue of dead letters
instead, of events that no function took: what they asked for, later ones have done.

Where the primary serves no updated_since, the two lines that make it push its
changes are shown, for its chef-server.rb.`,
		Example: "  chef-sync-ctl doctor\n  chef-sync-ctl doctor -o json | jq '.checks[] | select(.state==\"fail\")'",
		Args:    args(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if purge {
				return purgeDeadLetters(cmd.Context(), g, yes)
			}
			checks, closed := diagnose(cmd.Context(), g)
			d := diagnosis{doctor.Worst(checks), checks}
			if err := g.output().Emit(d, func(t *ui.Grid) { showDiagnosis(t, d) }); err != nil {
				return err
			}
			if closed != nil {
				return exit.Silent(exit.Of(closed))
			}
			return exit.Silent(diagnosisCode(d))
		},
	}
	cmd.Flags().BoolVar(&purge, "purge", false, "empty the queue of dead letters of a stack instead of looking")
	cmd.Flags().BoolVar(&yes, "yes", false, "with --purge: don't ask")
	return cmd
}

// diagnose runs all checks. A configuration or a stack that can't be opened is a
// check too, and then there are no others.
func diagnose(ctx context.Context, g *globals) (checks []doctor.Check, closed error) {
	conf := &doctor.List{Group: "configuration"}
	a, err := g.open(ctx)
	if err != nil {
		conf.Fail("read", exit.Hint(err), err)
		return conf.Checks, err
	}
	defer a.Close()
	conf.OK("read", "%s", a.File)
	conf.OK("pairs", "%s, each destination in one pair only", ui.Plural(len(a.Pairs()), "pair"))
	for _, w := range a.Warnings() {
		conf.Warn("look", "", "%s", w)
	}
	keys := map[string]string{"primary": a.Primary.Key.String()}
	for _, r := range a.Replicas {
		keys["replica "+r.Name] = r.Key.String()
	}
	doctor.KeyFiles(conf, keys)

	groups := []func(context.Context) []doctor.Check{func(context.Context) []doctor.Check { return conf.Checks }}
	groups = append(groups, func(ctx context.Context) []doctor.Check { return daemonChecks(ctx, a, g.now()) })
	if a.Stack != nil {
		return doctor.All(ctx, append(groups, stackChecks(ctx, g, a)...)...), nil
	}
	groups = append(groups, serverChecks(ctx, g, a)...)
	groups = append(groups, func(ctx context.Context) []doctor.Check { return localChecks(ctx, a) })
	return doctor.All(ctx, groups...), nil
}

// stackChecks are the checks of a stack, of the servers as its function sees them
// and as this machine does, of the journals, and of what the state remembers.
func stackChecks(ctx context.Context, g *globals, a *app.App) (groups []func(context.Context) []doctor.Check) {
	state, err := a.State(ctx)
	if err != nil {
		return []func(context.Context) []doctor.Check{func(context.Context) []doctor.Check {
			l := &doctor.List{Group: "stack"}
			l.Fail("state", "", err)
			return l.Checks
		}}
	}
	s := doctor.Stack{Stack: a.Stack, Pairs: a.Pairs(), State: state, Now: g.now}
	groups = append(groups, s.Check, s.FromFunction)
	for _, check := range serverChecks(ctx, g, a) {
		groups = append(groups, func(ctx context.Context) []doctor.Check { return doctor.FromHere(check(ctx)) })
	}
	return append(groups, func(ctx context.Context) []doctor.Check {
		pairs := &doctor.List{Group: "pairs"}
		doctor.Pairs(ctx, pairs, state, idsOf(a.Pairs()))
		return slices.Concat(journalChecks(ctx, a), pairs.Checks)
	})
}

// serverChecks are the checks of the primary and of each replica.
func serverChecks(ctx context.Context, g *globals, a *app.App) (groups []func(context.Context) []doctor.Check) {
	add := func(s config.Server, group string, side prepare.Side, orgs []string) *doctor.Server {
		client, problem := a.Client(ctx, s)
		prober, err := a.Prober(ctx, s)
		if err != nil {
			prober, problem = http.DefaultClient, err
		}
		kinds := map[string][]replication.Kind{}
		for _, org := range orgs {
			kinds[org] = kindsOf(a.Pairs(), side, s, org)
		}
		return &doctor.Server{
			Group: group, Side: side, Orgs: orgs, User: s.User, Client: client, Problem: problem,
			Key: a.KeyStore(ctx, s), Prober: prober, URL: s.URL, Now: g.now,
			Kinds: kinds,
		}
	}
	sources, destinations := orgsOf(a.Pairs())
	primary := add(a.Primary, "primary", prepare.Primary, sources)
	primary.Feed = a.ProbeFeed
	groups = append(groups, primary.Check)
	for _, r := range a.Replicas {
		groups = append(groups, add(r, "replica "+r.Name, prepare.Replica, destinations[r.Name]).Check)
	}
	return groups
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
func localChecks(ctx context.Context, a *app.App) []doctor.Check {
	l := &doctor.List{Group: "this machine"}
	doctor.Folder(l, "stage", a.StagePath)
	doctor.Folder(l, "state folder", filepath.Dir(a.StatePath))
	state, err := a.State(ctx)
	if err != nil {
		l.Fail("state", "", err)
		return l.Checks
	}
	l.OK("state", "%s, schema %d", a.StatePath, replication.SchemaVersion)
	pairs := &doctor.List{Group: "pairs"}
	doctor.Pairs(ctx, pairs, state, idsOf(a.Pairs()))
	return slices.Concat(l.Checks, journalChecks(ctx, a), pairs.Checks)
}

// journalChecks look at the journals and at what fills them. There is nothing to
// look at while the primary serves its changes.
func journalChecks(ctx context.Context, a *app.App) []doctor.Check {
	l := &doctor.List{Group: "journal"}
	store, err := a.Journals(ctx)
	if err != nil {
		l.Fail("journal", "", err)
		return l.Checks
	}
	for _, s := range a.Sources() {
		if !readsJournal(ctx, a, s) {
			continue
		}
		doctor.Journal(ctx, l, store, s.Org, s.Space)
	}
	if len(l.Checks) > 0 {
		doctor.Push(l, collectorOf(a))
	}
	return l.Checks
}

// readsJournal tells whether the changes of a source are found by its journal. Of
// a primary that can't be asked from here, what its pairs read last tells it.
func readsJournal(ctx context.Context, a *app.App, s assembly.Source) bool {
	needed, err := a.NeedsJournal(ctx, s.Org)
	if err == nil {
		return needed
	}
	state, err := a.State(ctx)
	if err != nil {
		return false
	}
	return slices.ContainsFunc(s.Pairs, func(id replication.PairID) bool {
		st, err := state.Pair(ctx, id)
		return err == nil && st.Progress.Feed == journal.Name
	})
}

// collectorOf is where the primary's changes are taken: by the URL of a stack, or
// on an address of this machine.
func collectorOf(a *app.App) doctor.Collector {
	c := doctor.Collector{Token: a.Journal.Token.String(), Switch: "listen and token under [journal]"}
	if a.Stack != nil {
		c.Switch = "token under [journal], and deploy"
		c.Where, c.URL = a.Stack.ChangesURL, a.Stack.ChangesURL
	} else if j := a.Journal; j.Listen != "" {
		c.Where, c.URL = j.Listen, doctor.RootURL(j.Listen, j.TLSCert != "")
	}
	return c
}

func showDiagnosis(t *ui.Grid, d diagnosis) {
	group := ""
	for _, c := range d.Checks {
		if c.Group != group {
			group = c.Group
			t.Line("%s", t.Paint(ui.Bold, group))
		}
		t.Line("  %s %s: %s", mark(t, c.State), c.Name, ui.Lines(c.Detail, "      "))
		if c.Hint != "" {
			t.Line("      Try: %s", c.Hint)
		}
	}
	switch d.State {
	case doctor.OK:
		t.Line("%s", t.Paint(ui.Green, "all is well"))
	case doctor.Warn:
		t.Line("%s", t.Paint(ui.Yellow, "all works; look at the lines with !"))
	default:
		t.Line("%s", t.Paint(ui.Red, "something doesn't work; see the lines with ✗"))
	}
}

// diagnosisCode is the exit code of the first failure.
func diagnosisCode(d diagnosis) exit.Code {
	for _, c := range d.Checks {
		if c.State != doctor.Fail {
			continue
		}
		if c.Class != "" {
			return exit.OfClass(c.Class)
		}
		return exit.Failed
	}
	return exit.OK
}
